"""Networks of the operators that GPUs of phones have, and of no others: :data:`tfar.export.flatbuffer.MOBILE_GPU`.

They give what the networks give that they are made of, for images of one size.
"""

import math

import keras
import numpy as np
from keras import layers, ops

from tfar import pixels
from tfar.errors import TfarError
from tfar.models.blocks import LEAKY_SLOPE, DepthToSpace, ReflectToMultiple, ReplicatePad, SpaceToDepth
from tfar.models.region_mask import OrientationDiversityMask

STEEP = 1e4  # slope of what stands for a comparison


def mobile_gpu_form(network: keras.Model, side: int) -> keras.Model:
    """A network for images of ``side`` x ``side`` pixels, of the operators that GPUs of phones have.

    Args:
        network: a network from images in [-1, 1] to a dictionary of outputs.
        side: of the images, in pixels.

    Returns:
        A model with the same inputs, outputs and weights. Its inputs have no size yet; graphs must be traced with
        images of ``side`` pixels.

    Raises:
        TfarError: where ``side`` is no multiple of the coarsest cell of the network.
    """

    check_tile(network, side)

    def replaced(layer: layers.Layer) -> layers.Layer:
        if isinstance(layer, ReflectToMultiple):
            return layers.Identity(dtype=layer.dtype_policy, name=layer.name)
        if isinstance(layer, OrientationDiversityMask):
            return _ListedMask.from_config(layer.get_config())
        function = None
        if isinstance(layer, layers.LeakyReLU):
            function = _leaky_relu(layer.negative_slope)
        elif isinstance(layer, DepthToSpace):
            function = _depth_to_space(layer.block_size)
        elif isinstance(layer, SpaceToDepth):
            function = _space_to_depth(layer.block_size)
        elif isinstance(layer, layers.Activation) and layer.activation is keras.activations.tanh:
            function = _tanh
        return _Applied(function, dtype=layer.dtype_policy, name=layer.name) if function else _copy(layer)

    form = keras.models.clone_model(network, clone_function=replaced, recursive=True)
    form.set_weights(network.get_weights())
    return form


def check_tile(network: keras.Model, side: int, *, name: str = "the network"):
    """Raise :class:`tfar.errors.TfarError` where ``side`` is no multiple of the coarsest cell of a network.

    ``name`` is what the message calls it.
    """
    for layer in network._flatten_layers():
        if isinstance(layer, ReflectToMultiple) and side % layer.multiple:
            raise TfarError(f"{name} takes tiles of multiples of {layer.multiple} pixels, not of {side}")


def _copy(layer: layers.Layer) -> layers.Layer:
    copy = layer.__class__.from_config(layer.get_config())
    if getattr(layer, "activation", None) is keras.activations.leaky_relu:
        copy.activation = _leaky_relu(LEAKY_SLOPE)  # which is Keras's, too
    return copy


class _Applied(layers.Layer):
    """A function of one tensor as a layer; never saved."""

    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = function

    def call(self, x):
        return self.function(x)


def _leaky_relu(slope: float):
    return lambda x: ops.maximum(x, slope * x)


def _tanh(x):
    return 2.0 * ops.sigmoid(2.0 * x) - 1.0


def _places(block: int, channels: int) -> np.ndarray:
    """Which of ``block * block * channels`` values is at which place of a block: ``(block, block, channels, ...)``."""
    return np.eye(block**2 * channels, dtype=np.float32).reshape(block, block, channels, -1)


def _depth_to_space(block: int):
    def function(x):
        kernel = _places(block, x.shape[-1] // block**2)
        return ops.conv_transpose(x, ops.cast(kernel, x.dtype), strides=block, padding="valid")

    return function


def _space_to_depth(block: int):
    def function(x):
        return ops.conv(x, ops.cast(_places(block, x.shape[-1]), x.dtype), strides=block, padding="valid")

    return function


class _ListedMask(OrientationDiversityMask):
    """The mask without comparisons, which become steep slopes, and without sums over channels."""

    def call(self, image):
        mask = _unit(self.diversity(image) - self.threshold)  # whole numbers
        if self.majority > 1:
            share = ops.average_pool(mask, self.majority, strides=1, padding="same")
            mask = _unit((share - 0.5) * STEEP)
        return self.softened(mask)

    def diversity(self, image):
        levels = 255.0 * _unit(0.5 * image + 0.5)
        luma = weighted_sum(levels, pixels.BT601_LUMA) if image.shape[-1] == 3 else levels
        slopes = ops.conv(ReplicatePad(1, 1)(luma), self._directional_prewitt(), padding="valid")
        energy = slopes * slopes
        magnitude = weighted_sum(energy, [2.0 / self.BINS] * self.BINS)
        valid = _at_least(magnitude, (self.gradient_floor * (1.0 - self.TOLERANCE)) ** 2)
        in_bin = _at_least(energy, magnitude * math.cos(math.pi / 2 / self.BINS) ** 2)
        populated = ops.max_pool(ops.concatenate([in_bin * valid, 1.0 - valid], -1), 3, strides=1, padding="same")
        bins = weighted_sum(populated, [1.0] * (self.BINS + 1))
        return valid * bins + (1.0 - valid)


def weighted_sum(x, weights):
    """The weighted sum of the channels of ``(B, H, W, C)``, ``(B, H, W, 1)``."""
    return ops.conv(x, ops.convert_to_tensor(np.float32(weights)[None, None, :, None]), padding="valid")


def _at_least(x, limit):
    """1.0 where ``x >= limit``, 0.0 where it is less by a ten-thousandth or more."""
    return _unit((x - limit) * STEEP + 1.0)


def _unit(x):
    """Clip to [0, 1], by two ReLUs."""
    return ops.relu(1.0 - ops.relu(1.0 - x))
