"""Consistency with the file: no restoration may contradict the DCT coefficients that its JPEG holds.

A JPEG tells every coefficient to half a step of its quantization table. The restored luma is projected into these
intervals (Zakhor, "Iterative procedures for reduction of blocking effects in transform image coding", IEEE TCSVT 2(1),
1992, the quantization constraint).
"""

import dataclasses
import io
from collections.abc import Iterator

import cv2
import numpy as np
from PIL import JpegImagePlugin
from scipy import fft

from tfar.images.read import EOI, open_image

BLOCK = 8
STRIP = 64 * BLOCK  # rows at a time, so that memory does not grow with the picture
TURNS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (1, False), 7: (1, True), 8: (3, False)}


@dataclasses.dataclass(frozen=True)
class CodedLuma:
    """The luma that a JPEG file holds.

    Attributes:
        plane: uint8 ``(H, W)``, as the file stores it, which is not upright where its EXIF orientation says so.
        table: its quantization table, ``(8, 8)``.
        orientation: EXIF's 1 (upright) to 8.
    """

    plane: np.ndarray
    table: np.ndarray
    orientation: int = 1


def coded_luma(data: bytes, orientation: int = 1) -> CodedLuma | None:
    """Decode the luma of a JPEG file.

    Returns:
        None when the file is not one of luma and chroma with full luma (no JPEG, CMYK, RGB).
    """
    with open_image(io.BytesIO(data + EOI)) as image:  # an end for a file that was cut short
        if not isinstance(image, JpegImagePlugin.JpegImageFile) or image.mode not in ("L", "RGB"):
            return None
        sampling = [layer[1:3] for layer in image.layer]
        if image.info.get("adobe_transform") == 0 and len(sampling) > 1 or sampling[0] != max(sampling):
            return None
        table = np.float32(image.quantization[image.layer[0][3]]).reshape(BLOCK, BLOCK)
        if image.mode == "RGB":
            image.draft("YCbCr", None)
        planes = np.asarray(image)
    return CodedLuma(np.ascontiguousarray(planes.reshape(*planes.shape[:2], -1)[..., 0]), table, orientation)


def project(restored: np.ndarray, coded: CodedLuma) -> np.ndarray:
    """Move the luma of a restoration into the quantization intervals of its JPEG; chroma stays.

    Blocks that hold black or white are left as they are: their coefficients were clipped when they were decoded. So is
    what is beyond the last whole block.

    Args:
        restored: the upright picture, uint8 or uint16, ``(H, W, 3)`` RGB or ``(H, W)`` gray.
        coded: the luma of its JPEG.

    Returns:
        A new array of the same shape and type. Rounding may leave a coefficient outside by a part of a level.

    Raises:
        ValueError: when the sizes differ.
    """
    result = _as_stored(restored, coded.orientation).copy()
    if result.shape[:2] != coded.plane.shape:
        raise ValueError(f"the restored picture and its JPEG differ in size: {result.shape} and {coded.plane.shape}")
    white = np.iinfo(result.dtype).max
    for part, difference in _outside(result, coded):
        moved = result[part].astype(np.float32)
        moved -= (difference if moved.ndim == 2 else difference[..., None]) * (white / 255)
        result[part] = np.rint(np.clip(moved, 0, white))
    return np.ascontiguousarray(_upright(result, coded.orientation))


def _outside(picture: np.ndarray, coded: CodedLuma) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Strips of a picture as stored, each with what of its luma, on the 0-255 scale, is outside the intervals."""
    height, width = (side // BLOCK * BLOCK for side in coded.plane.shape)
    for top in range(0, height, STRIP):
        part = np.s_[top : min(top + STRIP, height), :width]
        luma = np.float32(picture[part]) * np.float32(255 / np.iinfo(picture.dtype).max)
        luma = cv2.cvtColor(luma, cv2.COLOR_RGB2GRAY) if luma.ndim == 3 else luma
        given = _blocks(coded.plane[part])
        known = np.rint(_dct(np.float32(given)) / coded.table) * coded.table
        found = _dct(_blocks(luma))
        excess = found - np.clip(found, known - coded.table / 2, known + coded.table / 2)
        excess[((given == 0) | (given == 255)).any(axis=(-2, -1))] = 0
        yield part, _joined(fft.idctn(excess, axes=(-2, -1), norm="ortho"))


def _blocks(plane: np.ndarray) -> np.ndarray:
    """``(H, W)`` as ``(H/8, W/8, 8, 8)``."""
    height, width = plane.shape
    return plane.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK).swapaxes(1, 2)


def _joined(blocks: np.ndarray) -> np.ndarray:
    rows, columns = blocks.shape[:2]
    return blocks.swapaxes(1, 2).reshape(rows * BLOCK, columns * BLOCK)


def _dct(blocks: np.ndarray) -> np.ndarray:
    return fft.dctn(blocks - np.float32(128), axes=(-2, -1), norm="ortho")


def _as_stored(picture: np.ndarray, orientation: int) -> np.ndarray:
    """An upright picture as a file of an EXIF orientation stores it; the inverse of :func:`_upright`."""
    turns, mirrored = TURNS.get(orientation, (0, False))
    turned = np.rot90(picture, turns)
    return turned[:, ::-1] if mirrored else turned


def _upright(picture: np.ndarray, orientation: int) -> np.ndarray:
    turns, mirrored = TURNS.get(orientation, (0, False))
    return np.rot90(picture[:, ::-1] if mirrored else picture, -turns)
