"""Perceptual loss on deep features."""

from tfar.losses.fidelity import mse


def perceptual(original_features, restored_features):
    """L_Percep: mean squared difference of feature maps ``(B, H, W, C)`` (region-aware paper, Eq. 5); a scalar."""
    return mse(original_features, restored_features)
