"""Reading image files."""

import contextlib
import dataclasses
import io
import os
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, ImageSequence, UnidentifiedImageError

from tfar.errors import ImageError, first_line
from tfar.images.depth import PHOTOMETRIC, WHITE_IS_ZERO, channel_bits, check_range, deep_opacity, scale_transparency
from tfar.images.metadata import Metadata, metadata_of, take_over_raw_xmp, tiff_tag
from tfar.images.segments import EOI, first_scan, lacks_scans
from tfar.images.turns import upright

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "AVIF", "JPEG2000", "QOI", "HEIF")
EXTENSIONS = tuple(
    ".png .jpg .jpeg .jpe .jfif .mpo .bmp .tif .tiff .webp .ppm .pgm .pbm .pnm .gif .apng .avif .jp2 .j2k .jpx .qoi "
    ".heic .heif".split()
)
SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that exchange height and width
MAX_MEGAPIXELS = 250
END = bytes([0xFF, EOI])  # of the image in a JPEG
CUT_SHORT = "cut short; taken as far as it decodes"  # notes of a picture
DROPPED = "unreadable metadata dropped"
EMPTY_EXIF = 20  # bytes of EXIF that says nothing
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_opening = threading.Lock()

Source = str | os.PathLike | bytes | BinaryIO


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture, upright, with what its file says about it.

    Attributes:
        pixels: uint8 ``(H, W, 3)`` RGB or ``(H, W)`` gray; uint16 where a restoration was asked for in 16 bits.
        alpha: opacity, ``(H, W)`` of the same type, or None for an opaque picture.
        metadata: see :class:`tfar.images.metadata.Metadata`.
        format: Pillow's name of the file's format, such as ``JPEG``.
        orientation: how the file stores the picture: EXIF's 1 (upright) to 8.
        duration: how long a frame of an animation is shown, in milliseconds; None in other files, and for the default
            image of an animated PNG, which is no frame.
        plays: how often an animation is played; 0 is for ever.
        frames: of the file, or its pages; 1 in most files.
        bits: a channel of the file, 8 to 16; ``pixels`` are scaled to 8.
        notes: what of the file is not as one may expect, a line each.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    metadata: Metadata = Metadata()
    format: str = "PNG"
    orientation: int = 1
    duration: float | None = None
    plays: int = 0
    frames: int = 1
    bits: int = 8
    notes: tuple[str, ...] = ()


def read_image(source: Source) -> np.ndarray:
    """Read the colors of an image, its first frame or page: uint8 ``(H, W, 3)`` RGB, or ``(H, W)`` when it is gray.

    Args and errors as :func:`read_pictures`.
    """
    return read_pictures(source)[0].pixels


def read_pictures(
    source: Source, *, frames: str = "first", partial: bool = False, max_megapixels: float = MAX_MEGAPIXELS
) -> list[Picture]:
    """Read an image file.

    Pictures are upright: turned and mirrored as the EXIF orientation says. Palettes become RGB; CMYK and Lab become
    sRGB, through the file's profile where it has one; 16 bits are scaled to 8.

    Args:
        source: the path of a file, its bytes, or a file object.
        frames: ``first`` or ``all`` frames of an animation or pages of a TIFF file.
        partial: read a JPEG that was cut short as far as it decodes.
        max_megapixels: size from which a picture, or all frames or pages that are read, are refused before they are
            decoded.

    Raises:
        ImageError: naming the file, when it is missing, empty, no image, damaged, too large, or has 32 bits a channel
            or signed numbers.
    """
    try:
        with as_file(source) as file:
            return _pictures(file, frames, partial, max_megapixels)
    except FileNotFoundError as error:
        raise ImageError(f"{_name(source)}: no such file") from error
    except ImageError as error:
        raise ImageError(f"{_name(source)}: {error}", error.advice) from error
    except Exception as error:  # decoders raise all sorts of errors on bytes that mean to harm
        raise ImageError(f"{_name(source)}: not a readable image ({_reason(error, source)})") from error


def picture_of(image: Image.Image) -> Picture:
    """The picture of an open PIL image, as :func:`read_pictures` would read it from a file.

    Raises:
        ImageError: when it is damaged or has 32 bits a channel or signed numbers.
    """
    try:
        return _picture(image, ())
    except ImageError:
        raise
    except Exception as error:  # as above
        raise ImageError(f"not a readable image ({_reason(error, '')})") from error


def image_size(source: Source) -> tuple[int, int]:
    """Height and width of the upright image in a file, or its bytes, of which only the header is read.

    Raises:
        ImageError: naming the file, when it is no image.
    """
    try:
        with as_file(source) as file, open_image(file) as image:
            width, height = image.size
            sideways = image.format != "TIFF" and orientation(image) in SIDEWAYS  # Pillow turns TIFF files itself
            return (width, height) if sideways else (height, width)
    except Exception as error:  # as above
        raise ImageError(f"{_name(source)}: not a readable image ({_reason(error, source)})") from error


def orientation(image: Image.Image) -> int:
    """The EXIF orientation of an open image: 1 (upright) to 8; what says something else is taken for upright."""
    value = image.getexif().get(ExifTags.Base.Orientation, 1)
    return value if value in range(1, 9) else 1


def image_files(folder: str | Path) -> list[Path]:
    """All image files below a folder, sorted; :class:`ImageError` when there are none.

    See :func:`find_images`.
    """
    files, _ = find_images(folder)
    if not files:
        raise ImageError(f"{folder}: no image files")
    return files


def find_images(folder: str | Path, *, recursive: bool = True) -> tuple[list[Path], dict[Path, str]]:
    """The image files of a folder, sorted, and what else it holds, each with the reason why it is passed over.

    Raises:
        ImageError: when there is no such folder.
    """
    files, others = [], {}
    for path, reason in walk_images(folder, recursive=recursive):
        if reason:
            others[path] = reason
        else:
            files.append(path)
    return sorted(files), dict(sorted(others.items()))


def walk_images(folder: str | Path, *, recursive: bool = True) -> Iterator[tuple[Path, str]]:
    """The image files of a folder, each with an empty text, and what else it holds, with why it is passed over.

    A file is an image by its content, or by its extension (then it may turn out to be damaged). Hidden files, links to
    folders, broken links and what is no regular file are passed over.

    Raises:
        ImageError: when there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(f"{folder}: no such folder")
    unreadable: list[OSError] = []
    for parent, subfolders, names in os.walk(folder, onerror=unreadable.append):
        here = Path(parent)
        for name in list(subfolders):
            reason = "hidden" if name.startswith(".") else "a link to a folder" if (here / name).is_symlink() else None
            if reason or not recursive:
                yield here / name, reason or "a subfolder"
                subfolders.remove(name)
        for path in (here / name for name in names):
            if path.name.startswith("."):
                yield path, "hidden"
            elif not os.path.isfile(path):  # to open a pipe would wait for who writes into it
                yield path, "a broken link" if path.is_symlink() else "no regular file"
            elif path.suffix.lower() in EXTENSIONS or is_image(path):
                yield path, ""
            else:
                yield path, "no image"
    for error in unreadable:
        yield Path(error.filename), f"unreadable folder ({error.strerror})"


def is_image(path: str | Path) -> bool:
    """Whether a file's content begins as that of an image."""
    try:
        with open(path, "rb") as file, open_image(file):
            return True
    except Exception:  # as above
        return False


@contextlib.contextmanager
def as_file(source: Source) -> Iterator[BinaryIO]:
    """An image file, its bytes, or a file object, to be read from the start."""
    if isinstance(source, bytes | bytearray | memoryview):
        yield io.BytesIO(source)
    elif isinstance(source, str | os.PathLike):
        with open(source, "rb") as file:
            yield file
    else:
        if hasattr(source, "seekable") and source.seekable():
            source.seek(0)
        yield io.BytesIO(source.read())


def _name(source: Source) -> str:
    return str(source) if isinstance(source, str | os.PathLike) else str(getattr(source, "name", "the image"))


def open_image(file: BinaryIO) -> Image.Image:
    """Pillow's ``open`` for the formats of this package, without its limit on pixels; raises its errors."""
    brand = file.read(12)[4:]
    file.seek(0)
    if brand[:4] == b"ftyp" and brand[4:] in HEIF_BRANDS:
        try:
            import pillow_heif
        except ImportError as error:
            raise ImageError('HEIC needs one more package: pip install "tfar[heic]"') from error
        pillow_heif.register_heif_opener()
    Image.init()
    with _opening:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file, formats=[name for name in FORMATS if name in Image.OPEN])
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _pictures(file: BinaryIO, frames: str, partial: bool, max_megapixels: float) -> list[Picture]:
    image = open_image(file)
    _check_size(image, 0, max_megapixels)
    opacity = deep_opacity(image, file)
    notes = []
    if image.format in ("JPEG", "MPO"):
        file.seek(0)
        data = file.read()
        if _ends_early(data):
            if not partial:
                raise ImageError("cut short, its data end early", "--partial restores what is there")
            notes.append(CUT_SHORT)
            image = open_image(io.BytesIO(data + END))
    pictures: list[Picture] = []
    held = 0.0  # megapixels
    for frame in ImageSequence.Iterator(image) if frames == "all" else [image]:
        held = _check_size(frame, held, max_megapixels)
        pictures.append(_picture(frame, tuple(notes), opacity))
    return pictures


def _check_size(image: Image.Image, held: float, limit: float) -> float:
    """Megapixels of an image that is not decoded yet and those before it; :class:`ImageError` for more than a limit."""
    megapixels = held + image.width * image.height / 1e6
    if megapixels > limit:
        what = f"{image.width}x{image.height}" if not held else f"{image.tell() + 1} of its frames or pages"
        raise ImageError(
            f"{what} are {megapixels:.0f} megapixels, the limit is {limit:g}", "--max-megapixels changes it"
        )
    return megapixels


def _ends_early(data: bytes) -> bool:
    """Whether the coded data of a JPEG file end before its last block.

    A decoder fills up what is missing and does not tell. So bits are put in before the end of the image: a decoder that
    has all its blocks skips them, another one takes them for the blocks that it misses.
    """
    end = data.find(END, first_scan(data))
    if end < 0 or lacks_scans(data):
        return True
    return _digest(data[: end + 2]) != _digest(data[:end] + b"\x55\xaa\x33" * 100 + END)


def _digest(data: bytes) -> int:
    """Of the picture in a JPEG file, at an eighth of its size; of a progressive one, whose last scan is not seen there,
    at its full size.
    """
    image = open_image(io.BytesIO(data))
    if "progressive" not in image.info:
        image.draft(None, (max(image.width // 8, 1), max(image.height // 8, 1)))
    return zlib.crc32(image.tobytes())


def _picture(image: Image.Image, notes: tuple[str, ...], opacity: Image.Image | None = None) -> Picture:
    """The frame of an open image at which it stands; with an opacity that Pillow does not see."""
    bits = channel_bits(image)
    check_range(image, bits)
    stored: dict[str, Any] = {"bits": max(bits, 8)}
    scale_transparency(image)
    image.load()
    take_over_raw_xmp(image)
    inverted = tiff_tag(image, PHOTOMETRIC) == WHITE_IS_ZERO
    if opacity is not None:
        image.putalpha(opacity)
    stored |= {
        "frames": getattr(image, "n_frames", 1),
        "format": str(image.format),
        "orientation": orientation(image),
        "duration": _duration(image),
        "plays": _plays(image),
    }
    left = 1  # the orientation from which the pixels are still to be turned
    try:
        shown = ImageOps.exif_transpose(image) if orientation(image) != 1 else image
        metadata = metadata_of(image, shown)
        if not len(image.getexif()) and len(image.info.get("exif", b"")) > EMPTY_EXIF:
            notes += (DROPPED,)  # Pillow takes what it does not understand for nothing
    except Exception:  # as above; the picture is worth more than what is said of it
        shown, left = image, orientation(image)
        metadata = Metadata(profile=image.info.get("icc_profile") or b"")
        notes += (DROPPED,)
    if shown.mode in ("CMYK", "LAB"):
        shown, how = _to_srgb(shown, metadata.profile)
        notes += (how,)
        metadata = dataclasses.replace(metadata, profile=_srgb())
    pixels, alpha = (None if plane is None else upright(plane, left) for plane in _planes(shown, bits, inverted))
    return Picture(pixels, alpha, metadata, notes=notes, **stored)


def _duration(image: Image.Image) -> float | None:
    """Milliseconds for which the frame of an animation is shown; a GIF need not say."""
    if not getattr(image, "is_animated", False):
        return None
    return image.info.get("duration", 0 if image.format == "GIF" else None)


def _plays(image: Image.Image) -> int:
    """How often an animation is played, 0 for ever: a GIF once, and as often again as it says."""
    loop = image.info.get("loop")
    if image.format != "GIF":
        return loop or 0
    return 1 if loop is None else loop and loop + 1


def _planes(image: Image.Image, bits: int, inverted: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Colors and opacity of a loaded image.

    Args:
        bits: of its levels, where they are more than 8.
        inverted: whether 0 is white in its file, which Pillow sees to where levels are of 8 bits.
    """
    if image.mode.startswith("I"):
        levels = np.asarray(image)
        shown = np.uint8(np.clip(levels >> (bits - 8), 0, 255))
        transparent = image.info.get("transparency")
        alpha = np.where(levels == transparent, np.uint8(0), np.uint8(255)) if isinstance(transparent, int) else None
        return 255 - shown if inverted else shown, alpha
    gray = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        planes = np.asarray(image.convert("LA" if gray else "RGBA"))
        colors = planes[..., 0] if gray else planes[..., :3]
        return np.ascontiguousarray(colors), np.ascontiguousarray(planes[..., -1])
    return np.asarray(image.convert("L" if gray else "RGB")), None


def _to_srgb(image: Image.Image, profile: bytes) -> tuple[Image.Image, str]:
    """CMYK or Lab as sRGB, and the line that says how."""
    own: Any = ImageCms.createProfile("LAB") if image.mode == "LAB" else None
    try:
        if profile:
            own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if own is not None:
            converted = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
            return converted, f"{image.mode}, converted to sRGB{' through its profile' if profile else ''}"
    except (ImageCms.PyCMSError, OSError):
        pass
    return image.convert("RGB"), f"{image.mode} without a usable profile, converted to RGB by the plain formula"


def _srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _reason(error: Exception, source: Source) -> str:
    """The first line of an error, without the path that the message of tfar names already."""
    if isinstance(error, UnidentifiedImageError):
        return "unknown format"
    return first_line(error).replace(f": {str(source)!r}", "")
