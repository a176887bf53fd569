"""The field's ways to degrade an image before it is restored and scored."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import UnidentifiedImageError

from tfar import jpeg, pixels
from tfar.evaluation import codecs
from tfar.images.read import MAX_MEGAPIXELS, open_image
from tfar.recipes import Subsampling

SHIFT = 4  # pixels between the grids of the two JPEGs of ``double``, down and to the right


@dataclass(frozen=True, eq=False)
class Trial:
    """One image to restore.

    Attributes:
        original: what a restored image is scored against; uint8 ``(H, W)`` or ``(H, W, 3)`` RGB, in [0, 255]; None
            when there is no original.
        jpeg: the decoded file: a JPEG of ``original``, or what another codec made of it; same shape, dtype and range.
        file: the file.
    """

    original: np.ndarray | None
    jpeg: np.ndarray
    file: bytes

    @property
    def bpp(self) -> float:
        """Size of the file in bits per pixel."""
        return 8 * len(self.file) / (self.jpeg.shape[0] * self.jpeg.shape[1])


def middle(image: np.ndarray, size: int) -> np.ndarray:
    """The ``size`` by ``size`` pixels in the middle of an image ``(H, W[, C])``, or as many as there are each way."""
    top, left = (max(side - size, 0) // 2 for side in image.shape[:2])
    return np.ascontiguousarray(image[top : top + size, left : left + size])


def gray(original: np.ndarray, quality: int) -> Trial:
    """Limited-range luma of the image, coded as a one-component JPEG.

    Args:
        original: uint8 ``(H, W, 3)`` RGB, or ``(H, W)`` which is taken to be luma already.
        quality: libjpeg's quality factor, 1 to 100.
    """
    luma = pixels.studio_luma(original)
    return _coded(luma, jpeg.encode(luma, quality))


def color(original: np.ndarray, quality: int, *, subsampling: Subsampling = "4:2:0") -> Trial:
    """The RGB image, coded with chroma at half resolution, or what ``subsampling`` says.

    Args:
        original: uint8 ``(H, W, 3)`` RGB, or ``(H, W)`` which is repeated to three channels.
        quality: libjpeg's quality factor, 1 to 100.
        subsampling: of the chroma.
    """
    rgb = pixels.as_rgb(original)
    return _coded(rgb, jpeg.encode(rgb, quality, subsampling=subsampling))


def double(original: np.ndarray, quality: int) -> Trial:
    """As :func:`gray`, coded twice at the same quality: the second time without the first 4 rows and columns, so that
    its grid lies between that of the first (the case that FBCNN, Jiang et al., ICCV 2021, is made for).

    Args:
        original: as for :func:`gray`, at least 5x5 pixels.
        quality: libjpeg's quality factor of both JPEGs, 1 to 100.

    Raises:
        ValueError: for a smaller image.
    """
    luma = pixels.studio_luma(original)
    if min(luma.shape) <= SHIFT:
        raise ValueError(f"an image of at least {SHIFT + 1}x{SHIFT + 1} pixels is needed, got {luma.shape}")
    once = np.ascontiguousarray(jpeg.compress(luma, quality)[SHIFT:, SHIFT:])
    return _coded(luma[SHIFT:, SHIFT:], jpeg.encode(once, quality))


def other_codec(name: str, original: np.ndarray, quality: int) -> Trial:
    """The RGB image, coded by another codec at the size of its JPEG (as :func:`color`) of a quality factor.

    Args:
        name: ``webp``, ``jpeg2000``, ``avif`` or ``heic``; see :mod:`tfar.evaluation.codecs`.
        original: as for :func:`color`.
        quality: of the JPEG whose size is taken, 1 to 100.
    """
    rgb = pixels.as_rgb(original)
    file = codecs.CODECS[name](rgb, len(color(rgb, quality).file))
    return Trial(rgb, codecs.decode(file), file)


def real(file: bytes) -> Trial:
    """A JPEG file as it was found: there is no original.

    Raises:
        ValueError: when the bytes are no JPEG file, or one of more than 250 megapixels.
    """
    try:
        with open_image(io.BytesIO(file)) as image:
            kind, megapixels = image.format, image.width * image.height / 1e6
    except UnidentifiedImageError as error:
        raise ValueError("not a readable image (unknown format)") from error
    if kind not in ("JPEG", "MPO"):
        raise ValueError(f"expected a JPEG file, got {kind}")
    if megapixels > MAX_MEGAPIXELS:
        raise ValueError(f"{megapixels:.0f} megapixels, the limit is {MAX_MEGAPIXELS}")
    return Trial(None, jpeg.decode(file), file)


def _coded(original: np.ndarray, file: bytes) -> Trial:
    return Trial(original, jpeg.decode(file), file)
