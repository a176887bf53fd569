"""Writing image files."""

from pathlib import Path

import numpy as np
from PIL import Image

from tfar.errors import ImageError
from tfar.storage import write_atomically

WRITABLE = {
    ".png": {},
    ".tif": {},
    ".tiff": {},
    ".bmp": {},
    ".webp": {"lossless": True},
    ".jpg": {"quality": 95, "subsampling": "4:4:4"},
    ".jpeg": {"quality": 95, "subsampling": "4:4:4"},
}


def write_image(path: str | Path, image: np.ndarray):
    """Write a uint8 image, RGB or gray, in the format of the extension; the file appears whole or not at all.

    Raises:
        ImageError: for an extension that is not in ``WRITABLE``, or a path that cannot be written.
    """
    path = Path(path)
    check_writable(path)
    if path.is_dir():
        raise ImageError(f"{path}: cannot be written (a folder of this name exists)")
    try:
        write_atomically(path, lambda part: Image.fromarray(image).save(part, **WRITABLE[path.suffix.lower()]))
    except OSError as error:
        raise ImageError(f"{path}: cannot be written ({error.strerror or error})") from error


def check_writable(path: Path):
    """Raise :class:`ImageError` for a path whose extension is not in ``WRITABLE``."""
    if path.suffix.lower() not in WRITABLE:
        raise ImageError(f"{path}: cannot write this format; use one of {' '.join(WRITABLE)}")
