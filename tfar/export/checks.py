"""What was exported is run once: conversions have left weights out, or broken a network, without an error."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfar import backend, pixels
from tfar.errors import TfarError

if TYPE_CHECKING:
    import keras

SIDE = 64  # of the image that is restored
ROUNDING = 0.05  # levels by which restorations may differ in the mean where nothing is quantised


def check_saved_model(folder: Path, network: "keras.Model", output: str, *, name: str):
    """Compare a SavedModel of :func:`tfar.export.saved_model.export_saved_model` with its network.

    Raises:
        TfarError: beginning with ``name``, where weights are missing or the restored image differs.
    """
    import tensorflow as tf

    from tfar.models import input_names

    serve = tf.saved_model.load(folder).signatures["serving_default"]
    given = example_inputs(SIDE, "noise" in input_names(network))
    image, *noise = (tf.constant(value) for value in given.values())
    expected = pixels.to_uint8(network([pixels.to_float(image), *noise], training=False)[output])
    written = sum(file.stat().st_size for file in (folder / "variables").iterdir())
    _check_size(written, sum(weight.numpy().nbytes for weight in network.weights), name)
    _check_pixels(serve(**given)["restored"].numpy(), expected.numpy(), ROUNDING, name)


def check_tflite(content: bytes, serve, *, bytes_per_weight: int, levels: float, tile: int | None, name: str):
    """Compare a TFLite file with the signature of the SavedModel, checked already, that it was converted from.

    Args:
        content: the file.
        serve: signature ``serving_default`` of the SavedModel.
        bytes_per_weight: at least, in the file.
        levels: by which the restored images may differ in the mean.
        tile: side of the images that it takes; None for any.
        name: of the file, for the message.

    Raises:
        TfarError: beginning with ``name``, where weights are missing or the restored image differs.
    """
    restore = backend.litert(content).get_signature_runner("serving_default")
    given = example_inputs(tile or SIDE, "noise" in restore.get_input_details())
    weights = sum(variable.shape.num_elements() for variable in serve.variables)
    _check_size(len(content), bytes_per_weight * weights, name)
    _check_pixels(restore(**given)["restored"], serve(**given)["restored"].numpy(), levels, name)


def check_onnx(content: bytes, serve, *, app: bool, noise: np.ndarray, name: str):
    """Compare an ONNX file with the signature of the SavedModel, checked already, that it was converted from.

    Args:
        content: the file.
        serve: signature ``serving_default`` of the SavedModel.
        app: whether it takes and gives floats ``(1, 3, H, W)`` in [0, 1], and holds its noise.
        noise: that it then holds, where its network takes noise: ``(1, h, w, 1)`` of at least half the example's size.
        name: of the file, for the message.

    Raises:
        TfarError: beginning with ``name``, where weights are missing or the restored image differs.
    """
    import onnxruntime
    import tensorflow as tf

    given = example_inputs(SIDE, "noise" in serve.structured_input_signature[1])
    if app and "noise" in given:
        given["noise"] = noise[:, : SIDE // 2, : SIDE // 2]
    expected = serve(**{key: tf.constant(value) for key, value in given.items()})["restored"].numpy()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    if app:
        floats = given["image"].astype(np.float32) / 255
        [restored] = session.run(None, {"image": floats.transpose(0, 3, 1, 2)})
        restored = np.rint(255 * np.asarray(restored)).transpose(0, 2, 3, 1)
    else:
        [restored] = session.run(None, given)
    _check_size(len(content), 4 * sum(variable.shape.num_elements() for variable in serve.variables), name)
    _check_pixels(restored, expected, ROUNDING, name)


def check_app(
    content: bytes,
    network: "keras.Model",
    output: str,
    noise: list[np.ndarray],
    *,
    bytes_per_weight: int,
    levels: float,
    tile: int,
    name: str,
):
    """Compare a TFLite file of :func:`tfar.export.app.export_app` with the network for RGB that it was made of.

    Arguments and errors are those of :func:`check_tflite`; ``noise`` is what the file holds, ``(1, h, w, 1)`` or none.
    """
    import keras

    restore = backend.litert(content).get_signature_runner("serving_default")
    image = example_inputs(tile, noise=False)["image"]
    tensors = [pixels.to_float(image), *map(keras.ops.convert_to_tensor, noise)]
    expected = pixels.to_uint8(network(tensors, training=False)[output]).numpy()
    given = np.float32(image) / 255
    _check_size(len(content), bytes_per_weight * network.count_params(), name)
    for strength, target, most in ((1.0, expected, levels), (0.0, image, ROUNDING)):
        restored = restore(image=given, strength=np.float32([[strength]]))["restored"]
        _check_pixels(np.uint8(255 * restored), target, most, name)


def example_inputs(side: int, noise: bool) -> dict[str, np.ndarray]:
    """A JPEG of a photograph as ``image``, uint8 ``(1, side, side, 3)``, and perhaps ``noise`` for it."""
    from PIL import Image
    from skimage import data

    file = io.BytesIO()
    Image.fromarray(data.astronaut()).resize((side, side)).save(file, "JPEG", quality=20)
    given = {"image": np.asarray(Image.open(file))[None]}
    return given | ({"noise": example_noise(side, side)} if noise else {})


def example_noise(height: int, width: int) -> np.ndarray:
    """What a one-to-many network takes with an image, always the same: float32 ``(1, ceil(H/2), ceil(W/2), 1)``."""
    return np.random.default_rng(0).standard_normal((1, -(-height // 2), -(-width // 2), 1), dtype=np.float32)


def _check_size(written: int, expected: float, name: str):
    """Raise where a file is smaller than the weights that it should hold."""
    if written < 0.95 * expected:
        raise TfarError(f"{name}: {written} bytes were written, too few for weights of {expected:.0f} bytes")


def _check_pixels(restored: np.ndarray, expected: np.ndarray, levels: float, name: str):
    """Raise where two restored images differ by more than some levels in the mean."""
    mean = abs(np.float32(restored) - np.float32(expected)).mean()
    if not mean <= levels:
        raise TfarError(
            f"{name}: restores {mean:.2f} levels apart from the network in the mean, at most {levels} are due"
        )
