"""Random parts of photographs, of random sizes, for scripts that load or soak the restoration."""

from collections.abc import Iterator

import numpy as np

from tfar import backend
from tfar.errors import TfarError

SUBSAMPLINGS = ("4:2:0", "4:2:2", "4:4:4")


def photographs(source: str, sides: tuple[int, int], seed: int) -> Iterator[np.ndarray]:
    """Parts of photographs, without end: uint8 ``(H, W, 3)``, or ``(H, W)`` of gray ones.

    Args:
        source: a folder of images, or ``demo`` for those of scikit-image.
        sides: the least and the largest height and width, drawn by their logarithm; no more than the photograph has.
    """
    with backend.starting():
        from tfar.data.sources import load_split
    random = np.random.default_rng(seed)
    if sides[0] > sides[1]:
        raise TfarError(f"the least side is {sides[0]} pixels, more than the largest, {sides[1]}")
    images = [image.load() for images in load_split(source, 0.0, patch=sides[0]) for image in images]
    while True:
        image = images[random.integers(len(images))]
        height, width = (min(side, round(np.exp(random.uniform(*np.log(sides))))) for side in image.shape[:2])
        top, left = (random.integers(there - side + 1) for there, side in zip(image.shape, (height, width)))
        yield np.ascontiguousarray(image[top : top + height, left : left + width])


def jpegs(source: str, sides: tuple[int, int], seed: int) -> Iterator[tuple[np.ndarray, bytes]]:
    """The same, each with its JPEG file of a random quality and subsampling."""
    with backend.starting():
        from tfar.jpeg import encode
    random = np.random.default_rng([seed, 1])
    for image in photographs(source, sides, seed):
        subsampling = "4:2:0" if image.ndim == 2 else SUBSAMPLINGS[random.integers(3)]
        yield image, encode(image, int(random.integers(5, 96)), subsampling)
