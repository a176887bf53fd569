"""Images as people hold them: arrays, tensors, PIL images, files."""

import os
from typing import Any

import numpy as np
from PIL import Image

from tfar.errors import ImageError
from tfar.images.read import picture_of, read_pictures

FILES = (str, os.PathLike, bytes, bytearray, memoryview)


def planes_of(image: Any) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """Colors uint8 ``(H, W, 3)``, ``(H, W, 1)`` or ``(H, W)``, opacity ``(H, W)`` or None, and whether it was float.

    Args:
        image: as :func:`tfar.restore` takes it.

    Raises:
        ImageError: when it is no such image.
    """
    if isinstance(image, FILES) or hasattr(image, "read"):
        picture = read_pictures(image)[0]
        return picture.pixels, picture.alpha, False
    if isinstance(image, Image.Image):
        picture = picture_of(image)
        return picture.pixels, picture.alpha, False
    array = np.asarray(image)
    is_float = np.issubdtype(array.dtype, np.floating)
    if is_float:
        if array.size and not (0 <= array.min() and array.max() <= 1):  # NaN is refused, too
            raise ImageError(f"float images are in [0, 1], got {array.min():g} to {array.max():g}")
        colors = np.rint(array * 255).astype(np.uint8)
    elif array.dtype == np.uint8:
        colors = array
    else:
        raise ImageError(f"expected a uint8 image in [0, 255], or a float one in [0, 1], got {array.dtype}")
    if array.ndim != 3 or array.shape[-1] not in (2, 4):
        return colors, None, is_float
    colors = colors[..., 0] if array.shape[-1] == 2 else colors[..., :3]
    return np.ascontiguousarray(colors), array[..., -1], is_float


def with_opacity(colors: np.ndarray, opacity: np.ndarray | None) -> np.ndarray:
    """Colors with the opacity as their last channel, or as they are where there is none."""
    return colors if opacity is None else np.dstack([colors, opacity.astype(colors.dtype, copy=False)])
