"""Cutting a large image into overlapping tiles of one shape, each with its part of the noise.

A tile starts at a multiple of :data:`ALIGN`, so that its JPEG grid and the cells of a network with several scales lie
as they do in the whole image. It begins and ends where the image does, or :data:`MARGIN` beyond what is kept of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tfar.machine import free_memory

ALIGN = 64  # pixels: a multiple of the JPEG's block and of the stride of every network
MARGIN = 64  # pixels around it on which what is kept may depend; see docs/restore.md for what lies beyond
SMALLEST = 2 * MARGIN + 3 * ALIGN  # side of the smallest tile; of a smaller one the step would be `ALIGN` at most sizes
LARGEST = 1536  # larger tiles have little less margin in proportion


@dataclass(frozen=True)
class Tile:
    """A part of an image, as slices of its rows and of its columns.

    Attributes:
        seen: what the network sees.
        kept: what is kept of its result; the tiles of an image keep every pixel once.
    """

    seen: tuple[slice, slice]
    kept: tuple[slice, slice]

    @property
    def inner(self) -> tuple[slice, slice]:
        """What is kept, as slices of what is seen."""
        rows, columns = (slice(k.start - s.start, k.stop - s.start) for s, k in zip(self.seen, self.kept))
        return rows, columns


def tiles(height: int, width: int, side: int) -> Iterator[Tile]:
    """The tiles of an image, row by row; all of them have one shape, and no side is longer than ``side`` pixels.

    An image whose sides are no longer is a single tile. ``side`` is at least :data:`SMALLEST`.
    """
    for seen_rows, kept_rows in _spans(height, side):
        for seen_columns, kept_columns in _spans(width, side):
            yield Tile((seen_rows, seen_columns), (kept_rows, kept_columns))


def _spans(size: int, longest: int) -> list[tuple[slice, slice]]:
    """What the tiles along one side of an image see and keep."""
    if size <= longest:
        return [(slice(0, size), slice(0, size))]
    longest -= (longest - size) % ALIGN  # so that the last tile starts at a multiple, too
    fits = range(longest, SMALLEST - ALIGN, -ALIGN)
    length = min(length for length in fits if len(_starts(size, length)) == len(_starts(size, longest)))
    starts = _starts(size, length)
    limits = [0, *(start + MARGIN for start in starts[1:]), size]
    return [(slice(start, start + length), slice(*kept)) for start, kept in zip(starts, zip(limits, limits[1:]))]


def _starts(size: int, length: int) -> list[int]:
    step = (length - 2 * MARGIN) // ALIGN * ALIGN
    return [*range(0, size - length, step), size - length]


def cut(image: np.ndarray, tile: Tile, before: tuple[int, int]) -> np.ndarray:
    """What a tile sees of an image ``(H, W, C)`` that is extended at its top and left by reflection.

    Args:
        image: the image as it is.
        tile: of the extended image.
        before: by how many rows and columns it is extended; the border pixels are not repeated.
    """
    missing = [max(extra - seen.start, 0) for seen, extra in zip(tile.seen, before)]
    rows, columns = (slice(max(s.start - extra, 0), s.stop - extra) for s, extra in zip(tile.seen, before))
    return np.pad(image[rows, columns], ((missing[0], 0), (missing[1], 0), (0, 0)), mode="reflect")


class Noise:
    """Standard normal noise of half the resolution for the tiles of an image, the same ones whatever the tiles are.

    It is that of :func:`tfar.data.patches.draw_noise` for the whole image, of which only the rows are kept that are
    still needed.

    Args:
        seed: of the noise.
        width: of the image, in pixels.
    """

    def __init__(self, seed: int, width: int):
        self._rng = np.random.default_rng(seed)
        self._rows = np.empty((0, -(-width // 2)), np.float32)
        self._first = 0

    def cut(self, tile: Tile) -> np.ndarray:
        """The part of a tile, ``(ceil(h/2), ceil(w/2), 1)``; tiles are asked for from the top to the bottom."""
        rows, columns = (slice(seen.start // 2, -(-seen.stop // 2)) for seen in tile.seen)
        self._rows, self._first = self._rows[rows.start - self._first :], rows.start
        drawn = self._rng.standard_normal((rows.stop - rows.start - len(self._rows), self._rows.shape[1]), np.float32)
        self._rows = np.concatenate([self._rows, drawn])
        return self._rows[:, columns, None]


def turned(part: np.ndarray, way: int) -> np.ndarray:
    """A tile ``(h, w, ...)`` in one of 8 ways: turned by ``way % 4`` right angles, and mirrored from 4 on."""
    part = np.rot90(part, way % 4)
    return part[:, ::-1] if way >= 4 else part


def turned_back(part: np.ndarray, way: int) -> np.ndarray:
    """The inverse of :func:`turned`."""
    return np.rot90(part[:, ::-1] if way >= 4 else part, -(way % 4))


def side_that_fits(pixel_bytes: int, most: int) -> int:
    """Side of the largest tile that takes at most half of the memory that is free, and at most ``most`` bytes.

    Args:
        pixel_bytes: what the network takes per pixel of a tile.
    """
    side = int((min(free_memory() // 2, most) / pixel_bytes) ** 0.5) // ALIGN * ALIGN
    return min(max(side, SMALLEST), LARGEST)
