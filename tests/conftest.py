"""One TensorFlow with two logical CPU devices for the whole session, and networks that several tests use."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)

from tfar.models.region_aware import edge_cnn, region_aware, texture_generator  # noqa: E402

TINY = {"filters": 8, "blocks": 2, "head": 8, "norm": "none", "residual": True, "stride": 2}


def perturb(model, seed: int):
    """Give a network seeded weights: random ones near its initial ones, so that zeros and ones become others too."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        value = weight.numpy()
        if np.ptp(value) > 0:  # a kernel, at random
            value = rng.normal(0.0, np.prod(value.shape[:-1]) ** -0.5, value.shape)
        weight.assign(np.float32(value + rng.normal(0.0, 0.02, value.shape)))
    return model


@pytest.fixture(scope="session")
def fused_model():
    """A tiny region-aware network whose L_B, L_T and fused image differ."""
    return region_aware(perturb(edge_cnn(**TINY), 1), perturb(texture_generator(**TINY), 2))


@pytest.fixture(scope="session")
def fused_file(fused_model, tmp_path_factory):
    """The same network in a ``.keras`` file."""
    path = tmp_path_factory.mktemp("models") / "model.keras"
    fused_model.save(path)
    return path


@pytest.fixture
def noise():
    """Random uint8 RGB images by height and width, the same ones for every test."""
    rng = np.random.default_rng(0)
    return lambda height, width: rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
