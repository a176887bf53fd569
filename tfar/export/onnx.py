"""ONNX: one file for ONNX Runtime, OpenVINO and the apps that take such files."""

import importlib.util
from pathlib import Path

import numpy as np

from tfar.errors import TfarError
from tfar.export.checks import check_onnx, example_noise
from tfar.pixels import BT601_LUMA
from tfar.quantization import BLOCK
from tfar.storage import write_atomically

IO = ("image", "app")
OPSET = 18
NOISE_SIDE = 256  # of the noise that a file for apps holds, and repeats
STEP_LIMIT = 8.0  # levels beyond which a step between two columns tells no more of the JPEG's grid
CLEARLY = 1.1  # by which factor another grid must show more than the one that starts with the tile


def check_installed():
    """Raise :class:`tfar.errors.TfarError` where a package that ONNX needs is missing."""
    for name in ("onnx", "onnxruntime", "tf2onnx"):
        if importlib.util.find_spec(name) is None:
            raise TfarError(f'ONNX needs {name}: pip install "tfar[onnx]"')


def export_onnx(saved_model: str | Path, file: str | Path, *, io: str = "image"):
    """Convert a SavedModel of :func:`tfar.export.saved_model.export_saved_model` to an ONNX file, and compare them.

    Args:
        saved_model: folder of the SavedModel.
        file: what to write.
        io: what the file takes and gives:

            * ``image``: as ``serving_default``: ``image``, uint8 RGB ``(batch, height, width, 3)``, and of a
              one-to-many network ``noise``, to ``restored``, uint8 of the image's shape.
            * ``app``: what DeJPEG (Android) and chaiNNer take: ``image``, float32 RGB ``(1, 3, height, width)`` in
              [0, 1], to ``restored``, of its shape and in 256 levels. These apps cut an image into tiles at any offset,
              so the file finds the JPEG's grid in the pixels, and extends a tile to whole blocks for the network. A
              one-to-many network gets the same noise every time.

    Raises:
        TfarError: where packages are missing; naming the file, where it lacks weights or restores differently.
    """
    check_installed()
    import onnx
    import tensorflow as tf
    import tf2onnx

    source = tf.saved_model.load(saved_model)
    serve = source.signatures["serving_default"]
    specs = [spec for _, spec in sorted(serve.structured_input_signature[1].items())]
    drawn = example_noise(2 * NOISE_SIDE, 2 * NOISE_SIDE)
    if io == "app":
        signature = [tf.TensorSpec((1, 3, None, None), tf.float32, name="image")]
        function = _for_apps(serve, drawn if len(specs) > 1 else None)
        sides = {"image": {2: "height", 3: "width"}, "restored": {2: "height", 3: "width"}}
    else:
        signature = [tf.TensorSpec(spec.shape, spec.dtype, name=spec.name) for spec in specs]
        function = _as_served(serve)
        sides = {name: {0: "batch", 1: "height", 2: "width"} for name in ("image", "restored")}
        sides["noise"] = {0: "batch", 1: "half_height", 2: "half_width"}
    model, _ = tf2onnx.convert.from_function(
        tf.function(function, input_signature=signature), input_signature=signature, opset=OPSET
    )
    for value in (*model.graph.input, *model.graph.output):
        for axis, name in sides[value.name].items():
            value.type.tensor_type.shape.dim[axis].dim_param = name
    onnx.checker.check_model(model)
    content = model.SerializeToString()
    check_onnx(content, serve, app=io == "app", noise=drawn, name=str(file))
    write_atomically(file, lambda part: part.write_bytes(content))


def _as_served(serve):
    def restore(image, *noise):
        return {"restored": serve(image=image, **({"noise": noise[0]} if noise else {}))["restored"]}

    return restore


def _for_apps(serve, drawn: np.ndarray | None):
    import tensorflow as tf

    def restore(image):
        levels = tf.round(tf.clip_by_value(tf.transpose(image, (0, 2, 3, 1)), 0, 1) * 255)
        luma = tf.tensordot(levels[0], tf.constant(BT601_LUMA), 1)
        top, left = missing = _missing(tf.transpose(luma)), _missing(luma)
        for axis, (extra, side) in enumerate(zip(missing, tf.unstack(tf.shape(levels)[1:3])), start=1):
            levels = tf.gather(levels, tf.maximum(tf.range(-extra, side), 0), axis=axis)
        given = {"image": tf.cast(levels, tf.uint8)}
        if drawn is not None:
            sides = (tf.shape(levels)[1:3] + 1) // 2
            times = (sides + NOISE_SIDE - 1) // NOISE_SIDE
            repeated = tf.tile(tf.constant(drawn), tf.concat([[1], times, [1]], axis=0))
            given["noise"] = repeated[:, : sides[0], : sides[1]]
        restored = tf.cast(serve(**given)["restored"], tf.float32)[:, top:, left:] / 255
        return {"restored": tf.transpose(restored, (0, 3, 1, 2))}

    return restore


def _missing(luma):
    """Columns, 0 to 7, that are missing at the left of an image ``(H, W)`` of 256 levels to a whole block of its JPEG.

    A block shows by a step between two columns that is larger than the steps beside it. Where no grid shows clearly,
    none are missing.
    """
    import tensorflow as tf

    steps = tf.abs(luma[:, 1:] - luma[:, :-1])
    excess = steps[:, 1:-1] - tf.maximum(steps[:, :-2], steps[:, 2:])
    shown = tf.reduce_sum(tf.clip_by_value(excess, 0, STEP_LIMIT), axis=0)  # first: between the second and third column
    rest = (tf.shape(shown)[0] + 2) % BLOCK
    folded = tf.reshape(tf.pad(shown, [[2, (BLOCK - rest) % BLOCK]]), (-1, BLOCK))
    by_start = tf.reduce_sum(folded, axis=0)
    start = tf.argmax(by_start, output_type=tf.int32)
    is_clear = tf.reduce_max(by_start) > CLEARLY * by_start[0]
    return tf.where(is_clear, (BLOCK - start) % BLOCK, 0)
