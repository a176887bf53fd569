"""LPIPS v0.1 with the AlexNet trunk, on the Keras backend.

R. Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", CVPR 2018, Eq. (1).
"""

import os
import zipfile
from typing import NamedTuple

import numpy as np
from keras import ops

from tfar import pixels
from tfar.errors import CheckpointError
from tfar.evaluation import metrics

MEAN = (-0.030, -0.088, -0.188)
STD = (0.458, 0.448, 0.450)
SMALLEST = 31


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
        path: ``.npz`` file with the arrays ``conv1/kernel`` (height, width, in, out), ``conv1/bias`` and ``head1``
            (one weight per channel), to ``conv5/kernel``, ``conv5/bias`` and ``head5``.

    Raises:
        CheckpointError: when the file is missing or does not hold these arrays.

    Example:
        distance = Lpips("lpips_alex.npz")(original, restored)
    """

    def __init__(self, path: str | os.PathLike):
        self._weights = _load(path)

    def __call__(self, original: np.ndarray, restored: np.ndarray) -> float:
        """Distance of ``restored`` from ``original``: uint8 ``(H, W, 3)`` RGB or ``(H, W)``, at least 31x31 pixels."""
        metrics.check_pair(original, restored, smallest=SMALLEST)
        features = self._features(np.stack([pixels.as_rgb(original), pixels.as_rgb(restored)]))
        distance = 0.0
        for index, feature in enumerate(features, start=1):
            squares = ops.square(feature[0] - feature[1])
            distance += float(ops.mean(ops.sum(squares * self._weights[f"head{index}"], axis=-1)))
        return distance

    def _features(self, images):
        """Channel-wise unit-normalised activations of the five layers for uint8 images ``(N, H, W, 3)``."""
        mean, std = (ops.convert_to_tensor(values, dtype="float32") for values in (MEAN, STD))
        x = (pixels.to_float(images) - mean) / std
        features = []
        for index, layer in enumerate(LAYERS, start=1):
            if layer.pool:
                x = ops.max_pool(x, 3, strides=2, padding="valid", data_format="channels_last")
            margin = (layer.padding, layer.padding)
            x = ops.pad(x, ((0, 0), margin, margin, (0, 0)))
            kernel, bias = self._weights[f"conv{index}/kernel"], self._weights[f"conv{index}/bias"]
            x = ops.conv(x, kernel, strides=layer.stride, padding="valid", data_format="channels_last")
            x = ops.relu(x + bias)
            features.append(x / (ops.sqrt(ops.sum(ops.square(x), axis=-1, keepdims=True)) + 1e-10))
        return features


def _load(path):
    shapes = {}
    for index, layer in enumerate(LAYERS, start=1):
        channels = layer.kernel[-1:]
        shapes |= {f"conv{index}/kernel": layer.kernel, f"conv{index}/bias": channels, f"head{index}": channels}
    try:
        with np.load(path) as file:
            weights = {name: np.float32(file[name]) for name in shapes}
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"cannot read LPIPS weights from {os.fspath(path)}: {error}") from error
    for name, shape in shapes.items():
        if weights[name].shape != shape:
            raise CheckpointError(f"{os.fspath(path)}: {name} has shape {weights[name].shape}, expected {shape}")
    return {name: ops.convert_to_tensor(weight) for name, weight in weights.items()}
