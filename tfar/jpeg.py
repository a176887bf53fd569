"""What JPEG does to an image: libjpeg through Pillow, with the tables of several encoders at a quality factor (QF).

A JPEG of quality QF holds each 8x8 block's DCT coefficients divided by a table and rounded; so the original's
coefficients are known to half a step of the table: the quantisation interval. A few of them lie outside of it all the
same, because pixels are rounded and clipped.
"""

import io

import numpy as np
from PIL import Image, JpegImagePlugin

from tfar import pixels
from tfar.images.read import Source, as_file, open_image
from tfar.quantization import BLOCK, dct_basis, holds_luma, quantization_tables
from tfar.recipes import SUBSAMPLINGS


def encode(image: np.ndarray, quality: int, subsampling: str = "4:2:0", tables: str = "standard") -> bytes:
    """Encode an image as a baseline JPEG file.

    Args:
        image: uint8 ``(H, W, 3)`` RGB, or ``(H, W)`` gray, which gives a one-component file.
        quality: libjpeg's quality factor, 1 (worst) to 100.
        subsampling: chroma subsampling of a colour file, one of ``SUBSAMPLINGS``.
        tables: whose quantisation tables, as for :func:`tfar.quantization.quantization_tables`.

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
    image = open_image(io.BytesIO(data))
    return np.asarray(image if image.mode == "L" else image.convert("RGB"))


def compress(image: np.ndarray, quality: int, subsampling: str = "4:2:0", tables: str = "standard") -> np.ndarray:
    """Encode and decode: the image as a viewer of the JPEG sees it; same shape and dtype as ``image``."""
    return decode(encode(image, quality, subsampling, tables))


def file_luma_table(source: Source) -> np.ndarray | None:
    """The quantisation table of the luma of a JPEG file, its bytes, or a file object, ``(8, 8)``.

    None when the file is no JPEG, one of RGB or CMYK, or a damaged one with a step of 0.

    Raises:
        OSError: when the file cannot be opened as an image.
    """
    with as_file(source) as file, open_image(file) as image:
        if not isinstance(image, JpegImagePlugin.JpegImageFile) or not holds_luma(image):
            return None
        table = np.int32(image.quantization[image.layer[0][3]]).reshape(BLOCK, BLOCK)
        return table if table.all() else None


def block_dct(luma):
    """DCT of the 8x8 blocks, scaled as in JPEG files (ITU-T T.81, A.3.3), which makes it orthonormal.

    Args:
        luma: ``(B, H, W, 1)`` on the 0-255 scale, blocks aligned with the upper left corner, H and W multiples of 8.

    Returns:
        ``(B, H/8, W/8, 8, 8)`` float32, vertical frequencies first, of the luma less 128.
    """
    from keras import ops

    height, width = luma.shape[1:3]
    blocks = ops.reshape(ops.cast(luma, "float32") - 128.0, (-1, height // BLOCK, BLOCK, width // BLOCK, BLOCK))
    blocks = ops.transpose(blocks, (0, 1, 3, 2, 4))
    basis = ops.convert_to_tensor(dct_basis())
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
    from keras import ops

    table = ops.cast(table, "float32")[:, None, None]
    quantized = ops.round(block_dct(_luma_255(jpeg)) / table) * table
    return ops.relu(ops.square(block_dct(_luma_255(restored)) - quantized) - ops.square(table / 2.0))


def _luma_255(image):
    from keras import ops

    image = ops.cast(image, "float32")
    return pixels.to_255(pixels.to_luma(image) if image.shape[-1] == 3 else image)
