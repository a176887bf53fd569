"""Consistency with the JPEG: what its file says of the original."""

from keras import ops

from tfar import jpeg as codec


def jpeg_loss(jpeg, restored, table, offset):
    """JPEG loss (one-to-many paper, Eq. 6), of the patches that are cut on the grid of their JPEG; the others give 0.

    Args:
        jpeg: decoded JPEG patches ``(B, H, W, 3 or 1)`` in [-1, 1], H and W multiples of 8.
        restored: the same shape and range.
        table: quantisation tables of the luma, ``(B, 8, 8)``.
        offset: ``(B, 2)``, where in its 8x8 block the upper left pixel of a patch lies; (0, 0) is on the grid.

    Returns:
        The mean over all patches and coefficients, in squared levels of 0-255; a scalar, float32.
    """
    aligned = ops.cast(ops.all(ops.equal(offset, 0), axis=-1), "float32")
    excess = codec.interval_excess(jpeg, restored, table)
    return ops.mean(aligned * ops.mean(excess, axis=(1, 2, 3, 4)))
