import sys

import pytest
import tensorflow as tf
from helpers import NOISE_GENERATOR, perturb

from tfar.errors import TfarError
from tfar.export.saved_model import export_saved_model
from tfar.export.warm_up import FILE, write_warm_up
from tfar.models.one_to_many import proposal_network


@pytest.fixture(scope="module", params=["layers", "noise"])
def folder(request, fused_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "saved_model"
    if request.param == "layers":
        export_saved_model(fused_model, folder)
    else:
        export_saved_model(perturb(proposal_network(**NOISE_GENERATOR), 1), folder, output="image")
    return folder


def test_every_signature_answers_its_request(folder):
    apis = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2", reason="needs tensorflow-serving-api")
    write_warm_up(folder)
    signatures = tf.saved_model.load(folder).signatures
    answered = set()
    for record in tf.data.TFRecordDataset(str(folder / FILE)).as_numpy_iterator():
        request = apis.PredictionLog.FromString(record).predict_log.request
        signature = signatures[request.model_spec.signature_name]
        specs = signature.structured_input_signature[1]
        inputs = {name: tf.constant(tf.make_ndarray(tensor)) for name, tensor in request.inputs.items()}
        assert {name: value.dtype for name, value in inputs.items()} == {name: s.dtype for name, s in specs.items()}
        assert all(specs[name].shape.is_compatible_with(value.shape) for name, value in inputs.items())
        found = signature(**inputs)
        if "error" in found:
            assert found["error"].numpy().tolist() == [b""]
        else:
            assert found["restored"].shape == (1, 64, 64, 3)
        answered.add(request.model_spec.signature_name)
    assert answered == set(signatures)


def test_without_the_package_nothing_is_written(single_model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_serving", None)
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    with pytest.raises(TfarError, match=r"tfar\[serving\]"):
        export_saved_model(single_model, tmp_path / "saved_model", output="image", warm_up=True)
    assert list(tmp_path.iterdir()) == []
