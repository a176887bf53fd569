"""What scripts/store_preset.py makes of a run."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import store_preset
from helpers import perturb, plain_recipe

from tfar import presets
from tfar.errors import TfarError
from tfar.models import build
from tfar.models.galteri import galteri_generator
from tfar.training.runs import Run

TINY = {"filters": 4, "blocks": 1}


def test_a_share_of_the_way_from_the_network_that_a_training_started_from():
    start, trained = (perturb(galteri_generator(**TINY), seed) for seed in (1, 2))
    first, last = start.get_weights(), trained.get_weights()
    store_preset.interpolate(start, trained, 0.25)
    for weight, before, after in zip(trained.get_weights(), first, last, strict=True):
        np.testing.assert_allclose(weight, 0.75 * before + 0.25 * after, rtol=1e-5, atol=1e-7)
    for given, before in zip(start.get_weights(), first, strict=True):
        np.testing.assert_array_equal(given, before)


def test_a_start_that_lacks_layers_is_refused():
    start, trained = galteri_generator(**TINY), galteri_generator(**TINY | {"blocks": 2})
    with pytest.raises(TfarError, match="galteri_generator has no weights for block2_conv1, block2_conv2"):
        store_preset.interpolate(start, trained, 0.5)


def test_a_share_of_nothing_is_refused():
    with pytest.raises(TfarError, match="--share needs --from"):
        store_preset.run(store_preset.parser().parse_args(["run", "name", "--share", "0.5"]))


def test_kernels_keep_six_bits_of_the_mantissa_and_biases_all_of_float16():
    values = np.float32([1 + 2**-6, 1 + 2**-7, 1 + 2**-8, 2 - 2**-10, -(3 + 2**-4), 0.0, 2.0**-24])
    kept = np.float32([1 + 2**-6, 1 + 2**-6, 1, 2, -(3 + 2**-4), 0, 0])
    np.testing.assert_array_equal(store_preset.rounded(values[None]), kept[None])
    np.testing.assert_array_equal(store_preset.rounded(values), np.float16(values))


def test_a_run_becomes_a_preset_of_rounded_weights_without_paths(tmp_path, monkeypatch):
    monkeypatch.setattr(presets, "presets_folder", lambda: tmp_path / "presets")
    run = Run(tmp_path / "run", plain_recipe(steps_per_epoch=1))
    assert run.train(verbose=0)
    start = perturb(build(run.recipe.generator), 3)
    start.save(tmp_path / "start.keras")
    options = ["--from", str(tmp_path / "start.keras"), "--share", "0.5"]
    assert store_preset.run(store_preset.parser().parse_args([str(run.folder), "name", *options])) == 0
    folder = tmp_path / "presets" / "name"
    stored = keras.models.load_model(folder / "model.keras")
    pairs = zip(stored.get_weights(), start.get_weights(), run.network().get_weights(), strict=True)
    for weight, before, after in pairs:
        np.testing.assert_allclose(weight, (before + after) / 2, rtol=2.0**-7, atol=1e-4)
        np.testing.assert_array_equal(weight, store_preset.rounded(weight))
    noted = json.loads((folder / "metrics.json").read_text())
    assert noted == {"model_sha256": presets.digest(folder / "model.keras")}
    data = json.loads((folder / "recipe.json").read_text())["data"]
    assert data["source"] == "photos" and not Path(data["source"]).is_absolute()
