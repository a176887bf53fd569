"""The training for a bare machine with PyTorch: the step as one graph, and the packed folder, rehearsed on the CPU."""

import csv
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, files_below
from PIL import Image
from skimage import data
from train_packed import HELD_OUT, TRAINING

from tfar import recipes
from tfar.data.sources import load_split
from tfar.models import build

pytestmark = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")

TINY = ["generator.options.filters=4", "generator.options.head=4", "data.patch=32", "data.batch=4", "steps_per_epoch=2"]

SAME_STEPS = """
import sys
sys.modules["tensorflow"] = None
import numpy as np
import torch
from torch.utils import _pytree as pytree
import helpers
from tfar.data.patches import Patches
from tfar.data.sources import load_split
from tfar.training.captured import WARM_UP, CapturedStep
from tfar.training.trainer import Trainer

recipe = helpers.blind_recipe()
images, _ = load_split("demo", 0.1, 32)
patches = Patches(images, recipe.data)
batches = [pytree.tree_map(torch.from_numpy, patches.batch(i)) for i in range(4)]
plain, captured = Trainer(recipe), Trainer(recipe)
for trainer in (plain, captured):
    trainer.begin(recipe.phases[0])
for _ in range(WARM_UP):
    plain.train_step(batches[0])
step = CapturedStep(captured, batches[0])
for trainer in (plain, captured):  # the trace itself took a step
    trainer.reset_metrics()
plain.train_step(batches[0])
for batch in batches[1:]:
    plain.optimizer.learning_rate = captured.optimizer.learning_rate = float(batch[1][0, 0, 0, 0]) * 1e-5
    expected, logs = plain.train_step(batch), step(batch)
for name in ("generator", "averaged_generator", "discriminator"):
    pairs = zip(getattr(plain, name).get_weights(), getattr(captured, name).get_weights(), strict=True)
    print(name, max(np.abs(a - b).max() for a, b in pairs))
print("moved", np.abs(plain.generator.get_weights()[0] - plain.averaged_generator.get_weights()[0]).max())
"""


def torch_process(*arguments, path, **options):
    environment = {**os.environ, "KERAS_BACKEND": "torch", "PYTHONPATH": path}
    result = subprocess.run(
        [sys.executable, *map(str, arguments)], env=environment, capture_output=True, text=True, **options
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


def test_the_captured_step_is_the_step():
    lines = dict(line.split() for line in torch_process("-c", SAME_STEPS, path=str(ROOT / "tests")).splitlines())
    assert float(lines.pop("moved")) > 1e-5
    assert set(lines) == {"generator", "averaged_generator", "discriminator"}
    assert max(map(float, lines.values())) < 1e-6, lines


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A packed folder of three photographs."""
    root = tmp_path_factory.mktemp("packed")
    (root / "photos").mkdir()
    for name in ("astronaut", "coffee", "chelsea"):
        Image.fromarray(getattr(data, name)()[:200, :200]).save(root / "photos" / f"{name}.png")
    result = subprocess.run(
        [
            sys.executable,
            ROOT / "scripts" / "pack_for_gpu.py",
            root / "pack",
            "region-aware:demo.base",
            "--data",
            root / "photos",
            "--no-wheels",
            "--set",
            *TINY,
            "data.validation=0.34",
        ],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert "2 photographs to train on, 1 held out" in result.stdout
    return root / "pack"


def test_what_a_training_would_hold_out_is_packed_apart(packed):
    parts = load_split(str(packed.parent / "photos"), 0.34, 32)
    found = [[f"{i}-photos-{Path(image.name).name}" for i, image in enumerate(part)] for part in parts]
    assert [sorted(names) for names in found] == [files_below(packed / folder) for folder in (TRAINING, HELD_OUT)]


def weights(file, pack):
    network = build(recipes.from_json(recipes.Recipe, (pack / "recipe.json").read_text()).generator)
    network.load_weights(file)
    return network.get_weights()


@pytest.mark.slow
def test_the_steps_by_which_the_graph_is_made_change_no_weight(packed):
    """The time is over before the first step at a rate."""
    options = ("--minutes", 0.001, "--workers", 1, "--pool", 16, "--out", "none")
    torch_process("train_packed.py", *options, cwd=packed, path=str(packed), timeout=150)
    for name, array in enumerate(weights(packed / "initial.weights.h5", packed)):
        with np.load(packed / "none" / "state-0.npz") as state:
            np.testing.assert_array_equal(state[f"generator/{name}"], array)


@pytest.mark.slow
def test_a_packed_training_learns_ends_in_time_and_goes_on(packed):
    states = []
    for number, more in enumerate(([], ["--state", "out0"])):
        out = packed / f"out{number}"
        printed = torch_process(
            "train_packed.py",
            "--minutes",
            0.6,
            "--reserve",
            3,
            "--workers",
            1,
            "--pool",
            64,
            "--out",
            out.name,
            *more,
            cwd=packed,
            path=str(packed),
            timeout=150,
        )
        assert "cpu: ready after" in printed
        with open(out / "log.csv", newline="") as file:
            log = list(csv.DictReader(file))
        assert int(log[-1]["steps"]) > 5
        assert max(file.stat().st_size for file in out.iterdir()) < 16 << 20
        with np.load(out / "state-0.npz") as state:
            states.append(dict(state))
    before, after = (
        weights(packed / "initial.weights.h5", packed),
        weights(packed / "out0" / "average.weights.h5", packed),
    )
    assert any((a != b).any() for a, b in zip(before, after))
    iterations = [int(state["generator_optimizer/0"]) for state in states]
    assert iterations[1] > iterations[0] > 5 and states[1]["batches"] > states[0]["batches"]


def test_a_folder_that_exists_is_not_packed_into(packed):
    result = subprocess.run(
        [sys.executable, ROOT / "scripts" / "pack_for_gpu.py", packed, "region-aware:demo.base", "--data", packed],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2 and "exists already" in result.stderr
