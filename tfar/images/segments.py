"""The segments of JPEG files (ITU-T T.81, B.1.1.4): where their scans are, and what they hold besides a picture."""

import re
from collections.abc import Iterator

SOS, EOI, COM = 0xDA, 0xD9, 0xFE  # markers: start of scan, end of image, comment
PROGRESSIVE = (0xC2, 0xCA)  # start of frame, by Huffman's or arithmetic codes
APP = range(0xE0, 0xF0)
PICTURES_OWN = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}  # without which the pixels would be others
UNREAD = {  # what Pillow reads and writes nothing of: its marker, how it begins
    "Photoshop's data (IPTC)": (0xED, b"Photoshop 3.0\0"),
    "extended XMP": (0xE1, b"http://ns.adobe.com/xmp/extension/\0"),
}
BEHIND = "a film or other data behind the picture"
PADDING = 16  # bytes behind a picture that are not looked at
NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # in coded data: neither a stuffed byte nor a restart


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment of a JPEG file, to the end of its image or as far as it makes sense."""
    at = 2
    while at + 1 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill bytes may stand before a marker (B.1.1.2)
            at += 1
            continue
        if marker == EOI:
            yield marker, at, at + 2
            return
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        start, at = at, at + 2 + length
        if length < 2 or at > len(data):
            return
        yield marker, start, at
        if marker == SOS:
            found = NEXT_MARKER.search(data, at)
            at = found.start() if found else len(data)


def first_scan(data: bytes) -> int:
    """Where the first scan of a JPEG file begins: after its header, a segment of which may hold a thumbnail."""
    scans = (start for marker, start, _ in segments(data) if marker == SOS)
    return next(scans, data.find(bytes([0xFF, SOS])))


def lacks_scans(data: bytes) -> bool:
    """Whether a JPEG file is a progressive one of which bits of coefficients are in none of its scans (G.1.1.1)."""
    missing: set[tuple[int, int]] = set()  # components and coefficients, of which the last bit has not come
    for marker, start, end in segments(data):
        if marker in PROGRESSIVE:
            missing = {(component, place) for component in data[start + 10 : end : 3] for place in range(64)}
        if marker == SOS and missing:
            first, last, bits = data[end - 3 : end]
            if bits & 15 == 0:
                components = data[start + 5 : end - 3 : 2]
                missing -= {(component, place) for component in components for place in range(first, last + 1)}
    return bool(missing)


def unread(data: bytes) -> tuple[str, ...]:
    """What a JPEG file of one picture holds that is not read, and so in no result."""
    found = []
    for marker, start, end in segments(data):
        found += [what for what, (own, head) in UNREAD.items() if marker == own and data.startswith(head, start + 4)]
        if marker == EOI and len(data[end:].strip(b"\0")) > PADDING:
            found.append(BEHIND)
    return tuple(dict.fromkeys(found))


def stripped(data: bytes) -> bytes:
    """A whole JPEG file without its metadata: all but its picture and what tells the colors and the size of a pixel."""
    kept: list[bytes] = []
    at = 0
    for marker, start, end in segments(data):
        own = marker in PICTURES_OWN and data.startswith(PICTURES_OWN[marker], start + 4)
        if marker == EOI:
            return b"".join((*kept, data[at:end]))
        if marker == COM or (marker in APP and not own):
            kept.append(data[at:start])
            at = end
    return b"".join((*kept, data[at:]))
