"""Structural similarity as a loss."""

import numpy as np
from keras import ops

WINDOW = 11
SIGMA = 1.5
RANGE = 2.0  # of images in [-1, 1]


def ssim_loss(original, restored):
    """Minus the mean SSIM (Wang et al., IEEE TIP 13(4), 2004; Galteri et al., Eq. 5-6); a scalar in [-1, 1].

    Args:
        original: ``(B, H, W, C)`` in [-1, 1], H and W of at least 11 pixels.
        restored: the same shape and range.

    The window is the 11x11 Gaussian of sigma 1.5; the mean is taken over all windows inside the image and all
    channels.
    """
    x, y = (ops.cast(image, "float32") + 1.0 for image in (original, restored))  # SSIM is for values from 0 up
    mean_x, mean_y = _blur(x), _blur(y)
    variances = _blur(x * x + y * y) - mean_x**2 - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2
    luminance = (2.0 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2.0 * covariance + c2) / (variances + c2)
    return -ops.mean(luminance * structure)


def _blur(image):
    """Gaussian window means: ``(B, H, W, C)`` to ``(B, H - 10, W - 10, C)``."""
    offsets = np.arange(WINDOW) - WINDOW // 2
    window = np.exp(-(offsets**2) / (2.0 * SIGMA**2))
    window = np.float32(window / window.sum())
    channels = image.shape[-1]
    for shape in ((WINDOW, 1), (1, WINDOW)):
        kernel = np.tile(window.reshape(*shape, 1, 1), (1, 1, channels, 1))
        image = ops.depthwise_conv(image, ops.convert_to_tensor(kernel), padding="valid")
    return image
