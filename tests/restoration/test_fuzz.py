"""Files whose bytes were changed at random are read or refused: no other error, no hang, no picture of another size.

TFAR_FUZZ sets how many are tried, 2,000 otherwise.
"""

import io
import os
import signal

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms
from skimage import data

from tfar.errors import ImageError
from tfar.images.metadata import Metadata
from tfar.images.read import image_size, read_pictures
from tfar.restoration.inspection import read_facts
from tfar.restoration.projection import coded_planes, project

COUNT = int(os.environ.get("TFAR_FUZZ", "2000"))
SECONDS = 5
PHOTO = data.astronaut()[:48, :40]
ALPHA = data.camera()[:48, :40]
HEADER = 700  # bytes in which half of the changes are made; they hold sizes and metadata


def metadata():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return {"exif": exif, "icc_profile": profile, "dpi": (300, 300)}


def coded(image, form, **options):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, form, **options)
    return buffer.getvalue()


def seeds():
    """Small files of every kind."""
    frames = [Image.fromarray(np.roll(PHOTO, i, axis=1)) for i in range(1, 3)]
    return {
        "jpeg": coded(PHOTO, "JPEG", quality=60, **metadata()),
        "progressive jpeg": coded(PHOTO, "JPEG", quality=60, progressive=True),
        "gray jpeg": coded(ALPHA, "JPEG", quality=60, comment=b"a comment"),
        "png": coded(np.dstack([PHOTO, ALPHA]), "PNG", **metadata()),
        "animated png": coded(PHOTO, "PNG", save_all=True, append_images=frames, duration=50),
        "webp": coded(PHOTO, "WEBP", quality=80, xmp=b"<x/>", **metadata()),
        "animated webp": coded(PHOTO, "WEBP", save_all=True, append_images=frames, duration=50),
        "tiff": coded(PHOTO, "TIFF", **metadata()),
        "tiff pages": coded(PHOTO, "TIFF", save_all=True, append_images=frames, compression="tiff_lzw"),
        "avif": coded(PHOTO, "AVIF", **metadata()),
    }


def mutate(file, rng):
    """Change, cut out, or double some of a file's bytes, or cut it short."""
    changed = bytearray(file)
    for _ in range(rng.integers(1, 6)):
        end = len(changed) if rng.integers(2) else min(HEADER, len(changed))
        at, length = int(rng.integers(end)), int(rng.integers(1, 40))
        match rng.integers(5):
            case 0 | 1:
                changed[at] = int(rng.integers(256))
            case 2:
                del changed[max(at, 16) : at + length]
            case 3:
                changed[at:at] = changed[at : at + length]
            case _:
                changed = changed[: max(at, 16)]
    return bytes(changed)


class Hang(BaseException):
    """Not an Exception, so that nothing takes it for a damaged file."""


@pytest.fixture
def in_time():
    """Give every file its seconds."""

    def hang(*_):
        raise Hang(f"over {SECONDS} s")

    before = signal.signal(signal.SIGALRM, hang)
    yield lambda: signal.setitimer(signal.ITIMER_REAL, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.filterwarnings("ignore")  # of Pillow, of what it finds in the files
@pytest.mark.parametrize("kind", seeds())
def test_changed_files_are_read_or_refused(kind, in_time):
    file = seeds()[kind]
    rng = np.random.default_rng(list(kind.encode()))
    assert read_pictures(file, frames="all")
    for i in range(COUNT // len(seeds())):
        changed = mutate(file, rng)
        in_time()
        try:
            pictures = read_pictures(changed, frames="all", partial=bool(i % 2), max_megapixels=20)
        except ImageError as error:
            assert "\n" not in str(error)
            continue
        for picture in pictures:
            assert picture.pixels.dtype == np.uint8 and picture.pixels.shape[2:] in ((), (3,)) and picture.pixels.size
            assert picture.alpha is None or picture.alpha.shape == picture.pixels.shape[:2]
            assert isinstance(picture.metadata, Metadata)
            assert read_facts(changed).format == picture.format
            coded = coded_planes(changed, picture.orientation) if picture.format == "JPEG" else None
            if coded is not None:
                project(picture.pixels, coded)


@pytest.mark.filterwarnings("ignore")
def test_headers_of_changed_files(tmp_path, in_time):
    rng = np.random.default_rng(0)
    for file in seeds().values():
        for _ in range(COUNT // len(seeds()) // 10):
            (tmp_path / "a").write_bytes(mutate(file, rng))
            in_time()
            try:
                assert min(image_size(tmp_path / "a")) > 0
            except ImageError:
                continue
