"""How many bits an image file has for each channel, and what Pillow makes of those that are not 8."""

import re
from typing import IO

import numpy as np
from PIL import AvifImagePlugin, Image, TiffImagePlugin

from tfar.errors import ImageError
from tfar.images.metadata import tiff_tag

BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF, and values of the latter two:
WHITE_IS_ZERO, SIGNED = 0, 2
AVIF_CONFIGURATION = re.compile(rb"av1C\x81.(.)", re.DOTALL)  # the bits of its third byte tell of 10 and 12 bits


def channel_bits(image: Image.Image) -> int:
    """Bits a channel of an open image that is not loaded yet: 1 of black and white, otherwise 8 or more.

    A PPM file whose maximum is above 255, whatever it is, has 16, to which Pillow scales it.
    """
    if image.mode == "1":
        return 1
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return max(8, *image.tag_v2.get(BITS_PER_SAMPLE, ()))
    if isinstance(image, AvifImagePlugin.AvifImageFile):
        return _avif_bits(image.fp) if image.fp else 8
    raw = [tile[3] for tile in getattr(image, "tile", [])]  # how the file holds pixels: RGB;16B, ("RGB", 65535)
    if image.format == "PPM" and image.mode != "F":
        return 16 if image.mode == "I" or any(isinstance(args, tuple) and args[-1] > 255 for args in raw) else 8
    if image.mode in ("I", "F"):
        return 32
    return 16 if any("16" in str(part) for part in (image.mode, *raw)) else 8


def _avif_bits(file: IO[bytes]) -> int:
    """Bits a channel by the configurations of the codec that an AVIF file, which has at least one, holds."""
    flags = [found[1][0] for found in AVIF_CONFIGURATION.finditer(_content(file))]
    return max((12 if bits & 0x20 else 10 if bits & 0x40 else 8 for bits in flags), default=8)


def check_range(image: Image.Image, bits: int):
    """Raise :class:`ImageError` for pixels whose range files do not tell."""
    if image.mode == "F" or bits > 16:
        what = f"{max(bits, 32)} bits a channel"
    elif SIGNED in (tiff_tag(image, SAMPLE_FORMAT) or ()):
        what = "signed numbers"
    else:
        return
    raise ImageError(f"{what}, of a range that the file does not tell; convert it to 8 or 16 bits")


def scale_transparency(image: Image.Image):
    """Bring the transparent level of a gray PNG of 2 or 4 bits to the 8 to which Pillow brings its pixels."""
    tiles = getattr(image, "tile", None) if image.format == "PNG" else None
    scale = {"L;2": 85, "L;4": 17}.get(str(tiles[0][3]) if tiles else "")
    if scale and 0 < image.info.get("transparency", 0) * scale <= 255:
        image.info["transparency"] *= scale


def deep_opacity(image: Image.Image, file: IO[bytes]) -> Image.Image | None:
    """The opacity of a PNG of 16 bits with a transparent color, of which Pillow compares 8 bits; it is not loaded."""
    deep = image.format == "PNG" and image.mode == "RGB" and channel_bits(image) == 16
    if not deep or "transparency" not in image.info or getattr(image, "is_animated", False):
        return None
    import cv2

    planes = cv2.imdecode(np.frombuffer(_content(file), np.uint8), cv2.IMREAD_UNCHANGED)
    return None if planes is None or planes.shape[2:] != (4,) else Image.fromarray(np.uint8(planes[..., 3] // 256))


def _content(file: IO[bytes]) -> bytes:
    """All of a file, which stands where it stood afterwards."""
    position = file.tell()
    file.seek(0)
    content = file.read()
    file.seek(position)
    return content
