import io

import numpy as np
import pytest
from PIL import Image
from scipy import fft
from skimage import data

from tfar import jpeg, quantization
from tfar.restoration.consistency import share_outside_interval

COLOR = data.astronaut()[100:161, 200:283]
GRAY = data.camera()[100:161, 200:283]


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_a_gray_file_has_one_component():
    image = opened(jpeg.encode(GRAY, 10))
    assert image.format == "JPEG"
    assert len(image.layer) == 1
    assert image.size == (83, 61)


@pytest.mark.parametrize("subsampling, luma_factors", [("4:2:0", (2, 2)), ("4:2:2", (2, 1)), ("4:4:4", (1, 1))])
def test_a_color_file_has_three_components_in_the_subsampling(subsampling, luma_factors):
    layers = opened(jpeg.encode(COLOR, 10, subsampling)).layer
    assert [layer[1:3] for layer in layers] == [luma_factors, (1, 1), (1, 1)]


def test_the_default_subsampling_is_420():
    assert jpeg.encode(COLOR, 30) == jpeg.encode(COLOR, 30, "4:2:0") != jpeg.encode(COLOR, 30, "4:4:4")


@pytest.mark.parametrize("quality, luma_dc, chroma_dc", [(10, 80, 85), (50, 16, 17), (90, 3, 3), (100, 1, 1)])
def test_the_tables_are_the_standard_ones_scaled_by_quality(quality, luma_dc, chroma_dc):
    # The standard's DC steps are 16 and 17, scaled by 5000 / QF below 50 and by 200 - 2 QF from there on, in percent.
    tables = opened(jpeg.encode(COLOR, quality)).quantization
    assert (tables[0][0], tables[1][0]) == (luma_dc, chroma_dc)


def test_the_file_is_baseline():
    data = jpeg.encode(COLOR, 10)
    assert b"\xff\xc0" in data and b"\xff\xc2" not in data


@pytest.mark.parametrize("subsampling, option", [("4:4:4", 0), ("4:2:2", 1), ("4:2:0", 2)])
@pytest.mark.parametrize("quality", [1, 10, 75, 100])
def test_compress_equals_pillow_in_color(quality, subsampling, option):
    file = io.BytesIO()
    Image.fromarray(COLOR).save(file, "JPEG", quality=quality, subsampling=option)
    np.testing.assert_array_equal(jpeg.compress(COLOR, quality, subsampling), np.asarray(Image.open(file)))


@pytest.mark.parametrize("quality", [1, 10, 75, 100])
def test_compress_equals_pillow_in_gray(quality):
    file = io.BytesIO()
    Image.fromarray(GRAY).save(file, "JPEG", quality=quality)
    np.testing.assert_array_equal(jpeg.compress(GRAY, quality), np.asarray(Image.open(file)))


@pytest.mark.parametrize("image", [COLOR, GRAY, COLOR[:1, :1], GRAY[:1, :9]])
def test_compress_keeps_shape_and_dtype(image):
    result = jpeg.compress(image, 10)
    assert (result.shape, result.dtype) == (image.shape, np.uint8)


def test_decode_gives_rgb_for_a_cmyk_file():
    file = io.BytesIO()
    Image.new("CMYK", (9, 5), (0, 255, 255, 0)).save(file, "JPEG", quality=100)
    red = jpeg.decode(file.getvalue())
    np.testing.assert_allclose(red, np.broadcast_to([255, 0, 0], (5, 9, 3)), atol=2)


@pytest.mark.parametrize(
    "image",
    [
        COLOR.astype(np.float32),
        GRAY.astype(np.uint16),
        GRAY[0],
        GRAY[..., None],
        np.dstack([GRAY, GRAY]),
        np.dstack([COLOR, GRAY]),
        COLOR[None],
        COLOR[:0],
    ],
    ids=["float", "uint16", "row", "1 channel", "2 channels", "4 channels", "batch", "empty"],
)
def test_other_images_are_refused(image):
    with pytest.raises(ValueError, match="image"):
        jpeg.encode(image, 10)


@pytest.mark.parametrize("quality", [0, 101, -5])
def test_other_qualities_are_refused(quality):
    with pytest.raises(ValueError, match=f"quality must be 1 to 100, got {quality}"):
        jpeg.encode(COLOR, quality)


@pytest.mark.parametrize("image", [COLOR, GRAY])
def test_other_subsamplings_are_refused(image):
    with pytest.raises(ValueError, match="4:2:0, 4:2:2, 4:4:4, got '4:1:1'"):
        jpeg.encode(image, 10, "4:1:1")


def test_other_tables_are_refused():
    with pytest.raises(ValueError, match="tables must be one of standard, mozjpeg, photoshop, got 'jpegli'"):
        jpeg.encode(GRAY, 50, tables="jpegli")


# The tables of files.


@pytest.mark.parametrize("image", [COLOR, GRAY], ids=["color", "gray"])
@pytest.mark.parametrize("progressive", [False, True])
def test_the_luma_table_of_a_file(tmp_path, image, progressive):
    Image.fromarray(image).save(tmp_path / "photo.jpg", quality=23, progressive=progressive)
    np.testing.assert_array_equal(jpeg.file_luma_table(tmp_path / "photo.jpg"), quantization.luma_table(23))


def test_the_luma_table_of_a_file_is_not_the_one_of_its_chroma_nor_a_standard_one(tmp_path):
    tables = [list(range(1, 65)), [99] * 64]
    Image.fromarray(COLOR).save(tmp_path / "photo.jpeg", qtables=tables)
    np.testing.assert_array_equal(jpeg.file_luma_table(str(tmp_path / "photo.jpeg")), np.arange(1, 65).reshape(8, 8))


def test_the_luma_table_of_a_picture_that_holds_others(tmp_path):
    first, second = Image.fromarray(COLOR), Image.fromarray(255 - COLOR)
    first.save(tmp_path / "photo.jpg", "MPO", save_all=True, append_images=[second], quality=31)
    assert Image.open(tmp_path / "photo.jpg").format == "MPO"  # as telephones write it
    np.testing.assert_array_equal(jpeg.file_luma_table(tmp_path / "photo.jpg"), quantization.luma_table(31))


@pytest.mark.parametrize("mode, options", [("RGB", {"keep_rgb": True}), ("CMYK", {})])
def test_files_of_other_components_have_no_luma_table(tmp_path, mode, options):
    Image.fromarray(COLOR).convert(mode).save(tmp_path / "photo.jpg", **options)
    assert jpeg.file_luma_table(tmp_path / "photo.jpg") is None


@pytest.mark.parametrize("name", ["photo.png", "photo.webp", "photo.tif", "photo.bmp"])
def test_other_files_have_no_table(tmp_path, name):
    Image.fromarray(COLOR).save(tmp_path / name)
    assert jpeg.file_luma_table(tmp_path / name) is None


def test_the_table_of_what_is_no_image_is_an_error(tmp_path):
    (tmp_path / "photo.jpg").write_text("no image")
    for name in ("photo.jpg", "absent.jpg"):
        with pytest.raises(OSError, match=name):
            jpeg.file_luma_table(tmp_path / name)


# Coefficients and their intervals.


def blocks_of(luma):
    """The 8x8 blocks of ``(B, H, W)``: ``(B, H/8, W/8, 8, 8)``."""
    batch, height, width = luma.shape
    return luma.reshape(batch, height // 8, 8, width // 8, 8).swapaxes(2, 3)


def in_pixels(coefficients):
    """A luma plane ``(H, W)`` on the 0-255 scale with the DCT coefficients ``(H/8, W/8, 8, 8)``."""
    blocks = fft.idctn(coefficients, axes=(-2, -1), norm="ortho") + 128
    rows, columns = blocks.shape[:2]
    return blocks.swapaxes(1, 2).reshape(8 * rows, 8 * columns)


def as_input(*planes):
    """Luma planes on the 0-255 scale as a batch in [-1, 1]."""
    return np.stack(planes)[..., None].astype("float32") / 127.5 - 1


def test_block_dct_of_flat_blocks_and_of_a_wave():
    luma = np.full((2, 16, 8, 1), 128.0)
    luma[0, :8], luma[0, 8:] = 130, 255
    wave = np.cos((2 * np.arange(8) + 1) * 3 * np.pi / 16)
    luma[1, :8] += 20 * wave[:, None, None]  # from top to bottom
    expected = np.zeros((2, 2, 1, 8, 8))
    expected[0, 0, 0, 0, 0], expected[0, 1, 0, 0, 0] = 8 * 2, 8 * 127
    expected[1, 0, 0, 3, 0] = 20 * np.sqrt(8) * 2  # Eq. A.3.3 of the standard, with C(0) = sqrt(1/2)
    np.testing.assert_allclose(jpeg.block_dct(luma), expected, atol=1e-3)


def test_block_dct_agrees_with_scipy():
    luma = np.random.default_rng(0).integers(0, 256, (3, 16, 40))
    expected = fft.dctn(blocks_of(luma) - 128.0, axes=(-2, -1), norm="ortho")
    coefficients = np.asarray(jpeg.block_dct(luma[..., None]))
    assert (coefficients.shape, coefficients.dtype) == ((3, 2, 5, 8, 8), np.float32)
    np.testing.assert_allclose(coefficients, expected, atol=1e-3)


def test_coefficients_of_a_jpeg_are_multiples_of_its_table():
    luma = jpeg.decode(jpeg.encode(data.camera()[100:164, 200:272] // 2 + 64, 10))  # nothing is clipped
    steps = np.asarray(jpeg.block_dct(luma[None, ..., None])) / quantization.luma_table(10)
    assert np.abs(steps - np.round(steps)).max() < 0.1
    assert len(np.unique(np.round(steps))) > 10


def test_interval_excess_of_one_coefficient_moved_by_known_amounts():
    table = np.stack([quantization.luma_table(quality) for quality in (10, 30)])
    coefficients = np.zeros((2, 1, 2, 8, 8))
    coefficients[:, 0, 1] = 3 * table
    moved = coefficients.copy()
    half = table / 2.0
    moved[0, 0, 0, 2, 5] += half[0, 2, 5] + 7  # out of the interval
    moved[0, 0, 1, 0, 1] -= half[0, 0, 1] - 1  # not out of it
    moved[1, 0, 1, 1, 0] -= half[1, 1, 0] + 3
    expected = np.zeros((2, 1, 2, 8, 8))
    expected[0, 0, 0, 2, 5] = (half[0, 2, 5] + 7) ** 2 - half[0, 2, 5] ** 2
    expected[1, 0, 1, 1, 0] = (half[1, 1, 0] + 3) ** 2 - half[1, 1, 0] ** 2
    given, restored = as_input(*map(in_pixels, coefficients)), as_input(*map(in_pixels, moved))
    assert expected.max() > 500
    np.testing.assert_allclose(jpeg.interval_excess(given, restored, table), expected, atol=0.1)
    in_color = [np.repeat(image, 3, axis=-1) for image in (given, restored)]
    np.testing.assert_allclose(jpeg.interval_excess(*in_color, table), expected, atol=0.1)


def test_interval_excess_counts_from_the_multiple_not_from_the_rounded_pixels():
    table = quantization.luma_table(10)[None]
    coefficients = np.zeros((1, 1, 8, 8))
    coefficients[0, 0, 0, 0] = 80 * 3
    given = in_pixels(coefficients)
    restored = given + (40 + 8) / 8  # the first coefficient goes 48 levels up, 8 too many
    expected = 48**2 - 40**2
    for rounding in (-0.4, 0, 0.4):
        excess = np.asarray(jpeg.interval_excess(as_input(given + rounding), as_input(restored), table))
        assert excess.max() == pytest.approx(expected, rel=1e-3)
        assert np.count_nonzero(excess) == 1


def test_interval_excess_of_color_is_that_of_its_luma():
    rng = np.random.default_rng(0)
    given, restored = rng.uniform(-1, 1, (2, 3, 16, 24, 3)).astype("float32")
    luma = [image @ np.float32([0.299, 0.587, 0.114])[:, None] for image in (given, restored)]
    table = np.stack([quantization.luma_table(quality) for quality in (10, 40, 80)])
    np.testing.assert_allclose(
        jpeg.interval_excess(given, restored, table), jpeg.interval_excess(*luma, table), rtol=1e-3, atol=1
    )


# What a restoration must not change.

PHOTOS = [data.camera()[100:240, 150:301], data.astronaut()[50:181, 100:243]]


@pytest.mark.parametrize("quality", [5, 10, 40])
@pytest.mark.parametrize("original", PHOTOS, ids=["gray", "color"])
def test_an_original_is_inside_the_intervals_of_its_jpeg_and_other_images_are_not(original, quality):
    coded = jpeg.compress(original, quality, "4:4:4")
    share = lambda restored: share_outside_interval(coded, restored, quantization.luma_table(quality))  # noqa: E731
    brighter = np.uint8(np.clip(original.astype(int) + 30, 0, 255))
    assert share(coded) == 0
    assert share(original) < 0.005  # what rounding does
    assert share(brighter) > 0.01
    assert share(np.roll(original, 1, axis=1)) > 10 * share(original) + 0.005
    assert share(255 - original) > 0.02


def test_the_share_outside_the_intervals_is_that_of_the_coefficients():
    given = np.full((17, 30), 128, np.uint8)  # of 2x3 whole blocks
    restored = given.copy()
    restored[:8, 8:16] = 128 + 6  # 48 levels of the first coefficient, the step is 80
    restored[8:16, 16:24] = 128 - 5  # 40 levels: still inside
    restored[16:], restored[:, 24:] = 0, 0
    table = quantization.luma_table(10)
    assert share_outside_interval(given, restored, table) == pytest.approx(1 / (6 * 64))
    in_color = [np.stack([image] * 3, axis=-1) for image in (given, restored)]
    assert share_outside_interval(*in_color, table) == pytest.approx(1 / (6 * 64))


@pytest.mark.parametrize(
    "shape, other", [((7, 30), (7, 30)), ((30, 7, 3), (30, 7, 3)), ((16, 16), (16, 17)), ((16, 16), (16, 16, 3))]
)
def test_images_without_a_block_or_of_different_shapes_have_no_share(shape, other):
    with pytest.raises(ValueError, match="8x8 pixels|differ in shape"):
        share_outside_interval(np.zeros(shape, np.uint8), np.zeros(other, np.uint8), quantization.luma_table(10))
