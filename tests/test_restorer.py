import keras
import numpy as np
import pytest
from conftest import TINY, perturb
from keras import layers, ops

from tfar import pixels
from tfar.errors import ImageError
from tfar.models.region_aware import edge_cnn
from tfar.restoration.restorer import Restorer

SIZES = [(1, 1), (1, 9), (7, 5), (16, 24)]


def channel_gains(*gains):
    """A network that multiplies each channel, in [-1, 1], by its gain."""
    image = keras.Input((None, None, len(gains)))
    convolution = layers.Conv2D(len(gains), 1)
    model = keras.Model(image, {"image": convolution(image)})
    convolution.set_weights([np.diag(np.float32(gains))[None, None], np.zeros(len(gains), "float32")])
    return model


@pytest.fixture(scope="module")
def gray_network():
    return perturb(edge_cnn(**TINY, channels=1), 4)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_shape_and_type_stay(fused_model, noise, size):
    image = noise(*size)
    restore = Restorer(fused_model)
    for given in (image, image[..., 0], image[..., :1]):
        restored = restore(given)
        assert restored.shape == given.shape
        assert restored.dtype == np.uint8


def test_color_image_is_what_the_network_gives(noise):
    image = noise(6, 7)
    restored = Restorer(channel_gains(1, 0.5, -1))(image)
    np.testing.assert_array_equal(restored[..., 0], image[..., 0])
    np.testing.assert_array_equal(restored[..., 1], np.round(image[..., 1] / 2 + 63.75))
    np.testing.assert_array_equal(restored[..., 2], 255 - image[..., 2])


def test_gray_image_is_the_mean_of_the_channels(noise):
    gray = noise(6, 7)[..., 0]
    expected = np.round((gray - 127.5) * (1 + 0.5 - 0.4) / 3 + 127.5)
    restore = Restorer(channel_gains(1, 0.5, -0.4))
    np.testing.assert_array_equal(restore(gray), expected)
    np.testing.assert_array_equal(restore(gray[..., None]), expected[..., None])


def test_result_is_clipped_not_wrapped():
    restored = Restorer(channel_gains(3, 3, 3))(np.uint8([[0, 84, 86, 127, 128, 169, 171, 255]]))
    np.testing.assert_array_equal(restored, [[0, 0, 3, 126, 129, 252, 255, 255]])


def test_mean_of_gray_is_taken_before_the_clipping():
    # 255 gives 3 and -1 twice: the mean of 1/3 is 170, that of the clipped 1, -1 and -1 would be 85.
    assert Restorer(channel_gains(3, -1, -1))(np.uint8([[255]])) == [[170]]


def test_gray_network(gray_network, noise):
    gray = noise(7, 5)[..., 0]
    expected = pixels.to_uint8(gray_network(pixels.to_float(gray[None, ..., None]))["image"])[0]
    expected = ops.convert_to_numpy(expected).astype("float32")
    np.testing.assert_allclose(np.float32(Restorer(gray_network)(gray)), expected[..., 0], atol=1)
    np.testing.assert_allclose(np.float32(Restorer(gray_network)(gray[..., None])), expected, atol=1)
    with pytest.raises(ImageError, match="gray images only"):
        Restorer(gray_network)(noise(7, 5))


def test_layers_of_a_fused_network(fused_model, noise):
    images = np.stack([noise(20, 17), noise(20, 17)])
    outputs = {name: ops.convert_to_numpy(pixels.to_uint8(value))
               for name, value in fused_model(pixels.to_float(images)).items()}
    for layer in ("fused", "base", "texture"):
        for image, expected in zip(images, outputs[layer]):
            difference = np.int16(Restorer(fused_model, layer)(image)) - expected
            assert abs(difference).max() <= 1
            assert (difference == 0).mean() > 0.99
    assert (outputs["base"] != outputs["texture"]).mean() > 0.5
    by_default = np.float32(Restorer(fused_model)(images[0]))
    np.testing.assert_allclose(by_default, Restorer(fused_model, "fused")(images[0]), atol=1)


def test_network_with_one_image_has_no_layers(gray_network):
    with pytest.raises(ValueError, match="edge_cnn is a single network and has no layer 'base'"):
        Restorer(gray_network, "base")


def test_unknown_layer(fused_model):
    with pytest.raises(ValueError, match="layer must be one of fused, base, texture, got 'mask'"):
        Restorer(fused_model, "mask")


@pytest.mark.parametrize("dtype", [np.float32, np.uint16, bool])
def test_other_types_are_refused(fused_model, dtype):
    with pytest.raises(ImageError, match="uint8"):
        Restorer(fused_model)(np.zeros((4, 4, 3), dtype))


@pytest.mark.parametrize("shape", [(4,), (4, 4, 2), (4, 4, 4), (1, 4, 4, 3), (0, 4), (4, 0, 3)])
def test_other_shapes_are_refused(fused_model, shape):
    with pytest.raises(ImageError, match=r"\(H, W, 3\), got"):
        Restorer(fused_model)(np.zeros(shape, np.uint8))
