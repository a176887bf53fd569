import socket
import warnings

import keras
import numpy as np
import pytest
from keras import ops

from tfar.errors import CheckpointError, RecipeError
from tfar.models.features import vgg_features

IMAGES = np.random.default_rng(0).uniform(-1, 1, (2, 32, 48, 3)).astype("float32")
BGR_MEAN = (103.939, 116.779, 123.68)


def activations(model, images=IMAGES):
    return {name: ops.convert_to_numpy(value) for name, value in model(images).items()}


def weights_of(model):
    return [ops.convert_to_numpy(weight) for weight in model.weights]


@pytest.fixture(scope="module")
def whole_vgg():
    """VGG-19 without dense layers, with other weights than the untrained ones of tfar."""
    model = keras.applications.VGG19(include_top=False, weights=None)
    rng = np.random.default_rng(5)
    for weight in model.weights:
        weight.assign(0.05 * rng.standard_normal(weight.shape, dtype="float32"))
    return model


@pytest.fixture(scope="module")
def whole_file(whole_vgg, tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg") / "whole.weights.h5"
    whole_vgg.save_weights(path)
    return path


@pytest.fixture
def download(monkeypatch):
    """Replace Keras's download by a function."""
    return lambda get_file: monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)


@pytest.mark.parametrize("network", ["vgg16", "vgg19"])
def test_untrained_weights_are_the_same_every_time(network):
    first, second = (vgg_features(network, "random", ["block2_conv1"]) for _ in range(2))
    for a, b in zip(weights_of(first), weights_of(second), strict=True):
        np.testing.assert_array_equal(a, b)
    assert activations(first)["block2_conv1"].std() > 1


def test_names_and_shapes_of_the_activations():
    found = activations(vgg_features("vgg19", "random", ["block4_pool", "block1_conv1", "block3_conv4"]))
    assert {name: value.shape for name, value in found.items()} == {
        "block1_conv1": (2, 32, 48, 64),
        "block3_conv4": (2, 8, 12, 256),
        "block4_pool": (2, 2, 3, 512),
    }


def test_layers_after_the_deepest_one_are_cut_off():
    # block1 of VGG: 3*3*3*64+64 and 3*3*64*64+64
    assert vgg_features("vgg19", "random", ["block1_conv2", "block1_conv1"]).count_params() == 1_792 + 36_928


def test_first_layer_sees_bgr_less_the_mean():
    model = vgg_features("vgg16", "random", ["block1_conv1"])
    kernel, bias = weights_of(model)
    caffe = (IMAGES[..., ::-1].astype(np.float64) + 1) * 127.5 - BGR_MEAN
    for b, y, x in ((0, 5, 7), (1, 20, 40)):
        window = caffe[b, y - 1 : y + 2, x - 1 : x + 2]
        expected = np.maximum(np.einsum("hwc,hwco->o", window, kernel) + bias, 0)
        np.testing.assert_allclose(activations(model)["block1_conv1"][b, y, x], expected, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("network", ["vgg16", "vgg19"])
def test_preprocessing_is_that_of_keras_applications(network):
    application = {"vgg16": keras.applications.vgg16, "vgg19": keras.applications.vgg19}[network]
    model = vgg_features(network, "random", ["block3_conv1"])
    vgg = getattr(application, network.upper())(include_top=False, weights=None)
    trunk = keras.Model(vgg.input, vgg.get_layer("block3_conv1").output)
    trunk.set_weights(weights_of(model))
    expected = trunk(application.preprocess_input((IMAGES + 1) * 127.5))
    np.testing.assert_allclose(activations(model)["block3_conv1"], expected, rtol=1e-3, atol=1e-2)


def test_network_is_frozen():
    model = vgg_features("vgg19", "random", ["block2_conv1"])
    assert len(model.weights) == 6
    assert model.trainable_weights == []


def test_weights_of_a_whole_network_are_loaded(whole_vgg, whole_file):
    model = vgg_features("vgg19", str(whole_file), ["block1_conv1", "block3_conv2"])
    for weight, expected in zip(weights_of(model), whole_vgg.get_weights()):
        np.testing.assert_array_equal(weight, expected)


def test_weights_of_the_first_blocks_are_enough_for_their_layers(whole_vgg, tmp_path):
    path = tmp_path / "blocks123.weights.h5"
    keras.Model(whole_vgg.input, whole_vgg.get_layer("block3_pool").output).save_weights(path)
    model = vgg_features("vgg19", str(path), ["block3_conv3"])
    for weight, expected in zip(weights_of(model), whole_vgg.get_weights()):
        np.testing.assert_array_equal(weight, expected)
    with pytest.raises(CheckpointError, match="blocks123.weights.h5: not weights of vgg19 as far as block4_conv1"):
        vgg_features("vgg19", str(path), ["block1_conv1", "block4_conv1"])


def test_weights_of_another_network_are_refused_without_further_noise(tmp_path):
    path = tmp_path / "dense.weights.h5"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]).save_weights(path)
    with warnings.catch_warnings(), pytest.raises(CheckpointError, match="dense.weights.h5: not weights of vgg16"):
        warnings.simplefilter("error")
        vgg_features("vgg16", str(path), ["block1_conv2"])


@pytest.mark.parametrize("name", ["text.weights.h5", "text.bin"])
def test_file_of_another_kind_is_refused(tmp_path, name):
    (tmp_path / name).write_text("not weights")
    with pytest.raises(CheckpointError, match=f"{name}: not weights of vgg16 as far as block1_conv2"):
        vgg_features("vgg16", str(tmp_path / name), ["block1_conv2"])


@pytest.mark.parametrize("name", ["absent.weights.h5", "absent", "."])
def test_missing_file_is_named(tmp_path, name):
    with pytest.raises(CheckpointError, match=f"{name}: no such weights file"):
        vgg_features("vgg16", f"{tmp_path}/{name}", ["block1_conv2"])


def test_unknown_network_and_layer_are_refused():
    with pytest.raises(RecipeError, match="unknown feature network 'vgg11'; known: vgg16, vgg19"):
        vgg_features("vgg11", "random", ["block1_conv1"])
    with pytest.raises(RecipeError, match="vgg16 has no layer 'block3_conv4'; it has: block1_conv1"):
        vgg_features("vgg16", "random", ["block1_conv1", "block3_conv4"])


def test_downloaded_weights_are_used(download, whole_vgg, whole_file):
    download(lambda *_, **__: str(whole_file))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = vgg_features("vgg19", "imagenet", ["block2_conv1"])
    for weight, expected in zip(weights_of(model), whole_vgg.get_weights()):
        np.testing.assert_array_equal(weight, expected)


def test_failed_download_is_an_error_and_in_the_demo_one_warning_and_untrained_filters(download):
    timeouts = []

    def fail(*_, **__):
        timeouts.append(socket.getdefaulttimeout())
        raise Exception("URL fetch failure on https://example.org/vgg: None -- unreachable\nsecond line")

    download(fail)
    with warnings.catch_warnings(), pytest.raises(CheckpointError) as refused:
        warnings.simplefilter("error")
        vgg_features("vgg19", "imagenet", ["block2_conv1"])
    assert "could not be downloaded (URL fetch failure on https://example.org/vgg" in str(refused.value)
    assert "keras.applications.VGG19(include_top=False).save_weights('FILE.weights.h5')" in str(refused.value)
    assert str(refused.value).count("\n") == 0
    with pytest.warns(UserWarning) as caught:
        model = vgg_features("vgg19", "imagenet-or-random", ["block2_conv1"])
    assert [str(warning.message).count("\n") for warning in caught] == [0]
    assert "could not be downloaded (URL fetch failure on https://example.org/vgg" in str(caught[0].message)
    assert timeouts == [20.0, 20.0]
    assert socket.getdefaulttimeout() is None
    expected = activations(vgg_features("vgg19", "random", ["block2_conv1"]))
    np.testing.assert_allclose(activations(model)["block2_conv1"], expected["block2_conv1"], rtol=1e-4, atol=1e-3)
