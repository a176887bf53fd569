"""DISTS: deep image structure and texture similarity, on the Keras backend.

K. Ding et al., "Image quality assessment: unifying structure and texture similarity", IEEE TPAMI 44(5), 2022, with the
weights of the authors' package DISTS-pytorch. Equations (1) to (9) are those of the paper.
"""

import os

import keras
import numpy as np
from keras import ops

from tfar import pixels
from tfar.metrics.catalogue import METRICS
from tfar.metrics.fidelity import check_pair
from tfar.metrics.lpips import VGG16_LAYERS
from tfar.models.features import vgg_features
from tfar.storage import load_arrays, sha256

C1 = C2 = 1e-6  # keep the quotients of Eqs. (6) and (7) defined
CHANNELS = (3, *VGG16_LAYERS.values())  # of the image itself and of the five stages
HANN = np.float32([0.5, 1.0, 0.5])


class L2Pooling(keras.layers.Layer):
    """Halves the sides: the root of the mean square under a 3x3 Hann window, zeros around the image (Eq. 2).

    Maps ``(B, H, W, C)`` to ``(B, ceil(H / 2), ceil(W / 2), C)``.
    """

    def call(self, x):
        window = np.outer(HANN, HANN)[..., None, None] / np.outer(HANN, HANN).sum()
        squares = ops.pad(ops.square(x), ((0, 0), (1, 1), (1, 1), (0, 0)))
        kernel = ops.convert_to_tensor(np.repeat(window, x.shape[-1], axis=2))
        means = ops.depthwise_conv(squares, kernel, strides=2, padding="valid", data_format="channels_last")
        return ops.sqrt(means + 1e-12)

    def compute_output_shape(self, shape):
        height, width = (side and -(-side // 2) for side in shape[1:3])
        return (shape[0], height, width, shape[3])


class Dists:
    """Structure and texture distance of two images: 0 for identical ones, larger is worse; computed in float32.

    Textures count as alike when their means in the features of VGG-16 agree, whatever the place of each detail. Images
    are taken at full size; the authors' program first resizes them, to a shorter side of 256 pixels, and gives other
    numbers.

    Args:
        path: ``.npz`` file with ``alpha`` and ``beta``, the weights of texture and structure of the 1475 channels.
        vgg16: ``.weights.h5`` file of ``keras.applications.VGG16(include_top=False)``; as for LPIPS that with
            torchvision's weights, where a factor per layer hardly matters.

    Attributes:
        digest: SHA-256 of its files.

    Raises:
        CheckpointError: when a file is missing or holds something else.

    Example:
        distance = Dists("dists.npz", vgg16="vgg16_notop.weights.h5")(original, restored)
    """

    def __init__(self, path: str | os.PathLike, *, vgg16: str | os.PathLike):
        weights = load_arrays(path, {"alpha": (sum(CHANNELS),), "beta": (sum(CHANNELS),)})
        total = sum(array.sum() for array in weights.values())
        stages = (np.split(weights[name] / total, np.cumsum(CHANNELS)[:-1]) for name in ("alpha", "beta"))
        self._weights = [[ops.convert_to_tensor(part) for part in parts] for parts in zip(*stages, strict=True)]
        # A full path is never taken for "imagenet" or "random", which the weights do not fit.
        self._trunk = vgg_features("vgg16", os.path.abspath(vgg16), VGG16_LAYERS, pooling=L2Pooling)
        self._smallest = METRICS["dists"].smallest
        self.digest = sha256(path, vgg16)

    def __call__(self, original: np.ndarray, restored: np.ndarray) -> float:
        """Distance of ``restored`` from ``original``: uint8 ``(H, W, 3)`` RGB or ``(H, W)``, from 16x16 pixels up.

        ``ValueError`` as :func:`tfar.metrics.fidelity.check_pair`.
        """
        check_pair(original, restored, smallest=self._smallest)
        images = pixels.to_float(np.stack([pixels.as_rgb(original), pixels.as_rgb(restored)]))
        found = self._trunk(images)
        similarity = 0.0
        for features, (alpha, beta) in zip([(images + 1) / 2, *(found[name] for name in VGG16_LAYERS)], self._weights):
            texture, structure = _similarities(features)
            similarity += float(ops.sum(alpha * texture + beta * structure))
        return 1.0 - similarity


def _similarities(features):
    """Eqs. (6) and (7) for each channel of a pair ``(2, H, W, C)``: how alike are the means, and the correlation."""
    means = ops.mean(features, axis=(1, 2), keepdims=True)
    rest = features - means
    covariance = ops.mean(rest[0] * rest[1], axis=(0, 1))
    variances = ops.mean(ops.square(rest), axis=(0, 1, 2)) * 2
    x, y = means[0, 0, 0], means[1, 0, 0]
    return (2 * x * y + C1) / (x * x + y * y + C1), (2 * covariance + C2) / (variances + C2)
