import io
import os
import struct
import threading
import time
import zlib

import cv2
import numpy as np
import pytest
import skimage.data
from helpers import unreadable_exif, warned
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from tfar import jpeg
from tfar.data import sources
from tfar.errors import ImageError
from tfar.images import read
from tfar.restoration.inspection import read_facts

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (40, 50, 3), dtype=np.uint8)
GRAY = RNG.integers(0, 256, (40, 50), dtype=np.uint8)
GRAY_16 = RNG.integers(0, 1 << 16, (40, 50), dtype=np.uint16)


LOSSLESS = {"WEBP": {"lossless": True, "exact": True}}


def save(path, image, **options):
    Image.fromarray(image).save(path, **options)
    return path


def coded(image, form, **options):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, form, **options)
    return buffer.getvalue()


def test_reads_rgb(tmp_path):
    np.testing.assert_array_equal(read.read_image(save(tmp_path / "a.png", COLOR)), COLOR)


def test_reads_gray(tmp_path):
    np.testing.assert_array_equal(read.read_image(save(tmp_path / "a.png", GRAY)), GRAY)


@pytest.mark.parametrize("image", [COLOR, GRAY])
def test_reads_jpeg_as_the_codec_decodes_it(tmp_path, image):
    (tmp_path / "a.jpg").write_bytes(jpeg.encode(image, 30))
    np.testing.assert_array_equal(read.read_image(tmp_path / "a.jpg"), jpeg.compress(image, 30))


@pytest.mark.parametrize("image", [COLOR, GRAY])
def test_drops_transparency(tmp_path, image):
    alpha = RNG.integers(0, 256, (40, 50), dtype=np.uint8)
    path = save(tmp_path / "a.png", np.dstack([image, alpha]))
    np.testing.assert_array_equal(read.read_image(path), image)


def test_a_palette_becomes_rgb(tmp_path):
    indices = Image.fromarray(GRAY % 3, "P")
    indices.putpalette([255, 0, 0, 0, 128, 0, 7, 8, 9])
    indices.save(tmp_path / "a.png")
    expected = np.uint8([[255, 0, 0], [0, 128, 0], [7, 8, 9]])[GRAY % 3]
    np.testing.assert_array_equal(read.read_image(tmp_path / "a.png"), expected)


def test_a_cmyk_jpeg_becomes_rgb(tmp_path):
    Image.new("CMYK", (50, 40), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    red = np.broadcast_to([255, 0, 0], (40, 50, 3))
    np.testing.assert_allclose(read.read_image(tmp_path / "a.jpg"), red, atol=2)


def test_black_and_white_becomes_gray(tmp_path):
    Image.fromarray(GRAY > 99).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read.read_image(tmp_path / "a.png"), np.where(GRAY > 99, 255, 0))


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bits_are_scaled_to_8(tmp_path, name):
    result = read.read_image(save(tmp_path / name, GRAY_16))
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, GRAY_16 // 256)


@pytest.mark.parametrize(("maximum", "bits"), [(65535, 16), (4095, 16), (100, 8)])
@pytest.mark.parametrize("kind", [b"P5", b"P6"], ids=["gray", "color"])
def test_a_pnm_is_scaled_to_8_bits_whatever_its_maximum(maximum, bits, kind):
    levels = np.uint16(np.rint(GRAY_16 / 65535 * maximum))
    content = np.repeat(levels, 3) if kind == b"P6" else levels
    data = b"%b 50 40 %d\n" % (kind, maximum) + content.astype(">u2" if maximum > 255 else "u1").tobytes()
    [picture] = read.read_pictures(data)
    assert picture.bits == read_facts(data).bits == bits
    shown = picture.pixels if kind == b"P5" else picture.pixels[..., 0]
    np.testing.assert_allclose(np.float32(shown), levels / maximum * 255, atol=1)


def with_tag(tiff, tag, value):
    """A little-endian TIFF file with another value of a tag that holds one short number."""
    at = tiff.index(struct.pack("<HHI", tag, 3, 1)) + 8
    return tiff[:at] + struct.pack("<H", value) + tiff[at + 2 :]


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_16_bits_of_which_0_is_white(compression):
    data = with_tag(coded(GRAY_16, "TIFF", compression=compression), 262, 0)
    np.testing.assert_array_equal(read.read_image(data), 255 - GRAY_16 // 256)


def test_12_bits():
    levels = np.uint8(GRAY_16 >> 4 & 15), np.uint8(GRAY_16 >> 8)
    nibbles = np.dstack([levels[1] >> 4, levels[1] & 15, levels[0]]).reshape(40, 75, 2)
    data = with_tag(coded(nibbles[..., 0] << 4 | nibbles[..., 1], "TIFF"), 258, 12)
    data = data.replace(struct.pack("<HHII", 256, 4, 1, 75), struct.pack("<HHII", 256, 4, 1, 50))
    [picture] = read.read_pictures(data)
    assert picture.bits == read_facts(data).bits == 12
    np.testing.assert_array_equal(picture.pixels, GRAY_16 // 256)


@pytest.mark.parametrize("image", [GRAY_16, GRAY], ids=["16", "8"])
def test_signed_numbers_are_refused(image):
    with pytest.raises(ImageError, match="the image: signed numbers, of a range that the file does not tell"):
        read.read_image(coded(image, "TIFF", tiffinfo={339: 2}))


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_the_bits_of_an_avif_are_told(bits):
    levels = np.dstack([GRAY_16 >> 16 - bits] * 3).astype(np.uint8 if bits == 8 else np.uint16)
    data = cv2.imencode(".avif", levels, [cv2.IMWRITE_AVIF_DEPTH, bits])[1].tobytes()
    assert read.read_pictures(data)[0].bits == read_facts(data).bits == bits
    image = Image.open(io.BytesIO(data))
    image.load()
    assert read.picture_of(image).bits == 8  # whose file is closed


def broken_files(folder):
    """Files that are no images, by what is wrong with them."""
    whole = jpeg.encode(RNG.integers(0, 256, (90, 90, 3), dtype=np.uint8), 90)
    (folder / "zero.png").write_bytes(b"")
    (folder / "text.jpg").write_text("not an image")
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.mark.parametrize(
    "name, reason",
    [
        ("zero.png", "unknown format"),
        ("text.jpg", "unknown format"),
        ("truncated.jpg", "truncated"),
        ("missing.jpg", "no such file"),
    ],
)
def test_an_unreadable_file_is_named_in_one_line(tmp_path, name, reason):
    with pytest.raises(ImageError, match=reason) as error:
        read.read_image(broken_files(tmp_path) / name)
    assert str(error.value).count(str(tmp_path / name)) == 1
    assert "\n" not in str(error.value)


def test_a_folder_is_no_image(tmp_path):
    with pytest.raises(ImageError, match=str(tmp_path)):
        read.read_image(tmp_path)


@pytest.mark.parametrize("form", ["TIFF", "PNG"])
def test_frames_and_pages_are_held_to_the_limit_together_before_they_are_decoded(form):
    data = animation(form)
    assert len(read.read_pictures(data, frames="all", max_megapixels=0.006)) == 3
    assert len(read.read_pictures(data, max_megapixels=0.002)) == 1
    with pytest.raises(ImageError, match="the image: 3 of its frames or pages are 0 megapixels, the limit is 0.005$"):
        read.read_pictures(data, frames="all", max_megapixels=0.005)
    huge = struct.pack("<HHII", 256, 4, 1, 1 << 20)
    at = data.rfind(struct.pack("<HHII", 256, 4, 1, 50))
    if form == "TIFF":
        with pytest.raises(ImageError, match="the image: 3 of its frames or pages are 42 megapixels"):
            read.read_pictures(data[:at] + huge + data[at + 12 :], frames="all", max_megapixels=1)


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path):
    path = save(tmp_path / "huge.png", COLOR)
    path.write_bytes(path.read_bytes()[:60])  # the header only
    with pytest.raises(ImageError, match="huge.png: 50x40 are 0 megapixels, the limit is 0.0019$"):
        read.read_pictures(path, max_megapixels=0.0019)
    with pytest.raises(ImageError, match="huge.png: not a readable image"):
        read.read_pictures(path, max_megapixels=0.002)


def test_pillow_limit_on_pixels_does_not_matter_and_stays(tmp_path, monkeypatch):
    path = save(tmp_path / "large.png", COLOR)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 800)
    np.testing.assert_array_equal(read.read_image(path), COLOR)
    assert read.image_size(path) == (40, 50)
    assert Image.MAX_IMAGE_PIXELS == 800


def test_two_threads_do_not_open_at_a_time_while_the_limit_is_set_aside(monkeypatch):
    limit, begin, inside, seen = Image.MAX_IMAGE_PIXELS, Image.open, [], []

    def slow(*arguments, **options):
        inside.append(1)
        time.sleep(0.05)
        seen.append(len(inside))
        inside.pop()
        return begin(*arguments, **options)

    monkeypatch.setattr(Image, "open", slow)
    threads = [threading.Thread(target=read.read_image, args=(coded(COLOR, "PNG"),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1, 1] and Image.MAX_IMAGE_PIXELS == limit


class Pipe:
    """A file that cannot be sought."""

    def __init__(self, data):
        self.read = io.BytesIO(data).read

    def seekable(self):
        return False


def test_a_file_object_is_read_from_its_start():
    buffer = io.BytesIO()
    Image.fromarray(COLOR).save(buffer, "PNG")
    for source in (buffer, buffer, Pipe(buffer.getvalue())):
        np.testing.assert_array_equal(read.read_image(source), COLOR)


def test_unreadable_images_are_left_out_of_the_training(tmp_path):
    path = save(tmp_path / "bad.png", COLOR)
    path.write_bytes(path.read_bytes()[:20])
    save(tmp_path / "good.png", COLOR)
    (training, _), messages = warned(sources.load_split, str(tmp_path), 0.0, 16)
    assert [image.name for image in training] == [str(tmp_path / "good.png")]
    assert len(messages) == 1 and str(path) in messages[0]


def test_images_are_found_in_all_subfolders_by_content_and_by_extension(tmp_path):
    images = ["b.JPG", "empty.heic", "no extension", "sub/a.png", "sub/deeper/c.tiff", "sub/wrong.txt"]
    others = {
        ".hidden.png": "hidden",
        ".part-1-a.png": "hidden",
        "._a.jpg": "hidden",
        ".thumbnails": "hidden",
        "notes.txt": "no image",
        "folder.png/link": "a link to a folder",
        "gone.png": "a broken link",
        "pipe.png": "no regular file",
    }
    for name in [*images, *others]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(COLOR).save(tmp_path / name, "PNG")
    for name in (".thumbnails", "folder.png/link", "gone.png", "pipe.png"):
        (tmp_path / name).unlink()
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / ".thumbnails").mkdir()
    save(tmp_path / ".thumbnails" / "a.png", COLOR)
    (tmp_path / "folder.png" / "link").symlink_to(tmp_path)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "empty.heic").write_bytes(b"")
    found, passed = read.find_images(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in found] == images
    assert {str(path.relative_to(tmp_path)): reason for path, reason in passed.items()} == others
    assert read.image_files(tmp_path) == found
    found, passed = read.find_images(tmp_path, recursive=False)
    assert [path.name for path in found] == images[:3]
    assert passed[tmp_path / "sub"] == passed[tmp_path / "folder.png"] == "a subfolder"


def test_unreadable_folders_are_told(tmp_path, monkeypatch):
    save(tmp_path / "a.png", COLOR)
    (tmp_path / "closed").mkdir()
    scan = read.os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(read.os, "scandir", refuse)
    assert read.find_images(tmp_path) == (
        [tmp_path / "a.png"],
        {tmp_path / "closed": "unreadable folder (Permission denied)"},
    )


# What a file holds besides colors.

ALPHA = RNG.integers(0, 256, (40, 50), dtype=np.uint8)


@pytest.mark.parametrize("image", [COLOR, GRAY], ids=["color", "gray"])
@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
def test_opacity_is_kept(image, form):
    [picture] = read.read_pictures(coded(np.dstack([image, ALPHA]), form, **LOSSLESS.get(form, {})))
    np.testing.assert_array_equal(picture.alpha, ALPHA)
    expected = image if image.ndim == 3 or form != "WEBP" else np.dstack([image] * 3)
    np.testing.assert_array_equal(picture.pixels, expected)


def test_a_transparent_palette_and_a_transparent_color():
    indices = Image.fromarray(GRAY % 3, "P")
    indices.putpalette([255, 0, 0, 0, 128, 0, 7, 8, 9])
    buffer = io.BytesIO()
    indices.save(buffer, "PNG", transparency=1)
    [picture] = read.read_pictures(buffer.getvalue())
    np.testing.assert_array_equal(picture.pixels, np.uint8([[255, 0, 0], [0, 128, 0], [7, 8, 9]])[GRAY % 3])
    np.testing.assert_array_equal(picture.alpha, np.where(GRAY % 3 == 1, 0, 255))
    [picture] = read.read_pictures(coded(GRAY, "PNG", transparency=int(GRAY[0, 0])))
    np.testing.assert_array_equal(picture.alpha, np.where(GRAY == GRAY[0, 0], 0, 255))
    assert picture.pixels.ndim == 2
    [picture] = read.read_pictures(coded(COLOR, "PNG"))
    assert picture.alpha is None


def png(rows, bits, color, transparent):
    """A PNG file of rows of bytes, with a transparent level or color."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 50, 40, bits, color, 0, 0, 0)), (b"tRNS", transparent)]
    chunks += [(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))), (b"IEND", b"")]
    file = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    file.seek(0, io.SEEK_END)
    for kind, content in chunks:
        PngImagePlugin.putchunk(file, kind, content)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["gray", "color"])
def test_a_transparent_color_of_16_bits(kind):
    levels = GRAY_16.copy()
    levels[1, 1] = levels[0, 0] ^ 1  # is not transparent, although it is the same in 8 bits
    channels = 3 if kind == "color" else 1
    rows = np.repeat(levels[..., None], channels, axis=2).astype(">u2")
    [picture] = read.read_pictures(png(rows, 16, 2 if kind == "color" else 0, rows[0, 0].tobytes()))
    np.testing.assert_array_equal(picture.alpha, np.where(levels == levels[0, 0], 0, 255))
    np.testing.assert_array_equal(picture.pixels, np.squeeze(rows // 256))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_transparent_level_of_few_bits(bits):
    levels = GRAY >> 8 - bits
    planes = np.unpackbits(levels[..., None], axis=2)[..., 8 - bits :].reshape(40, -1)
    [picture] = read.read_pictures(png(np.packbits(planes, axis=1), bits, 0, b"\0\1"))
    np.testing.assert_array_equal(picture.alpha, np.where(levels == 1, 0, 255))
    np.testing.assert_array_equal(picture.pixels, levels * (255 // (2**bits - 1)))


@pytest.mark.parametrize("extension", [".png", ".tiff", ".pnm"])
@pytest.mark.parametrize("image", [GRAY_16, np.dstack([GRAY_16] * 3)], ids=["gray", "color"])
def test_16_bits_are_told(extension, image):
    data = cv2.imencode(extension, image)[1].tobytes()
    [picture] = read.read_pictures(data)
    assert picture.bits == 16
    np.testing.assert_allclose(np.float32(picture.pixels), image // 256, atol=1)


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_32_bits_are_refused(tmp_path, kind):
    path = save(tmp_path / "a.tif", GRAY.astype(kind))
    with pytest.raises(ImageError, match=f"{path}: 32 bits a channel"):
        read.read_image(path)


def test_cmyk_is_converted_through_its_profile_and_said():
    buffer = io.BytesIO()
    Image.new("CMYK", (50, 40), (0, 255, 255, 0)).save(buffer, "TIFF")
    [picture] = read.read_pictures(buffer.getvalue())
    assert picture.notes == ("CMYK without a usable profile, converted to RGB by the plain formula",)
    lab = io.BytesIO()
    ImageCms.profileToProfile(
        Image.fromarray(COLOR),
        ImageCms.createProfile("sRGB"),
        ImageCms.createProfile("LAB"),
        outputMode="LAB",
    ).save(lab, "TIFF")
    [picture] = read.read_pictures(lab.getvalue())
    assert picture.notes == ("LAB, converted to sRGB through its profile",)
    assert ImageCms.ImageCmsProfile(io.BytesIO(picture.metadata.profile)).profile.xcolor_space == "RGB "
    assert np.median(np.abs(np.int16(picture.pixels) - COLOR)) <= 3


def animation(form, **options):
    frames = [Image.fromarray(np.roll(COLOR, 7 * i, axis=1)) for i in range(3)]
    buffer = io.BytesIO()
    frames[0].save(buffer, form, save_all=True, append_images=frames[1:], **LOSSLESS.get(form, {}), **options)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_frames_and_pages(form):
    timing = {} if form == "TIFF" else {"duration": [40, 50, 60]}
    data = animation(form, **timing)
    [picture] = read.read_pictures(data)
    assert (picture.frames, picture.notes) == (3, ())
    np.testing.assert_array_equal(picture.pixels, COLOR)
    pictures = read.read_pictures(data, frames="all")
    assert [picture.duration for picture in pictures] == timing.get("duration", [None] * 3)
    for i, picture in enumerate(pictures):
        assert picture.notes == ()
        np.testing.assert_array_equal(picture.pixels, np.roll(COLOR, 7 * i, axis=1))


# JPEG data that end early.


def damaged(how):
    whole = jpeg.encode(COLOR, 90)
    return {
        "cut": whole[: len(whole) * 2 // 3],
        "cut, with an end": whole[: len(whole) * 2 // 3] + b"\xff\xd9",
        "a header only": whole[: whole.index(b"\xff\xda") + 14] + b"\xff\xd9",
    }[how]


@pytest.mark.parametrize("how", ["cut", "cut, with an end", "a header only"])
@pytest.mark.parametrize("form", ["baseline", "progressive", "with a thumbnail"])
def test_jpegs_that_end_early(how, form):
    data = damaged(how)
    if form == "progressive":
        whole = coded(COLOR, "JPEG", quality=90, progressive=True)
        scan = whole.index(b"\xff\xda") + 14
        data = whole[: scan + 40] + (b"" if how == "cut" else b"\xff\xd9")
    elif form == "with a thumbnail":
        data = data[:2] + b"\xff\xe5" + (len(whole := jpeg.encode(GRAY, 30)) + 2).to_bytes(2, "big") + whole + data[2:]
    with pytest.raises(ImageError, match="cut short, its data end early$") as error:
        read.read_image(data)
    assert error.value.advice == "--partial restores what is there"
    [picture] = read.read_pictures(data, partial=True)
    assert picture.notes == ("cut short; taken as far as it decodes",)
    assert picture.pixels.shape == COLOR.shape
    if how != "a header only" and form != "progressive":
        np.testing.assert_array_equal(picture.pixels[:8], jpeg.compress(COLOR, 90)[:8])


@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_progressive_jpegs_that_end_within_a_later_scan(share):
    photo = skimage.data.astronaut()[:160, :200]
    whole = coded(photo, "JPEG", quality=90, progressive=True)
    assert read.read_pictures(whole)[0].notes == ()
    for end in (int(len(whole) * share), whole.rindex(b"\xff\xda", 0, int(len(whole) * share))):  # and before a scan
        with pytest.raises(ImageError, match="cut short"):
            read.read_image(whole[:end] + b"\xff\xd9")


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"optimize": True}], ids=str
)
@pytest.mark.parametrize("image", [COLOR, GRAY, COLOR[:1, :1], COLOR[:9, :17]], ids=lambda image: str(image.shape))
def test_whole_jpegs_are_whole(options, image):
    data = coded(image, "JPEG", quality=50, **options)
    for whole in (data, data + b"a film that a phone appends \xff\xd9 with an end of its own"):
        assert read.read_pictures(whole)[0].notes == ()


def test_fill_bytes_before_a_marker_are_passed_over():
    data = coded(COLOR, "JPEG", quality=50)
    for marker in (b"\xff\xdb", b"\xff\xda"):
        filled = data.replace(marker, b"\xff\xff" + marker, 1)
        np.testing.assert_array_equal(read.read_image(filled), read.read_image(data))


def test_a_large_size_over_little_data_is_found_out_at_once():
    data = bytearray(damaged("a header only"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = (9000).to_bytes(2, "big") * 2
    begun = time.process_time()
    with pytest.raises(ImageError, match="cut short"):
        read.read_image(bytes(data))
    assert time.process_time() - begun < 5


# Metadata.


def exif_of(**tags):
    exif = Image.Exif()
    for name, value in tags.items():
        exif[getattr(ExifTags.Base, name)] = value
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2020:01:02 03:04:05"
    return exif


def test_a_metadata_block_that_means_to_harm_does_not_keep_the_picture_away(monkeypatch):
    def fail(*_):
        raise KeyError("no such tag")

    monkeypatch.setattr(read, "metadata_of", fail)
    [picture] = read.read_pictures(coded(COLOR, "PNG"))
    np.testing.assert_array_equal(picture.pixels, COLOR)
    assert picture.notes == ("unreadable metadata dropped",)


@pytest.mark.parametrize("value", range(2, 9))
def test_a_picture_of_which_the_metadata_cannot_be_read_is_upright_all_the_same(value):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = value
    [expected] = read.read_pictures(coded(COLOR[:9], "PNG", exif=exif))
    [picture] = read.read_pictures(coded(COLOR[:9], "PNG", exif=unreadable_exif(value)))
    np.testing.assert_array_equal(picture.pixels, expected.pixels)
    assert picture.orientation == value and picture.notes == ("unreadable metadata dropped",)


@pytest.mark.parametrize("also", ["", "in its own place"])
def test_texts_of_imagemagick_that_tell_how_the_picture_was_turned_are_taken_over(also):
    xmp = b'<x:xmpmeta tiff:Orientation="6" dc:title="a title"/>'
    exif = exif_of(Make="Camera", Orientation=6).tobytes()
    texts = PngImagePlugin.PngInfo()
    for kind, content in {"exif": exif, "APP1": exif, "xmp": xmp, "iptc": b"8BIM"}.items():
        texts.add_text(f"Raw profile type {kind}", f"\n{kind}\n{len(content):8}\n{content.hex()}\n", zip=True)
    if also:
        texts.add_itxt("XML:com.adobe.xmp", xmp.replace(b"a title", b"another"))
    [picture] = read.read_pictures(coded(COLOR, "PNG", pnginfo=texts))
    np.testing.assert_array_equal(picture.pixels, np.rot90(COLOR, -1))
    assert picture.metadata.texts.keys() == {"Raw profile type iptc"}
    assert b"Camera" in picture.metadata.exif
    title = b"another" if also else b"a title"
    assert picture.metadata.xmp == b'<x:xmpmeta  dc:title="%b"/>' % title


def test_a_thumbnail_of_the_old_picture_is_dropped():
    tiff = b"MM\0*\0\0\0\x08" + b"\0\1\1\x0f\0\2\0\0\0\4CAM\0" + b"\0\0\0\x1a"  # Make, then IFD 1
    thumbnail = jpeg.encode(GRAY, 10)
    tiff += b"\0\2" + b"\2\1\0\4\0\0\0\1\0\0\0\x38" + b"\2\2\0\4\0\0\0\1" + len(thumbnail).to_bytes(4, "big")
    tiff += b"\0\0\0\0" + thumbnail
    [picture] = read.read_pictures(coded(COLOR, "JPEG", exif=b"Exif\0\0" + tiff))
    assert b"CAM" in picture.metadata.exif and thumbnail[:40] not in picture.metadata.exif


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ImageError, match=f"{tmp_path}/nowhere: no such folder"):
        sources.load_split(f"{tmp_path}/nowhere", 0.1, 16)


def test_a_folder_without_images_is_named(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ImageError, match=f"{tmp_path}: no image files"):
        sources.load_split(str(tmp_path), 0.1, 16)


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("value", range(1, 9))
def test_pictures_are_upright(tmp_path, value, extension):
    upright = np.uint8(np.add.outer(np.arange(48) * 2, np.arange(32) * 4))[..., None] * np.uint8([1, 0, 0])
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[value]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = value
    options = {"jpg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}}.get(extension, {})
    path = tmp_path / f"photo.{extension}"
    Image.fromarray(np.ascontiguousarray(turned)).save(path, exif=exif, **options)
    found = read.read_image(path)
    assert read.image_size(path) == found.shape[:2] == (48, 32)
    np.testing.assert_allclose(np.float32(found), upright, atol=12 if extension == "jpg" else 0)


def test_an_orientation_that_does_not_exist_is_upright(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 9
    Image.fromarray(COLOR).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read.read_image(tmp_path / "a.png"), COLOR)
