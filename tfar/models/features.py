"""The frozen VGG network behind the perceptual and texture losses (Simonyan and Zisserman, 2015)."""

import socket
import warnings
from collections.abc import Callable, Iterable

import keras
import numpy as np

from tfar import pixels
from tfar.errors import CheckpointError, RecipeError, first_line
from tfar.storage import load_weights

NETWORKS = {
    "vgg16": (keras.applications.VGG16, keras.applications.vgg16.preprocess_input),
    "vgg19": (keras.applications.VGG19, keras.applications.vgg19.preprocess_input),
}
LARGEST_STRIDE = 32  # pixels for a place of the deepest layer
DOWNLOAD_TIMEOUT = 20.0  # seconds without a byte


def vgg_features(
    network: str, weights: str, layers: Iterable[str], *, pooling: Callable[..., keras.layers.Layer] | None = None
) -> keras.Model:
    """A frozen VGG that gives the activations of some of its layers, cut after the deepest one.

    Args:
        network: ``vgg19`` or ``vgg16``.
        weights: ``imagenet`` lets Keras download the weights; ``random`` are seeded untrained filters, good for a
            demonstration only; ``imagenet-or-random`` takes these after a warning where there is nothing to download
            from. A path names a ``.weights.h5`` file of the network without its dense layers, or of its first blocks as
            far as the layers need.
        layers: Keras layer names, such as ``block3_conv1`` (relu3_1) or ``block4_pool`` (pool4).
        pooling: makes a layer, given its name, that takes the place of each max pooling.

    Returns:
        A model from RGB images ``(B, H, W, 3)`` in [-1, 1] to ``{layer: activations (B, H', W', C)}``. The papers'
        loss weights hold for the magnitudes of the original Caffe networks, whose input is BGR 0-255 less a mean.

    Raises:
        RecipeError: for an unknown network or layer.
        CheckpointError: when the weights file is missing or of another network, or cannot be downloaded.
    """
    if network not in NETWORKS:
        raise RecipeError(f"unknown feature network {network!r}; known: {', '.join(NETWORKS)}")
    application, preprocess = NETWORKS[network]
    vgg = _downloaded(application, or_none=weights != "imagenet") if weights.startswith("imagenet") else None
    downloaded = vgg is not None
    vgg = vgg or application(include_top=False, weights=None)
    names = [layer.name for layer in vgg.layers]
    wanted = sorted(set(layers), key=lambda name: names.index(name) if name in names else -1)
    for name in wanted:
        if name not in names:
            raise RecipeError(f"{network} has no layer {name!r}; it has: {', '.join(names[1:])}")
    trunk = keras.Model(vgg.input, vgg.get_layer(wanted[-1]).output, name=f"{network} as far as {wanted[-1]}")
    if weights not in ("imagenet", "imagenet-or-random", "random"):
        load_weights(trunk, weights)
    elif not downloaded:
        _set_untrained(trunk)
    taps = keras.Model(vgg.input, {name: vgg.get_layer(name).output for name in wanted})
    if pooling is not None:
        taps = keras.models.clone_model(
            taps,
            clone_function=lambda layer: (
                pooling(name=layer.name) if isinstance(layer, keras.layers.MaxPooling2D) else layer
            ),
        )
    image = keras.Input((None, None, 3), name="image")
    model = keras.Model(image, taps(preprocess(pixels.to_255(image))), name=network)
    model.trainable = False
    return model


def _set_untrained(vgg: keras.Model):
    """Give a network He-normal filters from a fixed seed."""
    rng = np.random.default_rng(0)
    for layer in vgg.layers:
        if layer.weights:
            kernel, bias = layer.weights
            scale = np.sqrt(2.0 / np.prod(kernel.shape[:3]))
            layer.set_weights([rng.normal(0.0, scale, kernel.shape).astype("float32"), np.zeros(bias.shape, "float32")])


def _downloaded(application, *, or_none: bool) -> keras.Model | None:
    """The network with ImageNet weights; when they cannot be downloaded, an error, or a warning and None."""
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        return application(include_top=False, weights="imagenet")
    except Exception as error:  # Keras wraps every failure of the download in a plain Exception
        failed = f"the ImageNet weights of VGG could not be downloaded ({first_line(error)})"
        name = application.__name__
        local = (
            "pass a local file, --set features.weights=FILE.weights.h5 (region-aware: texture.features.weights), made "
            f'where there is a connection by: python -c "import keras; '
            f"keras.applications.{name}(include_top=False).save_weights('FILE.weights.h5')\""
        )
        if not or_none:
            raise CheckpointError(f"{failed}; {local}") from error
        warnings.warn(
            f"{failed}; the perceptual and texture losses use untrained filters, which is good enough for a "
            f"demonstration only; {local}",
            stacklevel=3,
        )
        return None
    finally:
        socket.setdefaulttimeout(timeout)
