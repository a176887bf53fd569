"""Files for apps: :mod:`tfar.export.app`, fed as the app feeds them, by :mod:`tfar.evaluation.apps`."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from helpers import NOISE_GENERATOR, SCALES, TINY, largest_difference, perturb

from tfar.errors import TfarError
from tfar.export import app, flatbuffer
from tfar.export.app import export_app
from tfar.models import main_output
from tfar.models.one_to_many import proposal_network
from tfar.models.region_aware import edge_cnn, region_aware, texture_generator
from tfar.recipes import Mask
from tfar.restoration.restorer import Restorer

SIDE = 32


def fused():
    networks = perturb(edge_cnn(**TINY), 1), perturb(texture_generator(**TINY), 2)
    return region_aware(*networks, Mask(threshold=4, feather=5, damage=((1.0, 0.0), (2.0, 1.0), (9.0, 0.5))))


NETWORKS = {
    "fused": fused,
    "luma": lambda: perturb(edge_cnn(**TINY, channels=1), 1),
    "leaky": lambda: perturb(edge_cnn(**SCALES, activation="leaky_relu"), 4),
    "noise": lambda: perturb(proposal_network(**NOISE_GENERATOR), 3),
}


@pytest.fixture(scope="module", params=NETWORKS)
def exported(request, tmp_path_factory):
    model = NETWORKS[request.param]()
    file = tmp_path_factory.mktemp("app") / "model.tflite"
    export_app(model, file, output=main_output(model), tile=SIDE, about={"preset": "tiny"})
    return model, file


def shown(file, image, strength):
    """What the app shows of a tile: it cuts off the fractions of levels."""
    restore = Interpreter(str(file)).get_signature_runner("serving_default")
    restored = restore(image=np.float32(image[None]) / 255, strength=np.float32([[strength]]))["restored"][0]
    assert 0 <= restored.min() and restored.max() <= 1
    return np.uint8(np.clip(restored * 255, 0, 255))


def test_the_contract(exported):
    _, file = exported
    interpreter = Interpreter(str(file))
    found = {d["name"]: (tuple(d["shape"]), d["dtype"]) for d in interpreter.get_input_details()}
    assert sorted(found.values(), key=lambda detail: len(detail[0])) == [
        ((1, 1), np.float32),
        ((1, SIDE, SIDE, 3), np.float32),
    ]
    [output] = interpreter.get_output_details()
    assert (tuple(output["shape"]), output["dtype"]) == ((1, SIDE, SIDE, 3), np.float32)
    content = file.read_bytes()
    assert flatbuffer.operators(content)["CONV_2D"] > 3
    assert flatbuffer.outside_mobile_gpu(content) == {}
    told = flatbuffer.metadata(content)
    assert told["preset"] == "tiny" and told["inputs"]["strength"]["range"] == [0, 1]


@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
def test_the_slider_is_the_strength(exported, noise, strength):
    model, file = exported
    image = noise(SIDE, SIDE)
    restored, expected = shown(file, image, strength), Restorer(model, strength=strength)(image)
    if strength == 0:
        np.testing.assert_array_equal(restored, image)
    assert largest_difference(restored, expected) <= 1
    assert abs(np.float32(restored) - expected).mean() < 0.05  # rounded, not cut off
    assert largest_difference(Restorer(model)(image), image) > 8


def test_a_network_that_came_out_differently_is_an_error(tmp_path, monkeypatch):
    model, other = (perturb(edge_cnn(**TINY), seed) for seed in (1, 2))
    monkeypatch.setattr(app, "mobile_gpu_form", lambda *_: other)
    with pytest.raises(TfarError, match="model.tflite: .*apart"):
        export_app(model, tmp_path / "model.tflite", output="image", tile=SIDE)
    assert not list(tmp_path.iterdir())
