"""Pixel fidelity."""

from keras import ops

from tfar import pixels
from tfar.losses.reduction import weighted_mean

REFERENCE = 60.0  # squared levels of 255: an ordinary JPEG of quality 20
LARGEST_WEIGHT = 5.0


def mse(original, restored, weights=None):
    """Mean squared error over all pixels and channels (region-aware paper, Eq. 2); a scalar.

    Args:
        original: ``(B, H, W, C)``; images in [-1, 1], or features.
        restored: the same shape.
        weights: ``(B,)``, by which the error of each image is multiplied.
    """
    return weighted_mean(ops.square(ops.cast(restored, "float32") - ops.cast(original, "float32")), weights)


def l1(original, restored):
    """Mean absolute error over all pixels and channels; a scalar. Arguments as :func:`mse`."""
    return weighted_mean(ops.abs(ops.cast(restored, "float32") - ops.cast(original, "float32")))


def relative_weights(original, jpeg):
    """Weights ``(B,)`` that make the errors of lightly and of heavily compressed images count alike.

    60 over the JPEG's own MSE, in squared levels of 255, and at most 5: with the plain mean a network for all qualities
    learns from the worst JPEGs only. Images in [-1, 1].
    """
    error = ops.mean(ops.square(pixels.to_255(jpeg) - pixels.to_255(original)), axis=(1, 2, 3))
    return ops.minimum(REFERENCE / ops.maximum(error, 1e-3), LARGEST_WEIGHT)
