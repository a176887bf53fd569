"""TFLite (LiteRT): files for phones and browsers, and the files that restoration computes on CPUs.

Built-in operators only: one that only full TensorFlow has is an error at conversion, never a surprise on the phone.
"""

import functools
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tfar.export.checks import ROUNDING, check_tflite
from tfar.storage import write_atomically


class Quantization(NamedTuple):
    """What a file is checked for."""

    bytes_per_weight: int  # at least
    levels: float  # by which it may restore differently, in the mean


QUANTIZATIONS = {
    "none": Quantization(4, ROUNDING),
    "float16": Quantization(2, 0.5),
    "dynamic": Quantization(1, 2.5),
}

# Layer of a network -> the outputs that it takes; ``image`` is the layer of a network that has no others.
LAYER_OUTPUTS = {
    "image": ("image",),
    "base": ("base",),
    "texture": ("texture",),
    "fused": ("base", "texture", "mask"),
}


def export_tflite(saved_model: str | Path, file: str | Path, *, quantize: str = "none", tile: int | None = None):
    """Convert a SavedModel of :func:`tfar.export.saved_model.export_saved_model` to a TFLite file, and compare them.

    The inputs are those of ``serving_default``, for a batch of 1.

    Args:
        saved_model: folder of the SavedModel.
        file: what to write.
        quantize: a key of :data:`QUANTIZATIONS`: ``none`` holds weights in float32, ``float16`` holds all constants in
            16 bits and computes in float32, ``dynamic`` holds the weights of large convolutions in 8 bits and computes
            these in 8 bits, with a range of the activations that is measured for every image.
        tile: height and width of the image; by default they are set by resizing the input tensors.

    Raises:
        TfarError: naming the file, where the conversion lacks weights or restores differently.
    """
    import tensorflow as tf

    source = tf.saved_model.load(saved_model)
    serve = source.signatures["serving_default"]
    if tile:
        with tempfile.TemporaryDirectory() as folder:
            _fix_size(source, tile, folder)
            content = _converted(folder, ["serving_default"], quantize=quantize)
    else:
        content = _converted(saved_model, ["serving_default"], quantize=quantize)
    check_tflite(content, serve, **QUANTIZATIONS[quantize]._asdict(), tile=tile, name=str(file))
    write_atomically(file, lambda part: part.write_bytes(content))


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
        content = _converted(folder, layers, quantize="dynamic" if eight_bit and not slow else "none")
    write_atomically(file, lambda part: part.write_bytes(content))


def _layers(model) -> Iterator:
    """The layers of a model and of the models in it."""
    for layer in model.layers:
        yield from _layers(layer) if hasattr(layer, "layers") else (layer,)


def _call(network, *inputs):
    return network(list(inputs) if len(inputs) > 1 else inputs[0], training=False)


def _converted(saved_model: str | Path, signatures: Sequence[str], *, quantize: str) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=list(signatures))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if quantize != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return converter.convert()
