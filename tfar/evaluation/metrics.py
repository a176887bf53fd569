"""Full-reference scores of a restored image, in NumPy: PSNR, PSNR-B and SSIM.

Every function takes ``(original, restored)``: uint8 arrays of one shape, in [0, 255].
"""

import math
from typing import Literal

import numpy as np
from scipy.ndimage import uniform_filter
from skimage.metrics import structural_similarity

PEAK = 255.0
BLOCK = 8
UNIFORM_WINDOW = 8
GAUSSIAN_WINDOW = 11


def check_pair(original: np.ndarray, restored: np.ndarray, *, smallest: int = 1, gray: bool = False) -> None:
    """Raise ValueError unless both are uint8 images of one shape with sides of at least ``smallest`` pixels.

    Args:
        original: expected to be ``(H, W)`` or ``(H, W, 3)``.
        restored: expected to have the shape of ``original``.
        smallest: the least height and width.
        gray: accept only ``(H, W)``.
    """
    if original.shape != restored.shape:
        raise ValueError(f"original and restored differ in shape: {original.shape} and {restored.shape}")
    if original.dtype != np.uint8 or restored.dtype != np.uint8:
        raise ValueError(f"expected uint8 images, got {original.dtype} and {restored.dtype}")
    is_gray = original.ndim == 2
    is_color = original.ndim == 3 and original.shape[-1] == 3
    if not (is_gray or (is_color and not gray)):
        raise ValueError(f"expected shape (H, W){'' if gray else ' or (H, W, 3)'}, got {original.shape}")
    if min(original.shape[:2]) < smallest:
        raise ValueError(f"an image of at least {smallest}x{smallest} pixels is needed, got {original.shape}")


def psnr(original: np.ndarray, restored: np.ndarray) -> float:
    """Peak signal-to-noise ratio: 10 log10(255^2 / MSE), the MSE taken over all pixels and channels.

    Args:
        original: uint8 ``(H, W)`` or ``(H, W, 3)``, in [0, 255].
        restored: the same shape and dtype.

    Returns:
        Decibels; infinity for identical images.
    """
    check_pair(original, restored)
    return _decibels(_mse(original, restored))


def psnr_b(original: np.ndarray, restored: np.ndarray) -> float:
    """PSNR that also counts blocking: 10 log10(255^2 / (MSE + BEF)).

    C. Yim and A. C. Bovik, "Quality assessment of deblocked images", IEEE TIP 20(1), 2011. The blocking effect factor
    of the restored image alone is BEF = eta (D_B - D_Bc): D_B is the mean squared difference of neighbouring pixels
    on two sides of an 8x8 block boundary, D_Bc that of all other neighbours, horizontal and vertical together;
    eta = log2(8) / log2(min(H, W)) where D_B > D_Bc, else 0. The number of boundary pairs is the paper's,
    H (W / 8 - 1) + W (H / 8 - 1), also where a side is not a multiple of 8, as in the published tables.

    Args:
        original: uint8 ``(H, W)``, in [0, 255], at least 16x16 pixels (two blocks each way).
        restored: the same shape and dtype, its blocks aligned with the upper left corner.

    Returns:
        Decibels; infinity only for identical images without blocking.
    """
    check_pair(original, restored, smallest=2 * BLOCK, gray=True)
    return _decibels(_mse(original, restored) + _blocking_effect_factor(restored))


def ssim(original: np.ndarray, restored: np.ndarray, window: Literal["uniform", "gaussian"] = "uniform") -> float:
    """Structural similarity: the mean of the SSIM map over all windows that lie inside the image.

    Z. Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE TIP 13(4), 2004,
    Eq. (13), with K1 = 0.01, K2 = 0.03 and biased (population) variances.

    Args:
        original: uint8 ``(H, W)``, in [0, 255], no smaller than the window.
        restored: the same shape and dtype.
        window: "uniform" is the 8x8 box of AR-CNN's metric code; "gaussian" is the paper's 11x11, sigma 1.5.

    Returns:
        A number in [-1, 1]; 1 for identical images.
    """
    if window == "uniform":
        check_pair(original, restored, smallest=UNIFORM_WINDOW, gray=True)
        return _uniform_ssim(original, restored)
    if window == "gaussian":
        check_pair(original, restored, smallest=GAUSSIAN_WINDOW, gray=True)
        score = structural_similarity(
            original, restored, data_range=PEAK, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        return float(score)
    raise ValueError(f'window must be "uniform" or "gaussian", got {window!r}')


def _mse(original, restored):
    return np.mean(np.subtract(original, restored, dtype=np.float64) ** 2)


def _decibels(error):
    return math.inf if error == 0 else 10 * math.log10(PEAK**2 / error)


def _blocking_effect_factor(image):
    boundary_sum = other_sum = boundary_count = other_count = 0.0
    for pixels in (image, image.T):
        height, width = pixels.shape
        squares = np.diff(pixels.astype(np.float64), axis=1) ** 2
        is_boundary = np.arange(1, width) % BLOCK == 0
        boundary_sum += squares[:, is_boundary].sum()
        other_sum += squares[:, ~is_boundary].sum()
        count = height * (width / BLOCK - 1)
        boundary_count += count
        other_count += height * (width - 1) - count
    excess = boundary_sum / boundary_count - other_sum / other_count
    eta = math.log2(BLOCK) / math.log2(min(image.shape))
    return eta * max(excess, 0.0)


def _uniform_ssim(original, restored):
    x, y = original.astype(np.float64), restored.astype(np.float64)
    mean_x, mean_y = _window_mean(x), _window_mean(y)
    variance_x = _window_mean(x * x) - mean_x**2
    variance_y = _window_mean(y * y) - mean_y**2
    covariance = _window_mean(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return float(np.mean(luminance * structure))


def _window_mean(image):
    """Means of all the windows that lie inside: ``(H, W)`` to ``(H - 7, W - 7)``."""
    before = UNIFORM_WINDOW // 2
    after = UNIFORM_WINDOW - before - 1
    height, width = image.shape
    return uniform_filter(image, UNIFORM_WINDOW)[before : height - after, before : width - after]
