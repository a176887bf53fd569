"""What JPEG does to an image: libjpeg through Pillow, standard tables scaled by a quality factor (QF)."""

import io

import numpy as np
from PIL import Image

SUBSAMPLINGS = ("4:2:0", "4:2:2", "4:4:4")


def encode(image: np.ndarray, quality: int, subsampling: str = "4:2:0") -> bytes:
    """Encode an image as a baseline JPEG file.

    Args:
        image: uint8 ``(H, W, 3)`` RGB, or ``(H, W)`` gray, which gives a one-component file.
        quality: libjpeg's quality factor, 1 (worst) to 100.
        subsampling: chroma subsampling of a colour file, one of ``SUBSAMPLINGS``.

    Raises:
        ValueError: for another dtype, shape, quality or subsampling.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise ValueError(f"expected a uint8 image (H, W) or (H, W, 3), got {image.dtype} {image.shape}")
    if not 1 <= quality <= 100:
        raise ValueError(f"JPEG quality must be 1 to 100, got {quality}")
    if subsampling not in SUBSAMPLINGS:
        raise ValueError(f"subsampling must be one of {', '.join(SUBSAMPLINGS)}, got {subsampling!r}")
    buffer = io.BytesIO()
    options = {"subsampling": subsampling} if image.ndim == 3 else {}
    Image.fromarray(image).save(buffer, "JPEG", quality=int(quality), **options)
    return buffer.getvalue()


def decode(data: bytes) -> np.ndarray:
    """Decode a JPEG file to uint8 ``(H, W, 3)`` RGB, or ``(H, W)`` for a one-component file."""
    image = Image.open(io.BytesIO(data))
    return np.asarray(image if image.mode == "L" else image.convert("RGB"))


def compress(image: np.ndarray, quality: int, subsampling: str = "4:2:0") -> np.ndarray:
    """Encode and decode: the image as a viewer of the JPEG sees it; same shape and dtype as ``image``."""
    return decode(encode(image, quality, subsampling))
