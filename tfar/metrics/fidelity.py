"""The family of the PSNR.

Every metric takes ``(original, restored)``: uint8 arrays of one shape, in [0, 255].
"""

import math

import cv2
import numpy as np

PEAK = 255.0
BLOCK = 8
EDGE = 325


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

    Raises:
        ValueError: as :func:`check_pair`.
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

    Raises:
        ValueError: as :func:`check_pair`.
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
        ValueError: as :func:`check_pair`.
    """
    check_pair(original, restored, smallest=3, gray=True)
    edges = _edges(original)
    if not edges.any():
        raise Undefined(f"E-PSNR is undefined: the original has no edge (no Sobel gradient above {EDGE})")
    inner = np.s_[1:-1, 1:-1]
    return _decibels(_mse(original[inner][edges], restored[inner][edges]))


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
    image = np.ascontiguousarray(image)
    across, down = (cv2.Sobel(image, cv2.CV_32F, *axes) for axes in ((1, 0), (0, 1)))
    return (across**2 + down**2 > EDGE**2)[1:-1, 1:-1]
