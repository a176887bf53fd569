"""A stand-in for TF Serving where its server cannot be installed: for tests, trials and load tests of clients.

    python scripts/serving_stand_in.py served/saved_model --port 8500 --rest-port 8501

It is the gRPC service of tensorflow-serving-api around ``tf.saved_model.load``, and of the REST API what the
documentation of TF Serving says of ``predict`` and of a model's status. As the server does, it serves the version with
the largest number and refuses unknown models, signatures and inputs, and tensors of another type or rank. A few
requests are computed at a time and the others wait, as with docs/serving/batching.config. It does not batch, make the
requests of assets.extra, or look for new versions; and it is slower with large replies.
"""

import argparse
import base64
import concurrent.futures
import contextlib
import http.server
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np

from tfar import backend
from tfar.cli import exit_code
from tfar.commands.arguments import any_port, positive
from tfar.errors import TfarError

os.environ.setdefault(
    "TF_ENABLE_ONEDNN_OPTS", "0"
)  # docs/deploy.md says why; without effect where TensorFlow is started
with backend.starting():
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

OPTIONS = [  # requests of any size, as the server has it, and no port that another process serves
    ("grpc.max_receive_message_length", -1),
    ("grpc.so_reuseport", 0),
]
HTTP_STATUS = {"NOT_FOUND": 404, "INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400}
PATH = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+))?(:predict)?")


class Refused(Exception):
    """A request that cannot be answered, with a status code of gRPC."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


class Model:
    """The newest version of a model; computes ``at_once`` requests at a time."""

    def __init__(self, folder: Path, name: str, at_once: int):
        versions = [int(path.name) for path in Path(folder).iterdir() if path.name.isdecimal()]
        if not versions:
            raise TfarError(f"{folder}: holds no version folders such as {folder}/1 (tfar export --version 1)")
        self.name, self.version = name, max(versions)
        self._loaded = tf.saved_model.load(Path(folder, str(self.version)))
        self._turn = threading.Semaphore(at_once)

    def signature(self, model: str, version: int | None, name: str):
        if model != self.name or version not in (None, self.version):
            raise Refused("NOT_FOUND", f"Servable not found for request: {model}, version {version or 'latest'}")
        if name not in self._loaded.signatures:
            raise Refused("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
        return self._loaded.signatures[name]

    def predict(self, signature, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        specs = signature.structured_input_signature[1]
        if specs.keys() != inputs.keys():
            raise Refused("INVALID_ARGUMENT", f"input does not match signature: {sorted(inputs)} != {sorted(specs)}")
        for name, value in inputs.items():
            found = tf.TensorSpec(value.shape, value.dtype)
            if found.dtype != specs[name].dtype or not specs[name].shape.is_compatible_with(found.shape):
                raise Refused("INVALID_ARGUMENT", f"{name}: expected {specs[name]}, got {found}")
        with self._turn:
            try:
                outputs = signature(**{name: tf.constant(value) for name, value in inputs.items()})
            except tf.errors.OpError as error:
                code = next(code.name for code in grpc.StatusCode if code.value[0] == error.error_code)
                raise Refused(code, error.message) from error
            return {name: value.numpy() for name, value in outputs.items()}


class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
    """The gRPC API."""

    def __init__(self, model: Model):
        self.model = model

    def Predict(self, request, context):
        spec = request.model_spec
        version = spec.version.value if spec.HasField("version") else None
        try:
            signature = self.model.signature(spec.name, version, spec.signature_name or "serving_default")
            inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
            outputs = self.model.predict(signature, inputs)
        except Refused as error:
            context.abort(grpc.StatusCode[error.code], str(error))
        return predict_pb2.PredictResponse(outputs={name: as_fields(value) for name, value in outputs.items()})


def as_fields(value: np.ndarray):
    """A tensor with a field for each value, as the server sends them, which for uint8 takes up to 2 bytes each."""
    proto = tf.make_tensor_proto(value)
    if value.dtype == np.uint8:
        proto.tensor_content = b""
        proto.int_val[:] = value.ravel().tolist()
    return proto


class Handler(http.server.BaseHTTPRequestHandler):
    """The REST API."""

    protocol_version = "HTTP/1.1"
    model: Model

    def do_GET(self):
        self._answer(self._status)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(lambda: self._predict(body))

    def log_message(self, *_):
        pass

    def _answer(self, answer):
        try:
            status, content = 200, answer()
        except Refused as error:
            status, content = HTTP_STATUS.get(error.code, 500), {"error": str(error)}
        content = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _asked(self, predict: bool) -> tuple[str, int | None]:
        """Name and version of the model that the path names."""
        match = PATH.fullmatch(self.path)
        if not match or bool(match[3]) != predict:
            raise Refused("INVALID_ARGUMENT", f"Malformed request: {self.command} {self.path}")
        return match[1], int(match[2]) if match[2] else None

    def _status(self):
        self.model.signature(*self._asked(predict=False), "serving_default")
        state = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        return {"model_version_status": [{"version": str(self.model.version), **state}]}

    def _predict(self, body: bytes):
        asked = self._asked(predict=True)
        try:
            request = json.loads(body)
            signature = self.model.signature(*asked, request.get("signature_name", "serving_default"))
            specs = signature.structured_input_signature[1]
            [form] = {"instances", "inputs"} & request.keys()
            given = request[form]
            if form == "instances" and isinstance(given[0], dict) and "b64" not in given[0]:
                if any(row.keys() != specs.keys() for row in given):
                    raise ValueError(f"keys must be equal to {sorted(specs)}")
                given = {name: [row[name] for row in given] for name in specs}
            if not isinstance(given, dict):
                [name] = specs
                given = {name: given}
            inputs = {name: from_json(given[name], spec.dtype) for name, spec in specs.items()}
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise Refused("INVALID_ARGUMENT", f"not a request of this signature: {error!r}") from error
        values = {name: to_json(name, value) for name, value in self.model.predict(signature, inputs).items()}
        if form == "instances" and len(values) > 1:
            return {"predictions": [dict(zip(values, row)) for row in zip(*values.values())]}
        content = next(iter(values.values())) if len(values) == 1 else values
        return {"predictions" if form == "instances" else "outputs": content}


def from_json(value, dtype) -> np.ndarray:
    """A tensor from nested lists; ``{"b64": TEXT}`` is a string of bytes."""
    if dtype == tf.string:
        decoded = [base64.b64decode(v["b64"], validate=True) if isinstance(v, dict) else v.encode() for v in value]
        return np.array(decoded, object)
    array = np.array(value)
    cast = array.astype(dtype.as_numpy_dtype)
    if not np.allclose(cast, array):
        raise ValueError(f"values that {dtype.name} does not hold")
    return cast


def to_json(name: str, value: np.ndarray):
    """Nested lists of a tensor; strings are bytes where its name ends so."""
    if value.dtype != object:
        return value.tolist()
    if name.endswith("_bytes"):
        return [{"b64": base64.b64encode(content).decode()} for content in value]
    return [content.decode() for content in value]


@contextlib.contextmanager
def serving(folder, *, name: str = "tfar", port: int = 0, rest_port: int = 0, at_once: int = 2):
    """Serve a folder of version folders; yields the ports of gRPC and REST, of which 0 means any that is free."""
    model = Model(Path(folder), name, at_once)
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=256), options=OPTIONS)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(model), server)
    try:
        port = server.add_insecure_port(f"localhost:{port}")
    except RuntimeError as error:
        raise TfarError(f"localhost:{port}: cannot be served (is the port taken?)") from error
    handler = type("Handler", (Handler,), {"model": model})
    try:
        rest_server = http.server.ThreadingHTTPServer(("localhost", rest_port), handler)
    except OSError as error:
        raise TfarError(f"localhost:{rest_port}: cannot be served ({error.strerror})") from error
    with rest_server as rest:
        server.start()
        threading.Thread(target=rest.serve_forever, daemon=True).start()
        try:
            yield port, rest.server_port
        finally:
            rest.shutdown()
            server.stop(grace=None).wait()


@contextlib.contextmanager
def serving_apart(folder, *, at_once: int = 2):
    """The same in a process of its own; yields the addresses of gRPC and REST, and the id of the process."""
    command = [sys.executable, __file__, str(folder), "--port", "0", "--rest-port", "0", "--at-once", str(at_once)]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            match = re.match(r"gRPC at (\S+), REST at (\S+)", process.stdout.readline())
            if not match:
                process.wait()
                log.seek(0)
                raise TfarError((log.read().strip().splitlines() or ["no stand-in"])[-1].removeprefix("tfar: "))
            yield match[1], match[2], process.pid
        finally:
            process.terminate()


def run(options):
    choices = {"name": options.model_name, "port": options.port, "rest_port": options.rest_port}
    with serving(options.folder, **choices, at_once=options.at_once) as (port, rest_port):
        print(f"gRPC at localhost:{port}, REST at http://localhost:{rest_port}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER", help="with version folders: saved_model/ of tfar export --version")
    parser.add_argument("--model-name", default="tfar", metavar="NAME", help="(%(default)s)")
    parser.add_argument("--port", type=any_port, default=8500, metavar="N", help="of gRPC (%(default)s); 0: any")
    parser.add_argument("--rest-port", type=any_port, default=8501, metavar="N", help="(%(default)s); 0: any")
    parser.add_argument("--at-once", type=positive, default=2, metavar="N", help="requests computed (%(default)s)")
    sys.exit(exit_code(run, parser.parse_args()))
