import io

import numpy as np
import pytest
from PIL import Image
from skimage import data

from tfar import jpeg

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


@pytest.mark.parametrize("image", [
    COLOR.astype(np.float32), GRAY.astype(np.uint16), GRAY[0], GRAY[..., None], np.dstack([GRAY, GRAY]),
    np.dstack([COLOR, GRAY]), COLOR[None], COLOR[:0]],
    ids=["float", "uint16", "row", "1 channel", "2 channels", "4 channels", "batch", "empty"])
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
