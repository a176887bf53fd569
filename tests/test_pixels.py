import numpy as np
import pytest
from keras import ops
from skimage import color

from tfar import pixels

COLORS = np.random.default_rng(0).integers(0, 256, (2, 20, 30, 3), dtype=np.uint8)


def test_to_float_maps_the_ends_and_the_middle():
    image = np.uint8([[[0, 51], [204, 255]], [[255, 0], [51, 204]]])
    result = pixels.to_float(image)
    assert ops.dtype(result) == "float32"
    np.testing.assert_allclose(result, [[[-1, -0.6], [0.6, 1]], [[1, -1], [-0.6, 0.6]]], atol=1e-6)


def test_to_255_keeps_fractions():
    np.testing.assert_allclose(pixels.to_255(np.float32([-1, -0.5, 0, 1])), [0, 63.75, 127.5, 255])


def test_to_uint8_undoes_to_float_for_every_value():
    values = np.arange(256, dtype=np.uint8).reshape(2, 8, 16)
    np.testing.assert_array_equal(pixels.to_uint8(pixels.to_float(values)), values)


def test_to_uint8_rounds_and_clips():
    values = np.float32([-1.7, -1, 99.4 / 127.5 - 1, 99.6 / 127.5 - 1, 1, 3.2])
    result = pixels.to_uint8(values)
    assert ops.dtype(result) == "uint8"
    np.testing.assert_array_equal(result, [0, 0, 99, 100, 255, 255])


def test_to_uint8_takes_half_precision():
    np.testing.assert_array_equal(pixels.to_uint8(ops.cast([-1.0, 0.5, 1.0], "bfloat16")), [0, 191, 255])


def test_to_luma_of_primary_colors():
    primaries = np.float32([[[[1, 0, 0], [0, 1, 0]]], [[[0, 0, 1], [1, 1, 1]]]])
    luma = pixels.to_luma(primaries)
    assert luma.shape == (2, 1, 2, 1)
    np.testing.assert_allclose(np.ravel(luma), [0.299, 0.587, 0.114, 1], atol=1e-6)


def test_to_luma_stays_in_the_range_of_the_image():
    in_255 = pixels.to_luma(COLORS.astype(np.float32))
    in_one = pixels.to_luma(pixels.to_float(COLORS))
    np.testing.assert_allclose(pixels.to_255(in_one), in_255, atol=1e-3)


@pytest.mark.parametrize("rgb, luma", [
    ((0, 0, 0), 16), ((255, 255, 255), 235), ((255, 0, 0), 81), ((0, 255, 0), 145), ((0, 0, 255), 41)])
def test_studio_luma_of_primary_colors(rgb, luma):
    result = pixels.studio_luma(np.full((4, 5, 3), rgb, np.uint8))
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, np.full((4, 5), luma))


def test_studio_luma_agrees_with_scikit_image():
    for image in COLORS:
        np.testing.assert_array_equal(pixels.studio_luma(image), np.round(color.rgb2ycbcr(image)[..., 0]))


def test_studio_luma_of_a_gray_image_is_the_image():
    gray = COLORS[0, ..., 0]
    np.testing.assert_array_equal(pixels.studio_luma(gray), gray)


def test_as_rgb_repeats_gray_and_keeps_color():
    gray = COLORS[0, ..., 0]
    np.testing.assert_array_equal(pixels.as_rgb(gray), np.stack([gray, gray, gray], axis=-1))
    np.testing.assert_array_equal(pixels.as_rgb(COLORS[0]), COLORS[0])
