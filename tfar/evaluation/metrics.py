"""Full-reference scores of a restored image, and the table of those that an evaluation can print.

Every function takes ``(original, restored)``: uint8 arrays of one shape, in [0, 255]. Those that need weights are in
``lpips`` and ``dists``.
"""

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from tfar import pixels
from tfar.errors import TfarError

PEAK = 255.0
BLOCK = 8
EDGE = 325
UNIFORM_WINDOW = 8
GAUSSIAN_WINDOW = 11
BELL = np.exp(-((np.arange(GAUSSIAN_WINDOW) - GAUSSIAN_WINDOW // 2) ** 2) / (2 * 1.5**2))
WINDOWS = {"uniform": np.full(UNIFORM_WINDOW, 1 / UNIFORM_WINDOW), "gaussian": BELL / BELL.sum()}
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
MS_SSIM_SMALLEST = GAUSSIAN_WINDOW * 2 ** (len(MS_SSIM_WEIGHTS) - 1)
STRIP = 64  # rows of windows that SSIM takes at a time, so that its maps stay in the cache
BAND = 16  # rows that a filter computes at a time: larger products would spread over threads, for nothing

logger = logging.getLogger(__name__)


class Undefined(ValueError):
    """The image has nothing that the metric could measure."""


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


def e_psnr(original: np.ndarray, restored: np.ndarray) -> float:
    """PSNR over the edge pixels of the original: 10 log10(255^2 / MSE), the MSE taken over these alone.

    Table 2 of the paper behind ``tfar.models.region_aware``, which does not give its detector. Here a pixel is an edge
    where the magnitude of the 3x3 Sobel gradient of the original, with the unnormalised kernel (1, 2, 1) x (-1, 0, 1),
    exceeds 325; pixels on the border of the image never are. For JPEG at quality 10 this gives the table's 21.25 dB on
    LIVE1, for which the 325 was chosen, and 21.23 dB on BSDS500's validation set, where the table has 20.91.

    Args:
        original: uint8 ``(H, W)``, in [0, 255], at least 3x3 pixels.
        restored: the same shape and dtype.

    Returns:
        Decibels; infinity where all edge pixels are identical.

    Raises:
        Undefined: a ValueError, when the original has no edge pixel.
    """
    check_pair(original, restored, smallest=3, gray=True)
    edges = _edges(original)
    if not edges.any():
        raise Undefined(f"E-PSNR is undefined: the original has no edge (no Sobel gradient above {EDGE})")
    inner = np.s_[1:-1, 1:-1]
    return _decibels(_mse(original[inner][edges], restored[inner][edges]))


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
    """
    check_pair(original, restored, smallest=MS_SSIM_SMALLEST, gray=True)
    score = 1.0
    for scale, weight in enumerate(MS_SSIM_WEIGHTS, start=1):
        similarity, structure = _similarity(original, restored, WINDOWS["gaussian"])
        score *= max(similarity if scale == len(MS_SSIM_WEIGHTS) else structure, 0.0) ** weight
        original, restored = _halve(original), _halve(restored)
    return score


def flip(original: np.ndarray, restored: np.ndarray) -> float:
    """Mean FLIP: the difference that a viewer sees when the two images alternate, with filters made by hand.

    P. Andersson et al., "FLIP: A difference evaluator for alternating images", HPG 2020, by its authors' package for
    67 pixels per degree: a display 0.7 m wide with 3840 pixels, seen from 0.7 m.

    Args:
        original: uint8 ``(H, W, 3)`` sRGB or ``(H, W)``, in [0, 255].
        restored: the same shape and dtype.

    Returns:
        A number in [0, 1]; 0 for identical images.

    Raises:
        TfarError: when the package flip-evaluator is not installed.
    """
    check_pair(original, restored)
    try:
        import flip_evaluator
    except ImportError as error:
        raise TfarError(f'FLIP needs the package flip-evaluator: pip install "tfar[perceptual]" ({error})') from error
    images = (np.float32(pixels.as_rgb(image)) / 255 for image in (original, restored))
    return flip_evaluator.evaluate(*images, "LDR", applyMagma=False, parameters={})[1]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What an evaluation has to know of a metric.

    Args:
        heading: of its column.
        function: from ``(original, restored)`` to a number; None for a metric that needs weights (see :func:`choose`).
        takes: ``luma`` for one of ``(H, W)``, to which RGB images are reduced; ``rgb`` for one of ``(H, W, 3)``, left
            out for gray images; ``either`` for one that takes both, gray images as three equal channels.
        decimals: digits that are worth printing.
        higher_is_better: whether a larger number means a better restoration; None where that is unknown.
        unit: such as ``dB``.
        meaning: one sentence for the reader of a report.
        smallest: height and width that an image must have at least.
    """

    heading: str
    function: Callable[[np.ndarray, np.ndarray], float] | None
    takes: Literal["luma", "rgb", "either"]
    decimals: int = 3
    higher_is_better: bool | None = True
    unit: str = ""
    meaning: str = ""
    smallest: int = 1


DEFAULT_METRICS = ("psnr_rgb", "psnr", "psnr_b", "ssim", "ssim_gaussian")

METRICS = {
    "psnr_rgb": Metric(heading="PSNR RGB", function=psnr, takes="rgb", decimals=2, unit="dB",
                       meaning="Peak signal-to-noise ratio over the three colour channels."),
    "psnr": Metric(heading="PSNR", function=psnr, takes="luma", decimals=2, unit="dB",
                   meaning="Peak signal-to-noise ratio on luma."),
    "psnr_b": Metric(heading="PSNR-B", function=psnr_b, takes="luma", decimals=2, unit="dB", smallest=2 * BLOCK,
                     meaning="PSNR on luma that also counts blocking."),
    "e_psnr": Metric(heading="E-PSNR", function=e_psnr, takes="luma", decimals=2, unit="dB", smallest=3,
                     meaning="PSNR on luma over the edges of the original."),
    "ssim": Metric(heading="SSIM", function=ssim, takes="luma", smallest=UNIFORM_WINDOW,
                   meaning="Structural similarity on luma, uniform window of 8×8 pixels."),
    "ssim_gaussian": Metric(
        heading="SSIM Gaussian", function=partial(ssim, window="gaussian"), takes="luma", smallest=GAUSSIAN_WINDOW,
        meaning="Structural similarity on luma, Gaussian window of 11×11 pixels."),
    "ms_ssim": Metric(heading="MS-SSIM", function=ms_ssim, takes="luma", smallest=MS_SSIM_SMALLEST,
                      meaning="Structural similarity on luma over five scales."),
    "flip": Metric(heading="FLIP", function=flip, takes="either", higher_is_better=False,
                   meaning="Difference seen when the two images alternate, by handmade filters."),
    "lpips": Metric(heading="LPIPS", function=None, takes="either", higher_is_better=False, smallest=31,
                    meaning="Perceptual distance by the features of AlexNet."),
    "lpips_vgg": Metric(heading="LPIPS-VGG", function=None, takes="either", higher_is_better=False, smallest=16,
                        meaning="Perceptual distance by the features of VGG-16."),
    "dists": Metric(heading="DISTS", function=None, takes="either", higher_is_better=False, smallest=16,
                    meaning="Distance of structure and texture by the features of VGG-16."),
}


def metric_of(name: str) -> Metric:
    """The entry of :data:`METRICS`; for any other score one without unit, direction and function."""
    return METRICS.get(name) or Metric(heading=name, function=None, takes="either", higher_is_better=None)


def choose(
    names: Iterable[str], given: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] | None = None
) -> dict[str, Metric]:
    """Some of :data:`METRICS`, by name, in the order of the names.

    Args:
        names: keys of ``METRICS``.
        given: functions of the metrics that need weights, such as ``{"lpips": Lpips("lpips_alex.npz")}``; those of
            metrics that are not named are ignored.

    Raises:
        TfarError: for an unknown name, or a metric that needs weights and was not given.
    """
    chosen = {}
    for name in names:
        if name not in METRICS:
            raise TfarError(f"unknown metric {name!r}; known: {', '.join(METRICS)}")
        chosen[name] = replace(METRICS[name], function=(given or {}).get(name, METRICS[name].function))
        if chosen[name].function is None:
            raise TfarError(f"the metric {name} needs weights, and none were given")
    return chosen


def score(chosen: Mapping[str, Metric], original: np.ndarray, restored: np.ndarray) -> dict[str, float]:
    """Compute metrics of one pair of images.

    Args:
        chosen: what :func:`choose` gives.
        original: uint8 ``(H, W)`` luma or ``(H, W, 3)`` RGB, in [0, 255].
        restored: the same shape and dtype.

    Returns:
        Name -> value, in the order of ``chosen``. Metrics of RGB are left out for a gray image; one that is undefined,
        such as the E-PSNR of an image without edges, is left out with a note in the log.

    Raises:
        ValueError: when the images differ in shape, are not uint8, or are too small for a metric.
    """
    check_pair(original, restored)
    pair = original, restored
    luma = [pixels.studio_luma(image) for image in pair]
    scores = {}
    for name, metric in chosen.items():
        if metric.takes == "rgb" and original.ndim == 2:
            continue
        try:
            scores[name] = metric.function(*(luma if metric.takes == "luma" else pair))
        except Undefined as error:
            logger.info("%s left out: %s", metric.heading, error)
    return scores


def _mse(original, restored):
    return np.mean(np.subtract(original, restored, dtype=np.float64) ** 2)


def _decibels(error):
    return math.inf if error == 0 else 10 * math.log10(PEAK**2 / error)


def _blocking_effect_factor(image):
    boundary_sum = other_sum = boundary_count = other_count = 0.0
    for values in (image, image.T):
        height, width = values.shape
        squares = np.sum(np.diff(values.astype(np.int32), axis=1) ** 2, axis=0, dtype=np.int64)
        is_boundary = np.arange(1, width) % BLOCK == 0
        boundary_sum += squares[is_boundary].sum()
        other_sum += squares[~is_boundary].sum()
        count = height * (width / BLOCK - 1)
        boundary_count += count
        other_count += height * (width - 1) - count
    excess = boundary_sum / boundary_count - other_sum / other_count
    eta = math.log2(BLOCK) / math.log2(min(image.shape))
    return eta * max(excess, 0.0)


def _edges(image):
    """Whether the pixels that are not on the border are edges: ``(H, W)`` to booleans ``(H - 2, W - 2)``."""
    image = image.astype(np.int32)
    columns = image[:-2] + 2 * image[1:-1] + image[2:]
    rows = image[:, :-2] + 2 * image[:, 1:-1] + image[:, 2:]
    return (columns[:, 2:] - columns[:, :-2]) ** 2 + (rows[2:] - rows[:-2]) ** 2 > EDGE**2


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
