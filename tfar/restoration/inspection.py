"""What a file and the pixels of its picture tell of the JPEG it is or was, and what restoration makes of that."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from tfar.errors import ImageError
from tfar.images.depth import channel_bits
from tfar.images.read import SIDEWAYS, Picture, as_file, open_image, orientation, read_image
from tfar.quantization import BLOCK, TABLES, known_luma_tables, nearest_quality
from tfar.traces import Trace, find_trace, find_trace_beneath

LOSSLESS = ("PNG", "BMP", "PPM", "QOI", "GIF")  # formats that keep the pixels they are given
LOSSY_TIFF = ("jpeg", "tiff_jpeg", "webp")  # compressions
NOTHING_LOST = 95  # quality above which nothing is lost that could be restored
SUBSAMPLINGS = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0", (1, 2): "4:4:0", (4, 1): "4:1:1"}
ROWS_REVERSED, COLUMNS_REVERSED = (3, 4, 7, 8), (2, 3, 6, 7)  # by EXIF orientation, in the upright picture

Offset = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class FileFacts:
    """What the header of an image file says.

    Attributes:
        format: Pillow's name, such as ``JPEG``.
        mode: Pillow's name of the kind of pixels, such as ``RGB``.
        bits: of each channel.
        orientation: how the file stores the picture: EXIF's 1 (upright) to 8.
        lossless: whether the file holds exactly the pixels that it was made of.
        tables: of a JPEG file, its quantisation tables ``(8, 8)`` by number, vertical frequencies down, as in the file.
        luma: the number of luma's table, or of a file without luma of its first component's.
        subsampling: of a JPEG file's chroma, such as ``4:2:0``; None for a gray file.
        progressive: whether a JPEG file is.
    """

    format: str
    mode: str
    bits: int
    orientation: int
    lossless: bool
    tables: Mapping[int, np.ndarray]
    luma: int
    subsampling: str | None
    progressive: bool


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What is known about a picture, and what ``tfar restore`` does with it.

    Attributes:
        facts: what the file says.
        height: of the upright picture, in pixels.
        width: of the upright picture, in pixels.
        file_quality: of a JPEG file, libjpeg's quality factor whose luma table is nearest to the file's own.
        encoder: whose luma table the file has: ``standard``, ``mozjpeg``, ``photoshop`` or ``other``.
        earlier: the JPEG that was found in the pixels: which the picture was before it was stored in another way, or
            which a JPEG file was before and which lost more than the file did. Offsets are those in the upright
            picture.
        offset: row and column, 0 to 7 each, of the grid of the JPEG that lost most: ``pixels[row:, column:]`` is on
            it. None where there is no grid.
        quality: of the JPEG that lost most; None where there is none. The caller's word goes before what was found.
        untouched: nothing was lost, as far as can be seen.
        advice: what restoration does, and why: one line.
    """

    facts: FileFacts
    height: int
    width: int
    file_quality: int | None
    encoder: str | None
    earlier: Trace | None
    offset: Offset | None
    quality: int | None
    untouched: bool
    advice: str

    def as_dict(self) -> dict[str, Any]:
        """Everything as values that JSON knows; the keys are those of ``tfar inspect --json``."""
        facts, earlier = self.facts, self.earlier
        return {
            "format": facts.format,
            "width": self.width,
            "height": self.height,
            "mode": facts.mode,
            "bits": facts.bits,
            "orientation": facts.orientation,
            "lossless": facts.lossless,
            "file_quality": self.file_quality,
            "encoder": self.encoder,
            "subsampling": facts.subsampling,
            "progressive": facts.progressive if facts.tables else None,
            "tables": {str(number): table.tolist() for number, table in facts.tables.items()} or None,
            "earlier": earlier
            and {
                "quality": earlier.quality,
                "encoder": earlier.tables,
                "offset": list(earlier.offset),
                "evidence": round(earlier.evidence, 1),
            },
            "offset": self.offset and list(self.offset),
            "quality": self.quality,
            "untouched": self.untouched,
            "advice": self.advice,
        }


def inspect(path: str | Path) -> Inspection:
    """Find out what is known about the picture in an image file.

    Raises:
        ImageError: naming the file, when it is no image or cannot be read.
    """
    pixels = read_image(path)
    return inspect_pixels(pixels, read_facts(path))


def inspect_picture(
    picture: Picture, source: str | Path | bytes, *, quality: int | None = None, page: int = 0
) -> Inspection:
    """:func:`inspect_pixels` for a picture that was read already.

    Args:
        picture: the upright picture.
        source: the path of its file, or its bytes, of which the header is read.
        quality: as for :func:`inspect_pixels`.
        page: which of the file's frames or pages it is; the tables of a JPEG are of the first.
    """
    facts = read_facts(source)
    return inspect_pixels(picture.pixels, dataclasses.replace(facts, tables={}) if page else facts, quality=quality)


def inspect_pixels(pixels: np.ndarray, facts: FileFacts, *, quality: int | None = None) -> Inspection:
    """Find out what is known about a picture that was read already.

    Args:
        pixels: the upright picture, ``(H, W, 3)`` RGB or ``(H, W)`` gray, uint8.
        facts: what :func:`read_facts` says of its file.
        quality: of the JPEG, where one knows better than the file and the pixels.
    """
    height, width = pixels.shape[:2]
    file_quality = encoder = offset = found = None
    if facts.tables:
        table = facts.tables[facts.luma]
        file_quality, encoder = nearest_quality(table), encoder_of(table)
        offset, found = own_offset(facts.orientation, height, width), file_quality
        if facts.mode in ("RGB", "L"):
            earlier = find_trace_beneath(pixels, table.T if facts.orientation in SIDEWAYS else table, offset)
        else:
            earlier = None
    else:
        earlier = find_trace(pixels)
    if earlier:
        offset, found = earlier.offset, earlier.quality
    found = quality or found
    untouched = found > NOTHING_LOST if found else facts.lossless
    return Inspection(
        facts=facts,
        height=height,
        width=width,
        file_quality=file_quality,
        encoder=encoder,
        earlier=earlier,
        offset=offset,
        quality=found,
        untouched=untouched,
        advice=_advice(facts, file_quality, earlier, found, quality, untouched),
    )


def read_facts(source: str | Path | bytes) -> FileFacts:
    """What the header of an image file, or of its bytes, says.

    Raises:
        ImageError: naming the file, when it is no image.
    """
    try:
        with as_file(source) as file, open_image(file) as image:
            return _facts(image, file)
    except Exception as error:  # decoders raise all sorts of errors on bytes that mean to harm
        name = "the image" if isinstance(source, bytes) else source
        raise ImageError(f"{name}: not a readable image") from error


def own_offset(orientation: int, height: int, width: int) -> Offset:
    """Row and column of the first corner of a block of a JPEG file in its upright picture of a height and width.

    The blocks begin in the first corner of the picture as the file stores it, which EXIF's ``orientation`` moves.
    """
    return (
        height % BLOCK if orientation in ROWS_REVERSED else 0,
        width % BLOCK if orientation in COLUMNS_REVERSED else 0,
    )


def encoder_of(table: np.ndarray) -> str:
    """Whose luma table ``(8, 8)`` this is: one of :data:`tfar.quantization.TABLES`, or ``other``."""
    for tables in TABLES:
        if any(np.array_equal(table, known) for known in known_luma_tables(tables)):
            return tables
    return "other"


def _facts(image: Image.Image, file: BinaryIO) -> FileFacts:
    tables = getattr(image, "quantization", None) or {}  # of a JPEG, or of an MPO, which holds several
    layers = getattr(image, "layer", None) or [(1, 1, 1, 0)]
    return FileFacts(
        format=image.format or "",
        mode=image.mode,
        bits=channel_bits(image),
        orientation=orientation(image),
        lossless=_is_lossless(image, file),
        tables={number: np.asarray(table, np.int32).reshape(BLOCK, BLOCK) for number, table in tables.items()},
        luma=layers[0][3],
        subsampling=_subsampling(image),
        progressive="progressive" in image.info,
    )


def _subsampling(image: Image.Image) -> str | None:
    layers: Sequence[tuple[int, int, int, int]] = getattr(image, "layer", ())
    if len(layers) < 3:
        return None
    (_, horizontal, vertical, _), (_, *chroma, _) = layers[:2]
    return SUBSAMPLINGS.get((horizontal // chroma[0], vertical // chroma[1]), "other")


def _is_lossless(image: Image.Image, file: BinaryIO) -> bool:
    if image.format == "TIFF":
        return image.info.get("compression") not in LOSSY_TIFF
    if image.format == "WEBP":
        file.seek(0)
        return _first_webp_picture(file.read(1 << 16)) == b"VP8L"
    return image.format in LOSSLESS


def _first_webp_picture(data: bytes) -> bytes:
    """The name of the chunk that holds the first picture of a WebP file: VP8 (with losses) or VP8L."""
    position = 12
    while position + 8 <= len(data):
        name, size = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], "little")
        if name in (b"VP8 ", b"VP8L"):
            return name
        if name == b"ANMF":  # a frame: a head of 16 bytes, then chunks
            position += 24
        else:
            position += 8 + size + size % 2
    return b""


def _advice(
    facts: FileFacts,
    file_quality: int | None,
    earlier: Trace | None,
    quality: int | None,
    given: int | None,
    untouched: bool,
) -> str:
    what = "pass through: nothing lost" if untouched else "restore"
    if given:
        return f"{what}: quality {given}, as was said"
    if earlier and file_quality:
        return f"{what}: JPEG of quality {file_quality}, before of quality {earlier.quality} on grid {earlier.offset}"
    if earlier:
        return f"{what}: was a JPEG of quality {earlier.quality} on grid {earlier.offset}"
    if file_quality:
        return f"{what}: JPEG of quality {file_quality}"
    if untouched:
        return f"{what} that a grid shows (what was resized after the JPEG has none)"
    return f"{what} blindly: stored with losses as {facts.format}, and no grid of a JPEG"
