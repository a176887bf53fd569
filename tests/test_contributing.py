"""The lists of CONTRIBUTING.md are complete: what they name is all it takes to add a paper, a loss, a metric ..."""

import re
import shutil
import subprocess
import sys

import pytest
from helpers import ROOT

PAPER = '''"""A network of one convolution."""

import keras

from tfar.models.blocks import conv
from tfar.recipes import Network, Phase, Recipe


def one_convolution(*, channels: int = 3) -> keras.Model:
    jpeg = keras.Input((None, None, channels), name="jpeg")
    return keras.Model(jpeg, {"image": jpeg + conv(jpeg, channels, 3, name="only")}, name="one_convolution")


RECIPES = {
    "one-convolution": {
        "demo": Recipe(
            generator=Network(builder="one_convolution"),
            phases=(Phase(epochs=1, terms={"mse": 1.0, "bias": 0.5}),),
            steps_per_epoch=2)}}
'''
LOSS = """from keras import ops


def bias(original, restored):
    return ops.square(ops.mean(restored) - ops.mean(original))
"""
METRIC = """import numpy as np


def largest(original, restored):
    return float(np.abs(np.int16(original) - restored).max())
"""
COMMAND = '''"""Say hello to somebody."""


def add_arguments(parser):
    parser.add_argument("name")


def run(options):
    print(f"hello {options.name}")
    return 0
'''


def insert(file, after, text):
    content = file.read_text()
    assert content.count(after) == 1, (file, after)
    file.write_text(content.replace(after, after + text))


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the package with one of each; only files that CONTRIBUTING.md names are touched."""
    root = tmp_path_factory.mktemp("extended")
    package = shutil.copytree(ROOT / "tfar", root / "tfar", ignore=shutil.ignore_patterns("__pycache__"))
    (package / "models" / "one_convolution.py").write_text(PAPER)
    registry = package / "models" / "registry.py"
    insert(registry, "keras.Model]] = {", '\n    "one_convolution": one_convolution.one_convolution,')
    insert(registry, "RegionAware]] = {", "\n    **one_convolution.RECIPES,")
    insert(registry, "from tfar.models import ", "one_convolution, ")
    (package / "losses" / "bias.py").write_text(LOSS)
    trainer = package / "training" / "trainer.py"
    insert(trainer, "TERMS = {\n", '    "bias": lambda step: bias.bias(step.original, step.restored),\n')
    insert(trainer, "from tfar.losses import ", "bias, ")
    (package / "metrics" / "largest.py").write_text(METRIC)
    catalogue = package / "metrics" / "catalogue.py"
    insert(catalogue, "METRICS = {\n", '    "largest": Metric(heading="largest", function=largest, takes="either"),\n')
    insert(catalogue, "from tfar.metrics.flip import flip\n", "from tfar.metrics.largest import largest\n")
    (package / "commands" / "hello.py").write_text(COMMAND)
    insert(package / "cli.py", "COMMANDS = (", '"hello", ')
    return root


def tfar(root, *arguments):
    code = "import sys; from tfar.cli import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], cwd=root, capture_output=True, text=True)


def test_a_command(extended):
    assert tfar(extended, "hello", "you").stdout == "hello you\n"
    assert re.search(r"hello +say hello to somebody", tfar(extended, "--help").stdout)


def test_a_paper_a_loss_a_metric_and_a_preset(extended):
    result = tfar(extended, "train", "one-convolution", "--run", "run", "--set", "data.patch=16", "data.batch=2")
    assert result.returncode == 0, result.stderr[-2000:]
    assert re.search(r"^1,.*", (extended / "run" / "log.csv").read_text(), re.MULTILINE)
    assert "bias" in (extended / "run" / "log.csv").read_text().splitlines()[0]

    preset = extended / "saved_models" / "mine"
    preset.mkdir(parents=True)
    for name in ("model.keras", "recipe.json", "metrics.json", "comparison.png"):
        shutil.copyfile(extended / "run" / name, preset / name)
    (preset / "README.md").write_text("# mine\n")
    assert tfar(extended, "presets").stdout == "mine\n"
    assert tfar(extended, "presets", "mine").stdout.startswith("# mine")
    photos = extended / "photos"
    photos.mkdir()
    shutil.copyfile(extended / "run" / "comparison.png", photos / "a.png")
    scored = tfar(extended, "evaluate", photos, "--preset", "mine", "--metrics", "psnr", "largest", "--no-cache")
    assert scored.returncode == 0, scored.stderr[-2000:]
    assert "| PSNR | largest |" in scored.stdout


def test_the_places_are_those_of_the_guide():
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    for place in ("models/registry.py", "training/trainer.py", "metrics/catalogue.py", "cli.py", "saved_models/NAME/"):
        assert place in guide
