"""TensorFlow SavedModel, for TF Serving: uint8 images in, uint8 images out."""

from pathlib import Path

import keras

from tfar import pixels
from tfar.models import input_names, rgb_form
from tfar.storage import write_atomically


def export_saved_model(model: keras.Model, folder: str | Path, *, output: str = "fused"):
    """Write a network as a SavedModel.

    Its ``serving_default`` signature takes ``image``, uint8 RGB ``(B, H, W, 3)`` of any size, and gives ``restored``,
    uint8 of the same shape. A network for luma restores the luma and keeps the chroma. A one-to-many network takes
    ``noise`` too, standard normal float32 ``(B, ceil(H/2), ceil(W/2), 1)``.

    Args:
        model: a network from images in [-1, 1] to a dictionary of outputs.
        folder: where to write; replaced when it exists.
        output: which of the network's outputs to serve.
    """
    import tensorflow as tf

    network = rgb_form(model, output)

    def serve(image, *noise):
        return {"restored": pixels.to_uint8(network([pixels.to_float(image), *noise], training=False))}

    archive = keras.export.ExportArchive()  # finds the weights of its functions; those that it tracks it writes again
    signature = [tf.TensorSpec((None, None, None, 3), tf.uint8, name="image")]
    if "noise" in input_names(network):
        signature.append(tf.TensorSpec((None, None, None, 1), tf.float32, name="noise"))
    archive.add_endpoint("serve", serve, input_signature=signature)
    write_atomically(folder, lambda part: archive.write_out(str(part), verbose=False))
