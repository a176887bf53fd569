"""Quantisation tables of JPEG encoders and files, and how strong a table is; needs NumPy and Pillow only."""

import functools
import math
from typing import Literal, get_args

import numpy as np
from PIL.JpegImagePlugin import JpegImageFile
from PIL.JpegPresets import presets as PHOTOSHOP_PRESETS

BLOCK = 8
Tables = Literal["standard", "mozjpeg", "photoshop"]  # whose tables
TABLES = get_args(Tables)
STANDARD_LUMA_TABLE = np.int32(
    [  # ITU-T T.81, Table K.1; vertical frequencies down, horizontal ones to the right
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
STANDARD_CHROMA_TABLE = np.int32(
    [  # Table K.2
        [17, 18, 24, 47, 99, 99, 99, 99],
        [18, 21, 26, 66, 99, 99, 99, 99],
        [24, 26, 56, 99, 99, 99, 99, 99],
        [47, 66, 99, 99, 99, 99, 99, 99],
        *[[99] * 8] * 4,
    ]
)
MOZJPEG_TABLE = np.int32(
    [  # N. Robidoux's, for luma and chroma; mozjpeg's default
        [16, 16, 16, 18, 25, 37, 56, 85],
        [16, 17, 20, 27, 34, 40, 53, 75],
        [16, 20, 24, 31, 43, 62, 91, 135],
        [18, 27, 31, 40, 53, 74, 106, 156],
        [25, 34, 43, 53, 69, 94, 131, 189],
        [37, 40, 62, 74, 94, 124, 169, 238],
        [56, 53, 91, 106, 131, 169, 226, 311],
        [85, 75, 135, 156, 189, 238, 311, 418],
    ]
)


def luma_table(quality: int, tables: str = "standard") -> np.ndarray:
    """The quantisation table of luma at a quality factor of 1 to 100: uint8 ``(8, 8)``."""
    return quantization_tables(quality, tables)[0]


def quantization_tables(quality: int, tables: str = "standard") -> tuple[np.ndarray, np.ndarray]:
    """The quantisation tables of luma and chroma at a quality factor.

    Args:
        quality: 1 to 100.
        tables: ``standard`` (those of ITU-T T.81, Annex K, which libjpeg and most others scale), ``mozjpeg`` (its
            default table, scaled in the same way), or ``photoshop`` (of the tables that Photoshop uses, as Pillow has
            them, the ones whose luma is nearest to libjpeg's on average).

    Returns:
        Two uint8 arrays ``(8, 8)``.

    Raises:
        ValueError: for unknown tables.
    """
    if tables == "standard":
        return _scaled(STANDARD_LUMA_TABLE, quality), _scaled(STANDARD_CHROMA_TABLE, quality)
    if tables == "mozjpeg":
        return (_scaled(MOZJPEG_TABLE, quality),) * 2
    if tables == "photoshop":
        wanted = _scaled(STANDARD_LUMA_TABLE, quality).mean()
        luma, chroma = min(photoshop_tables(), key=lambda pair: abs(math.log(pair[0].mean() / wanted)))
        return luma, chroma
    raise ValueError(f"tables must be one of {', '.join(TABLES)}, got {tables!r}")


def photoshop_tables() -> list[np.ndarray]:
    """The tables that Photoshop uses, as Pillow has them: uint8 arrays ``(2, 8, 8)`` of luma and chroma."""
    return [np.uint8(preset["quantization"]).reshape(2, BLOCK, BLOCK) for preset in PHOTOSHOP_PRESETS.values()]


def holds_luma(image: JpegImageFile) -> bool:
    """Whether the first component of a JPEG file is luma, not red or cyan, as libjpeg decides: by the number of
    components, the markers of JFIF and Adobe, or the components' names.
    """
    if len(image.layer) != 3:
        return len(image.layer) == 1
    if "jfif" in image.info:
        return True
    if "adobe_transform" in image.info:
        return image.info["adobe_transform"] != 0
    return bytes(layer[0] for layer in image.layer) != b"RGB"


@functools.cache
def known_luma_tables(tables: str) -> tuple[np.ndarray, ...]:
    """All luma tables of an encoder, without repetitions, from the strongest on: uint8 arrays ``(8, 8)``."""
    found = [luma_table(quality, tables) for quality in range(1, 101)]
    if tables == "photoshop":
        found = sorted((pair[0] for pair in photoshop_tables()), key=lambda table: -table.mean())
    return tuple({table.tobytes(): table for table in found}.values())


def nearest_quality(table: np.ndarray) -> int:
    """The quality factor, 1 to 100, whose standard luma table is nearest to a luma table ``(8, 8)``, or its transpose.

    Nearest is the one with the smallest mean difference of the steps' logarithms. Steps of 0 are unknown and left out.
    """
    table = np.asarray(table)
    known = table > 0 if table.any() else np.ones_like(table, bool)
    differences = np.abs(np.log(np.maximum(table, 1)) - _standard_logarithms())[..., known].mean(axis=-1)
    return int(differences.min(axis=1).argmin()) + 1


def table_scale(quality: float) -> float:
    """By how much libjpeg multiplies its tables at a quality factor in [1, 100): 1 at 50, 5 at 10, 0.1 at 95."""
    return 50 / quality if quality < 50 else 2 - quality / 50


def quality_of_scale(scale: float) -> float:
    """The inverse of :func:`table_scale`."""
    return 50 / scale if scale > 1 else 50 * (2 - scale)


@functools.cache
def dct_basis() -> np.ndarray:
    """Orthonormal DCT-II matrix, float32 ``(8, 8)``: one row per frequency."""
    frequency, position = np.mgrid[:BLOCK, :BLOCK]
    basis = np.cos(math.pi * (2 * position + 1) * frequency / (2 * BLOCK)) * math.sqrt(2 / BLOCK)
    basis[0] /= math.sqrt(2)
    return np.float32(basis)


def as_blocks(plane: np.ndarray) -> np.ndarray:
    """A plane ``(H, W)``, both multiples of 8, as blocks ``(H/8, W/8, 8, 8)``."""
    height, width = plane.shape
    return plane.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK).swapaxes(1, 2)


def dct(blocks: np.ndarray) -> np.ndarray:
    """DCT of blocks ``(..., 8, 8)``, scaled as in JPEG files; vertical frequencies first."""
    return dct_basis() @ blocks @ dct_basis().T


@functools.cache
def _standard_logarithms() -> np.ndarray:
    """Of the standard luma tables and their transposes: ``(100, 2, 8, 8)``."""
    tables = [luma_table(quality) for quality in range(1, 101)]
    return np.log(np.asarray([(table, table.T) for table in tables], np.float64))


def _scaled(table: np.ndarray, quality: int) -> np.ndarray:
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.uint8(np.clip((table * percent + 50) // 100, 1, 255))
