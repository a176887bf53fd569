"""How a picture lies in its file, by EXIF's orientation: 1 is upright, 2 to 8 are turned, mirrored, or both."""

import numpy as np

TURNS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (1, False), 7: (1, True), 8: (3, False)}


def as_stored(picture: np.ndarray, orientation: int) -> np.ndarray:
    """An upright picture ``(H, W[, C])`` as a file of an orientation stores it; the inverse of :func:`upright`."""
    turns, mirrored = TURNS.get(orientation, (0, False))
    turned = np.rot90(picture, turns)
    return np.ascontiguousarray(turned[:, ::-1] if mirrored else turned)


def upright(picture: np.ndarray, orientation: int) -> np.ndarray:
    """A picture ``(H, W[, C])`` as a file of an orientation stores it, turned and mirrored as that says."""
    turns, mirrored = TURNS.get(orientation, (0, False))
    return np.ascontiguousarray(np.rot90(picture[:, ::-1] if mirrored else picture, -turns))
