"""Blocking: what is left of the 8x8 grid of the JPEG."""

from keras import ops

from tfar import pixels
from tfar.quantization import BLOCK


def blocking_effect(restored):
    """Excess of the differences across block boundaries over those within blocks (Yim and Bovik, IEEE TIP 20(1), 2011).

    Their blocking effect factor without its factor eta: D_B - D_BC, the mean squared differences of neighbouring
    pixels of the luma across boundaries and elsewhere, or 0 where the former are not larger. The means are taken over
    the whole batch, so that a single edge that lies on the grid does not count as blocking.

    Args:
        restored: ``(B, H, W, 3 or 1)`` in [-1, 1], cut on the grid of the JPEG, H and W of at least 16 pixels.

    Returns:
        A scalar, float32, in squared units of the image.
    """
    restored = ops.cast(restored, "float32")
    luma = pixels.to_luma(restored) if restored.shape[-1] == 3 else restored
    horizontal = _squared_differences(luma)
    vertical = _squared_differences(ops.transpose(luma, (0, 2, 1, 3)))
    boundary, within = (
        ops.mean(ops.concatenate([ops.reshape(h, (-1,)), ops.reshape(v, (-1,))])) for h, v in zip(horizontal, vertical)
    )
    return ops.relu(boundary - within)


def _squared_differences(luma):
    """Squared differences of horizontal neighbours: across the boundaries of blocks, and within blocks."""
    columns = luma.shape[2]
    differences = ops.square(luma[:, :, 1:] - luma[:, :, :-1])
    boundaries = list(range(BLOCK - 1, columns - 1, BLOCK))
    others = [i for i in range(columns - 1) if i not in boundaries]
    return ops.take(differences, boundaries, axis=2), ops.take(differences, others, axis=2)
