"""What an image file says besides its pixels, and the note by which tfar knows its own results."""

import contextlib
import dataclasses
import io
import math
from collections.abc import Mapping
from typing import Any

from PIL import ExifTags, Image, ImageCms, PngImagePlugin, TiffImagePlugin

COMMENT = "Comment"  # the text of a PNG that a JPEG's comment becomes
XMP_TAG, PROFILE_TAG = 700, 34675  # of TIFF
NOTE_START = "tfar "
RAW = "Raw profile type "  # how texts of a PNG begin that hold, in hexadecimal, what ImageMagick has no other place for
TURNED_RAW = {f"{RAW}{kind}" for kind in ("exif", "APP1", "xmp")}  # those that tell how the picture is turned
TIFF_TEXTS = {  # TIFF tags that describe the picture
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.HostComputer,
}
TIFF_RESOLUTION = {ExifTags.Base.XResolution, ExifTags.Base.YResolution, ExifTags.Base.ResolutionUnit}
TIFF_LAYOUT = {*range(254, 348), *range(512, 533)} - TIFF_TEXTS - TIFF_RESOLUTION  # how pixels lie in their file


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What goes from a file to the file of its restored picture.

    Attributes:
        exif: EXIF as Pillow takes it (a TIFF structure), of an upright picture, without a thumbnail.
        xmp: an XMP packet.
        profile: the ICC profile of the pixels' colors.
        resolution: dots per inch, horizontal and vertical.
        texts: keyword -> text, as in PNG files; the comment of a JPEG is ``Comment``.
    """

    exif: bytes = b""
    xmp: bytes = b""
    profile: bytes = b""
    resolution: tuple[float, float] | None = None
    texts: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def stripped(self) -> "Metadata":
        """The color profile alone, without which the colors would be others."""
        return Metadata(profile=self.profile)

    @property
    def note(self) -> str | None:
        """What :meth:`with_note` has written, or None."""
        value = _parsed(self.exif).get(ExifTags.Base.ProcessingSoftware)
        return value if isinstance(value, str) and value.startswith(NOTE_START) else None

    def with_note(self, version: str, preset: str) -> "Metadata":
        """Say in EXIF's ProcessingSoftware which version of tfar and which preset made the picture."""
        exif = _parsed(self.exif)
        exif[ExifTags.Base.ProcessingSoftware] = f"{NOTE_START}{version}, preset {preset}"
        return dataclasses.replace(self, exif=exif.tobytes())

    def save_options(self, form: str, *, gray: bool) -> dict[str, Any]:
        """The arguments of Pillow's ``save`` that write all of this that a format holds.

        Args:
            form: Pillow's name of the format: JPEG, PNG, WEBP, TIFF, AVIF or BMP.
            gray: whether the pixels are written in one channel; a profile of another kind of color is left out.
        """
        resolution = {"dpi": self.resolution} if self.resolution else {}
        if form == "BMP":
            return resolution
        options: dict[str, Any] = dict(resolution)
        if self.profile_fits(gray=gray):
            options["icc_profile"] = self.profile
        exif = _parsed(self.exif)
        if form in ("WEBP", "AVIF", "TIFF"):
            self._put_into(exif)
        if form == "TIFF":
            _leave_out(exif, TIFF_LAYOUT)
        if form == "TIFF" and self.xmp:
            exif[XMP_TAG] = self.xmp
        elif form != "PNG" and self.xmp:
            options["xmp"] = self.xmp
        if len(exif):
            options["exif"] = exif
        if form == "PNG":
            options["pnginfo"] = self._png_texts()
        if form == "JPEG" and COMMENT in self.texts:
            options["comment"] = self.texts[COMMENT]
        return options

    def profile_fits(self, *, gray: bool) -> bool:
        """Whether there is a profile, of the kind of color in which the pixels are written."""
        return bool(self.profile) and _is_gray(self.profile) == gray

    def _put_into(self, exif: Image.Exif):
        """Resolution and comment, for formats that have no other place for them."""
        if self.resolution and ExifTags.Base.XResolution not in exif:
            exif[ExifTags.Base.XResolution], exif[ExifTags.Base.YResolution] = self.resolution
            exif[ExifTags.Base.ResolutionUnit] = 2  # inches
        if COMMENT in self.texts and ExifTags.Base.ImageDescription not in exif:
            exif[ExifTags.Base.ImageDescription] = self.texts[COMMENT]

    def _png_texts(self) -> PngImagePlugin.PngInfo:
        chunks = PngImagePlugin.PngInfo()
        for keyword, text in self.texts.items():
            chunks.add_itxt(keyword, text)
        if self.xmp:
            chunks.add_itxt("XML:com.adobe.xmp", self.xmp.decode("utf-8", "replace"))
        return chunks


def take_over_raw_xmp(image: Image.Image):
    """Have the XMP that ImageMagick may have written as a text of a PNG where Pillow reads, and turns, others."""
    raw = image.info.get(f"{RAW}xmp", "") if "XML:com.adobe.xmp" not in image.info else ""
    with contextlib.suppress(ValueError):  # hexadecimal after an empty line, the kind and the length
        if packet := bytes.fromhex("".join(raw.split("\n")[3:])):
            image.info["xmp"] = packet


def metadata_of(image: Image.Image, upright: Image.Image) -> Metadata:
    """The metadata of an open image; EXIF and XMP, which tell how it is turned, are those of the upright copy."""
    exif = upright.getexif()
    if image.format == "TIFF":
        _leave_out(exif, {XMP_TAG, PROFILE_TAG} | TIFF_LAYOUT | TIFF_RESOLUTION)
    xmp = upright.info.get("xmp") or upright.info.get("XML:com.adobe.xmp") or tiff_tag(image, XMP_TAG) or b""
    taken = {"XML:com.adobe.xmp", *TURNED_RAW}
    texts = {key: str(text) for key, text in getattr(image, "text", {}).items() if key not in taken}
    if comment := image.info.get("comment"):
        texts[COMMENT] = comment.decode("utf-8", "replace") if isinstance(comment, bytes) else str(comment)
    resolution = tuple(map(float, image.info.get("dpi") or ()))
    if image.format == "TIFF" and tiff_tag(image, ExifTags.Base.XResolution) is None:
        resolution = ()  # Pillow says 1 where the file says nothing
    return Metadata(
        exif=exif.tobytes() if len(exif) else b"",
        xmp=xmp.encode() if isinstance(xmp, str) else bytes(xmp),
        profile=image.info.get("icc_profile") or b"",
        resolution=resolution if len(resolution) == 2 and all(0 < dots < math.inf for dots in resolution) else None,
        texts=texts,
    )


def _parsed(exif: bytes) -> Image.Exif:
    parsed = Image.Exif()
    if exif:
        parsed.load(exif)
    return parsed


def _leave_out(exif: Image.Exif, tags: set[int]):
    for tag in tags & set(exif):
        del exif[tag]


def tiff_tag(image: Image.Image, tag: int):
    """The value of a tag of an open TIFF file; None where it has none, and of other images."""
    return image.tag_v2.get(tag) if isinstance(image, TiffImagePlugin.TiffImageFile) else None


def _is_gray(profile: bytes) -> bool:
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space.strip() == "GRAY"
    except OSError:
        return False
