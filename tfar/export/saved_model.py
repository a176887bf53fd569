"""TensorFlow SavedModel, for TF Serving: images in, restored images out."""

import functools
from pathlib import Path

import keras

from tfar import pixels
from tfar.export.checks import check_saved_model
from tfar.export.warm_up import write_warm_up
from tfar.models import input_names, rgb_form
from tfar.storage import write_atomically

MEGAPIXELS = 4.0  # an image is computed as a whole, in memory that grows with it


def export_saved_model(
    model: keras.Model,
    folder: str | Path,
    *,
    output: str = "fused",
    megapixels: float = MEGAPIXELS,
    warm_up: bool = False,
):
    """Write a network as a SavedModel, which is then compared with the network.

    A network for luma restores the luma and keeps the chroma. A one-to-many network takes ``noise`` as well, standard
    normal float32 ``(N, ceil(H/2), ceil(W/2), 1)``, in all signatures but ``restore_bytes``. The signatures:

    * ``serving_default``: from ``image``, uint8 RGB ``(N, H, W, 3)`` of any size, to ``restored``, uint8 of its shape.
    * ``dials``: the same with ``strength``, float32 ``(N,)``, from 0 (the image as it is) to 1, and, where the output
      is ``fused``, ``texture``, float32 ``(N,)``, how much of L_T is taken inside the mask.
    * ``base`` and ``texture``, where the output is ``fused``: L_B and L_T alone, as ``serving_default``.
    * ``restore_bytes``: from ``image_bytes``, ``(N,)`` JPEG or PNG files whose sizes may differ, to ``restored_bytes``,
      ``(N,)`` PNG files, and ``error``, ``(N,)`` strings. What cannot be read has an empty file there and its reason in
      ``error`` (:func:`tfar.export.encoded.read`). The images are computed one after the other; the noise of a
      one-to-many network is the same for every call.

    Args:
        model: a network from images in [-1, 1] to a dictionary of outputs.
        folder: where to write; replaced when it exists.
        output: which of the network's outputs to serve.
        megapixels: size from which ``restore_bytes`` refuses an image.
        warm_up: add requests that TF Serving makes itself before it serves (:mod:`tfar.export.warm_up`).

    Raises:
        TfarError: naming the folder, where what was written lacks weights or restores differently; naming
            tensorflow-serving-api, where the requests need it and it is missing.
    """
    import tensorflow as tf

    from tfar.export.encoded import read

    layers = ("base", "texture") if output == "fused" else ()
    network = rgb_form(model, [output, *layers])
    takes_noise = "noise" in input_names(network)
    images = [tf.TensorSpec((None, None, None, 3), tf.uint8, name="image")]
    noises = [tf.TensorSpec((None, None, None, 1), tf.float32, name="noise")] if takes_noise else []
    dials = [tf.TensorSpec((None,), tf.float32, name=name) for name in ("strength", "texture")[: 2 if layers else 1]]

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32), *noises], autograph=False)
    def compute(given, *noise):  # in the file once, whatever number of signatures use it
        return network([given, *noise], training=False)

    def serve(name, image, *noise):
        return {"restored": pixels.to_uint8(compute(pixels.to_float(image), *noise)[name])}

    def serve_dials(image, *others):
        strength, *texture = (dial[:, None, None, None] for dial in others[len(noises) :])
        given = pixels.to_float(image)
        outputs = compute(given, *others[: len(noises)])
        restored = outputs[output]
        if texture:
            restored = outputs["base"] + texture[0] * (restored - outputs["base"])
        return {"restored": pixels.to_uint8(given + strength * (restored - given))}

    def restore(image):
        sides = [-(-side // 2) for side in tf.unstack(tf.shape(image)[:2])]
        noise = [tf.random.stateless_normal([1, *sides, 1], (0, 0)) for _ in noises]
        return tf.io.encode_png(serve(output, image[None], *noise)["restored"][0])

    def restore_bytes(image_bytes):
        def restore_one(content):
            image, error = read(content, megapixels=megapixels)
            return tf.cond(tf.equal(error, ""), lambda: restore(image), lambda: tf.constant(b"")), error

        types = tf.TensorSpec((), tf.string), tf.TensorSpec((), tf.string)
        restored, errors = tf.map_fn(restore_one, image_bytes, fn_output_signature=types, parallel_iterations=1)
        return {"restored_bytes": restored, "error": errors}

    archive = keras.export.ExportArchive()  # finds the weights of its functions; those that it tracks it writes again
    archive.add_endpoint("serving_default", functools.partial(serve, output), input_signature=[*images, *noises])
    archive.add_endpoint("dials", serve_dials, input_signature=[*images, *noises, *dials])
    for layer in layers:
        archive.add_endpoint(layer, functools.partial(serve, layer), input_signature=[*images, *noises])
    archive.add_endpoint(
        "restore_bytes", restore_bytes, input_signature=[tf.TensorSpec((None,), tf.string, "image_bytes")]
    )

    def write(part: Path):
        archive.write_out(str(part), verbose=False)
        check_saved_model(part, network, output, name=str(folder))
        if warm_up:
            write_warm_up(part)

    write_atomically(folder, write)
