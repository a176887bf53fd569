"""TensorFlow SavedModel, for TF Serving: uint8 images in, uint8 images out."""

from pathlib import Path

import keras

from tfar import pixels
from tfar.storage import write_atomically


def export_saved_model(model: keras.Model, folder: str | Path, *, output: str = "fused"):
    """Write a network as a SavedModel.

    Its ``serving_default`` signature takes ``image``, uint8 RGB ``(B, H, W, C)`` of any size, and gives ``restored``,
    uint8 of the same shape.

    Args:
        model: a network from images in [-1, 1] to a dictionary of outputs.
        folder: where to write; replaced when it exists.
        output: which of the network's outputs to serve.
    """
    import tensorflow as tf

    def serve(image):
        return {"restored": pixels.to_uint8(model(pixels.to_float(image), training=False)[output])}

    archive = keras.export.ExportArchive()
    archive.track(model)
    image = tf.TensorSpec((None, None, None, model.input_shape[-1]), tf.uint8, name="image")
    archive.add_endpoint("serve", serve, input_signature=[image])
    write_atomically(folder, lambda part: archive.write_out(str(part), verbose=False))
