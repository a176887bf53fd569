"""One TensorFlow with two logical CPU devices for the whole session, and networks that several tests use."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

from helpers import TINY, perturb  # noqa: E402

from tfar.models.region_aware import edge_cnn, region_aware, texture_generator  # noqa: E402


@pytest.fixture(scope="session")
def fused_model():
    """A tiny region-aware network whose L_B, L_T and fused image differ."""
    return region_aware(perturb(edge_cnn(**TINY), 1), perturb(texture_generator(**TINY), 2))


@pytest.fixture(scope="session")
def fused_file(fused_model, tmp_path_factory):
    """The same network in a ``.keras`` file."""
    path = tmp_path_factory.mktemp("models") / "mine" / "model.keras"
    path.parent.mkdir()
    fused_model.save(path)
    return path


@pytest.fixture(scope="session")
def vgg16():
    """VGG-16 without dense layers, with random filters that keep the activations' size."""
    model = keras.applications.VGG16(include_top=False, weights=None)
    random = np.random.default_rng(3)
    for weight in model.weights:
        scale = np.sqrt(2 / np.prod(weight.shape[:-1])) if len(weight.shape) == 4 else 3
        weight.assign(np.float32(scale * random.standard_normal(weight.shape)))
    return model


@pytest.fixture
def noise():
    """Random uint8 RGB images by height and width, the same ones for every test."""
    rng = np.random.default_rng(0)
    return lambda height, width: rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def single_model():
    """A tiny Edge-CNN."""
    return perturb(edge_cnn(**TINY), 1)
