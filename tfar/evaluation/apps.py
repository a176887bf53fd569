"""How apps that people have feed a network, so that what they will see is scored."""

from collections.abc import Callable

import numpy as np

OVERLAP = 16  # pixels that DeJPEG's tiles share on each side


def as_dejpeg(
    run: Callable[[np.ndarray, float], np.ndarray],
    image: np.ndarray,
    side: int,
    *,
    strength: float = 1.0,
    overlap: int = OVERLAP,
) -> np.ndarray:
    """Restore an image as DeJPEG for Android does (``ImageProcessor.kt`` of its LiteRT edition).

    An image that is larger than the network's is cut into parts of nearly equal size, wherever these begin; each is
    given with ``overlap`` pixels around it, extended at its right and bottom by repeating the border. What comes back
    is cut to whole levels.

    Args:
        run: the network: from an image, float32 ``(side, side, 3)`` in [0, 1], and the strength to an image.
        image: uint8 RGB ``(H, W, 3)``.
        side: of the network's image.
        strength: where the slider stands, from 0 to 1.
        overlap: pixels that a part shares with its neighbours.

    Returns:
        The restored image, uint8 of the same shape.

    Raises:
        ValueError: when a part with what is around it is larger than the network's image, which may be for a side below
            three overlaps.
    """
    height, width = image.shape[:2]
    if height <= side and width <= side:
        return _part(run, image, side, strength)
    restored = np.empty_like(image)
    most = max(side - 2 * overlap, overlap)
    for top, bottom in _parts(height, most):
        for left, right in _parts(width, most):
            seen = np.s_[max(top - overlap, 0) : bottom + overlap, max(left - overlap, 0) : right + overlap]
            part = _part(run, image[seen], side, strength)
            down, across = min(top, overlap), min(left, overlap)
            restored[top:bottom, left:right] = part[down : down + bottom - top, across : across + right - left]
    return restored


def _parts(size: int, most: int) -> list[tuple[int, int]]:
    """Where the parts of a side begin and end; the last ones are longer by one where it cannot be divided."""
    count = -(-size // most)
    lengths = [size // count + (index >= count - size % count) for index in range(count)]
    ends = np.cumsum(lengths).tolist()
    return list(zip([0, *ends], ends))


def _part(run, image: np.ndarray, side: int, strength: float) -> np.ndarray:
    height, width = image.shape[:2]
    if max(height, width) > side:
        raise ValueError(f"the app cuts parts of {width}x{height} pixels, and the network takes {side}x{side}")
    given = np.pad(image, ((0, side - height), (0, side - width), (0, 0)), mode="edge")
    restored = run(np.float32(given) / np.float32(255), strength)[:height, :width]
    return np.uint8(np.clip(restored * np.float32(255), 0, 255))  # without rounding
