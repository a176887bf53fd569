"""Have image files restored by TF Serving, by REST or gRPC.

    python scripts/serve_client.py photos/ restored/                                    # REST at http://localhost:8501
    python scripts/serve_client.py a.jpg b.jpg restored/ --grpc localhost:8500 --strength 0.5

JPEG and PNG files go to the signature ``restore_bytes`` of a model of ``tfar export``, several in a request; with
--strength or --texture their pixels go to ``dials``. Pictures come back upright, with the metadata and the opacity of
their files. A file that fails is named on stderr, the others go on, and the exit code is 2. gRPC needs
pip install "tfar[serving]", which brings TensorFlow; REST needs no more than tfar.
"""

import argparse
import base64
import dataclasses
import http.client
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence

import numpy as np

from tfar import __version__, backend
from tfar.cli import exit_code
from tfar.commands.arguments import positive, positive_number, share
from tfar.errors import ImageError, TfarError
from tfar.images.read import Picture, as_file, open_image, read_image, read_pictures
from tfar.images.turns import as_stored, upright
from tfar.images.write import write_pictures
from tfar.restoration import files
from tfar.restoration.files import Job, Outcome
from tfar.terminal import print_error

START = 10.0  # seconds for the server to take a connection
LONGEST = 2e6  # seconds: sockets count up to 2**31 milliseconds


class RequestFailed(TfarError):
    """A request that was not answered, or refused."""


class RestServer:
    """A model behind the REST API; threads may share it."""

    def __init__(self, url: str, model: str, version: int | None, timeout: float):
        self.url = f"{url.rstrip('/')}/v1/models/{urllib.parse.quote(model)}"
        self.url += f"/versions/{version}" if version else ""
        self.timeout = timeout
        self._ask(self.url, None)

    def predict(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs of a signature by name; raises as :class:`GrpcServer` does."""
        content = {"signature_name": signature, "inputs": {name: to_json(value) for name, value in inputs.items()}}
        try:
            found = json.loads(self._ask(f"{self.url}:predict", json.dumps(content).encode()))["outputs"]
            found = found if isinstance(found, dict) else {"restored": found}  # a single output has no name
            return {name: from_json(value) for name, value in found.items()}
        except (ValueError, KeyError, TypeError) as error:
            raise RequestFailed(f"not a reply of TF Serving ({error!r})") from error

    def _ask(self, url: str, body: bytes | None) -> bytes:
        try:
            with urllib.request.urlopen(url, body, timeout=self.timeout) as reply:
                return reply.read()
        except urllib.error.HTTPError as error:
            reason = error_of(error.read()) or error.reason
            if error.code == 404:
                raise TfarError(f"{self.url}: {reason}") from error
            raise RequestFailed(f"{reason} (HTTP {error.code})") from error
        except (ValueError, http.client.InvalidURL) as error:
            raise TfarError(f"{url}: not an address ({error})") from error
        except (TimeoutError, urllib.error.URLError, http.client.HTTPException, ConnectionError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise RequestFailed(f"no answer within {self.timeout:g} s") from error
            if isinstance(error, urllib.error.URLError):
                raise TfarError(f"{url}: cannot be reached ({getattr(reason, 'strerror', None) or reason})") from error
            raise RequestFailed(f"the connection was lost ({error})") from error


def to_json(value: np.ndarray) -> list:
    if value.dtype == object:
        return [{"b64": base64.b64encode(content).decode()} for content in value]
    return value.tolist()


def from_json(value: list) -> np.ndarray:
    if value and isinstance(value[0], dict):
        return np.array([base64.b64decode(content["b64"]) for content in value], object)
    if value and isinstance(value[0], str):
        return np.array([text.encode() for text in value], object)
    return np.array(value, np.uint8)


def error_of(body: bytes) -> str | None:
    """What TF Serving says in the body of a reply that is an error."""
    try:
        return one_line(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return None


def one_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[0]


class GrpcServer:
    """A model behind the gRPC API, whose replies may be of any size; threads may share it."""

    def __init__(self, address: str, model: str, version: int | None, timeout: float):
        try:
            with backend.starting():
                import grpc
                import tensorflow as tf
                from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_service_pb2_grpc
        except ModuleNotFoundError as error:
            raise TfarError('gRPC needs tensorflow-serving-api: pip install "tfar[serving]"') from error
        self.address, self.timeout = address, timeout
        self._grpc, self._tf, self._request = grpc, tf, predict_pb2.PredictRequest
        self._spec = model_pb2.ModelSpec(name=model)
        if version:
            self._spec.version.value = version
        any_size = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]  # the first is 4 MB
        channel = grpc.insecure_channel(address, any_size)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        try:
            grpc.channel_ready_future(channel).result(min(timeout, START))
        except grpc.FutureTimeoutError as error:
            raise TfarError(f"{address}: cannot be reached (no gRPC server answers)") from error

    def predict(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs of a signature by name.

        Args:
            inputs: by name; strings are arrays of objects.

        Raises:
            RequestFailed: when it was refused or not answered in time.
            TfarError: when there is no such model.
        """
        request = self._request(model_spec=self._spec)
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(self._tf.make_tensor_proto(value))
        try:
            reply = self._stub.Predict(request, timeout=self.timeout)
        except self._grpc.RpcError as error:
            if error.code() == self._grpc.StatusCode.DEADLINE_EXCEEDED:
                raise RequestFailed(f"no answer within {self.timeout:g} s") from error
            if error.code() == self._grpc.StatusCode.NOT_FOUND:
                raise TfarError(f"{self.address}: {one_line(error.details())}") from error
            raise RequestFailed(f"{one_line(error.details())} ({error.code().name})") from error
        return {name: self._tf.make_ndarray(value) for name, value in reply.outputs.items()}


def connect(options) -> RestServer | GrpcServer:
    kind, address = (GrpcServer, options.grpc) if options.grpc else (RestServer, options.rest)
    return kind(address, options.model_name, options.model_version, min(options.timeout, LONGEST))


def restore(server, contents: Sequence[bytes], dials: dict[str, float]) -> list[Picture | str]:
    """The restored picture of each image file, upright and with its metadata, or why there is none.

    Raises:
        RequestFailed: where all files are in one request, which was refused or not answered.
    """
    if dials:
        return [_by_pixels(server, content, dials) for content in contents]
    found = restore_bytes(server, contents)
    return [reason or _restored_picture(restored, content) for content, (restored, reason) in zip(contents, found)]


def restore_bytes(server, contents: Sequence[bytes]) -> list[tuple[bytes, str]]:
    """The restored PNG file of each image file, empty where the second value says why it could not be read."""
    found = server.predict("restore_bytes", {"image_bytes": np.array(contents, object)})
    if not len(found["restored_bytes"]) == len(found["error"]) == len(contents):
        raise RequestFailed(f"{len(contents)} files were sent, {len(found['restored_bytes'])} came back")
    return [(content, error.decode()) for content, error in zip(found["restored_bytes"], found["error"])]


def _by_pixels(server, content: bytes, dials: dict[str, float]) -> Picture | str:
    try:
        picture = read_pictures(content)[0]
        colors = picture.pixels if picture.pixels.ndim == 3 else np.dstack([picture.pixels] * 3)
        stored = as_stored(colors, picture.orientation)  # on the grid of its JPEG
        given = {"image": stored[None]} | {name: np.float32([value]) for name, value in dials.items()}
        return _with_pixels(picture, server.predict("dials", given)["restored"][0])
    except (ImageError, RequestFailed) as error:
        return _reason(error)


def _restored_picture(restored: bytes, content: bytes) -> Picture | str:
    """The picture of a restored PNG file, with what the file that it was made of says."""
    try:
        if _has_inks_and_profile(content):
            return "CMYK with a color profile, which the server does not use; with --strength the pixels are sent"
        return _with_pixels(read_pictures(content)[0], read_image(restored))
    except ImageError as error:
        return _reason(error)


def _has_inks_and_profile(content: bytes) -> bool:
    with as_file(content) as file, open_image(file) as image:
        return image.mode == "CMYK" and bool(image.info.get("icc_profile"))


def _with_pixels(picture: Picture, restored: np.ndarray) -> Picture:
    """A picture whose colors are others, as its file stores them, not turned.

    A gray one gets the mean of the three, as by ``tfar.Restorer``.
    """
    colors = upright(restored, picture.orientation)
    if picture.pixels.ndim == 2:
        colors = np.uint8(np.rint(colors.mean(axis=2)))
    if colors.shape != picture.pixels.shape:
        raise ImageError(f"came back as {colors.shape}, not {picture.pixels.shape}")
    return dataclasses.replace(picture, pixels=colors)


def _reason(error: Exception) -> str:
    return str(error).removeprefix("the image: ")


class Client:
    """Restores files, several in a request."""

    def __init__(self, server, model: str, dials: dict[str, float]):
        self.server, self.model, self.dials = server, model, dials

    def __call__(self, jobs: Sequence[Job], check) -> list[Outcome]:
        check()
        contents, outcomes = {}, []
        for job in jobs:
            try:
                contents[job] = job.source.read_bytes()
            except OSError as error:
                outcomes.append(_failed(job, error.strerror or str(error)))
        try:
            found = restore(self.server, list(contents.values()), self.dials) if contents else []
        except RequestFailed as error:
            return outcomes + [_failed(job, str(error)) for job in contents]
        check()
        return outcomes + [
            _failed(job, picture) if isinstance(picture, str) else self._write(job, picture)
            for job, picture in zip(contents, found)
        ]

    def _write(self, job: Job, picture: Picture) -> Outcome:
        metadata = picture.metadata.with_note(__version__, self.model)
        try:
            write_pictures(job.targets[0], [dataclasses.replace(picture, metadata=metadata)])
        except ImageError as error:
            files.raise_if_full(error)
            return Outcome(job, "failed", (str(error),))
        return Outcome(job, "restored", _notes(picture))


def _notes(picture: Picture) -> tuple[str, ...]:
    """What of a file its result does not hold."""
    frames = (f"{picture.frames} frames or pages, of which the first is taken",) if picture.frames > 1 else ()
    bits = (f"{picture.bits} bits a channel, restored to 8",) if picture.bits > 8 else ()
    return picture.notes + frames + bits


def _failed(job: Job, reason: str) -> Outcome:
    return Outcome(job, "failed", (f"{job.source}: {reason}",))


def run(options):
    if len(options.paths) < 2:
        raise TfarError("an input and an output are needed: serve_client.py IN... OUT")
    if "-" in options.paths:
        raise TfarError("-: standard input and output are not served")
    *sources, target = options.paths
    existing = "overwrite" if options.overwrite else "skip" if options.skip_existing else "refuse"
    jobs, others = files.plan(sources, target, existing=existing)
    if options.skip_existing:
        jobs = [job for job in jobs if not job.targets[0].exists()]
    dials = {name: getattr(options, name) for name in ("strength", "texture") if getattr(options, name) is not None}
    dials = {"strength": 1.0} | dials if dials else {}
    client = Client(connect(options), options.model_name, dials)
    bad = [f"{path}: {reason}" for path, reason in others.items() if reason.startswith("unreadable")]
    for line in bad:
        print_error(f"tfar: {line}")
    batches = [jobs[start : start + options.batch] for start in range(0, len(jobs), options.batch)]
    for outcomes in files.run(batches, client, options.jobs):
        for outcome in outcomes:
            if outcome.status == "failed":
                bad += outcome.notes
                print_error(f"tfar: {outcome.notes[0]}")
            else:
                remarks = f"  ({'; '.join(outcome.notes)})" if outcome.notes else ""
                print(f"{outcome.job.source} -> {outcome.job.targets[0]}{remarks}")
    return 2 if bad else 0


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="files and folders, and last the file or folder to write"
    )
    add_server(parser)
    parser.add_argument("--strength", type=share, metavar="0..1", help="from the input to the result")
    parser.add_argument("--texture", type=share, metavar="0..1", help="of presets with layers, which need it for dials")
    parser.add_argument(
        "--batch",
        type=positive,
        default=4,
        metavar="N",
        help="files in a request (%(default)s); docs/serving/batching.config allows 64",
    )
    parser.add_argument("--jobs", type=positive, default=1, metavar="N", help="requests at a time, and one more (1)")
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--skip-existing", action="store_true", help="leave out inputs whose outputs exist")
    existing.add_argument("--overwrite", action="store_true", help="replace outputs that exist, never an input")
    return parser


def add_server(parser: argparse.ArgumentParser):
    """What says where a model is served."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--rest", default="http://localhost:8501", metavar="URL", help="(%(default)s)")
    where.add_argument("--grpc", metavar="HOST:PORT", help="such as localhost:8500")
    parser.add_argument("--model-name", default="tfar", metavar="NAME", help="(%(default)s)")
    parser.add_argument("--model-version", type=positive, metavar="N", help="default: the newest")
    parser.add_argument(
        "--timeout", type=positive_number, default=60.0, metavar="S", help="of a request (%(default)g s)"
    )


if __name__ == "__main__":
    sys.exit(exit_code(run, arguments().parse_args()))
