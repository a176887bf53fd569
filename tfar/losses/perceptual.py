"""Perceptual loss on deep features."""

from tfar.losses.fidelity import mse


def perceptual(original_features, restored_features, weights=None):
    """L_Percep: mean squared difference of feature maps ``(B, H, W, C)`` (region-aware paper, Eq. 5); a scalar.

    ``weights`` ``(B,)`` multiply the images' parts.
    """
    return mse(original_features, restored_features, weights)
