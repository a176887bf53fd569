"""What JPEG does to an image: libjpeg through Pillow, with the tables of several encoders at a quality factor (QF).

A JPEG of quality QF holds each 8x8 block's DCT coefficients divided by a table and rounded; so the original's
coefficients are known to half a step of the table: the quantisation interval. A few of them lie outside of it all the
same, because pixels are rounded and clipped.
"""

import io
import math
from pathlib import Path

import numpy as np
from keras import ops
from PIL import Image
from PIL.JpegPresets import presets as PHOTOSHOP_PRESETS

from tfar import pixels
from tfar.recipes import SUBSAMPLINGS, TABLES

BLOCK = 8
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


def encode(image: np.ndarray, quality: int, subsampling: str = "4:2:0", tables: str = "standard") -> bytes:
    """Encode an image as a baseline JPEG file.

    Args:
        image: uint8 ``(H, W, 3)`` RGB, or ``(H, W)`` gray, which gives a one-component file.
        quality: libjpeg's quality factor, 1 (worst) to 100.
        subsampling: chroma subsampling of a colour file, one of ``SUBSAMPLINGS``.
        tables: whose quantisation tables, as for :func:`quantization_tables`.

    Raises:
        ValueError: for another dtype, shape, quality, subsampling or tables.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)) or not image.size:
        raise ValueError(f"expected a uint8 image (H, W) or (H, W, 3), got {image.dtype} {image.shape}")
    if not 1 <= quality <= 100:
        raise ValueError(f"JPEG quality must be 1 to 100, got {quality}")
    if subsampling not in SUBSAMPLINGS:
        raise ValueError(f"subsampling must be one of {', '.join(SUBSAMPLINGS)}, got {subsampling!r}")
    buffer = io.BytesIO()
    subsampled = {"subsampling": subsampling} if image.ndim == 3 else {}
    if tables == "standard":
        Image.fromarray(image).save(buffer, "JPEG", quality=int(quality), **subsampled)
    else:  # without a quality, by which Pillow would scale them again
        qtables = [table.ravel().tolist() for table in quantization_tables(quality, tables)]
        Image.fromarray(image).save(buffer, "JPEG", qtables=qtables, **subsampled)
    return buffer.getvalue()


def decode(data: bytes) -> np.ndarray:
    """Decode a JPEG file to uint8 ``(H, W, 3)`` RGB, or ``(H, W)`` for a one-component file."""
    image = Image.open(io.BytesIO(data))
    return np.asarray(image if image.mode == "L" else image.convert("RGB"))


def compress(image: np.ndarray, quality: int, subsampling: str = "4:2:0", tables: str = "standard") -> np.ndarray:
    """Encode and decode: the image as a viewer of the JPEG sees it; same shape and dtype as ``image``."""
    return decode(encode(image, quality, subsampling, tables))


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
        known = [np.uint8(preset["quantization"]).reshape(2, BLOCK, BLOCK) for preset in PHOTOSHOP_PRESETS.values()]
        luma, chroma = min(known, key=lambda pair: abs(math.log(pair[0].mean() / wanted)))
        return luma, chroma
    raise ValueError(f"tables must be one of {', '.join(TABLES)}, got {tables!r}")


def table_scale(quality: float) -> float:
    """By how much libjpeg multiplies its tables at a quality factor in [1, 100): 1 at 50, 5 at 10, 0.1 at 95."""
    return 50 / quality if quality < 50 else 2 - quality / 50


def quality_of_scale(scale: float) -> float:
    """The inverse of :func:`table_scale`."""
    return 50 / scale if scale > 1 else 50 * (2 - scale)


def _scaled(table: np.ndarray, quality: int) -> np.ndarray:
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.uint8(np.clip((table * percent + 50) // 100, 1, 255))


def file_luma_table(path: str | Path) -> np.ndarray | None:
    """The quantisation table of a JPEG file's luma, ``(8, 8)``; None when the file is no JPEG.

    Raises:
        OSError: when the file cannot be opened as an image.
    """
    with Image.open(path) as image:
        tables = getattr(image, "quantization", None)  # of a JPEG, or of an MPO, which holds several
        return np.int32(tables[min(tables)]).reshape(BLOCK, BLOCK) if tables else None


def block_dct(luma):
    """DCT of the 8x8 blocks, scaled as in JPEG files (ITU-T T.81, A.3.3), which makes it orthonormal.

    Args:
        luma: ``(B, H, W, 1)`` on the 0-255 scale, blocks aligned with the upper left corner, H and W multiples of 8.

    Returns:
        ``(B, H/8, W/8, 8, 8)`` float32, vertical frequencies first, of the luma less 128.
    """
    height, width = luma.shape[1:3]
    blocks = ops.reshape(ops.cast(luma, "float32") - 128.0, (-1, height // BLOCK, BLOCK, width // BLOCK, BLOCK))
    blocks = ops.transpose(blocks, (0, 1, 3, 2, 4))
    basis = ops.convert_to_tensor(_dct_basis())
    return ops.matmul(ops.matmul(basis, blocks), ops.transpose(basis))


def interval_excess(jpeg, restored, table):
    """By how much the DCT coefficients of a restored image lie outside the quantisation intervals of its JPEG.

    One-to-many paper, Eq. (5) and (6): ``max(0, |DCT(restored) - DCT(jpeg)|^2 - (Q / 2)^2)`` for each coefficient of
    the luma. The coefficients of the JPEG are multiples of Q; they are rounded to these, because decoded pixels are
    whole numbers.

    Args:
        jpeg: the decoded JPEG ``(B, H, W, 3 or 1)`` in [-1, 1], cut on its grid, H and W multiples of 8.
        restored: the same shape and range.
        table: Q, the quantisation tables ``(B, 8, 8)``.

    Returns:
        ``(B, H/8, W/8, 8, 8)`` float32, in squared levels of 0-255; 0 inside the interval.
    """
    table = ops.cast(table, "float32")[:, None, None]
    quantized = ops.round(block_dct(_luma_255(jpeg)) / table) * table
    return ops.relu(ops.square(block_dct(_luma_255(restored)) - quantized) - ops.square(table / 2.0))


def _luma_255(image):
    image = ops.cast(image, "float32")
    return pixels.to_255(pixels.to_luma(image) if image.shape[-1] == 3 else image)


def _dct_basis() -> np.ndarray:
    """Orthonormal DCT-II matrix, float32 ``(8, 8)``: one row per frequency."""
    frequency, position = np.mgrid[:BLOCK, :BLOCK]
    basis = np.cos(math.pi * (2 * position + 1) * frequency / (2 * BLOCK)) * math.sqrt(2 / BLOCK)
    basis[0] /= math.sqrt(2)
    return np.float32(basis)
