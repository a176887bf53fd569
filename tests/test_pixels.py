import numpy as np
import pytest
from keras import ops
from PIL import Image
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


@pytest.mark.parametrize(
    "rgb, luma", [((0, 0, 0), 16), ((255, 255, 255), 235), ((255, 0, 0), 81), ((0, 255, 0), 145), ((0, 0, 255), 41)]
)
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


def test_to_ycbcr_of_primary_colors():
    primaries = np.float32([[[[1, 0, 0], [0, 1, 0]]], [[[0, 0, 1], [1, 1, 1]]]]) * 2 - 1
    # JFIF gives red Y 76, Cb 85, Cr 255, and so on, with a neutral chroma of 128.
    expected = np.float32([[[76, 85, 255.5], [150, 44, 21]], [[29, 255.5, 107], [255, 128, 128]]])
    ycbcr = np.asarray(pixels.to_ycbcr(primaries)) * 127.5 + [127.5, 128, 128]
    np.testing.assert_allclose(ycbcr[:, 0], expected, atol=0.6)


def test_to_ycbcr_agrees_with_pillow():
    expected = np.stack([Image.fromarray(image).convert("YCbCr") for image in COLORS]).astype(float)
    ycbcr = np.asarray(pixels.to_ycbcr(pixels.to_float(COLORS)))
    assert (ycbcr.shape, ycbcr.dtype) == (COLORS.shape, np.float32)
    np.testing.assert_allclose(ycbcr * 127.5 + [127.5, 128, 128], expected, atol=1.01)
    np.testing.assert_allclose(ycbcr[..., :1], pixels.to_luma(pixels.to_float(COLORS)), atol=1e-5)


def test_gray_has_no_chroma():
    gray = np.repeat(COLORS[..., :1], 3, axis=-1)
    ycbcr = np.asarray(pixels.to_ycbcr(pixels.to_float(gray)))
    np.testing.assert_allclose(ycbcr[..., 0], pixels.to_float(gray[..., 0]), atol=1e-6)
    np.testing.assert_allclose(ycbcr[..., 1:], 0, atol=1e-6)


def test_to_rgb_agrees_with_pillow():
    planes = np.uint8(64 + COLORS // 2)  # colours that RGB has
    expected = np.stack([Image.fromarray(image, "YCbCr").convert("RGB") for image in planes]).astype(float)
    ycbcr = np.float32((planes - np.array([127.5, 128, 128])) / 127.5)
    rgb = (np.asarray(pixels.to_rgb(ycbcr)) + 1) * 127.5
    np.testing.assert_allclose(rgb.clip(0, 255), expected, atol=1.01)


def test_to_rgb_undoes_to_ycbcr():
    image = pixels.to_float(COLORS)
    np.testing.assert_allclose(pixels.to_rgb(pixels.to_ycbcr(image)), image, atol=1e-5)
    np.testing.assert_allclose(pixels.to_ycbcr(pixels.to_rgb(image)), image, atol=1e-5)
