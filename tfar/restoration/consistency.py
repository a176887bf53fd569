"""Whether a restoration agrees with what the JPEG says of the original."""

from pathlib import Path

import numpy as np

from tfar import jpeg as codec
from tfar import pixels
from tfar.images.read import as_file, open_image, orientation, read_image
from tfar.quantization import BLOCK, as_blocks, dct


def share_outside_interval(jpeg: np.ndarray, restored: np.ndarray, table: np.ndarray) -> float:
    """Share of the luma's DCT coefficients that a restoration has moved out of their quantisation interval.

    An original has few of them, through rounding and clipping; see :func:`tfar.jpeg.interval_excess`.

    Args:
        jpeg: the decoded JPEG, uint8 ``(H, W)`` or ``(H, W, 3)`` RGB; what is beyond the last whole 8x8 block is left
            out.
        restored: the same shape and dtype.
        table: the quantisation table of its luma, ``(8, 8)``, as :func:`tfar.jpeg.file_luma_table` gives it.

    Returns:
        A number in [0, 1].

    Raises:
        ValueError: when the shapes differ or no whole block fits into the image.
    """
    if jpeg.shape != restored.shape:
        raise ValueError(f"the images differ in shape: {jpeg.shape} and {restored.shape}")
    height, width = (side // BLOCK * BLOCK for side in jpeg.shape[:2])
    if not height or not width:
        raise ValueError(f"an image of at least 8x8 pixels is needed, got {jpeg.shape}")
    coded, repaired = (_luma_dct(image[:height, :width]) for image in (jpeg, restored))
    known = np.rint(coded / table) * table
    return float(np.mean(np.abs(repaired - known) > table / 2))


def _luma_dct(image: np.ndarray) -> np.ndarray:
    luma = pixels.as_luma(image)[..., 0] if image.ndim == 3 else np.float32(image)
    return dct(as_blocks(luma - 128))


def file_share_outside_interval(source: Path, target: Path) -> float | None:
    """Share of the luma's DCT coefficients of a JPEG file that its restored file has moved out of their interval.

    None when the source is no JPEG with luma, smaller than a block, or turned by its EXIF orientation, which moves the
    blocks; see :func:`share_outside_interval`.
    """
    with as_file(source) as file, open_image(file) as opened:
        if orientation(opened) != 1:
            return None
    table, image = codec.file_luma_table(source), read_image(source)
    if table is None or min(image.shape[:2]) < BLOCK:
        return None
    return share_outside_interval(pixels.as_rgb(image), pixels.as_rgb(read_image(target)), table)  # WebP has no gray
