import keras
import numpy as np
import pytest
from keras import layers, ops

from tfar import pixels
from tfar.models import blocks

RNG = np.random.default_rng(0)


def run(block, x):
    """Apply a block to a batch, through a functional model whose height and width are unknown."""
    inputs = keras.Input((None, None, x.shape[-1]))
    return ops.convert_to_numpy(keras.Model(inputs, block(inputs))(x))


def depth_to_space(x, size):
    batch, height, width, channels = x.shape
    result = np.zeros((batch, height * size, width * size, channels // size**2), x.dtype)
    for row in range(size):
        for column in range(size):
            first = (row * size + column) * result.shape[-1]
            result[:, row::size, column::size] = x[..., first : first + result.shape[-1]]
    return result


@pytest.mark.parametrize(("size", "channels"), [(2, 4), (2, 12), (3, 9)])
def test_depth_to_space_against_numpy(size, channels):
    x = RNG.normal(size=(2, 3, 5, channels)).astype("float32")
    np.testing.assert_array_equal(run(blocks.DepthToSpace(size), x), depth_to_space(x, size))


def test_depth_to_space_tells_its_shape():
    layer = blocks.DepthToSpace(2)
    assert layer.compute_output_shape((None, None, None, 12)) == (None, None, None, 3)
    assert layer.compute_output_shape((4, 3, None, 4)) == (4, 6, None, 1)


@pytest.mark.parametrize(("size", "channels"), [(2, 1), (2, 3), (3, 2)])
def test_space_to_depth_is_the_inverse(size, channels):
    x = RNG.normal(size=(2, 3, 5, channels * size**2)).astype("float32")
    np.testing.assert_array_equal(run(blocks.SpaceToDepth(size), depth_to_space(x, size)), x)


def test_space_to_depth_tells_its_shape():
    layer = blocks.SpaceToDepth(2)
    assert layer.compute_output_shape((None, None, None, 3)) == (None, None, None, 12)
    assert layer.compute_output_shape((4, 6, None, 1)) == (4, 3, None, 4)


def test_crop_like_keeps_the_top_left():
    x, like = RNG.normal(size=(2, 6, 8, 3)).astype("float32"), np.zeros((2, 5, 7, 1), "float32")
    np.testing.assert_array_equal(blocks.CropLike()([x, like]), x[:, :5, :7])
    assert blocks.CropLike().compute_output_shape([(None, 6, None, 3), (None, 5, None, 1)]) == (None, 5, None, 3)


@pytest.mark.parametrize(("before", "after"), [(1, 1), (1, 0), (0, 2), (3, 2), (0, 0)])
@pytest.mark.parametrize("size", [(1, 1), (1, 4), (5, 3)], ids=str)
def test_replicate_pad_against_numpy(before, after, size):
    x = RNG.normal(size=(2, *size, 3)).astype("float32")
    pads = ((0, 0), (before, after), (before, after), (0, 0))
    np.testing.assert_array_equal(run(blocks.ReplicatePad(before, after), x), np.pad(x, pads, mode="edge"))


def test_replicate_pad_tells_its_shape():
    layer = blocks.ReplicatePad(1, 2)
    assert layer.compute_output_shape((None, None, 4, 3)) == (None, None, 7, 3)


@pytest.mark.parametrize("multiple", [8, 64])
def test_reflect_to_multiple_against_numpy(multiple):
    layer = blocks.ReflectToMultiple(multiple)
    for height in range(1, 71):
        width = 71 - height
        x = RNG.normal(size=(2, height, width, 2)).astype("float32")
        pads = ((0, 0), (0, -height % multiple), (0, -width % multiple), (0, 0))
        np.testing.assert_array_equal(layer(x), np.pad(x, pads, mode="reflect"), err_msg=f"{height}x{width}")


def test_reflect_to_multiple_of_unknown_and_known_sizes():
    x = RNG.normal(size=(2, 3, 9, 2)).astype("float32")
    expected = np.pad(x, ((0, 0), (0, 5), (0, 7), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(run(blocks.ReflectToMultiple(8), x), expected)
    assert blocks.ReflectToMultiple(8).compute_output_shape((None, None, 9, 2)) == (None, None, 16, 2)
    assert blocks.ReflectToMultiple(8).compute_output_shape((4, 1, 16, 2)) == (4, 8, 16, 2)


def test_ycbcr_layers_are_inverse_to_each_other():
    x = RNG.uniform(-1, 1, (2, 5, 4, 3)).astype("float32")
    ycbcr = run(blocks.RgbToYcbcr(), x)
    np.testing.assert_allclose(ycbcr[..., :1], pixels.to_luma(x), atol=1e-6)
    np.testing.assert_allclose(run(blocks.YcbcrToRgb(), ycbcr), x, atol=1e-6)
    np.testing.assert_allclose(run(blocks.RgbToYcbcr(), run(blocks.YcbcrToRgb(), x)), x, atol=1e-6)
    assert abs(ycbcr - x).max() > 0.1


def test_chroma_of_gray_is_zero():
    gray = RNG.uniform(-1, 1, (2, 5, 4, 1)).astype("float32")
    expected = np.concatenate([gray, 0 * gray, 0 * gray], axis=-1)
    np.testing.assert_allclose(run(blocks.RgbToYcbcr(), np.repeat(gray, 3, axis=-1)), expected, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (3, 2)], ids=str)
def test_nearest_upsample_against_numpy(size):
    x = RNG.normal(size=(2, *size, 3)).astype("float32")
    expected = x.repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_array_equal(run(lambda x: blocks.nearest_upsample(x, name="upsample"), x), expected)


def test_new_layers_survive_saving(tmp_path):
    inputs = keras.Input((None, None, 3))
    x = blocks.YcbcrToRgb(name="rgb")(2 * blocks.RgbToYcbcr(name="ycbcr")(inputs))
    x = blocks.ReflectToMultiple(8, name="extend")(blocks.ReplicatePad(1, 2, name="pad")(x))
    model = keras.Model(inputs, blocks.nearest_upsample(x, name="upsample"))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = RNG.normal(size=(2, 5, 7, 3)).astype("float32")
    expected = np.pad(2 * x, ((0, 0), (1, 2), (1, 2), (0, 0)), mode="edge")
    expected = np.pad(expected, ((0, 0), (0, 0), (0, 6), (0, 0)), mode="reflect").repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_allclose(loaded(x), expected, atol=1e-5)
    assert [loaded.get_layer("pad").get_config()[name] for name in ("before", "after")] == [1, 2]
    assert loaded.get_layer("extend").get_config()["multiple"] == 8


def test_custom_layers_survive_saving(tmp_path):
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same")(inputs)
    model = keras.Model(inputs, blocks.CropLike()([blocks.DepthToSpace(2)(x), inputs]))
    model.save(tmp_path / "model.keras")
    x = RNG.normal(size=(2, 5, 7, 3)).astype("float32")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded(x).shape == (2, 5, 7, 2)
    np.testing.assert_allclose(loaded(x), model(x), atol=1e-6)


@pytest.mark.parametrize(("strides", "height", "width"), [(1, 5, 8), (2, 3, 4)])
def test_convolution_keeps_the_size_up_to_its_stride(strides, height, width):
    x = RNG.normal(size=(2, 5, 8, 3)).astype("float32")
    assert run(lambda x: blocks.conv(x, 4, 3, strides=strides, name="c"), x).shape == (2, height, width, 4)


def test_leaky_relu_has_the_papers_slope():
    x = np.float32([-10, -0.5, 0, 2]).reshape(2, 1, 2, 1)
    np.testing.assert_allclose(run(lambda x: blocks.leaky_relu(x, name="leaky"), x).ravel(), [-2, -0.1, 0, 2])


def test_residual_block_adds_what_its_convolutions_give():
    inputs = keras.Input((None, None, 2))
    model = keras.Model(inputs, blocks.residual_block(inputs, 2, "none", name="b"))
    copy = np.zeros((3, 3, 2, 2), "float32")
    copy[1, 1] = np.eye(2)
    model.get_layer("b_conv1").set_weights([copy, np.float32([1, 0])])
    model.get_layer("b_conv2").set_weights([3 * copy, np.float32([0, 5])])
    x = RNG.normal(size=(2, 4, 5, 2)).astype("float32")
    expected = x + 3 * np.maximum(x + [1, 0], 0) + [0, 5]
    np.testing.assert_allclose(model(x), expected, atol=1e-6)


def test_residual_block_begins_as_the_identity_where_nothing_normalizes():
    x = RNG.normal(size=(2, 4, 5, 2)).astype("float32")
    np.testing.assert_array_equal(run(lambda x: blocks.residual_block(x, 2, "none", name="b"), x), x)
    assert np.abs(run(lambda x: blocks.residual_block(x, 2, "batch", name="b"), x) - x).min() > 0


def test_units_of_a_leaky_block_learn_where_they_are_below_zero():
    inputs = keras.Input((None, None, 2))
    model = keras.Model(inputs, blocks.residual_block(inputs, 2, "none", activation="leaky_relu", name="b"))
    copy = np.zeros((3, 3, 2, 2), "float32")
    copy[1, 1] = np.eye(2)
    model.get_layer("b_conv1").set_weights([copy, np.float32([0, -100])])
    model.get_layer("b_conv2").set_weights([copy, np.float32([0, 0])])
    x = RNG.normal(size=(2, 4, 5, 2)).astype("float32")
    inside = x - [0, 100]
    np.testing.assert_allclose(model(x), x + np.where(inside > 0, inside, 0.2 * inside), atol=1e-5)


def test_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="activation must be one of relu, leaky_relu, got 'gelu'"):
        blocks.activate(keras.Input((4, 4, 2)), "gelu", name="a")


def test_preactivation_block_normalizes_and_cuts_before_it_convolves():
    inputs = keras.Input((None, None, 2))
    model = keras.Model(inputs, blocks.preactivation_block(inputs, 2, "batch", name="b"))
    copy = np.zeros((3, 3, 2, 2), "float32")
    copy[1, 1] = np.eye(2)
    model.get_layer("b_conv1").set_weights([copy, np.float32([0, 0])])
    model.get_layer("b_conv2").set_weights([3 * copy, np.float32([0, 5])])
    zeros, ones = np.zeros(2, "float32"), np.ones(2, "float32")
    model.get_layer("b_norm1").set_weights([2 * ones, zeros, zeros, ones - 1e-3])
    model.get_layer("b_norm2").set_weights([ones, -ones, zeros, ones - 1e-3])
    x = RNG.normal(size=(2, 4, 5, 2)).astype("float32")
    expected = x + 3 * np.maximum(np.maximum(2 * x, 0) - 1, 0) + [0, 5]
    np.testing.assert_allclose(model(x), expected, atol=1e-5)


def test_corrected_adds_a_correction_or_squeezes_an_image():
    image, x = (RNG.normal(size=(2, 4, 5, 3)).astype("float32") for _ in range(2))
    inputs = [keras.Input((None, None, 3)) for _ in range(2)]
    for residual, expected in ((True, image + x), (False, np.tanh(x))):
        model = keras.Model(inputs, blocks.corrected(*inputs, residual))
        np.testing.assert_allclose(model([image, x]), expected, atol=1e-6)


@pytest.mark.parametrize("block", [blocks.residual_block, blocks.preactivation_block])
@pytest.mark.parametrize(("norm", "norms"), [("batch", 2), ("synchronized", 2), ("none", 0)])
def test_norms_of_a_residual_block(block, norm, norms):
    inputs = keras.Input((None, None, 2))
    model = keras.Model(inputs, block(inputs, 2, norm, name="b"))
    found = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    assert [layer.synchronized for layer in found] == [norm == "synchronized"] * norms


def test_unknown_norm_is_refused():
    with pytest.raises(ValueError, match="norm must be one of batch, synchronized, none, got 'group'"):
        blocks.normalize(keras.Input((4, 4, 2)), "group", name="n")
