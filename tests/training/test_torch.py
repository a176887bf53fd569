"""The PyTorch backend, in a process that cannot import TensorFlow."""

import importlib.util
import os
import subprocess
import sys

import helpers
import numpy as np
import pytest
from helpers import ROOT

from tfar import pixels
from tfar.data.patches import Patches
from tfar.data.sources import load_split
from tfar.models import call
from tfar.training.runs import Run

pytestmark = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")

SCRIPT = """
import sys
sys.modules["tensorflow"] = None  # importing it is an error from here on
import numpy as np
import helpers
from keras import ops
from tfar import pixels
from tfar.models import call
from tfar.training.runs import Run

recipe, folder, given, out = sys.argv[1:]
run = Run(folder, getattr(helpers, recipe)())
assert not run.train(minutes=0, verbose=0)
assert Run(folder).train(verbose=0)
x = dict(np.load(given))
restored = call(run.best_generator(), {**x, "jpeg": pixels.to_float(x["jpeg"])})["image"]
np.save(out, ops.convert_to_numpy(restored))
"""


@pytest.fixture(scope="module", params=["adversarial_recipe", "noise_recipe"])
def trained(request, tmp_path_factory):
    """A run made by PyTorch, what its generator makes of a batch of JPEGs, and the batch."""
    folder = tmp_path_factory.mktemp("torch")
    recipe = getattr(helpers, request.param)()
    training, _ = load_split("demo", 0.1, recipe.data.patch)
    x, _ = Patches(training, recipe.data, seed=1, noise=request.param == "noise_recipe").batch(0)
    np.savez(folder / "x.npz", **x)
    environment = {**os.environ, "KERAS_BACKEND": "torch", "PYTHONPATH": str(ROOT / "tests")}
    arguments = [request.param, *(str(folder / name) for name in ("run", "x.npz", "restored.npy"))]
    result = subprocess.run([sys.executable, "-c", SCRIPT, *arguments], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    return Run(folder / "run"), np.load(folder / "restored.npy"), x


def test_pytorch_trains_and_resumes_without_tensorflow(trained):
    run, _, _ = trained
    assert run.latest_epoch() == 2
    assert (run.folder / "log.csv").read_text().count("\n") == 3


def test_weights_trained_by_pytorch_give_the_same_pixels_in_tensorflow(trained):
    run, restored, x = trained
    expected = call(run.best_generator(), {**x, "jpeg": pixels.to_float(x["jpeg"])})["image"]
    np.testing.assert_allclose(expected, restored, atol=1e-5)
