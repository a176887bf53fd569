import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from helpers import TINY, largest_difference, perturb

from tfar.errors import TfarError
from tfar.export import tflite
from tfar.export.checks import check_saved_model
from tfar.export.saved_model import export_saved_model
from tfar.export.tflite import export_tflite
from tfar.models import rgb_form
from tfar.models.one_to_many import proposal_network
from tfar.models.region_aware import edge_cnn, region_aware, texture_generator
from tfar.restoration.restorer import Restorer


@pytest.fixture(scope="module")
def network():
    """A fused network whose weights are the larger part of its file."""
    wide = {**TINY, "filters": 24, "head": 24}
    return region_aware(perturb(edge_cnn(**wide), 1), perturb(texture_generator(**wide), 2))


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved_model") / "saved_model"
    export_saved_model(network, folder)
    return folder


def weight_types(file):
    """Names of the constants of a TFLite file that hold weights, and their types."""
    tensors = Interpreter(str(file)).get_tensor_details()
    return {
        t["name"]: np.dtype(t["dtype"]).name for t in tensors if "convolution" in t["name"] and len(t["shape"]) == 4
    }


@pytest.mark.parametrize(
    ("quantize", "share", "levels", "tile"),
    [("none", 1.0, 0.01, 40), ("float16", 0.5, 0.5, None), ("dynamic", 0.25, 2.5, None)],
)
def test_sizes_and_pixels_of_quantized_files(network, folder, noise, tmp_path, quantize, share, levels, tile):
    export_tflite(folder, tmp_path / "model.tflite", quantize=quantize, tile=tile)
    weights = sum(weight.numpy().nbytes for weight in network.weights)
    size = (tmp_path / "model.tflite").stat().st_size
    assert share * weights < size < (share + 0.12) * weights
    restore = Interpreter(str(tmp_path / "model.tflite")).get_signature_runner("serving_default")
    sides = restore.get_input_details()["image"]["shape_signature"].tolist()
    assert sides == ([1, tile, tile, 3] if tile else [-1, -1, -1, 3])
    image = noise(40, 40)
    restored, expected = restore(image=image[None])["restored"][0], Restorer(network)(image)
    assert abs(np.float32(restored) - expected).mean() <= levels
    assert largest_difference(image, expected) > 20


def test_the_mask_stays_in_float32_where_weights_have_8_bits(folder, tmp_path):
    export_tflite(folder, tmp_path / "model.tflite", quantize="dynamic")
    types = weight_types(tmp_path / "model.tflite")
    assert {kind for name, kind in types.items() if "mask" in name} == {"float32"}
    assert sum(kind == "int8" for kind in types.values()) >= 16


def test_noise_of_a_fixed_tile_has_half_its_size(tmp_path):
    model = perturb(proposal_network(filters=4, branch_blocks=1, blocks=1, norm="none", residual=True), 3)
    export_saved_model(model, tmp_path / "saved_model", output="image")
    export_tflite(tmp_path / "saved_model", tmp_path / "model.tflite", tile=33)
    inputs = Interpreter(str(tmp_path / "model.tflite")).get_signature_runner("serving_default").get_input_details()
    shapes = {name: detail["shape_signature"].tolist() for name, detail in inputs.items()}
    assert shapes == {"image": [1, 33, 33, 3], "noise": [1, 17, 17, 1]}


def other_network(seed):
    return perturb(edge_cnn(**TINY), seed)


@pytest.mark.parametrize(("seed", "fault"), [(1, "too few"), (2, "apart")])
def test_a_conversion_to_less_or_to_something_else_is_an_error(tmp_path, monkeypatch, seed, fault):
    """The converter is made to give the file of another network: of a smaller one, or of the same one retrained."""
    served = perturb(edge_cnn(**TINY | {"filters": 24}), 1) if fault == "too few" else other_network(1)
    export_saved_model(served, tmp_path / "served", output="image")
    export_saved_model(other_network(seed), tmp_path / "other", output="image")
    convert = tflite.converted
    monkeypatch.setattr(tflite, "converted", lambda _, *rest, **named: convert(tmp_path / "other", *rest, **named))
    with pytest.raises(TfarError, match=f"model.tflite: .*{fault}"):
        export_tflite(tmp_path / "served", tmp_path / "model.tflite")
    assert not (tmp_path / "model.tflite").exists()


@pytest.mark.parametrize("fault", ["too few", "apart"])
def test_a_saved_model_with_less_or_something_else_is_an_error(tmp_path, fault):
    export_saved_model(other_network(1), tmp_path / "saved_model", output="image")
    network = perturb(edge_cnn(**TINY | {"filters": 24}), 1) if fault == "too few" else other_network(2)
    with pytest.raises(TfarError, match=f"^out: .*{fault}"):
        check_saved_model(tmp_path / "saved_model", rgb_form(network, ["image"]), "image", name="out")
