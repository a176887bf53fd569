"""Images as people hold them: arrays, tensors, PIL images, files."""

import os
from typing import Any

import numpy as np
from PIL import Image

from tfar.errors import ImageError
from tfar.images.read import Picture, picture_of, read_pictures

FILES = (str, os.PathLike, bytes, bytearray, memoryview)
ROUNDING = 1e-3  # by which floats may leave [0, 1], a quarter of a level


def as_picture(image: Any) -> tuple[Picture, bool]:
    """Anything that is an image as a picture, and whether it was an array of floats.

    Args:
        image: as :func:`tfar.restore` takes it.

    Returns:
        The picture, whose pixels may be ``(H, W, 1)`` where those of an array are; and whether they were float.

    Raises:
        ImageError: when it is no such image.
    """
    if isinstance(image, FILES) or hasattr(image, "read"):
        return read_pictures(image)[0], False
    if isinstance(image, Image.Image):
        return picture_of(image), False
    array = np.asarray(image)
    if array.ndim not in (2, 3):
        raise ImageError(f"expected an image (H, W) or (H, W, channels), got {array.shape}")
    is_float = np.issubdtype(array.dtype, np.floating)
    if is_float:
        if array.size and not (-ROUNDING <= array.min() and array.max() <= 1 + ROUNDING):  # NaN is refused, too
            raise ImageError(f"float images are in [0, 1], got {array.min():g} to {array.max():g}")
        colors = np.rint(np.clip(array, 0, 1) * 255).astype(np.uint8)
    elif array.dtype == np.uint8:
        colors = array
    else:
        raise ImageError(f"expected a uint8 image in [0, 255], or a float one in [0, 1], got {array.dtype}")
    if array.ndim != 3 or array.shape[-1] not in (2, 4):
        return Picture(colors), is_float
    colors = colors[..., 0] if array.shape[-1] == 2 else colors[..., :3]
    return Picture(np.ascontiguousarray(colors), array[..., -1]), is_float


def with_opacity(colors: np.ndarray, opacity: np.ndarray | None) -> np.ndarray:
    """Colors with the opacity as their last channel, or as they are where there is none."""
    return colors if opacity is None else np.dstack([colors, opacity.astype(colors.dtype, copy=False)])
