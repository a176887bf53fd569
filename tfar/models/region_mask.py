"""Where the region-aware system takes texture: the orientation-diversity mask, and how much of it damage allows.

Section 3.3 of the region-aware paper, with the pattern complexity of Wu et al., IEEE TIP 26(6), 2017.
"""

import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops

from tfar import pixels


@keras.saving.register_keras_serializable(package="tfar")
class OrientationDiversityMask(layers.Layer):
    """The region mask: 1 where the gradient orientations around a pixel are diverse (texture), 0 elsewhere.

    Wu et al., "Enhanced just noticeable difference model for images with pattern complexity", IEEE TIP 26(6), 2017:
    Prewitt gradients of the luma, orientations folded to 180 degrees in bins of 12 degrees centred on multiples of
    12; pixels below the gradient floor share one further bin. The diversity Od of a pixel is the number of different
    bins among it and its 8 neighbours (1 to 9), and 1 where the pixel itself is below the floor.

    The derivative along each of the 15 directions is one filter of a single convolution, and a direction is a pixel's
    bin where the squared derivative reaches cos(6 degrees)^2 of the squared magnitude. So the whole layer is
    convolution, comparison and pooling, which every runtime has. Gradients that whole numbers often give must not
    depend on rounding: the floor has a tolerance, and the bins are turned by a little so that 90 degrees, which is
    the limit of two of them, is in the upper one.

    Args:
        threshold: T of Section 3.3; the mask is 1 where Od > T.
        gradient_floor: gradient magnitude, on the 0-255 scale, from which a pixel has an orientation.
        majority: side of a square window over which the mask is decided by majority; 1 leaves it as it is.
        feather: side of a square window over which the mask is then averaged, so that texture begins and ends
            gradually and islands of single pixels fade; 1 leaves it as it is. Not in the paper.
        outside: what the mask is where it were 0: how much of L_T is taken outside texture, in [0, 1]. Not in the
            paper.

    Maps an image ``(B, H, W, 3 or 1)`` in [-1, 1] to a mask ``(B, H, W, 1)`` of 0.0 and 1.0, or with ``feather`` and
    ``outside`` in [0, 1], float32.
    """

    BINS = 15
    TOLERANCE = 1e-4  # relative at the gradient floor, in radians at the limits of the bins

    def __init__(
        self,
        *,
        threshold: int = 5,
        gradient_floor: float = 5.0,
        majority: int = 1,
        feather: int = 1,
        outside: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.threshold = threshold
        self.gradient_floor = gradient_floor
        self.majority = majority
        self.feather = feather
        self.outside = outside

    def call(self, image):
        diversity = self.diversity(image)
        mask = ops.cast(diversity > self.threshold, "float32")
        if self.majority > 1:
            share = ops.average_pool(mask, self.majority, strides=1, padding="same")
            mask = ops.cast(share > 0.5, "float32")
        return self.softened(mask)

    def softened(self, mask):
        """The mask feathered, and lifted outside texture."""
        if self.feather > 1:
            mask = ops.average_pool(mask, self.feather, strides=1, padding="same")
        if self.outside:
            mask = self.outside + (1.0 - self.outside) * mask
        return mask

    def diversity(self, image):
        """Orientation diversity Od of every pixel, ``(B, H, W, 1)`` float32 in 1 to 9."""
        image = ops.clip(image, -1.0, 1.0)
        luma = pixels.to_255(pixels.to_luma(image) if image.shape[-1] == 3 else image)
        luma = ops.pad(luma, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="symmetric")
        energy = ops.square(ops.conv(luma, self._directional_prewitt(), padding="valid"))
        magnitude = ops.mean(energy, axis=-1, keepdims=True) * 2.0
        valid = ops.cast(magnitude >= (self.gradient_floor * (1.0 - self.TOLERANCE)) ** 2, "float32")
        in_bin = ops.cast(energy >= magnitude * math.cos(math.pi / 2 / self.BINS) ** 2, "float32")
        populated = ops.max_pool(ops.concatenate([in_bin * valid, 1.0 - valid], -1), 3, strides=1, padding="same")
        bins = ops.sum(populated, axis=-1, keepdims=True)
        return valid * bins + (1.0 - valid)

    def _directional_prewitt(self):
        """Prewitt derivatives along the centres of the bins, as a kernel ``(3, 3, 1, BINS)``."""
        across = np.float32([[-1, 0, 1]] * 3) / 3
        angles = np.pi * np.arange(self.BINS, dtype=np.float32) / self.BINS - np.float32(self.TOLERANCE)
        kernel = across[..., None] * np.cos(angles) + across.T[..., None] * np.sin(angles)
        return ops.convert_to_tensor(kernel[:, :, None, :])

    def compute_output_shape(self, shape):
        return (*shape[:-1], 1)

    def get_config(self):
        names = ("threshold", "gradient_floor", "majority", "feather", "outside")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable(package="tfar")
class DamageShare(layers.Layer):
    """How much texture a place takes, by how much L_B changed it. Not in the paper.

    The damage at a pixel is the mean of ``abs(L_B - J)``, in levels of 0 to 255 before L_B is clipped, over the
    channels and over a window of 17x17 pixels. Where it is small, as in light JPEGs and in flat parts of drawings, L_T
    has nothing to invent; where it is great, L_T's guesses cost most PSNR for what they bring in LPIPS
    (docs/training.md).

    Args:
        points: two or more damages, rising, each with its share in [0, 1]. Between two the share is interpolated
            linearly; below the first and above the last it is theirs.

    Maps a JPEG and its L_B, ``(B, H, W, C)`` in [-1, 1], to shares ``(B, H, W, 1)`` in [0, 1], float32.
    """

    WINDOW = 17

    def __init__(self, points: Sequence[tuple[float, float]], **kwargs):
        super().__init__(**kwargs)
        self.points = tuple((float(damage), float(share)) for damage, share in points)

    def call(self, jpeg, base):
        damage = self.damage(jpeg, base)
        starts, shares = np.transpose(self.points)
        slopes = np.diff(shares) / np.diff(starts)
        share = shares[0]
        for start, bend in zip(starts, np.diff(slopes, prepend=0.0, append=0.0)):
            share = share + bend * ops.relu(damage - start)
        return share

    def damage(self, jpeg, base):
        """Mean change in levels around every pixel, ``(B, H, W, 1)`` float32."""
        before, after = pixels.to_255(jpeg), pixels.to_255(base)
        change = ops.maximum(after - before, before - after)
        mean = np.full((1, 1, change.shape[-1], 1), 1 / change.shape[-1], np.float32)
        change = ops.conv(change, ops.convert_to_tensor(mean), padding="valid")
        columns = ops.average_pool(change, (self.WINDOW, 1), strides=1, padding="same")
        return ops.average_pool(columns, (1, self.WINDOW), strides=1, padding="same")

    def compute_output_shape(self, jpeg_shape, base_shape):
        return (*base_shape[:-1], 1)

    def get_config(self):
        return {**super().get_config(), "points": self.points}
