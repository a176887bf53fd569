"""What several tests share: networks, recipes, batches, development files and a browser.

Processes of their own import this too, also those that cannot import TensorFlow.
"""

import base64
import contextlib
import dataclasses
import io
import os
import shutil
import struct
import time
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from tfar.models import SYSTEMS
from tfar.recipes import Data, Features, Network, Optimizer, Phase, Recipe, override

TINY = {"filters": 8, "blocks": 2, "head": 8, "norm": "none", "residual": True, "stride": 2}
ROOT = Path(__file__).parent.parent
SCALES = {
    "filters": 4,
    "blocks": 6,
    "head": 8,
    "norm": "none",
    "residual": True,
    "stride": 2,
    "scales": 3,
    "expansion": 3,
}
GENERATOR = {"filters": 8, "blocks": 2, "head": 8, "norm": "none"}
NOISE_GENERATOR = {"filters": 4, "branch_blocks": 1, "blocks": 1, "norm": "none", "residual": True}
FEW_BLOCKS = {
    "edge_cnn": {"blocks": 1, "head": 8, "scales": 1},
    "texture_generator": {"blocks": 1, "head": 8, "scales": 1},
    "unet_generator": {"blocks": 1},
    "galteri_generator": {"blocks": 1},
    "proposal_network": {"branch_blocks": 1, "blocks": 1},
}


def perturb(model, seed: int, gain: float = 1.0):
    """Give a network seeded weights: random kernels, and other weights near their initial zeros and ones."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        value = weight.numpy()
        ends_a_block = "block" in weight.path and weight.name == "kernel"  # which is zero at first
        if np.ptp(value) > 0 or ends_a_block:
            value = rng.normal(0.0, gain * np.prod(value.shape[:-1]) ** -0.5, value.shape)
        weight.assign(np.float32(value + rng.normal(0.0, 0.02, value.shape)))
    return model


def random_batch(height, width, channels=3, count=2):
    """Random images in [-1, 1], the same ones for every test."""
    return np.random.default_rng(7).uniform(-1, 1, (count, height, width, channels)).astype("float32")


def convolutions(model):
    """Name, side of the kernel, stride and width of a network's convolutions, in their order."""
    return [
        (layer.name, *layer.kernel_size[:1], *layer.strides[:1], layer.filters)
        for layer in model.layers
        if hasattr(layer, "kernel_size")
    ]


def relus(model):
    """The names of the layers that cut what is below zero."""
    cutting = keras.activations.relu
    return [
        layer.name
        for layer in model.layers
        if isinstance(layer, keras.layers.ReLU) or getattr(layer, "activation", None) is cutting
    ]


def norms(model):
    """Names of a network's batch normalisations, in their order."""
    return [layer.name for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]


def intermediates(model, given, *names):
    """What some layers of a network give, as NumPy arrays by the layer's name."""
    part = keras.Model(model.inputs, {name: model.get_layer(name).output for name in names})
    given = given if isinstance(given, list) else [given]
    return {name: keras.ops.convert_to_numpy(value) for name, value in part(given).items()}


def plain_recipe(**changes) -> Recipe:
    """Edge-CNN on 16 patches of 32x32 of the demo photographs, two epochs of three steps."""
    recipe = Recipe(
        generator=Network(builder="edge_cnn", options=GENERATOR),
        data=Data(patch=32, batch=16, gray=0.5),
        phases=(Phase(epochs=2, terms={"mse": 1.0, "edge": 1.0}, learning_rate=1e-3),),
        steps_per_epoch=3,
    )
    return dataclasses.replace(recipe, **changes)


def adversarial_recipe(**changes) -> Recipe:
    """Texture-GAN with every loss term and random VGG filters; an epoch of MSE, then one of everything."""
    terms = {"mse": 1.0, "perceptual": 1e-6, "texture": 1e-9, "adversarial": 1e-2}
    recipe = Recipe(
        generator=Network(builder="texture_generator", options=GENERATOR),
        discriminator=Network(builder="srgan_discriminator", options={"filters": 4, "norm": "synchronized"}),
        features=Features(
            network="vgg16", weights="random", perceptual="block2_pool", texture=("block1_conv1", "block2_conv1")
        ),
        data=Data(patch=32, batch=16),
        phases=(
            Phase(epochs=1, terms={"mse": 1.0}, learning_rate=1e-3),
            Phase(epochs=1, terms=terms, learning_rate=1e-3),
        ),
        optimizer=Optimizer(average=0.9),
        monitor="last",
        steps_per_epoch=2,
    )
    return dataclasses.replace(recipe, **changes)


def blind_recipe(**changes) -> Recipe:
    """Texture-GAN over two scales, with Muon, relative errors, fading terms and every kind of JPEG."""
    terms = {"relative_mse": 1.0, "perceptual": 1e-6, "texture": 1e-9, "adversarial": 1e-2}
    recipe = Recipe(
        generator=Network(
            builder="texture_generator",
            options={"filters": 16, "blocks": 3, "head": 8, "norm": "none", "stride": 2, "scales": 2, "expansion": 2},
        ),
        discriminator=Network(builder="srgan_discriminator", options={"filters": 4, "norm": "none"}),
        features=Features(
            network="vgg16", weights="random", perceptual="block2_pool", texture=("block1_conv1", "block2_conv1")
        ),
        data=Data(
            patch=32,
            batch=16,
            quality=(5, 95),
            quality_law="log-uniform",
            gray=0.3,
            double=0.5,
            aligned=0.9,
            subsampling={"4:2:0": 1.0, "4:2:2": 1.0, "4:4:4": 1.0},
            tables={"standard": 1.0, "mozjpeg": 1.0, "photoshop": 1.0},
        ),
        optimizer=Optimizer(kind="muon", average=0.9, weight_decay=0.5),
        phases=(
            Phase(
                epochs=1,
                terms=terms,
                fading=("perceptual", "texture", "adversarial"),
                learning_rate=1e-3,
                discriminator_rate=5e-4,
            ),
        ),
        monitor="last",
        steps_per_epoch=2,
    )
    return dataclasses.replace(recipe, **changes)


def tiny_recipe(system: str, *assignments: str) -> Recipe:
    """The demo recipe of a system with tiny networks and phases of one epoch of two steps.

    The two trainings of the region-aware system are ``region-aware.base`` and ``region-aware.texture``.
    """
    system, _, part = system.partition(".")
    recipe = getattr(SYSTEMS[system]["demo"], part) if part else SYSTEMS[system]["demo"]
    changes = {
        "data.batch": 4,
        "data.patch": 64 if system == "argan" else 32,
        "precision": "float32",
        "steps_per_epoch": 2,
        "optimizer.clip_norm": "null",
        "optimizer.average": "null",
        "generator.options.filters": 8,
        **{f"generator.options.{name}": count for name, count in FEW_BLOCKS[recipe.generator.builder].items()},
    }
    if recipe.discriminator:
        changes["discriminator.options.filters"] = 4
    if recipe.features:
        changes |= {"features.network": "vgg16", "features.weights": "random", "features.perceptual": "block2_pool"}
    for i in range(len(recipe.phases)):
        changes |= {f"phases.{i}.epochs": 1, f"phases.{i}.warmup": 0, f"phases.{i}.decay": "constant"}
    return override(recipe, [f"{field}={value}" for field, value in changes.items()] + list(assignments))


def noise_recipe(**changes) -> Recipe:
    """The one-to-many network with losses of its own and of ARGAN; an epoch of MSE, then one of everything."""
    terms = {"mse": 1.0, "jpeg": 1e-5, "ssim": 0.1, "saturating": 1e-2}
    recipe = Recipe(
        generator=Network(builder="proposal_network", options=NOISE_GENERATOR),
        discriminator=Network(builder="naturalness_discriminator", options={"filters": 2, "norm": "none"}),
        data=Data(patch=32, batch=8, aligned=0.5, gray=0.5),
        phases=(
            Phase(epochs=1, terms={"mse": 1.0}, learning_rate=1e-3),
            Phase(epochs=1, terms=terms, learning_rate=1e-3),
        ),
        optimizer=Optimizer(average=0.9),
        steps_per_epoch=2,
        label_smoothing=0.1,
    )
    return dataclasses.replace(recipe, **changes)


def cells(picture, columns):
    """The images of a picture of 40x33 images without their labels, row by row."""
    from tfar.reports.contact_sheet import LABEL_HEIGHT

    rows = np.split(picture, len(picture) // (40 + LABEL_HEIGHT))
    return [cell[LABEL_HEIGHT:] for row in rows for cell in np.split(row, columns, axis=1)]


def warned(function, *arguments):
    """What a function returns, and the warnings it gave."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = function(*arguments)
    return result, [str(warning.message) for warning in caught]


def save_image(path, image):
    """Write an image file, and the folders it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def files_below(folder):
    """Paths of all files below a folder, relative to it, sorted."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def largest_difference(restored, expected):
    """The largest difference of two uint8 images of one shape, in levels."""
    assert restored.dtype == expected.dtype == np.uint8
    assert restored.shape == expected.shape
    return abs(np.int16(restored) - expected).max()


def development_files(variable, *names):
    """Files below the folder named by an environment variable; skips the test where one is absent."""
    paths = [Path(os.environ.get(variable, ""), name) for name in names]
    if variable not in os.environ or not all(path.exists() for path in paths):
        pytest.skip(f"{variable} names no folder with {', '.join(names)}")
    return paths


def decode(uri, form="webp"):
    """The image in a data URI of lossless WebP, or another format: uint8."""
    head, data = uri.split(",")
    assert head == f"data:image/{form};base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data, validate=True))))


def wait_for(condition, seconds=20):
    """Wait until a condition that a browser has to meet is met."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing came of it"
        time.sleep(0.05)


@contextlib.contextmanager
def headless_chromium(folder, size):
    """Selenium's driver of a Chromium whose profile and ``downloads`` lie in a folder; skips where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("needs the programs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-sync",
        "disable-background-networking",
        "disable-component-update",
        f"window-size={size}",
        f"user-data-dir={folder / 'profile'}",
    ):
        options.add_argument(f"--{argument}")
    preferences = {"profile.default_content_setting_values.automatic_downloads": 1}  # several at once, unasked
    preferences["download.default_directory"] = str(folder / "downloads")
    options.add_experimental_option("prefs", preferences)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield browser
    browser.quit()


def unreadable_exif(orientation: int) -> bytes:
    """EXIF of an orientation and a resolution in letters, which Pillow reads and cannot write."""
    entries = struct.pack("<HHIHH", 0x112, 3, 1, orientation, 0) + struct.pack("<HHI4s", 0x11A, 2, 3, b"72")
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(4)
