"""tfar: takes the damage of JPEG compression out of photographs.

Example:
    restored = tfar.restore("photo.jpg")  # uint8 array (H, W, 3) or (H, W)
    restored = tfar.restore(array, preset="region-aware-q10", layer="base")  # uint8 array in, same shape out
"""

from pathlib import Path

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


def restore(
    image: np.ndarray | str | Path, *, preset: str | Path = presets.DEFAULT, layer: str | None = None, seed: int = 0
) -> np.ndarray:
    """Restore an image that JPEG has damaged.

    Args:
        image: uint8 array ``(H, W, 3)`` RGB or ``(H, W)`` gray, from 1x1 pixel up, or the path of an image file.
        preset: name of a preset, folder of a run, or ``.keras`` file.
        layer: ``fused`` (default), ``base`` (most faithful) or ``texture`` (most texture) of a region-aware preset.
        seed: of the noise of a one-to-many preset; another seed gives another restoration.

    Returns:
        The restored image, uint8, of the same shape.

    Raises:
        ImageError: when the file is no readable image, or the array has another dtype or shape.
        CheckpointError: when there is no such preset.
    """
    from tfar.images.read import read_image
    from tfar.restoration.restorer import Restorer

    pixels = image if isinstance(image, np.ndarray) else read_image(image)
    return Restorer(load(preset), layer, seed=seed)(pixels)
