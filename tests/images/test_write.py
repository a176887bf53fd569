import dataclasses
import struct

import cv2
import numpy as np
import pytest
from helpers import files_below, save_image
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin
from skimage import data

from tfar.errors import ImageError
from tfar.images import write
from tfar.images.metadata import COMMENT, Metadata
from tfar.images.read import Picture, read_image, read_pictures
from tfar.images.write import WRITABLE, check_target, write_bytes, write_image, write_pictures

COLOR = data.astronaut()[:33, :41]
GRAY = data.camera()[:33, :41]
LOSSY = (".jpg", ".jpeg", ".jpe", ".jfif", ".avif")
EXTRA_SAMPLES, JPEG_TABLES = 338, 347  # tags of TIFF
RNG = np.random.default_rng(0)
ALPHA = RNG.integers(0, 256, COLOR.shape[:2], dtype=np.uint8)


@pytest.mark.parametrize("image", [COLOR, GRAY], ids=["color", "gray"])
@pytest.mark.parametrize("extension", [*WRITABLE, ".PNG"])
def test_every_format(tmp_path, extension, image):
    path = tmp_path / "new" / f"image{extension}"
    write_image(path, image)
    assert files_below(tmp_path) == [f"new/image{extension}"]
    found = read_image(path)
    if extension in (".webp", ".avif") and image is GRAY:
        found = found[..., 0]  # these have no gray
    assert found.shape == image.shape
    assert abs(np.int16(found) - image).max() <= (14 if extension in LOSSY else 0)


def test_jpeg_keeps_the_full_chroma(tmp_path):
    write_image(tmp_path / "image.jpg", COLOR)
    with Image.open(tmp_path / "image.jpg") as image:
        assert [component[1:3] for component in image.layer] == [(1, 1)] * 3


def test_other_extensions_are_refused(tmp_path):
    for name in ("image.xyz", "image"):
        with pytest.raises(ImageError, match=f"{name}: cannot write this format; use one of .png .tif"):
            write_image(tmp_path / name, COLOR)
    assert files_below(tmp_path) == []


def test_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "out").write_text("keep me")
    with pytest.raises(ImageError, match="out/image.png: cannot be written"):
        write_image(tmp_path / "out" / "image.png", COLOR)
    assert (tmp_path / "out").read_text() == "keep me"


def test_folder_in_place_of_the_file(tmp_path):
    save_image(tmp_path / "image.png" / "precious.png", COLOR)
    with pytest.raises(ImageError, match="image.png: cannot be written"):
        write_image(tmp_path / "image.png", GRAY)
    assert files_below(tmp_path) == ["image.png/precious.png"]


def test_interrupted_write_leaves_the_old_file_and_no_part(tmp_path, monkeypatch):
    path = save_image(tmp_path / "image.png", GRAY)

    def fill_disk(image, part, *_, **__):
        part.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fill_disk)
    with pytest.raises(ImageError, match=r"image.png: cannot be written \(No space left on device\)"):
        write_image(path, COLOR)
    assert files_below(tmp_path) == ["image.png"]
    np.testing.assert_array_equal(read_image(path), GRAY)


def gray_profile():
    """The smallest ICC profile of gray: a header, a white point and a tone curve."""
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, 563) + b"\0\0"
    tags = struct.pack(">I4sII4sII", 2, b"wtpt", 156, 20, b"kTRC", 176, 14)
    header = struct.pack(">I4sI4s4s4s", 192, b"\0\0\0\0", 0x02400000, b"mntr", b"GRAY", b"XYZ ") + bytes(12) + b"acsp"
    header += bytes(28) + struct.pack(">3i", 63190, 65536, 54061) + bytes(48)
    return header + tags + white + curve


GRAY_PROFILE = gray_profile()
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def metadata():
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Camera"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2020:01:02 03:04:05"
    return Metadata(
        exif=exif.tobytes(),
        xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
        profile=SRGB,
        resolution=(300.0, 150.0),
        texts={COMMENT: "a comment"},
    ).with_note("1.2.3", "general")


def exif_of(found):
    exif = Image.Exif()
    exif.load(found.exif)
    return exif


@pytest.mark.parametrize(
    ("extension", "depth"), [(".png", 8), (".png", 16), (".tif", 8), (".webp", 8), (".jpg", 8), (".avif", 8)]
)
def test_metadata_are_kept(tmp_path, extension, depth):
    pixels = COLOR if depth == 8 else np.uint16(COLOR) * 257
    path = tmp_path / f"image{extension}"
    write_pictures(path, [Picture(pixels, metadata=metadata())], verify=True)
    found = read_pictures(path)[0].metadata
    assert found.note == "tfar 1.2.3, preset general"
    exif = exif_of(found)
    assert exif[ExifTags.Base.Make] == "Camera"
    assert exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"
    assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] == "2020:01:02 03:04:05"
    assert (found.xmp, found.profile) == (metadata().xmp, metadata().profile)
    if extension in (".png", ".tif", ".jpg"):
        assert found.resolution == pytest.approx((300, 150), abs=0.02)
    else:
        assert (exif[ExifTags.Base.XResolution], exif[ExifTags.Base.YResolution]) == (300, 150)
    if extension in (".png", ".jpg"):
        assert found.texts == {COMMENT: "a comment"}
    else:
        assert exif[ExifTags.Base.ImageDescription] == "a comment"


@pytest.mark.parametrize("how", ["read from TIFF", "of another file"])
def test_no_tag_that_tells_how_other_pixels_lie_goes_into_tiff(tmp_path, how):
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Camera"
    exif[EXTRA_SAMPLES] = 0  # of which RGB has none
    exif[JPEG_TABLES] = b"tables"
    picture = Picture(COLOR, metadata=Metadata(exif=exif.tobytes()))
    if how == "read from TIFF":
        Image.fromarray(COLOR).save(tmp_path / "given.tif", compression="jpeg")
        rgbx = Image.merge("RGBX", [Image.fromarray(plane) for plane in np.dstack([COLOR, ALPHA]).transpose(2, 0, 1)])
        rgbx.save(tmp_path / "extra.tif", exif=exif)
        assert not read_pictures(tmp_path / "given.tif")[0].metadata.exif
        [picture] = read_pictures(tmp_path / "extra.tif")
    write_pictures(tmp_path / "a.tif", [picture])
    with Image.open(tmp_path / "a.tif") as image:
        np.testing.assert_array_equal(np.asarray(image), COLOR)
        assert not {EXTRA_SAMPLES, JPEG_TABLES} & set(image.tag_v2) and image.tag_v2[ExifTags.Base.Make] == "Camera"


def test_what_is_stripped(tmp_path):
    write_pictures(tmp_path / "a.png", [Picture(COLOR, metadata=metadata().stripped())])
    found = read_pictures(tmp_path / "a.png")[0].metadata
    assert found == Metadata(profile=metadata().profile)


def test_metadata_survive_from_format_to_format(tmp_path):
    write_pictures(tmp_path / "a.jpg", [Picture(COLOR, metadata=metadata())])
    for before, after in (("a.jpg", "b.tif"), ("b.tif", "c.png"), ("c.png", "d.webp"), ("d.webp", "e.jpg")):
        write_pictures(tmp_path / after, read_pictures(tmp_path / before))
    found = read_pictures(tmp_path / "e.jpg")[0].metadata
    assert (found.note, found.xmp, found.profile) == (metadata().note, metadata().xmp, metadata().profile)
    assert exif_of(found).get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"


def test_a_profile_for_gray_is_not_given_to_colors(tmp_path):
    gray = metadata()
    curves = dataclasses.replace(gray, profile=GRAY_PROFILE)
    for extension, image, kept in ((".png", GRAY, True), (".webp", GRAY, False), (".png", COLOR, False)):
        write_pictures(tmp_path / f"a{extension}", [Picture(image, metadata=curves)])
        assert (read_pictures(tmp_path / f"a{extension}")[0].metadata.profile == GRAY_PROFILE) == kept


@pytest.mark.parametrize("image", [COLOR, GRAY], ids=["color", "gray"])
@pytest.mark.parametrize("extension", [".png", ".tif", ".webp"])
def test_opacity_is_kept_and_so_are_hidden_colors(tmp_path, extension, image):
    path = tmp_path / f"image{extension}"
    alpha = np.where(ALPHA < 128, 0, ALPHA)
    write_pictures(path, [Picture(image, np.uint8(alpha))], verify=True)
    [found] = read_pictures(path)
    np.testing.assert_array_equal(found.alpha, alpha)
    np.testing.assert_array_equal(found.pixels if found.pixels.ndim == image.ndim else found.pixels[..., 0], image)


@pytest.mark.parametrize("image", [COLOR, GRAY], ids=["color", "gray"])
@pytest.mark.parametrize("alpha", [None, ALPHA], ids=["opaque", "opacity"])
def test_16_bits_are_written(tmp_path, image, alpha):
    deep = np.uint16(image) * 256 + 77
    opacity = None if alpha is None else np.uint16(alpha) * 257
    write_pictures(tmp_path / "a.png", [Picture(deep, opacity)])
    found = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    colors = found[..., 2::-1] if found.ndim == 3 else found
    np.testing.assert_array_equal(colors, deep if colors.ndim == deep.ndim else np.dstack([deep] * 3))
    if alpha is not None:
        np.testing.assert_array_equal(found[..., 3], opacity)


@pytest.mark.parametrize("extension", [".png", ".webp", ".tif"])
def test_frames_are_written_with_their_times(tmp_path, extension):
    frames = [Picture(np.roll(COLOR, 9 * i, axis=1), duration=50.0 + 10 * i) for i in range(3)]
    write_pictures(tmp_path / f"a{extension}", frames, verify=True)
    found = read_pictures(tmp_path / f"a{extension}", frames="all")
    for frame, written in zip(frames, found, strict=True):
        np.testing.assert_array_equal(written.pixels, frame.pixels)
        assert written.duration == (None if extension == ".tif" else frame.duration)


def test_frames_of_an_animated_png_keep_their_parts_of_a_millisecond(tmp_path):
    frames = [Picture(np.roll(COLOR, 9 * i, axis=1), duration=100 / 3) for i in range(3)]
    write_pictures(tmp_path / "a.png", frames, verify=True)
    found = read_pictures(tmp_path / "a.png", frames="all")
    assert [picture.duration for picture in found] == pytest.approx([100 / 3] * 3)


@pytest.mark.parametrize("extension", [".png", ".webp"])
@pytest.mark.parametrize("order", [(0, 0, 1, 1, 1, 0), (0, 1, 1)], ids=str)
def test_frames_that_are_repeated_are_the_same_picture(tmp_path, extension, order):
    frames = [Picture(np.roll(COLOR, 9 * i, axis=1), duration=50.0) for i in order]
    write_pictures(tmp_path / f"a{extension}", frames, verify=True)
    with pytest.raises(ImageError, match="does not decode to the picture"):
        write_wrongly(
            tmp_path / f"b{extension}", frames, [*frames[:-1], dataclasses.replace(frames[-1], duration=90.0)]
        )


@pytest.mark.parametrize("extension", [".png", ".webp"])
def test_what_is_seen_of_an_animation_counts_and_of_webp_nothing_else(tmp_path, extension):
    rng = np.random.default_rng(1)
    alpha = np.where(ALPHA < 128, 0, ALPHA).astype(np.uint8)
    frames = [Picture(rng.integers(0, 256, COLOR.shape, np.uint8), alpha, duration=50.0) for _ in range(3)]
    write_pictures(tmp_path / f"a{extension}", frames, verify=True)
    for frame, written in zip(frames, read_pictures(tmp_path / f"a{extension}", frames="all"), strict=True):
        np.testing.assert_array_equal(written.pixels[alpha > 0], frame.pixels[alpha > 0])
    seen = dataclasses.replace(frames[2], pixels=frames[2].pixels ^ np.uint8(alpha > 0)[..., None])
    with pytest.raises(ImageError, match="does not decode to the picture"):
        write_wrongly(tmp_path / f"b{extension}", frames, [*frames[:2], seen])


def write_wrongly(path, pictures, written):
    """Write and verify pictures in place of which others are written."""
    encode = write.encode
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "encode", lambda file, _, *rest: encode(file, written, *rest))
        write_pictures(path, pictures, verify=True)


@pytest.mark.parametrize("extension", [".png", ".webp"])
def test_the_default_image_of_an_animated_png_is_no_frame(tmp_path, extension):
    images = [Image.fromarray(np.roll(COLOR, 9 * i, axis=1)) for i in range(3)]
    images[0].save(tmp_path / "a.png", save_all=True, append_images=images[1:], duration=[50, 70], default_image=True)
    given = read_pictures(tmp_path / "a.png", frames="all")
    assert [picture.duration for picture in given] == [None, 50, 70]
    write_pictures(tmp_path / f"b{extension}", given)
    found = read_pictures(tmp_path / f"b{extension}", frames="all")
    kept = given[1:] if extension == ".webp" else given
    for before, after in zip(kept, found, strict=True):
        np.testing.assert_array_equal(after.pixels, before.pixels)
        assert after.duration == before.duration


@pytest.mark.parametrize("plays", [0, 1, 3, 65536])
@pytest.mark.parametrize("extension", [".png", ".webp"])
def test_an_animation_is_played_as_often_as_before(tmp_path, extension, plays):
    frames = [Picture(np.roll(COLOR, 9 * i, axis=1), duration=50.0, plays=plays) for i in range(2)]
    write_pictures(tmp_path / f"a{extension}", frames)
    most = 65535 if extension == ".webp" else plays
    assert read_pictures(tmp_path / f"a{extension}")[0].plays == min(plays, most)


@pytest.mark.parametrize(("given", "plays"), [({}, 1), ({"loop": 0}, 0), ({"loop": 2}, 3)])
def test_a_gif_is_played_once_and_as_often_again_as_it_says(tmp_path, given, plays):
    frames = [Image.fromarray(np.roll(COLOR, 9 * i, axis=1)) for i in range(2)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], **given)
    write_pictures(tmp_path / "a.png", read_pictures(tmp_path / "a.gif", frames="all"))
    assert read_pictures(tmp_path / "a.gif")[0].plays == read_pictures(tmp_path / "a.png")[0].plays == plays


def test_an_animation_that_says_nothing_is_played_for_ever(tmp_path):
    frames = [Image.fromarray(np.roll(COLOR, 9 * i, axis=1)) for i in range(2)]
    frames[0].save(tmp_path / "a.avif", save_all=True, append_images=frames[1:])
    found = read_pictures(tmp_path / "a.avif", frames="all")
    assert len(found) == 2 and found[0].plays == 0


def test_opacity_without_a_transparent_pixel_is_no_reason_against_jpeg(tmp_path):
    write_pictures(tmp_path / "a.jpg", [Picture(COLOR, np.full(COLOR.shape[:2], 255, np.uint8))])
    assert read_pictures(tmp_path / "a.jpg")[0].alpha is None


def test_metadata_that_a_format_cannot_hold_are_named(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "x" * 70000
    picture = Picture(COLOR, metadata=Metadata(exif=exif.tobytes()))
    write_pictures(tmp_path / "a.png", [picture])
    with pytest.raises(ImageError, match="a.jpg: cannot be written .EXIF data is too long.$") as error:
        write_pictures(tmp_path / "a.jpg", [picture])
    assert error.value.advice == "--strip leaves metadata out"


@pytest.mark.parametrize("extension", [".png", ".jpg", ".webp", ".tif"])
def test_a_resolution_that_is_no_number_is_left_out(tmp_path, extension):
    exif = Image.Exif()
    exif[ExifTags.Base.XResolution] = exif[ExifTags.Base.YResolution] = TiffImagePlugin.IFDRational(0, 0)
    Image.fromarray(COLOR).save(tmp_path / "given.tif", exif=exif)
    [given] = read_pictures(tmp_path / "given.tif")
    assert given.metadata.resolution is None
    write_pictures(tmp_path / f"a{extension}", [given])
    np.testing.assert_allclose(read_pictures(tmp_path / f"a{extension}")[0].pixels, COLOR, atol=60)


WIDE = np.broadcast_to(np.uint8(0), (2, 16384))


@pytest.mark.parametrize(
    ("name", "pictures", "message"),
    [
        ("a.webp", [Picture(WIDE)], "a.webp: WEBP holds at most 16383 pixels a side, not 16384x2"),
        ("a.jpg", [Picture(np.broadcast_to(np.uint8(0), (65501, 1)))], "JPEG holds at most 65500 pixels a side"),
        ("a.jpg", [Picture(COLOR, ALPHA)], "JPEG has no transparency, which the picture has; choose another format"),
        ("a.bmp", [Picture(COLOR, ALPHA)], "BMP has no transparency"),
        ("a.webp", [Picture(np.uint16(COLOR))], "16 bits a channel are written as PNG"),
        ("a.jpg", [Picture(COLOR)] * 2, "JPEG holds one picture, not 2; choose png, webp or tiff"),
        ("a.webp", [Picture(COLOR), Picture(COLOR[1:])], "pages of several sizes are written as TIFF only"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_format_cannot_hold(tmp_path, name, pictures, message):
    with pytest.raises(ImageError, match=message):
        write_pictures(tmp_path / name, pictures)
    assert files_below(tmp_path) == []


def test_nothing_is_replaced_by_what_does_not_decode(tmp_path, monkeypatch):
    path = save_image(tmp_path / "a.png", GRAY)
    before = path.read_bytes()
    problem = f"^{path}: what was written does not decode to the picture; nothing was replaced$"
    for written in (COLOR[1:], COLOR[..., ::-1]):
        with pytest.raises(ImageError, match=problem):
            write_wrongly(path, [Picture(COLOR)], [Picture(written)])
        assert path.read_bytes() == before and files_below(tmp_path) == ["a.png"]
    monkeypatch.setattr(write, "encode", lambda file, *_: file.write(b"no picture"))
    with pytest.raises(ImageError, match=problem):
        write_pictures(path, [Picture(COLOR)], verify=True)


def test_bytes_that_hold_other_pictures_replace_nothing(tmp_path):
    path = save_image(tmp_path / "a.png", GRAY)
    before, pictures = path.read_bytes(), read_pictures(path)
    other = save_image(tmp_path / "b.png", 255 - GRAY).read_bytes()
    with pytest.raises(ImageError, match=f"^{path}: what was written does not decode to the picture"):
        write_bytes(path, other, same=pictures)
    assert path.read_bytes() == before
    write_bytes(path, other)
    assert path.read_bytes() == other


def test_what_replaces_a_file_has_its_owner(tmp_path, monkeypatch):
    path = save_image(tmp_path / "a.png", GRAY)
    path.chmod(0o640)
    given = path.stat()
    owners = []
    for refused in (False, True):

        def chown(part, *owner, refused=refused):
            owners.append(owner)
            if refused:
                raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(write.os, "chown", chown)
        write_image(path, COLOR)
        assert owners.pop() == (given.st_uid, given.st_gid) and not owners
        assert path.stat().st_mode == given.st_mode


def test_targets_are_checked_before_anything_is_computed(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    check_target(tmp_path / "new" / "deep" / "a.png")
    assert files_below(tmp_path) == ["file"]
    for path, message in (
        (tmp_path / "file" / "a.png", "file is no folder"),
        (tmp_path / ("x" * 252 + ".png"), "the name is longer than 255 bytes"),
        (tmp_path / ("ä" * 126 + ".png"), "the name is longer than 255 bytes"),
        (tmp_path / ("x" * 256) / "a.png", "the name is longer than 255 bytes"),
    ):
        with pytest.raises(ImageError, match=message):
            check_target(path)
    monkeypatch.setattr(write.os, "access", lambda path, mode: False)
    with pytest.raises(ImageError, match="no permission in"):
        check_target(tmp_path / "a.png")
