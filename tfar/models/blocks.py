"""What the networks of the five papers share: normalisation, activation, residual blocks, the change of resolution."""

import keras
from keras import layers, ops

LEAKY_SLOPE = 0.2
NORMS = ("batch", "synchronized", "none")


def conv(x, filters: int, kernel: int, *, strides: int = 1, name: str, **options):
    """A convolution with zero padding that keeps the size ("same")."""
    return layers.Conv2D(filters, kernel, strides=strides, padding="same", name=name, **options)(x)


def normalize(x, norm: str, *, name: str):
    """Batch normalisation over one replica (``batch``), over all replicas (``synchronized``), or nothing (``none``).

    Backends that train on one device have one replica, so both kinds are the same there.
    """
    if norm not in NORMS:
        raise ValueError(f"norm must be one of {', '.join(NORMS)}, got {norm!r}")
    if norm == "none":
        return x
    synchronized = norm == "synchronized" and keras.backend.backend() == "tensorflow"
    return layers.BatchNormalization(synchronized=synchronized, name=name)(x)


def leaky_relu(x, *, name: str):
    """LeakyReLU with the papers' slope of 0.2."""
    return layers.LeakyReLU(negative_slope=LEAKY_SLOPE, name=name)(x)


def residual_block(x, filters: int, norm: str, *, name: str):
    """Conv k3, norm, ReLU, Conv k3, norm, add: the block of SRResNet."""
    y = conv(x, filters, 3, name=f"{name}_conv1")
    y = layers.ReLU(name=f"{name}_relu")(normalize(y, norm, name=f"{name}_norm1"))
    y = normalize(conv(y, filters, 3, name=f"{name}_conv2"), norm, name=f"{name}_norm2")
    return layers.Add(name=f"{name}_add")([x, y])


@keras.saving.register_keras_serializable(package="tfar")
class DepthToSpace(layers.Layer):
    """Rearrange ``(B, H, W, s*s*C)`` to ``(B, s*H, s*W, C)``; ``block_size`` is s."""

    def __init__(self, block_size: int, **kwargs):
        super().__init__(**kwargs)
        self.block_size = block_size

    def call(self, x):
        return ops.depth_to_space(x, self.block_size)

    def compute_output_shape(self, shape):
        batch, height, width, channels = shape
        scaled = [None if side is None else side * self.block_size for side in (height, width)]
        return (batch, *scaled, channels // self.block_size**2)

    def get_config(self):
        return {**super().get_config(), "block_size": self.block_size}


@keras.saving.register_keras_serializable(package="tfar")
class CropLike(layers.Layer):
    """Cut the bottom and right of the first input ``(B, h, w, C)`` to the height and width of the second."""

    def call(self, inputs):
        x, like = inputs
        height, width = ops.shape(like)[1:3]
        return x[:, :height, :width]

    def compute_output_shape(self, shapes):
        return (*shapes[1][:3], shapes[0][-1])
