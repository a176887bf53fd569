"""The family of the structural similarity."""

from typing import Literal

import numpy as np

from tfar.metrics.fidelity import PEAK, check_pair

UNIFORM_WINDOW = 8
GAUSSIAN_WINDOW = 11
BELL = np.exp(-((np.arange(GAUSSIAN_WINDOW) - GAUSSIAN_WINDOW // 2) ** 2) / (2 * 1.5**2))
WINDOWS = {"uniform": np.full(UNIFORM_WINDOW, 1 / UNIFORM_WINDOW), "gaussian": BELL / BELL.sum()}
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
MS_SSIM_SMALLEST = GAUSSIAN_WINDOW * 2 ** (len(MS_SSIM_WEIGHTS) - 1)
STRIP = 64  # rows of windows that SSIM takes at a time, so that its maps stay in the cache
BAND = 16  # rows that a filter computes at a time: larger products would spread over threads, for nothing


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

    Raises:
        ValueError: as :func:`tfar.metrics.fidelity.check_pair`, or for another window.
    """
    if window not in WINDOWS:
        raise ValueError(f'window must be "uniform" or "gaussian", got {window!r}')
    check_pair(original, restored, smallest=len(WINDOWS[window]), gray=True)
    return _similarity(original, restored, WINDOWS[window])[0]


def ms_ssim(original: np.ndarray, restored: np.ndarray) -> float:
    """Multi-scale structural similarity.

    Z. Wang, E. P. Simoncelli and A. C. Bovik, "Multi-scale structural similarity for image quality assessment",
    Asilomar 2003, Eq. (7) with the weights of section 3.2, as in the authors' code: the mean contrast and structure
    term of the four finer scales and the mean SSIM of the coarsest, all with the 11x11 Gaussian window. Each scale has
    half the sides of the one before, by 2x2 means. A negative mean counts as 0.

    Args:
        original: uint8 ``(H, W)``, in [0, 255], at least 176x176 pixels (16 times the window).
        restored: the same shape and dtype.

    Returns:
        A number in [0, 1]; 1 for identical images.

    Raises:
        ValueError: as :func:`tfar.metrics.fidelity.check_pair`.
    """
    check_pair(original, restored, smallest=MS_SSIM_SMALLEST, gray=True)
    score = 1.0
    for scale, weight in enumerate(MS_SSIM_WEIGHTS, start=1):
        similarity, structure = _similarity(original, restored, WINDOWS["gaussian"])
        score *= max(similarity if scale == len(MS_SSIM_WEIGHTS) else structure, 0.0) ** weight
        original, restored = _halve(original), _halve(restored)
    return score


def _similarity(x, y, window):
    """Mean SSIM, and the mean of its contrast and structure term alone, over all the windows that lie inside."""
    similarity = structure = count = 0
    margin = len(window) - 1
    for top in range(0, x.shape[0] - margin, STRIP):
        rows = np.s_[top : top + STRIP + margin]
        luminances, structures = _similarity_maps(x[rows], y[rows], window)
        similarity += np.sum(luminances * structures)
        structure += np.sum(structures)
        count += structures.size
    return float(similarity / count), float(structure / count)


def _similarity_maps(x, y, window):
    """SSIM's luminance term, and its contrast and structure term, of every window that lies inside.

    Four filters do for the five moments: they are taken of the sum and the difference of the images, since
    (x + y)^2 - (x - y)^2 = 4 x y and (x + y)^2 + (x - y)^2 = 2 (x^2 + y^2).
    """
    moments = np.empty((4, *x.shape))
    np.add(x, y, out=moments[0], dtype=np.float64)
    np.subtract(x, y, out=moments[1], dtype=np.float64)
    np.square(moments[:2], out=moments[2:])
    mean_sum, mean_difference, square_sum, square_difference = _filter(_filter(moments, window), window)
    mean_sum *= mean_sum
    mean_difference *= mean_difference
    mean_products, mean_squares = mean_sum - mean_difference, mean_sum + mean_difference
    c1, c2 = 2 * (0.01 * PEAK) ** 2, 2 * (0.03 * PEAK) ** 2
    luminances = (mean_products + c1) / (mean_squares + c1)
    covariances = square_sum - square_difference - mean_products
    variances = square_sum + square_difference - mean_squares
    return luminances, (covariances + c2) / (variances + c2)


def _filter(maps, window):
    """Weighted means along the columns, inside only, and transposed: ``(N, H, W)`` to ``(N, W, H - size + 1)``.

    Products with a band matrix are several times faster than SciPy's filters.
    """
    size = len(window)
    band = np.zeros((BAND, BAND + size - 1))
    for row in range(BAND):
        band[row, row : row + size] = window
    count, height, width = maps.shape
    filtered = np.empty((count, height - size + 1, width))
    for top in range(0, height - size + 1, BAND):
        part = maps[:, top : top + BAND + size - 1]
        rows = part.shape[1] - size + 1
        np.matmul(band[:rows, : part.shape[1]], part, out=filtered[:, top : top + rows])
    return filtered.swapaxes(1, 2)


def _halve(image):
    """2x2 means, an odd last row or column repeated: ``(H, W)`` to ``(ceil(H / 2), ceil(W / 2))``."""
    image = np.pad(image, [(0, side % 2) for side in image.shape], mode="edge").astype(np.float64)
    rows = image[::2] + image[1::2]
    return (rows[:, ::2] + rows[:, 1::2]) / 4
