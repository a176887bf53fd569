import itertools

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from helpers import SCALES, TINY, largest_difference, perturb

from tfar import cli
from tfar.export.saved_model import export_saved_model
from tfar.export.tflite import export_tflite
from tfar.models.one_to_many import proposal_network
from tfar.models.region_aware import edge_cnn, region_aware, texture_generator
from tfar.recipes import Mask
from tfar.restoration.restorer import Restorer

SIZES = [(24, 32), (17, 13)]


DAMAGE = ((5.0, 0.0), (15.0, 1.0), (30.0, 0.5))


def fused(mask):
    return region_aware(perturb(edge_cnn(**TINY), 1), perturb(texture_generator(**TINY), 2), mask)


@pytest.fixture(scope="module", params=["fused", "fused softened", "paper form", "scales", "luma"])
def exported(request, tmp_path_factory):
    """A network, and the folder with its SavedModel and TFLite file."""
    output = "fused"
    if request.param == "paper form":
        model, output = perturb(edge_cnn(filters=8, blocks=2, head=8), 1), "image"
    elif request.param == "scales":
        model, output = perturb(edge_cnn(**SCALES), 1), "image"
    elif request.param == "luma":
        model, output = perturb(edge_cnn(**TINY, channels=1), 1), "image"
    else:
        model = fused(Mask(majority=3, feather=5, damage=DAMAGE) if request.param == "fused softened" else Mask())
    folder = tmp_path_factory.mktemp("export")
    export_saved_model(model, folder / "saved_model", output=output)
    export_tflite(folder / "saved_model", folder / "model.tflite")
    return model, folder


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_saved_model_restores_as_the_restorer(exported, noise, size):
    model, folder = exported
    images = np.stack([noise(*size), noise(*size)])
    serve = tf.saved_model.load(folder / "saved_model").signatures["serving_default"]
    restored = serve(image=tf.constant(images))["restored"].numpy()
    expected = np.stack([Restorer(model)(image) for image in images])
    assert largest_difference(restored, expected) <= 1
    assert largest_difference(images, expected) > 1


def test_the_session_that_tf_serving_runs(exported, noise):
    """TF Serving runs a signature by the names of its tensors, in a session of a graph as in TensorFlow 1."""
    model, folder = exported
    image = noise(17, 13)
    files = [tf.io.encode_png(image).numpy(), b"no image"]
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default(), session:
        signatures = tf.compat.v1.saved_model.load(session, ["serve"], str(folder / "saved_model")).signature_def

        def run(name, given):
            signature = signatures[name]
            assert signature.method_name == "tensorflow/serving/predict"
            fed = {signature.inputs[key].name: value for key, value in given.items()}
            return session.run({key: info.name for key, info in signature.outputs.items()}, fed)

        [restored] = run("serving_default", {"image": image[None]})["restored"]
        found = run("restore_bytes", {"image_bytes": files})
    assert found["error"].tolist() == [b"", b"neither a JPEG nor a PNG"]
    assert found["restored_bytes"][1] == b""
    for result in (restored, tf.io.decode_png(found["restored_bytes"][0]).numpy()):
        assert largest_difference(result, Restorer(model)(image)) <= 1


def test_saved_model_signature(exported):
    _, folder = exported
    serve = tf.saved_model.load(folder / "saved_model").signatures["serving_default"]
    [(name, image)] = serve.structured_input_signature[1].items()
    assert (name, image.dtype, image.shape.as_list()) == ("image", tf.uint8, [None, None, None, 3])
    [(name, restored)] = serve.structured_outputs.items()
    assert (name, restored.dtype, restored.shape.rank) == ("restored", tf.uint8, 4)


def test_exports_hold_the_weights_once(noise, tmp_path):
    wide = {**TINY, "filters": 24, "head": 24}
    model = region_aware(perturb(edge_cnn(**wide), 1), perturb(texture_generator(**wide), 2))
    weights = sum(weight.numpy().nbytes for weight in model.weights)
    export_saved_model(model, tmp_path / "saved_model")
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "saved_model").rglob("*") if path.is_file()}
    assert weights < sizes["variables.data-00000-of-00001"] <= 1.1 * weights
    assert sum(sizes.values()) <= 1.1 * (weights + sizes["saved_model.pb"])
    export_tflite(tmp_path / "saved_model", tmp_path / "model.tflite")
    assert weights < (tmp_path / "model.tflite").stat().st_size <= 1.2 * weights
    image, restored = noise(24, 32), Restorer(model)
    serve = tf.saved_model.load(tmp_path / "saved_model").signatures["serving_default"]
    assert largest_difference(serve(image=tf.constant(image[None]))["restored"].numpy()[0], restored(image)) <= 1
    restore = Interpreter(str(tmp_path / "model.tflite")).get_signature_runner("serving_default")
    assert largest_difference(restore(image=image[None])["restored"][0], restored(image)) <= 1


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_tflite_restores_as_the_restorer(exported, noise, size):
    model, folder = exported
    restore = Interpreter(str(folder / "model.tflite")).get_signature_runner("serving_default")
    for image in (noise(*size), noise(*size)):
        assert largest_difference(restore(image=image[None])["restored"][0], Restorer(model)(image)) <= 1


def test_tflite_signature(exported):
    _, folder = exported
    interpreter = Interpreter(str(folder / "model.tflite"))
    assert interpreter.get_signature_list() == {"serving_default": {"inputs": ["image"], "outputs": ["restored"]}}
    runner = interpreter.get_signature_runner("serving_default")
    image, restored = runner.get_input_details()["image"], runner.get_output_details()["restored"]
    assert image["dtype"] == restored["dtype"] == np.uint8
    assert image["shape_signature"].tolist()[1:] == [-1, -1, 3]


def test_tflite_has_builtin_operators_only(exported):
    _, folder = exported
    interpreter = Interpreter(str(folder / "model.tflite"), num_threads=1)
    names = {operator["op_name"] for operator in interpreter._get_ops_details()}
    assert "CONV_2D" in names
    assert [name for name in names if "FLEX" in name.upper() or "CUSTOM" in name.upper()] == []


@pytest.fixture(scope="module", params=[3, 1], ids=["color", "luma"])
def exported_with_noise(request, tmp_path_factory):
    """A network that takes noise, and the folder with its SavedModel and TFLite file."""
    options = {"filters": 4, "branch_blocks": 1, "blocks": 1, "norm": "none", "residual": True}
    model = perturb(proposal_network(**options, channels=request.param), 3)
    folder = tmp_path_factory.mktemp("noise")
    export_saved_model(model, folder / "saved_model", output="image")
    export_tflite(folder / "saved_model", folder / "model.tflite")
    return model, folder


def draw(seed, height, width):
    return np.random.default_rng(seed).standard_normal((1, -(-height // 2), -(-width // 2), 1), dtype="float32")


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_saved_model_takes_noise_and_restores_as_the_restorer(exported_with_noise, noise, size):
    model, folder = exported_with_noise
    images = np.stack([noise(*size), noise(*size)])
    serve = tf.saved_model.load(folder / "saved_model").signatures["serving_default"]
    inputs = {
        name: (spec.dtype.name, spec.shape.as_list()) for name, spec in serve.structured_input_signature[1].items()
    }
    assert inputs == {"image": ("uint8", [None, None, None, 3]), "noise": ("float32", [None, None, None, 1])}
    drawn = np.concatenate([draw(seed, *size) for seed in (4, 5)])
    restored = serve(image=tf.constant(images), noise=tf.constant(drawn))["restored"].numpy()
    expected = np.stack([Restorer(model, seed=seed)(image) for seed, image in zip((4, 5), images)])
    assert largest_difference(restored, expected) <= 1
    other = np.stack([Restorer(model, seed=seed)(image) for seed, image in zip((6, 7), images)])
    assert largest_difference(restored, other) > 1


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_tflite_takes_noise_and_restores_as_the_restorer(exported_with_noise, noise, size):
    model, folder = exported_with_noise
    interpreter = Interpreter(str(folder / "model.tflite"))
    [inputs] = [signature["inputs"] for signature in interpreter.get_signature_list().values()]
    assert sorted(inputs) == ["image", "noise"]
    restore, image = interpreter.get_signature_runner("serving_default"), noise(*size)
    for seed in (4, 5):
        restored = restore(image=image[None], noise=draw(seed, *size))["restored"][0]
        assert largest_difference(restored, Restorer(model, seed=seed)(image)) <= 1


def test_operator_that_tflite_lacks_is_an_error(tmp_path):
    module = tf.Module()
    signature = tf.TensorSpec((None, None, None, 3), tf.uint8, name="image")
    module.serve = tf.function(
        lambda image: {"restored": tf.raw_ops.AdjustContrastv2(images=tf.cast(image, tf.float32), contrast_factor=2.0)},
        input_signature=[signature],
    )
    tf.saved_model.save(module, tmp_path / "saved_model", signatures={"serving_default": module.serve})
    with pytest.raises(Exception, match="AdjustContrast"):
        export_tflite(tmp_path / "saved_model", tmp_path / "model.tflite")
    assert not (tmp_path / "model.tflite").exists()


@pytest.mark.parametrize("layer", ["base", "texture"])
def test_layers_can_be_served_and_a_folder_is_replaced(fused_model, noise, tmp_path, layer):
    image = noise(9, 14)
    for output in ("fused", layer):
        export_saved_model(fused_model, tmp_path / "saved_model", output=output)
    serve = tf.saved_model.load(tmp_path / "saved_model").signatures["serving_default"]
    restored = serve(image=tf.constant(image[None]))["restored"].numpy()[0]
    assert largest_difference(restored, Restorer(fused_model, layer)(image)) <= 1
    assert [path.name for path in tmp_path.iterdir()] == ["saved_model"]


@pytest.mark.parametrize("channels", [3, 1], ids=["color", "luma"])
def test_signatures_of_layers_and_dials(noise, tmp_path, channels):
    networks = [make(**TINY, channels=channels) for make in (edge_cnn, texture_generator)]
    model = region_aware(*[perturb(network, seed) for seed, network in enumerate(networks, start=1)])
    export_saved_model(model, tmp_path / "saved_model")
    signatures = tf.saved_model.load(tmp_path / "saved_model").signatures
    assert sorted(signatures) == ["base", "dials", "restore_bytes", "serving_default", "texture"]
    image = noise(17, 14)
    images = tf.constant(np.stack([image] * 4))
    for layer in ("base", "texture"):
        restored = signatures[layer](image=images)["restored"].numpy()[0]
        assert largest_difference(restored, Restorer(model, layer)(image)) <= 1
    strength, texture = [1.0, 0.5, 0.0, 0.3], [0.0, 0.5, 1.0, 1.0]
    restored = signatures["dials"](image=images, strength=tf.constant(strength), texture=tf.constant(texture))[
        "restored"
    ]
    expected = [Restorer(model, strength=s, texture=t)(image) for s, t in zip(strength, texture)]
    assert largest_difference(restored.numpy(), np.stack(expected)) <= 1
    assert all(largest_difference(one, other) > 1 for one, other in itertools.combinations(expected, 2))


def test_strength_of_a_single_network(exported_with_noise, noise):
    model, folder = exported_with_noise
    signatures = tf.saved_model.load(folder / "saved_model").signatures
    assert sorted(signatures) == ["dials", "restore_bytes", "serving_default"]
    image, drawn, strength = noise(9, 12), draw(4, 9, 12), tf.constant([0.4])
    restored = signatures["dials"](image=tf.constant(image[None]), noise=tf.constant(drawn), strength=strength)
    expected = Restorer(model, seed=4, strength=0.4)(image)
    assert largest_difference(restored["restored"].numpy()[0], expected) <= 1


def test_command_line_exports_the_layer_asked_for(fused_file, fused_model, noise, tmp_path, capsys):
    assert cli.main(["export", str(tmp_path / "out"), "--preset", str(fused_file), "--layer", "base"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{tmp_path}/out/saved_model", f"{tmp_path}/out/model.tflite"]
    image = noise(11, 8)
    restore = Interpreter(str(tmp_path / "out" / "model.tflite")).get_signature_runner("serving_default")
    expected = Restorer(fused_model, "base")(image)
    assert largest_difference(restore(image=image[None])["restored"][0], expected) <= 1
