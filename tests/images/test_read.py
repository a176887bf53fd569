import numpy as np
import pytest
from helpers import warned
from PIL import ExifTags, Image

from tfar import jpeg
from tfar.data import sources
from tfar.errors import ImageError
from tfar.images import read

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (40, 50, 3), dtype=np.uint8)
GRAY = RNG.integers(0, 256, (40, 50), dtype=np.uint8)
GRAY_16 = RNG.integers(0, 1 << 16, (40, 50), dtype=np.uint16)


def save(path, image, **options):
    Image.fromarray(image).save(path, **options)
    return path


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


def test_a_16_bit_pgm_is_scaled_to_8(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 50 40 65535\n" + GRAY_16.astype(">u2").tobytes())
    np.testing.assert_array_equal(read.read_image(tmp_path / "a.pgm"), GRAY_16 // 256)


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


def test_an_image_of_too_many_pixels_is_named(tmp_path, monkeypatch):
    path = save(tmp_path / "huge.png", COLOR)
    save(tmp_path / "small.png", COLOR[:20, :20])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 800)
    with pytest.raises(ImageError, match="huge.png"):
        read.read_image(path)
    (training, _), messages = warned(sources.load_split, str(tmp_path), 0.0, 16)
    assert [image.name for image in training] == [str(tmp_path / "small.png")]
    assert len(messages) == 1 and str(path) in messages[0]


def test_image_files_are_found_in_all_subfolders_by_extension(tmp_path):
    for name in ("b.JPG", "sub/a.png", "sub/deeper/c.tiff", "notes.txt", "sub/d.png.part"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    found = read.image_files(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in found] == ["b.JPG", "sub/a.png", "sub/deeper/c.tiff"]


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
