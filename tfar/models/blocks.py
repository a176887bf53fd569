"""What the networks of the five papers share: normalisation, activation, residual blocks, the change of resolution."""

import keras
from keras import layers, ops

from tfar import pixels

LEAKY_SLOPE = 0.2
NORMS = ("batch", "synchronized", "none")
ACTIVATIONS = ("relu", "leaky_relu")


def conv(x, filters: int, kernel: int, *, strides: int = 1, name: str, **options):
    """A convolution with zero padding that keeps the size ("same")."""
    return layers.Conv2D(filters, kernel, strides=strides, padding="same", name=name, **options)(x)


def normalize(x, norm: str, *, name: str):
    """Batch normalisation over one replica (``batch``), over all replicas (``synchronized``), or nothing (``none``).

    Backends that train on one device have one replica, so both kinds are the same there. ``ValueError`` for another
    ``norm``.
    """
    if norm not in NORMS:
        raise ValueError(f"norm must be one of {', '.join(NORMS)}, got {norm!r}")
    if norm == "none":
        return x
    synchronized = norm == "synchronized" and keras.backend.backend() == "tensorflow"
    return layers.BatchNormalization(synchronized=synchronized, name=name)(x)


def leaky_relu(x, *, name: str):
    """LeakyReLU with the slope of 0.2 that the EP-GAN and the region-aware paper state, and here all networks have."""
    return layers.LeakyReLU(negative_slope=LEAKY_SLOPE, name=name)(x)


def activate(x, activation: str, *, name: str):
    """``relu``, or ``leaky_relu``, whose units go on learning where they are below zero: see docs/training.md.

    ``ValueError`` for another ``activation``.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
    return layers.ReLU(name=name)(x) if activation == "relu" else leaky_relu(x, name=name)


def residual_block(x, filters: int, norm: str, expansion: int = 1, activation: str = "relu", *, name: str):
    """Conv k3, norm, ReLU, Conv k3, norm, add: the block of SRResNet, ``expansion`` times wider inside than outside.

    Without normalisation the block is the identity at first (zero second convolution, as in Fixup, Zhang et al., ICLR
    2019): the first steps do not multiply over the depth, and a deeper network which starts from the weights of a
    shallower one starts where that one is.
    """
    start = {"kernel_initializer": "zeros"} if norm == "none" else {}
    y = normalize(conv(x, expansion * filters, 3, name=f"{name}_conv1"), norm, name=f"{name}_norm1")
    y = conv(activate(y, activation, name=f"{name}_relu"), filters, 3, name=f"{name}_conv2", **start)
    return layers.Add(name=f"{name}_add")([x, normalize(y, norm, name=f"{name}_norm2")])


def preactivation_block(x, filters: int, norm: str, *, name: str, **options):
    """Norm, ReLU, Conv k3 twice, add: the pre-activation residual unit (He et al., ECCV 2016)."""
    y = x
    for i in (1, 2):
        y = layers.ReLU(name=f"{name}_relu{i}")(normalize(y, norm, name=f"{name}_norm{i}"))
        y = conv(y, filters, 3, name=f"{name}_conv{i}", **options)
    return layers.Add(name=f"{name}_add")([x, y])


def corrected(image, x, residual: bool):
    """The last step of a generator, float32: ``image + x`` when it predicts a correction, else ``tanh(x)``."""
    if residual:
        return layers.Add(dtype="float32", name="corrected")([image, x])
    return layers.Activation("tanh", dtype="float32", name="tanh")(x)


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
class SpaceToDepth(layers.Layer):
    """The inverse of :class:`DepthToSpace`: ``(B, s*H, s*W, C)`` to ``(B, H, W, s*s*C)``."""

    def __init__(self, block_size: int, **kwargs):
        super().__init__(**kwargs)
        self.block_size = block_size

    def call(self, x):
        return ops.space_to_depth(x, self.block_size)

    def compute_output_shape(self, shape):
        batch, height, width, channels = shape
        scaled = [None if side is None else side // self.block_size for side in (height, width)]
        return (batch, *scaled, channels * self.block_size**2)

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


@keras.saving.register_keras_serializable(package="tfar")
class ReplicatePad(layers.Layer):
    """Repeat the border pixels of ``(B, H, W, C)``: ``before`` at the top and left, ``after`` at the bottom and right.

    Made of slices and concatenations, which phones have and compute fast.
    """

    def __init__(self, before: int, after: int, **kwargs):
        super().__init__(**kwargs)
        self.before = before
        self.after = after

    def call(self, x):
        x = ops.concatenate([x[:, :1]] * self.before + [x] + [x[:, -1:]] * self.after, axis=1)
        return ops.concatenate([x[:, :, :1]] * self.before + [x] + [x[:, :, -1:]] * self.after, axis=2)

    def compute_output_shape(self, shape):
        batch, height, width, channels = shape
        padded = [None if side is None else side + self.before + self.after for side in (height, width)]
        return (batch, *padded, channels)

    def get_config(self):
        return {**super().get_config(), "before": self.before, "after": self.after}


@keras.saving.register_keras_serializable(package="tfar")
class RgbToYcbcr(layers.Layer):
    """:func:`tfar.pixels.to_ycbcr` as a layer."""

    def call(self, image):
        return pixels.to_ycbcr(image)

    def compute_output_shape(self, shape):
        return shape


@keras.saving.register_keras_serializable(package="tfar")
class YcbcrToRgb(layers.Layer):
    """:func:`tfar.pixels.to_rgb` as a layer."""

    def call(self, image):
        return pixels.to_rgb(image)

    def compute_output_shape(self, shape):
        return shape


def nearest_upsample(x, *, name: str):
    """Twice the height and width, every pixel four times alike; TFLite's own resizing needs fixed sizes."""
    return DepthToSpace(2, name=name)(layers.Concatenate(name=f"{name}_copies")([x] * 4))


@keras.saving.register_keras_serializable(package="tfar")
class ReflectToMultiple(layers.Layer):
    """Extend ``(B, H, W, C)`` at the bottom and right by reflection until H and W are multiples of a number.

    The border pixels are not repeated. An image smaller than what is missing is reflected back and forth.
    """

    def __init__(self, multiple: int, **kwargs):
        super().__init__(**kwargs)
        self.multiple = multiple

    def call(self, x):
        for axis in (1, 2):
            size = ops.shape(x)[axis]
            period = ops.maximum(2 * size - 2, 1)
            place = ops.mod(ops.arange((size + self.multiple - 1) // self.multiple * self.multiple), period)
            x = ops.take(x, ops.minimum(place, period - place), axis=axis)
        return x

    def compute_output_shape(self, shape):
        batch, height, width, channels = shape
        extended = [None if side is None else -(-side // self.multiple) * self.multiple for side in (height, width)]
        return (batch, *extended, channels)

    def get_config(self):
        return {**super().get_config(), "multiple": self.multiple}
