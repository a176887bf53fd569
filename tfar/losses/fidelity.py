"""Pixel fidelity."""

from keras import ops


def mse(original, restored):
    """Mean squared error over all pixels and channels (region-aware paper, Eq. 2); a scalar, images in [-1, 1]."""
    return ops.mean(ops.square(ops.cast(restored, "float32") - ops.cast(original, "float32")))
