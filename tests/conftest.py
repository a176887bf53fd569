"""One TensorFlow with two logical CPU devices for the whole session, and networks that several tests use."""

import contextlib
import os
import shutil
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)

from tfar.models.region_aware import edge_cnn, region_aware, texture_generator  # noqa: E402

TINY = {"filters": 8, "blocks": 2, "head": 8, "norm": "none", "residual": True, "stride": 2}


def perturb(model, seed: int, gain: float = 1.0):
    """Give a network seeded weights: random kernels, and other weights near their initial zeros and ones."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        value = weight.numpy()
        if np.ptp(value) > 0:  # a kernel, at random
            value = rng.normal(0.0, gain * np.prod(value.shape[:-1]) ** -0.5, value.shape)
        weight.assign(np.float32(value + rng.normal(0.0, 0.02, value.shape)))
    return model


def random_batch(height, width, channels=3, count=2):
    """Random images in [-1, 1], the same ones for every test."""
    return np.random.default_rng(7).uniform(-1, 1, (count, height, width, channels)).astype("float32")


def convolutions(model):
    """Name, side of the kernel, stride and width of a network's convolutions, in their order."""
    return [(layer.name, *layer.kernel_size[:1], *layer.strides[:1], layer.filters)
            for layer in model.layers if hasattr(layer, "kernel_size")]


def norms(model):
    """Names of a network's batch normalisations, in their order."""
    return [layer.name for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]


def intermediates(model, given, *names):
    """What some layers of a network give, as NumPy arrays by the layer's name."""
    part = keras.Model(model.inputs, {name: model.get_layer(name).output for name in names})
    given = given if isinstance(given, list) else [given]
    return {name: keras.ops.convert_to_numpy(value) for name, value in part(given).items()}


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


def development_files(variable, *names):
    """Files below the folder named by an environment variable; skips the test where one is absent."""
    paths = [Path(os.environ.get(variable, ""), name) for name in names]
    if variable not in os.environ or not all(path.exists() for path in paths):
        pytest.skip(f"{variable} names no folder with {', '.join(names)}")
    return paths


@contextlib.contextmanager
def headless_chromium(folder, size):
    """Selenium's driver of a Chromium whose profile and ``downloads`` lie in a folder; skips where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("needs the programs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync",
                     "disable-background-networking", "disable-component-update", f"window-size={size}",
                     f"user-data-dir={folder / 'profile'}"):
        options.add_argument(f"--{argument}")
    options.add_experimental_option("prefs", {"download.default_directory": str(folder / "downloads")})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield browser
    browser.quit()
