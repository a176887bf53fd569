"""Reading image files."""

from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from tfar.errors import ImageError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that exchange height and width
UNREADABLE = (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def read_image(path: str | Path) -> np.ndarray:
    """Read an image file as uint8 ``(H, W, 3)`` RGB, or ``(H, W)`` when the file is gray.

    The picture is upright: turned and mirrored as its EXIF orientation says. Transparency is dropped, palettes and CMYK
    become RGB, and 16-bit gray is scaled to 8 bits.

    Raises:
        ImageError: naming the file, when it is missing, empty, truncated or no image.
    """
    try:
        with Image.open(path) as image:
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            if image.mode.startswith("I"):
                return np.uint8(np.clip(np.asarray(image) >> 8, 0, 255))
            if image.mode in ("1", "L", "LA"):
                return np.asarray(image.convert("L"))
            return np.asarray(image.convert("RGB"))
    except FileNotFoundError as error:
        raise ImageError(f"{path}: no such file") from error
    except UNREADABLE as error:
        raise ImageError(f"{path}: not a readable image ({_reason(error, path)})") from error


def image_size(path: str | Path) -> tuple[int, int]:
    """Height and width of the upright image in a file, of which only the header is read.

    Raises:
        ImageError: naming the file, when it is no image.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            sideways = image.format != "TIFF" and orientation(image) in SIDEWAYS  # Pillow turns TIFF files itself
            return (width, height) if sideways else (height, width)
    except UNREADABLE as error:
        raise ImageError(f"{path}: not a readable image ({_reason(error, path)})") from error


def orientation(image: Image.Image) -> int:
    """The EXIF orientation of an open image: 1 (upright) to 8; what says something else is taken for upright."""
    value = image.getexif().get(ExifTags.Base.Orientation, 1)
    return value if value in range(1, 9) else 1


def image_files(folder: str | Path) -> list[Path]:
    """All image files below a folder, by extension, sorted; :class:`ImageError` when there are none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(f"{folder}: no such folder")
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in EXTENSIONS and f.is_file())
    if not files:
        raise ImageError(f"{folder}: no image files (looked for {' '.join(EXTENSIONS)})")
    return files


def _reason(error: Exception, path) -> str:
    """The first line of an error, without the path that the message of tfar names already."""
    if isinstance(error, UnidentifiedImageError):
        return "unknown format"
    return str(error).splitlines()[0].replace(f": {str(path)!r}", "") if str(error) else type(error).__name__
