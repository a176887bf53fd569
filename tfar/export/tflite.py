"""TFLite (LiteRT): files for phones and browsers, and the files that restoration computes on CPUs.

Built-in operators only: one that only full TensorFlow has is an error at conversion, never a surprise on the phone.
"""

import functools
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfar import backend
from tfar.export.checks import ROUNDING, check_tflite, example_noise
from tfar.storage import write_atomically


class Quantization(NamedTuple):
    """What a file is checked for."""

    bytes_per_weight: int  # at least
    levels: float  # by which it may restore differently, in the mean


QUANTIZATIONS = {
    "none": Quantization(4, ROUNDING),
    "float16": Quantization(2, 0.5),
    "dynamic": Quantization(1, 2.5),
    "int8": Quantization(1, 2.5),
}

# Layer of a network -> the outputs that it takes; ``image`` is the layer of a network that has no others.
LAYER_OUTPUTS = {
    "image": ("image",),
    "base": ("base",),
    "texture": ("texture",),
    "fused": ("base", "texture", "mask"),
}


def export_tflite(
    saved_model: str | Path,
    file: str | Path,
    *,
    quantize: str = "none",
    tile: int | None = None,
    calibration: np.ndarray | None = None,
    about: Mapping[str, Any] | None = None,
):
    """Convert a SavedModel of :func:`tfar.export.saved_model.export_saved_model` to a TFLite file, and compare them.

    The inputs are those of ``serving_default``, for a batch of 1. The file says in its metadata what they are
    (:func:`tfar.export.flatbuffer.metadata`).

    Args:
        saved_model: folder of the SavedModel.
        file: what to write.
        quantize: a key of :data:`QUANTIZATIONS`: ``none`` holds weights in float32; ``float16`` holds all constants in
            16 bits and computes in float32; ``dynamic`` holds the weights of large convolutions in 8 bits and computes
            these in 8 bits, with a range of the activations that is measured for every image; ``int8`` has ranges that
            are measured once, on ``calibration``, and leaves :func:`tfar.export.flatbuffer.kept_in_float` in float32.
        tile: height and width of the image; by default they are set by resizing the input tensors.
        calibration: for ``int8``: patches of JPEGs such as the network will see, uint8 RGB ``(N, h, w, 3)``, of some
            dozen pixels a side.
        about: what else to say in the metadata, such as the name of the preset.

    Raises:
        TfarError: naming the file, where the conversion lacks weights or restores differently.
        ValueError: for ``int8`` without patches.
    """
    import tensorflow as tf

    source = tf.saved_model.load(saved_model)
    serve = source.signatures["serving_default"]
    takes_noise = "noise" in serve.structured_input_signature[1]
    samples = [
        {"image": image} | ({"noise": example_noise(*image.shape[1:3])} if takes_noise else {})
        for image in calibration_images(calibration, tile)
    ]
    if tile:
        with tempfile.TemporaryDirectory() as folder:
            _fix_size(source, tile, folder)
            content = converted(folder, ["serving_default"], quantize=quantize, samples=samples)
    else:
        content = converted(saved_model, ["serving_default"], quantize=quantize, samples=samples)
    check_tflite(content, serve, **QUANTIZATIONS[quantize]._asdict(), tile=tile, name=str(file))
    image = {"type": "uint8", "shape": [1, tile, tile, 3], "range": [0, 255], "colors": "RGB"}
    half = tile and -(-tile // 2)
    noise = {"type": "float32", "shape": [1, half, half, 1], "distribution": "standard normal"}
    inputs = {"image": image} | ({"noise": noise} if takes_noise else {})
    content = described(content, about, quantize=quantize, inputs=inputs, outputs={"restored": image})
    write_atomically(file, lambda part: part.write_bytes(content))


def described(content: bytes, about: Mapping[str, Any] | None, **contract: Any) -> bytes:
    """A TFLite file that says what it is: its description, and metadata of what is known and of its contract.

    None stands for a side of an image that the caller chooses.
    """
    from tfar.export import flatbuffer

    about = dict(about or {})
    what = f"{about['preset']} of tfar: " if "preset" in about else ""
    return flatbuffer.described(content, f"{what}takes the damage of JPEG out of RGB images", about | contract)


def calibration_images(patches: np.ndarray | None, tile: int | None) -> list[np.ndarray]:
    """Patches ``(N, h, w, 3)`` as images ``(1, tile, tile, 3)``, in which they lie side by side, or as they are."""
    if patches is None:
        return []
    if not tile:
        return list(patches[:, None])
    rows, columns = (-(-tile // side) for side in patches.shape[1:3])
    count = -(-len(patches) // (rows * columns))
    chosen = np.resize(patches, (count, rows, columns, *patches.shape[1:]))  # begins anew when all are used
    images = chosen.transpose(0, 1, 3, 2, 4, 5).reshape(
        count, 1, rows * patches.shape[1], columns * patches.shape[2], 3
    )
    return list(images[:, :, :tile, :tile])


def _fix_size(source, tile: int, folder: str):
    """Write a SavedModel whose ``serving_default`` is that of another one, for one image of a fixed size."""
    import tensorflow as tf

    serve = source.signatures["serving_default"]
    sides = {"image": tile, "noise": -(-tile // 2)}
    signature = [
        tf.TensorSpec((1, sides[name], sides[name], spec.shape[-1]), spec.dtype, name=name)
        for name, spec in serve.structured_input_signature[1].items()
    ]
    module = tf.Module()
    module.source = source
    module.serve = tf.function(
        lambda *given: serve(**{spec.name: value for spec, value in zip(signature, given)}), input_signature=signature
    )
    tf.saved_model.save(module, folder, signatures={"serving_default": module.serve})


def convert(model, file: str | Path, *, eight_bit: bool):
    """Convert a network to the TFLite file that :mod:`tfar.restoration.engines` computes.

    Each layer of :data:`LAYER_OUTPUTS` that the network has is a signature of its own, so that nothing else is
    computed for it; the weights are in the file once. Inputs and outputs are the network's, float32, for one image of
    any size.

    Args:
        model: a network from images in [-1, 1] to a dictionary of outputs.
        file: what to write.
        eight_bit: hold the weights of large convolutions in 8 bits and compute these in 8 bits, with a range of the
            activations that is measured for every image (dynamic-range quantisation). Small ones, such as those of the
            mask, stay in float32, and so does a whole network with transposed convolutions, for which LiteRT has no
            fast 8-bit form: ARGAN took three times as long with it.
    """
    import keras
    import tensorflow as tf

    specification = [tf.TensorSpec((1, None, None, i.shape[-1]), tf.float32, name=i.name) for i in model.inputs]
    archive = keras.export.ExportArchive()
    layers = [layer for layer, outputs in LAYER_OUTPUTS.items() if set(outputs) <= model.output.keys()]
    for layer in layers:
        network = keras.Model(model.inputs, {name: model.output[name] for name in LAYER_OUTPUTS[layer]})
        call = functools.partial(_call, network)
        archive.add_endpoint(layer, call, input_signature=specification)
    with tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        slow = any(isinstance(layer, keras.layers.Conv2DTranspose) for layer in _layers(model))
        content = converted(folder, layers, quantize="dynamic" if eight_bit and not slow else "none")
    write_atomically(file, lambda part: part.write_bytes(content))


def _layers(model) -> Iterator:
    """The layers of a model and of the models in it."""
    for layer in model.layers:
        yield from _layers(layer) if hasattr(layer, "layers") else (layer,)


def _call(network, *inputs):
    return network(list(inputs) if len(inputs) > 1 else inputs[0], training=False)


def converted(
    saved_model: str | Path,
    signatures: Sequence[str],
    *,
    quantize: str,
    samples: Sequence[Mapping[str, np.ndarray]] = (),
) -> bytes:
    """The TFLite file of a SavedModel; for ``int8`` with ranges of what the samples, inputs by name, give.

    ``ValueError`` for ``int8`` without samples.
    """
    import tensorflow as tf

    if quantize == "int8" and not samples:
        raise ValueError("int8 needs patches for calibration")

    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=list(signatures))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if quantize in ("float16", "dynamic"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    content = converter.convert()
    return _in_eight_bits(content, signatures[0], samples) if quantize == "int8" else content


def _in_eight_bits(content: bytes, signature: str, samples: Sequence[Mapping[str, np.ndarray]]) -> bytes:
    """A float32 TFLite file with weights and activations in 8 bits, but for what loses too much by it.

    ``TFLiteConverter`` does the same two steps; but by its public means, all or nothing is in 8 bits.
    """
    from tensorflow.lite.python.convert import mlir_quantize
    from tensorflow.lite.python.optimize.calibrator import Calibrator

    from tfar.export.flatbuffer import kept_in_float

    given = [(signature, dict(sample)) for sample in samples]
    with warnings.catch_warnings(), backend.starting():  # TensorFlow's word on its own interpreter, and a note
        warnings.simplefilter("ignore")
        calibrated = Calibrator(content).calibrate(lambda: given)
        return mlir_quantize(calibrated, denylisted_nodes=kept_in_float(content))
