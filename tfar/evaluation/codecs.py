"""Other codecs at the size of a JPEG: a colour image coded by one of them as small as its JPEG of a quality factor.

Galteri et al., Section 4.4, have WebP, BPG and JPEG2000 at the bit rate of a JPEG of quality 20. HEIC holds the same
intra-coded HEVC as BPG, of which there is no Python package. They match the average over a dataset; here the size of
each image is matched.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from tfar.errors import TfarError

RATE_STEPS = 256  # of the logarithm of JPEG2000's rate, from 1 (nothing saved) to LARGEST_RATE
LARGEST_RATE = 2000.0


def webp(image: np.ndarray, size: int) -> bytes:
    """A lossy WebP file of at most ``size`` bytes and of the highest quality that such a file has.

    Args:
        image: uint8 ``(H, W, 3)`` RGB.
        size: in bytes. A file of the lowest quality may be larger.
    """
    return _largest_within(size, 101, lambda step: _encoded(image, "WEBP", quality=step, method=4))


def avif(image: np.ndarray, size: int) -> bytes:
    """As :func:`webp`, an AVIF file with chroma at half resolution."""
    return _largest_within(size, 101, lambda step: _encoded(image, "AVIF", quality=step, subsampling="4:2:0"))


def heic(image: np.ndarray, size: int) -> bytes:
    """As :func:`webp`, a HEIC file with chroma at half resolution; :class:`TfarError` without pillow-heif."""
    return _largest_within(size, 101, lambda step: _heif(image, quality=step, chroma=420))


def jpeg2000(image: np.ndarray, size: int) -> bytes:
    """As :func:`webp`, a JPEG2000 file of one layer by the irreversible wavelet."""

    def encode(step: int) -> bytes:
        rate = LARGEST_RATE ** (1 - step / RATE_STEPS)
        options = {"quality_mode": "rates", "quality_layers": [rate], "irreversible": True, "mct": 1}
        return _encoded(image, "JPEG2000", **options)

    return _largest_within(size, RATE_STEPS + 1, encode)


def decode(file: bytes) -> np.ndarray:
    """The image in a file of one of these codecs: uint8 ``(H, W, 3)`` RGB."""
    if file[4:12] == b"ftypheic":
        _heif_package()
    with Image.open(io.BytesIO(file)) as image:
        return np.asarray(image.convert("RGB"))


CODECS: dict[str, Callable[[np.ndarray, int], bytes]] = {
    "webp": webp,
    "jpeg2000": jpeg2000,
    "avif": avif,
    "heic": heic,
}


def _largest_within(size: int, steps: int, encode: Callable[[int], bytes]) -> bytes:
    """The file of the highest step that is not larger than ``size``, by bisection; that of step 0 if all are."""
    low, high, best = 0, steps, encode(0)
    while high - low > 1:
        middle = (low + high) // 2
        file = encode(middle)
        if len(file) <= size:
            low, best = middle, file
        else:
            high = middle
    return best


def _encoded(image: np.ndarray, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


def _heif_package():
    try:
        import pillow_heif
    except ImportError as error:
        raise TfarError("the protocol heic needs the package pillow-heif: pip install 'tfar[heic]'") from error
    pillow_heif.register_heif_opener()
    return pillow_heif


def _heif(image: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    _heif_package().from_pillow(Image.fromarray(image)).save(buffer, **options)
    return buffer.getvalue()
