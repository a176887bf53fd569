"""The stand-in answers as the documentation and the sources of TF Serving say that the server does."""

import base64
import io
import json
import urllib.error
import urllib.request

import numpy as np
import pytest
import tensorflow as tf
from helpers import largest_difference
from PIL import Image
from skimage import data

from tfar.errors import TfarError

grpc = pytest.importorskip("grpc", reason="needs tensorflow-serving-api")
pytest.importorskip("tensorflow_serving", reason="needs tensorflow-serving-api")

from serve_client import GrpcServer, RequestFailed  # noqa: E402
from serving_stand_in import serving  # noqa: E402

PHOTO = data.astronaut()[:33, :40]


def png(image=PHOTO):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def b64(content):
    return {"b64": base64.b64encode(content).decode()}


@pytest.fixture(scope="module")
def server(addresses):
    return GrpcServer(addresses["grpc"][1], "tfar", None, timeout=60)


@pytest.fixture(scope="module")
def ask(addresses):
    """The HTTP status and JSON that a request to the REST API gets; a POST where there is a body."""

    def ask(body=None, path="/v1/models/tfar:predict", base=addresses["rest"][1]):
        encoded = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(f"{base}{path}", encoded, timeout=60) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    return ask


@pytest.mark.parametrize(
    ("signature", "inputs", "code"),
    [
        ("other", {"image": PHOTO[None]}, "FAILED_PRECONDITION"),
        ("serving_default", {"images": PHOTO[None]}, "INVALID_ARGUMENT"),
        ("serving_default", {}, "INVALID_ARGUMENT"),
        ("serving_default", {"image": PHOTO[None], "strength": np.float32([1])}, "INVALID_ARGUMENT"),
        ("serving_default", {"image": PHOTO}, "INVALID_ARGUMENT"),
        ("serving_default", {"image": PHOTO[None, ..., :1]}, "INVALID_ARGUMENT"),
        ("serving_default", {"image": np.float32(PHOTO[None])}, "INVALID_ARGUMENT"),
        ("restore_bytes", {"image_bytes": np.array(png(), object)}, "INVALID_ARGUMENT"),
        ("restore_bytes", {"image_bytes": PHOTO[0, :, 0]}, "INVALID_ARGUMENT"),
    ],
)
def test_requests_that_the_signature_does_not_take(server, signature, inputs, code):
    with pytest.raises(RequestFailed, match=rf"\({code}\)"):
        server.predict(signature, inputs)


def test_an_error_in_the_graph_has_its_code(server):
    dials = {"strength": np.float32([1]), "texture": np.float32([1, 1, 1])}
    with pytest.raises(RequestFailed, match=r"\((INVALID_ARGUMENT|UNKNOWN|INTERNAL)\)"):
        server.predict("dials", {"image": np.stack([PHOTO] * 2), **dials})


def test_images_over_grpc_have_a_field_for_each_value(addresses, served):
    from serving_stand_in import as_fields

    assert len(as_fields(PHOTO).int_val) == PHOTO.size
    np.testing.assert_array_equal(tf.make_ndarray(as_fields(PHOTO)), PHOTO)
    restored = GrpcServer(addresses["grpc"][1], "tfar", 3, timeout=60).predict("base", {"image": PHOTO[None]})[
        "restored"
    ]
    expected = tf.saved_model.load(served / "3").signatures["base"](image=tf.constant(PHOTO[None]))["restored"]
    assert largest_difference(restored, expected.numpy()) <= 1


def test_rows_and_columns_of_json(ask, server):
    status, rows = ask({"signature_name": "restore_bytes", "instances": [b64(png()), b64(b"no image")]})
    assert status == 200
    assert [row["error"] for row in rows["predictions"]] == ["", "neither a JPEG nor a PNG"]
    status, named = ask({"signature_name": "restore_bytes", "instances": [{"image_bytes": b64(png())}]})
    assert named["predictions"] == rows["predictions"][:1]
    for given in ({"image_bytes": [b64(png())]}, [b64(png())]):
        status, columns = ask({"signature_name": "restore_bytes", "inputs": given})
        assert (status, columns["outputs"]["error"]) == (200, [""])
        assert columns["outputs"]["restored_bytes"] == [rows["predictions"][0]["restored_bytes"]]
    restored = np.asarray(Image.open(io.BytesIO(base64.b64decode(columns["outputs"]["restored_bytes"][0]["b64"]))))
    expected = server.predict("serving_default", {"image": PHOTO[None]})["restored"]
    assert largest_difference(restored, expected[0]) <= 1
    for form, key in (("instances", "predictions"), ("inputs", "outputs")):  # a single output has no name
        status, found = ask({form: PHOTO[None].tolist()})
        assert (status, found.keys()) == (200, {key})
        np.testing.assert_array_equal(found[key], expected)


@pytest.mark.parametrize(
    "body",
    [
        b"no json",
        {},
        {"instances": []},
        {"instances": [b64(png())], "inputs": [b64(png())], "signature_name": "restore_bytes"},
        {"signature_name": "other", "instances": [1]},
        {"signature_name": "restore_bytes", "instances": [{"b64": "%"}]},
        {"signature_name": "restore_bytes", "instances": [{"other": b64(png())}]},
        {"instances": [[[[256, 0, 0]]]]},
        {"instances": [[[[0.5, 0, 0]]]]},
        {"instances": [[[0, 0, 0]]]},
        {"signature_name": "dials", "inputs": {"image": PHOTO[None].tolist(), "strength": [1.0]}},
    ],
)
def test_requests_that_are_refused_by_rest(ask, body):
    status, found = ask(body)
    assert status == 400 and found.keys() == {"error"}


def test_status_and_paths(ask):
    for path in ("/v1/models/tfar", "/v1/models/tfar/versions/3"):
        status, found = ask(path=path)
        assert (status, found["model_version_status"][0]["state"]) == (200, "AVAILABLE")
        assert found["model_version_status"][0]["version"] == "3"
    for path in ("/v1/models/tfar/versions/2", "/v1/models/other"):
        assert ask(path=path)[0] == ask({}, path=f"{path}:predict")[0] == 404
    assert ask(path="/v2")[0] == ask({}, path="/v1/models/tfar")[0] == ask(path="/v1/models/tfar:predict")[0] == 400


def test_the_examples_of_the_documentation(ask, tmp_path):
    """Of https://www.tensorflow.org/tfx/serving/api_rest: half_plus_three, of which the newest version is served."""
    for version, offset in ((9, 0.0), (123, 3.0)):
        module = tf.Module()
        signature = [tf.TensorSpec((None,), tf.float32, name="x")]
        module.serve = tf.function(lambda x: {"y": 0.5 * x + offset}, input_signature=signature)
        tf.saved_model.save(module, tmp_path / str(version), signatures=module.serve)
    with serving(tmp_path, name="half_plus_three") as (_, port):
        base, body = f"http://localhost:{port}", {"instances": [1.0, 2.0, 5.0]}
        assert ask(body, "/v1/models/half_plus_three:predict", base) == (200, {"predictions": [3.5, 4.0, 5.5]})
        assert ask(None, "/v1/models/half_plus_three", base)[1] == {
            "model_version_status": [
                {"version": "123", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
            ]
        }
        assert ask({"instances": [1.0, 5.0]}, "/v1/models/half:predict", base)[0] == 404


@pytest.mark.parametrize(("kind", "name"), [("grpc", "port"), ("rest", "rest_port")])
def test_a_port_that_is_taken(addresses, served, kind, name):
    port = int(addresses[kind][1].split(":")[-1])
    with pytest.raises(TfarError, match=f"localhost:{port}: cannot be served"), serving(served, **{name: port}):
        pass


def test_a_folder_without_versions(tmp_path):
    (tmp_path / "variables").mkdir()
    with pytest.raises(TfarError, match="holds no version folders"), serving(tmp_path):
        pass
