"""tfar: takes the damage of JPEG compression out of photographs.

Example:
    restored = tfar.restore("photo.jpg")  # uint8 array (H, W, 3) or (H, W)
    restored = tfar.restore(array, preset="region-aware-q10", layer="base")  # an array in, the same shape out
    restorer = tfar.Restorer("general")  # keeps its network: restorer(array), from as many threads as you like
"""

from typing import Any

import numpy as np

from tfar import presets
from tfar.presets import load

__version__ = "0.1.0"
__all__ = ["Restorer", "__version__", "load", "presets", "restore"]


def __getattr__(name: str):
    """Import what needs Keras when it is first used, so that ``tfar --help`` answers at once."""
    if name != "Restorer":
        raise AttributeError(f"module 'tfar' has no attribute {name!r}")
    from tfar.restoration.restorer import Restorer

    return Restorer


def restore(image: Any, *, preset=presets.DEFAULT, **dials: Any) -> np.ndarray:
    """Restore an image that JPEG has damaged.

    Args:
        image: the path of an image file, its bytes, a file object, or a PIL image; or an array (or a tensor)
            ``(H, W, 3)`` RGB, ``(H, W)`` or ``(H, W, 1)`` gray, or with opacity ``(H, W, 4)`` or ``(H, W, 2)``, from
            1x1 pixel up: uint8, or float in [0, 1], of which 8 bits are restored. It is taken for a JPEG whose grid
            begins in the first corner of the picture as it is stored; for a crop call :class:`Restorer` with its
            ``offset``.
        preset: name of a preset, folder of a run, or ``.keras`` file.
        dials: as of :class:`Restorer`: ``layer``, ``seed``, ``texture``, ``strength``, ``ensemble``, ``engine``,
            ``exact``.

    Returns:
        The restored image: uint8, of a float array float32 in [0, 1]. Arrays keep their shape; pictures of files and of
        PIL are upright, ``(H, W, 3)`` or ``(H, W)``, with one channel more where they have opacity, which is kept.

    Raises:
        ImageError: when the file is no readable image, or the array has another type, range or shape.
        CheckpointError: when there is no such preset.
        TypeError: for a dial that does not exist.
        ValueError: for one that cannot have that value.
    """
    from tfar.images.arrays import as_picture, with_opacity
    from tfar.restoration.inspection import own_offset
    from tfar.restoration.restorer import Restorer

    picture, is_float = as_picture(image)
    offset = own_offset(picture.orientation, *picture.pixels.shape[:2])
    restored = Restorer(preset, **dials)(picture.pixels, offset=offset, depth=16 if is_float else 8)
    return with_opacity(np.float32(restored / 65535) if is_float else restored, picture.alpha)
