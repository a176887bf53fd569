"""Consistency with the file: no restoration may contradict the DCT coefficients that its JPEG holds.

A JPEG tells every coefficient to half a step of its quantization table. The restored luma, and where it is not
subsampled the chroma, is projected into these intervals (Zakhor, "Iterative procedures for reduction of blocking
effects in transform image coding", IEEE TCSVT 2(1), 1992, the quantization constraint). Blocks that hold black or white
were clipped when they were decoded, so their coefficients are no multiples of a step: they get half a step either way.
"""

import dataclasses
import io

import numpy as np
from PIL import JpegImagePlugin

from tfar import pixels
from tfar.images.read import END, open_image
from tfar.images.turns import as_stored, upright
from tfar.quantization import BLOCK, as_blocks, dct, dct_basis, holds_luma

RGB_FROM_YCBCR = np.linalg.inv(pixels.YCBCR_FROM_RGB)
STRIP = 64 * BLOCK  # rows at a time, so that memory does not grow with the picture


@dataclasses.dataclass(frozen=True)
class CodedPlanes:
    """The planes that a JPEG file holds in full resolution.

    Attributes:
        planes: uint8 ``(H, W, 1)``, luma, or ``(H, W, 3)``, YCbCr; as the file stores them, which is not upright where
            its EXIF orientation says so.
        tables: their quantization tables, float32 ``(1 or 3, 8, 8)``.
        orientation: EXIF's 1 (upright) to 8.
    """

    planes: np.ndarray
    tables: np.ndarray
    orientation: int = 1


def coded_planes(data: bytes, orientation: int = 1) -> CodedPlanes | None:
    """Decode the luma of a JPEG file, and its chroma where that is not subsampled.

    Returns:
        None when the file is not one of luma and chroma with full luma (no JPEG, CMYK, RGB).
    """
    with open_image(io.BytesIO(data + END)) as image:  # an end for a file that was cut short
        if not isinstance(image, JpegImagePlugin.JpegImageFile) or not holds_luma(image):
            return None
        sampling = [layer[1:3] for layer in image.layer]
        if sampling[0] != tuple(map(max, zip(*sampling))):
            return None
        full = sampling.count(sampling[0])
        count = full if full == len(sampling) else 1
        tables = np.float32([image.quantization[layer[3]] for layer in image.layer[:count]])
        if image.mode == "RGB":
            image.draft("YCbCr", None)
        planes = np.asarray(image)
    planes = planes.reshape(*planes.shape[:2], -1)[..., :count]
    return CodedPlanes(np.ascontiguousarray(planes), tables.reshape(count, BLOCK, BLOCK), orientation)


def project(restored: np.ndarray, coded: CodedPlanes) -> np.ndarray:
    """Move the planes of a restoration into the quantization intervals of its JPEG; subsampled chroma stays.

    What is beyond the last whole block stays as it is.

    Args:
        restored: the upright picture, uint8 or uint16, ``(H, W, 3)`` RGB or ``(H, W)`` gray.
        coded: the planes of its JPEG.

    Returns:
        A new array of the same shape and type. Rounding may leave a coefficient outside by a part of a level.

    Raises:
        ValueError: when the sizes differ.
    """
    result = as_stored(restored, coded.orientation).copy()
    if result.shape[:2] != coded.planes.shape[:2]:
        raise ValueError(f"the restored picture and its JPEG differ in size: {result.shape} and {coded.planes.shape}")
    white = np.iinfo(result.dtype).max
    height, width = (side // BLOCK * BLOCK for side in result.shape[:2])
    for top in range(0, height, STRIP):
        part = np.s_[top : min(top + STRIP, height), :width]
        colors = result[part].astype(np.float32) * np.float32(255 / white)
        colors -= _excess(colors, coded.planes[part], coded.tables)
        result[part] = np.rint(np.clip(colors * np.float32(white / 255), 0, white))
    return upright(result, coded.orientation)


def _excess(colors: np.ndarray, planes: np.ndarray, tables: np.ndarray) -> np.ndarray:
    """What of colors ``(H, W[, 3])``, on the 0-255 scale, is outside the intervals; H and W are multiples of 8."""
    count = len(tables)
    matrix = pixels.YCBCR_FROM_RGB[:count] if colors.ndim == 3 else np.ones((1, 1), np.float32)
    found = colors.reshape(*colors.shape[:2], matrix.shape[1]) @ matrix.T
    found[..., 0] -= 128  # chroma is around 0 already
    outside = np.empty_like(found)
    for i, table in enumerate(tables):
        half = np.where(table > 0, table / 2, np.float32(np.inf))  # a damaged file may hold zeros, which say nothing
        given = as_blocks(planes[..., i])
        clipped = ((given == 0) | (given == 255)).any(axis=(-2, -1), keepdims=True)
        decoded = dct(np.float32(given) - 128)
        known = np.where(clipped, decoded, np.rint(decoded / np.maximum(table, 1)) * table)
        coefficients = dct(as_blocks(found[..., i]))
        excess = coefficients - np.clip(coefficients, known - half, known + half)
        outside[..., i] = _joined(dct_basis().T @ excess @ dct_basis())
    if colors.ndim == 2:
        return outside[..., 0]
    return outside @ RGB_FROM_YCBCR[:, :count].T


def _joined(blocks: np.ndarray) -> np.ndarray:
    rows, columns = blocks.shape[:2]
    return blocks.swapaxes(1, 2).reshape(rows * BLOCK, columns * BLOCK)
