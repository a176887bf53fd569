"""TFLite (LiteRT), for phones and browsers: uint8 images in, uint8 images out, built-in operators only."""

from pathlib import Path

from tfar.storage import write_atomically


def export_tflite(saved_model: str | Path, file: str | Path):
    """Convert a SavedModel of :func:`tfar.export.saved_model.export_saved_model` to a TFLite file.

    The inputs are those of the SavedModel, for a batch of 1; height and width are set by resizing the input tensors.
    An operator that only full TensorFlow has is an error here, never a surprise on the phone.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=["serving_default"])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    content = converter.convert()
    write_atomically(file, lambda part: part.write_bytes(content))
