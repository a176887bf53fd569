"""Requests that TF Serving makes to a SavedModel before it serves it, so that no client waits for the first ones."""

from collections.abc import Iterator
from pathlib import Path

from tfar.errors import TfarError
from tfar.export.checks import SIDE, example_inputs

FILE = "assets.extra/tf_serving_warmup_requests"  # where TF Serving looks for them


def write_warm_up(saved_model: str | Path):
    """Add a request for every signature of a SavedModel of :func:`tfar.export.saved_model.export_saved_model` to it.

    The image is a photograph of 64x64 pixels.

    Raises:
        TfarError: where the package tensorflow-serving-api is missing.
    """
    import tensorflow as tf

    file = Path(saved_model, FILE)
    try:
        logs = list(_logs(tf.saved_model.load(saved_model).signatures))
    except ModuleNotFoundError as error:
        raise TfarError('warm-up requests need tensorflow-serving-api: pip install "tfar[serving]"') from error
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for log in logs:
            writer.write(log.SerializeToString())


def _logs(signatures) -> Iterator:
    """A ``PredictionLog`` with a request for each signature."""
    import tensorflow as tf
    from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

    given = example_inputs(SIDE, noise=True) | {"strength": [1.0], "texture": [1.0]}
    given["image_bytes"] = [tf.io.encode_jpeg(given["image"][0]).numpy()]
    for name, signature in signatures.items():
        inputs = {
            key: tf.make_tensor_proto(given[key], spec.dtype)
            for key, spec in signature.structured_input_signature[1].items()
        }
        request = predict_pb2.PredictRequest(model_spec=model_pb2.ModelSpec(signature_name=name), inputs=inputs)
        yield prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
