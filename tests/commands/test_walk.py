"""The whole walk, tiny: images -> training -> fused network -> scores -> exports -> restored files."""

import json

import pytest
import tensorflow as tf
from helpers import largest_difference
from PIL import Image

from tfar import cli, presets
from tfar.data.sources import demo_folder
from tfar.images.read import read_image
from tfar.restoration.restorer import Restorer

SMALL = [
    f"{part}.{field}"
    for part in ("base", "texture")
    for field in (
        "generator.options.filters=8",
        "generator.options.blocks=5",
        "generator.options.head=8",
        "data.patch=32",
        "data.batch=4",
        "steps_per_epoch=2",
        "phases.0.epochs=1",
        "phases.0.warmup=0",
    )
]
SMALL += [
    "texture.discriminator.options.filters=4",
    "texture.features.weights=random",
    "texture.features.network=vgg16",
    "texture.features.perceptual=block2_pool",
    'texture.features.texture=["block1_conv1"]',
]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run of the main job on three demo photographs, one of them held out, and what it printed."""
    root = tmp_path_factory.mktemp("walk")
    photos = root / "photos"
    photos.mkdir()
    for name in ("coffee", "astronaut", "camera"):
        Image.fromarray(read_image(demo_folder() / f"{name}.png")[:96, :120]).save(photos / f"{name}.png")
    folder = root / "run"
    assert cli.main(["train", "region-aware", "--data", str(photos), "--run", str(folder), "--set", *SMALL]) == 0
    return folder


def test_the_run_folder_is_complete(run_folder):
    names = {path.name for path in run_folder.iterdir()}
    assert names >= {
        "recipe.json",
        "base",
        "texture",
        "model.keras",
        "metrics.json",
        "saved_model",
        "model.tflite",
        "comparison.png",
    }
    assert not [name for name in names if name.startswith(".part")]


def test_scores_cover_every_layer_and_both_protocols(run_folder):
    means = json.loads((run_folder / "metrics.json").read_text())["means"]
    assert [(mean["protocol"], mean["quality"], mean["model"]) for mean in means] == [
        (protocol, 10, layer)
        for protocol in ("gray", "color")
        for layer in ("JPEG", "L_B (base)", "L_T (texture)", "fused")
    ]
    assert all({"psnr", "psnr_b", "ssim"} <= set(mean["scores"]) for mean in means)


def test_comparison_shows_six_pictures(run_folder):
    assert Image.open(run_folder / "comparison.png").size[0] == 3 * 120


def test_trained_network_restores_and_its_saved_model_gives_the_same_pixels(run_folder, tmp_path, noise):
    jpeg = tmp_path / "photo.jpg"
    Image.fromarray(noise(33, 46)).save(jpeg, quality=10)
    assert cli.main(["restore", str(jpeg), str(tmp_path / "photo.png"), "--preset", str(run_folder)]) == 0
    restored = read_image(tmp_path / "photo.png")
    assert largest_difference(restored, Restorer(presets.load(run_folder))(read_image(jpeg))) <= 3  # in 8 bits
    served = tf.saved_model.load(str(run_folder / "saved_model")).signatures["serving_default"]
    pixels = served(image=tf.constant(read_image(jpeg)[None]))["restored"].numpy()[0]
    assert largest_difference(pixels, restored) <= 3


def test_a_finished_run_can_be_resumed_without_training_again(run_folder, capsys):
    before = (run_folder / "base" / "best.weights.h5").read_bytes()
    assert cli.main(["train", "region-aware", "--resume", str(run_folder)]) == 0
    assert (run_folder / "base" / "best.weights.h5").read_bytes() == before
    assert "L_B (base)" in capsys.readouterr().out


def test_compare_writes_the_picture(run_folder, tmp_path):
    out = tmp_path / "picture.png"
    original = str(demo_folder() / "coins.png")
    assert cli.main(["compare", original, str(out), "--preset", str(run_folder), "--quality", "20"]) == 0
    assert Image.open(out).size[0] == 3 * 384
