"""Patches of JPEGs on which the ranges of an 8-bit network are measured."""

import numpy as np

from tfar.data.sources import load_split
from tfar.jpeg import compress
from tfar.pixels import as_rgb

SIDE = 64  # pixels; larger ones take long and give the same ranges
PATCHES = 4  # of each photograph
EVERY_QUALITY = (5, 95)


def calibration_patches(qualities: tuple[int, int] | None, seed: int = 0) -> np.ndarray:
    """JPEGs of the demo photographs, of qualities from the lowest to the highest, on their grid.

    Args:
        qualities: lowest and highest JPEG quality; where they are not known, those of :data:`EVERY_QUALITY`.
        seed: of the places at which the patches are cut.

    Returns:
        uint8 RGB ``(N, SIDE, SIDE, 3)``.
    """
    low, high = qualities or EVERY_QUALITY
    rng = np.random.default_rng(seed)
    photographs, _ = load_split("demo", 0, SIDE)
    factors = np.rint(np.geomspace(low, high, PATCHES * len(photographs))).astype(int)
    patches = []
    for index, factor in enumerate(rng.permutation(factors)):
        image = photographs[index % len(photographs)].load()
        top, left = (rng.integers(side - SIDE + 1) for side in image.shape[:2])
        patches.append(as_rgb(compress(np.ascontiguousarray(image[top : top + SIDE, left : left + SIDE]), int(factor))))
    return np.stack(patches)
