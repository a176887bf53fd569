"""TFLite files for apps that people have: what DeJPEG for Android feeds to a network and takes from it.

The app cuts a picture at any offset into tiles of the file's size, extends the last ones by repeating the border, gives
the position of its slider to whichever input has one element, and cuts the fractions of the levels off.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfar import pixels
from tfar.export.checks import check_app, example_noise
from tfar.export.mobile_gpu import mobile_gpu_form, weighted_sum
from tfar.export.tflite import QUANTIZATIONS, calibration_images, converted, described
from tfar.models import channels, input_names, rgb_form
from tfar.storage import write_atomically

if TYPE_CHECKING:
    import keras

HALF_A_LEVEL = 0.5 / 255


def export_app(
    model: "keras.Model",
    file: str | Path,
    *,
    output: str,
    tile: int,
    quantize: str = "none",
    calibration: np.ndarray | None = None,
    about: Mapping[str, Any] | None = None,
):
    """Write a network as a TFLite file for such apps, and compare them.

    From ``image``, float32 RGB ``(1, tile, tile, 3)`` in [0, 1], and ``strength``, float32 ``(1, 1)``, from 0 (the
    image as it is) to 1, to ``restored``, float32 of the image's shape in [0, 1]: half a level more than the network
    gives, so that cutting off the fractions of levels rounds them.

    The operators are those that GPUs of phones have (:func:`tfar.export.mobile_gpu.mobile_gpu_form`), unless
    ``quantize`` needs others. A one-to-many network always gets the same noise.

    Args:
        model: a network from images in [-1, 1] to a dictionary of outputs.
        file: what to write.
        output: which of the network's outputs to give.
        tile: height and width of the image; a multiple of the network's coarsest cell, of which 64 is one.
        quantize, calibration, about: as for :func:`tfar.export.tflite.export_tflite`.

    Raises:
        TfarError: for another tile; naming the file, where the conversion lacks weights or restores differently.
    """
    import keras
    import tensorflow as tf

    form = mobile_gpu_form(keras.Model(model.inputs, {output: model.output[output]}), tile)
    constants = [example_noise(tile, tile)] if "noise" in input_names(model) else []

    def serve(image, strength):
        given = 2.0 * image - 1.0
        taken = weighted_sum(given, pixels.BT601_LUMA) if channels(model) == 1 else given
        restored = form([taken, *map(tf.constant, constants)] if constants else taken, training=False)[output]
        change = 0.5 * tf.reshape(strength, (1, 1, 1, 1)) * (restored - taken)
        shown = image + change + HALF_A_LEVEL
        return {"restored": tf.nn.relu(1.0 - tf.nn.relu(1.0 - shown))}

    shape = (1, tile, tile, 3)
    archive = keras.export.ExportArchive()
    signature = [tf.TensorSpec(shape, tf.float32, "image"), tf.TensorSpec((1, 1), tf.float32, "strength")]
    archive.add_endpoint("serving_default", serve, input_signature=signature)
    full = np.ones((1, 1), np.float32)
    samples = [{"image": np.float32(image) / 255, "strength": full} for image in calibration_images(calibration, tile)]
    with tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        content = converted(folder, ["serving_default"], quantize=quantize, samples=samples)
    check_app(
        content,
        rgb_form(model, [output]),
        output,
        constants,
        **QUANTIZATIONS[quantize]._asdict(),
        tile=tile,
        name=str(file),
    )
    image = {"type": "float32", "shape": list(shape), "range": [0, 1], "colors": "RGB"}
    dial = {"type": "float32", "shape": [1, 1], "range": [0, 1]}
    outputs = {"restored": image | {"offset": HALF_A_LEVEL}}
    content = described(content, about, quantize=quantize, inputs={"image": image, "strength": dial}, outputs=outputs)
    write_atomically(file, lambda part: part.write_bytes(content))
