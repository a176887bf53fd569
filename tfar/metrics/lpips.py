"""LPIPS v0.1 with the AlexNet and the VGG-16 trunk, on the Keras backend.

R. Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", CVPR 2018, Eq. (1).
"""

import os
from typing import NamedTuple

import numpy as np
from keras import ops

from tfar import pixels
from tfar.metrics.catalogue import METRICS
from tfar.metrics.fidelity import check_pair
from tfar.models.features import vgg_features
from tfar.storage import load_arrays, sha256

MEAN = (-0.030, -0.088, -0.188)
STD = (0.458, 0.448, 0.450)
VGG16_LAYERS = {"block1_conv2": 64, "block2_conv2": 128, "block3_conv3": 256, "block4_conv3": 512, "block5_conv3": 512}


class Layer(NamedTuple):
    """A convolution of the trunk (followed by a ReLU), and whether a 3x3 max pooling of stride 2 goes before it."""

    kernel: tuple[int, int, int, int]
    stride: int
    padding: int
    pool: bool


LAYERS = (
    Layer(kernel=(11, 11, 3, 64), stride=4, padding=2, pool=False),
    Layer(kernel=(5, 5, 64, 192), stride=1, padding=2, pool=True),
    Layer(kernel=(3, 3, 192, 384), stride=1, padding=1, pool=True),
    Layer(kernel=(3, 3, 384, 256), stride=1, padding=1, pool=False),
    Layer(kernel=(3, 3, 256, 256), stride=1, padding=1, pool=False),
)


class Lpips:
    """Perceptual distance of two images: 0 for identical ones, larger is worse; computed in float32.

    Args:
        path: ``.npz`` file with the heads, arrays ``head1`` to ``head5`` (one weight per channel). Without ``vgg16``
            it also holds the AlexNet trunk, ``conv1/kernel`` (height, width, in, out) and ``conv1/bias`` to ``conv5``.
        vgg16: ``.weights.h5`` file of ``keras.applications.VGG16(include_top=False)``, which makes VGG-16 the trunk.
            LPIPS's heads belong to torchvision's weights, not to the ``imagenet`` ones that Keras downloads; a factor
            per layer does not matter.

    Attributes:
        digest: SHA-256 of its files.

    Raises:
        CheckpointError: when a file is missing or holds something else.

    Example:
        distance = Lpips("lpips_alex.npz")(original, restored)
        distance = Lpips("lpips_vgg.npz", vgg16="vgg16.weights.h5")(original, restored)
    """

    def __init__(self, path: str | os.PathLike, *, vgg16: str | os.PathLike | None = None):
        if vgg16 is None:
            name = "lpips"
            channels = [layer.kernel[-1] for layer in LAYERS]
            self._activations = _alexnet(path)
        else:
            name = "lpips_vgg"
            channels = list(VGG16_LAYERS.values())
            self._activations = _vgg16(vgg16)
        heads = load_arrays(path, {f"head{index}": (count,) for index, count in enumerate(channels, start=1)})
        self._heads = [ops.convert_to_tensor(head) for head in heads.values()]
        self._smallest = METRICS[name].smallest
        self.digest = sha256(path, *([vgg16] if vgg16 else []))

    def __call__(self, original: np.ndarray, restored: np.ndarray) -> float:
        """Distance of ``restored`` from ``original``: uint8 ``(H, W, 3)`` RGB or ``(H, W)``.

        Both sides have at least 31 pixels for AlexNet, 16 for VGG-16. ``ValueError`` as
        :func:`tfar.metrics.fidelity.check_pair`.
        """
        check_pair(original, restored, smallest=self._smallest)
        images = pixels.to_float(np.stack([pixels.as_rgb(original), pixels.as_rgb(restored)]))
        distance = 0.0
        for feature, head in zip(self._activations(images), self._heads, strict=True):
            unit = feature / (ops.sqrt(ops.sum(ops.square(feature), axis=-1, keepdims=True)) + 1e-10)
            squares = ops.square(unit[0] - unit[1])
            distance += float(ops.mean(ops.sum(squares * head, axis=-1)))
        return distance


def _alexnet(path):
    """A function from images ``(N, H, W, 3)`` in [-1, 1] to the activations of the five layers."""
    shapes = {}
    for index, layer in enumerate(LAYERS, start=1):
        shapes |= {f"conv{index}/kernel": layer.kernel, f"conv{index}/bias": layer.kernel[-1:]}
    weights = {name: ops.convert_to_tensor(array) for name, array in load_arrays(path, shapes).items()}

    def activations(images):
        mean, std = (ops.convert_to_tensor(values, dtype="float32") for values in (MEAN, STD))
        x = (images - mean) / std
        found = []
        for index, layer in enumerate(LAYERS, start=1):
            if layer.pool:
                x = ops.max_pool(x, 3, strides=2, padding="valid", data_format="channels_last")
            margin = (layer.padding, layer.padding)
            x = ops.pad(x, ((0, 0), margin, margin, (0, 0)))
            kernel, bias = weights[f"conv{index}/kernel"], weights[f"conv{index}/bias"]
            x = ops.conv(x, kernel, strides=layer.stride, padding="valid", data_format="channels_last")
            x = ops.relu(x + bias)
            found.append(x)
        return found

    return activations


def _vgg16(path):
    """A function from images ``(N, H, W, 3)`` in [-1, 1] to the activations of the five layers."""
    # A full path is never taken for "imagenet" or "random", which the heads do not fit.
    trunk = vgg_features("vgg16", os.path.abspath(path), VGG16_LAYERS)

    def activations(images):
        found = trunk(images)
        return [found[name] for name in VGG16_LAYERS]

    return activations
