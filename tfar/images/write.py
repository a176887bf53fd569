"""Writing image files."""

import contextlib
import dataclasses
import io
import os
import shutil
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, PngImagePlugin

from tfar.errors import ImageError
from tfar.images.read import Picture, read_pictures
from tfar.storage import write_atomically

WRITABLE = {  # by extension: Pillow's name of the format
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".avif": "AVIF",
    ".bmp": "BMP",
}
OPTIONS: dict[str, dict[str, Any]] = {
    "WEBP": {"lossless": True, "exact": True},  # exact: colors under full transparency, too
    "JPEG": {"quality": 95, "subsampling": "4:4:4"},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
}
LOSSY = ("JPEG", "AVIF")
ANOTHER = "what was written does not decode to the picture; nothing was replaced"
OPAQUE = ("JPEG", "BMP")
COLOR_ONLY = ("WEBP", "AVIF")  # hold gray in three channels
LARGEST_SIDE = {"WEBP": 16383, "JPEG": 65500, "AVIF": 65536}
MOST_PLAYS = {"WEBP": 65535}
PNG_HEADER = 33  # bytes of a PNG file's signature and its first chunk
METER = 0.0254  # of an inch, in which resolutions are given
SEVERAL = ("PNG", "WEBP", "TIFF")  # of one size as an animation, or, TIFF, pages of any


def write_image(path: str | Path, image: np.ndarray):
    """Write a uint8 image, RGB or gray, in the format of the extension; the file appears whole or not at all.

    Errors as :func:`write_pictures`.
    """
    write_pictures(path, [Picture(image)])


def write_pictures(path: str | Path, pictures: Sequence[Picture], *, form: str | None = None, verify: bool = False):
    """Write a picture, or the frames or pages of one file, in the format of the extension.

    The file appears whole or not at all. PNG, TIFF, BMP and WebP are lossless; JPEG and AVIF are of quality 95 without
    subsampling. 16 bits a channel are written as PNG.

    Args:
        path: the file; one that exists is replaced.
        pictures: one, or several for PNG, WebP and TIFF.
        form: Pillow's name of the format, one of the values of ``WRITABLE``, where the extension does not matter.
        verify: read the file and compare before it takes its name.

    Raises:
        ImageError: when the path cannot be written or its format cannot hold the pictures, and when ``verify`` finds
            another picture.
    """
    path = Path(path)
    form = form or format_of(path)
    check_fits(path, form, pictures)

    def write(part: Path):
        with open(part, "w+b") as file:  # Pillow reads what it has written of a TIFF
            encode(file, pictures, form, path)
        hidden = form != "WEBP" or len(pictures) == 1  # an animated WebP has no place for hidden pixels
        if verify and not _is_same(part.read_bytes(), pictures, lossless=form not in LOSSY, hidden=hidden):
            raise ImageError(f"{path}: {ANOTHER}")

    _replace(path, write)


def write_bytes(path: str | Path, data: bytes, *, same: Sequence[Picture] | None = None):
    """Write a file that is coded already; it appears whole or not at all.

    Args:
        path: the file; one that exists is replaced.
        data: what it is to hold.
        same: the pictures that must be in it.

    Raises:
        ImageError: when the path cannot be written, and when the data hold other pictures than ``same``.
    """
    if same is not None and not _is_same(data, same):
        raise ImageError(f"{path}: {ANOTHER}")
    _replace(Path(path), lambda part: part.write_bytes(data))


def _replace(path: Path, write: Callable[[Path], object]):
    """Have a file written; one that exists is replaced, and its permissions stay, and its owner where that may be."""
    check_file(path)

    def with_mode(part: Path):
        write(part)
        if path.exists():
            owner = path.stat()
            with contextlib.suppress(OSError, AttributeError):  # AttributeError: on Windows there is no chown
                os.chown(part, owner.st_uid, owner.st_gid)
            shutil.copymode(path, part)

    try:
        write_atomically(path, with_mode)
    except OSError as error:
        raise ImageError(f"{path}: cannot be written ({error.strerror or error})") from error


def encode(file: BinaryIO, pictures: Sequence[Picture], form: str, name: Any):
    """Write pictures into an open file, as :func:`write_pictures` does.

    Args:
        file: can be read and sought, too.
        form: Pillow's name of the format.
        name: of the file, for errors.
    """
    first = pictures[0]
    if first.pixels.dtype == np.uint16:
        file.write(_png_16(first))
        return
    shown = [picture for picture in pictures if picture.duration is not None]
    if shown and form == "WEBP":  # has no place for the default image of an animated PNG
        pictures = shown
    images = [_image(picture, form) for picture in pictures]
    options = OPTIONS.get(form, {}) | first.metadata.save_options(form, gray=is_written_gray(first, form))
    if len(images) > 1:
        options |= {"save_all": True, "append_images": images[1:]}
        if shown:
            options["duration"] = [picture.duration for picture in shown]
            options["loop"] = min(first.plays, MOST_PLAYS.get(form, first.plays))
            options["default_image"] = len(shown) < len(pictures)
    try:
        images[0].save(file, form, **options)
    except ValueError as error:  # such as EXIF of more bytes than the format holds
        raise ImageError(f"{name}: cannot be written ({error})", "--strip leaves metadata out") from error


def is_written_gray(picture: Picture, form: str) -> bool:
    """Whether a picture has one channel of color in a file of a format."""
    deep_and_transparent = picture.pixels.dtype == np.uint16 and picture.alpha is not None
    return picture.pixels.ndim == 2 and form not in COLOR_ONLY and not deep_and_transparent


def format_of(path: Path) -> str:
    """Pillow's name of the format of a file to write, by its extension; :class:`ImageError` for one not to write."""
    if path.suffix.lower() not in WRITABLE:
        raise ImageError(f"{path}: cannot write this format; use one of {' '.join(WRITABLE)}")
    return WRITABLE[path.suffix.lower()]


def check_fits(name: Any, form: str, pictures: Sequence[Picture]):
    """Raise :class:`ImageError`, naming the file, when a format cannot hold the pictures."""
    for picture in pictures:
        height, width = picture.pixels.shape[:2]
        if max(height, width) > LARGEST_SIDE.get(form, height + width):
            raise ImageError(f"{name}: {form} holds at most {LARGEST_SIDE[form]} pixels a side, not {width}x{height}")
        if picture.alpha is not None and form in OPAQUE and picture.alpha.min() < np.iinfo(picture.alpha.dtype).max:
            raise ImageError(f"{name}: {form} has no transparency, which the picture has; choose another format")
        if picture.pixels.dtype == np.uint16 and (form != "PNG" or len(pictures) > 1):
            raise ImageError(f"{name}: 16 bits a channel are written as PNG, one picture a file")
    if len(pictures) > 1:
        if form not in SEVERAL:
            raise ImageError(f"{name}: {form} holds one picture, not {len(pictures)}; choose png, webp or tiff")
        if form != "TIFF" and len({picture.pixels.shape[:2] for picture in pictures}) > 1:
            raise ImageError(f"{name}: pages of several sizes are written as TIFF only")


def check_file(path: Path):
    """As :func:`check_target`, and for a folder, a link, a pipe or a device, which no file replaces."""
    check_target(path)
    if path.is_dir():
        raise ImageError(f"{path}: cannot be written (a folder of this name exists)")
    if path.is_symlink():
        raise ImageError(f"{path}: is a link, which would be replaced; name the file itself")
    if path.exists() and not path.is_file():
        raise ImageError(f"{path}: is no regular file")


def check_target(path: Path):
    """Raise :class:`ImageError` for a path where nothing can be made: its name too long, its folder not writable."""
    folder = next(parent for parent in path.absolute().parents if os.path.exists(parent))
    if not folder.is_dir():
        raise ImageError(f"{path}: cannot be written ({folder} is no folder)")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ImageError(f"{path}: cannot be written (no permission in {folder})")
    longest = os.pathconf(folder, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
    if any(len(os.fsencode(part)) > longest for part in path.absolute().relative_to(folder).parts):
        raise ImageError(f"{path}: cannot be written (the name is longer than {longest} bytes)")


def _image(picture: Picture, form: str) -> Image.Image:
    if picture.alpha is None or form in OPAQUE:
        return Image.fromarray(picture.pixels)
    return Image.fromarray(np.dstack([picture.pixels, picture.alpha]))


def _png_16(picture: Picture) -> bytes:
    """A PNG file of 16 bits a channel, which Pillow does not write."""
    import cv2

    planes = picture.pixels[..., ::-1] if picture.pixels.ndim == 3 else picture.pixels
    if picture.alpha is not None:
        planes = np.dstack([planes if planes.ndim == 3 else np.dstack([planes] * 3), picture.alpha])
    written, coded = cv2.imencode(".png", np.ascontiguousarray(planes))
    if not written:
        raise OSError("OpenCV could not encode it")
    data = coded.tobytes()
    chunks = _chunks(picture.metadata.save_options("PNG", gray=is_written_gray(picture, "PNG")))
    return data[:PNG_HEADER] + chunks + data[PNG_HEADER:]


def _chunks(options: Mapping[str, Any]) -> bytes:
    """The chunks of a PNG file that Pillow would write for these arguments of its ``save``, before the pixels."""
    chunks = io.BytesIO()
    if "icc_profile" in options:
        PngImagePlugin.putchunk(chunks, b"iCCP", b"ICC Profile\0\0", zlib.compress(options["icc_profile"]))
    for kind, content, *_ in options["pnginfo"].chunks:
        PngImagePlugin.putchunk(chunks, kind, content)
    if "dpi" in options:
        dots = (round(dots / METER) for dots in options["dpi"])
        PngImagePlugin.putchunk(chunks, b"pHYs", struct.pack(">IIB", *dots, 1))  # 1: a meter
    if "exif" in options:
        PngImagePlugin.putchunk(chunks, b"eXIf", options["exif"].tobytes().removeprefix(b"Exif\0\0"))
    return chunks.getvalue()


def _is_same(data: bytes, pictures: Sequence[Picture], *, lossless: bool = True, hidden: bool = True) -> bool:
    """Whether a file decodes to pictures; ``hidden`` where pixels that are not seen must be the same, too."""
    try:
        found = read_pictures(data, frames="all", max_megapixels=float("inf"))
    except ImageError:
        return False
    given: Sequence[Picture] = pictures
    if not hidden:
        found, given = ([_without_hidden(picture) for picture in side] for side in (found, given))
    found, given = _merged(found), _merged(given)
    return len(found) == len(given) and all(_agree(*pair, lossless) for pair in zip(found, given, strict=True))


def _without_hidden(picture: Picture) -> Picture:
    """With black pixels where none are seen."""
    if picture.alpha is None:
        return picture
    shown = (picture.alpha > 0).reshape(picture.alpha.shape + (1,) * (picture.pixels.ndim - 2))
    return dataclasses.replace(picture, pixels=picture.pixels * shown)


def _agree(found: Picture, given: Picture, lossless: bool) -> bool:
    if found.pixels.shape[:2] != given.pixels.shape[:2]:
        return False
    if found.duration is not None and given.duration is not None and abs(found.duration - given.duration) > 1:
        return False
    comparable = given.pixels.dtype == np.uint8 and found.pixels.ndim == given.pixels.ndim
    return not (lossless and comparable) or np.array_equal(found.pixels, given.pixels)


def _merged(pictures: Sequence[Picture]) -> list[Picture]:
    """Pictures with frames that show the same as the ones before them added to these, as encoders do it."""
    merged: list[Picture] = []
    for picture in pictures:
        last = merged[-1] if merged else None
        if last and last.duration is not None and picture.duration is not None and _shows_the_same(last, picture):
            merged[-1] = dataclasses.replace(last, duration=last.duration + picture.duration)
        else:
            merged.append(picture)
    return merged


def _shows_the_same(one: Picture, other: Picture) -> bool:
    if (one.alpha is None) != (other.alpha is None):
        return False
    return np.array_equal(one.pixels, other.pixels) and np.array_equal(one.alpha, other.alpha)
