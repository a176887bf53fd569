import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from tfar.images import segments

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (40, 50, 3), dtype=np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def coded(**options):
    buffer = io.BytesIO()
    Image.fromarray(COLOR).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def segment(marker, content):
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content


PHOTOSHOP = segment(0xED, b"Photoshop 3.0\0" + b"8BIM" * 9)
EXTENDED = segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"x" * 40)
FILM = b"\0\0\0\x18ftypmp42" + b"\xff\xd9" * 20


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}], ids=str)
def test_segments_end_with_the_picture(options):
    data = coded(**options)
    found = list(segments.segments(data + FILM))
    assert found[0][:2] == (0xE0, 2) and found[-1] == (segments.EOI, len(data) - 2, len(data))
    scans = [start for marker, start, _ in found if marker == segments.SOS]
    assert segments.first_scan(data) == scans[0] and len(scans) == (10 if "progressive" in options else 1)


@pytest.mark.parametrize(
    ("head", "tail", "found"),
    [
        (b"", b"", ()),
        (segment(0xE1, b"Exif\0\0" + PHOTOSHOP) + segment(0xED, b"something else"), bytes(100), ()),
        (b"\xff\xff" + PHOTOSHOP, b"\n" * 16, ("Photoshop's data (IPTC)",)),
        (EXTENDED + EXTENDED, FILM, ("extended XMP", "a film or other data behind the picture")),
    ],
    ids=["nothing", "nothing of these", "IPTC after fill bytes", "XMP and a film"],
)
def test_what_is_not_read(head, tail, found):
    data = coded(comment=b"a comment", icc_profile=SRGB, progressive=True)
    assert segments.unread(data[:2] + head + data[2:] + tail) == found


def test_what_is_stripped():
    bare = coded(icc_profile=SRGB, dpi=(300, 300))
    full = coded(icc_profile=SRGB, dpi=(300, 300), comment=b"a comment", exif=b"Exif\0\0 of a camera", xmp=b"<x/>")
    full = full[:2] + PHOTOSHOP + full[2:] + FILM
    assert segments.stripped(full) == bare
    assert segments.stripped(bare) == bare


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe1\0\1", coded()[:700], coded()[:-2]], ids=len)
def test_files_that_are_cut_short(data):
    assert segments.unread(data) == ()
    assert segments.stripped(data) == data
