"""The field's two ways to degrade and to score an image: on gray (luma only) and on colour JPEGs."""

from dataclasses import dataclass

import numpy as np

from tfar import jpeg, pixels
from tfar.evaluation import metrics


@dataclass(frozen=True, eq=False)
class Trial:
    """One image to restore.

    Attributes:
        original: what a restored image is scored against; uint8 ``(H, W)`` or ``(H, W, 3)`` RGB, in [0, 255].
        jpeg: the decoded JPEG of ``original``; same shape, dtype and range.
    """

    original: np.ndarray
    jpeg: np.ndarray


def gray(original: np.ndarray, quality: int) -> Trial:
    """Limited-range luma of the image, coded as a one-component JPEG.

    Args:
        original: uint8 ``(H, W, 3)`` RGB, or ``(H, W)`` which is taken to be luma already.
        quality: libjpeg's quality factor, 1 to 100.
    """
    luma = pixels.studio_luma(original)
    return Trial(luma, jpeg.compress(luma, quality))


def color(original: np.ndarray, quality: int) -> Trial:
    """The RGB image, coded with chroma at half resolution (4:2:0).

    Args:
        original: uint8 ``(H, W, 3)`` RGB, or ``(H, W)`` which is repeated to three channels.
        quality: libjpeg's quality factor, 1 to 100.
    """
    rgb = pixels.as_rgb(original)
    return Trial(rgb, jpeg.compress(rgb, quality, subsampling="4:2:0"))


def score(original: np.ndarray, restored: np.ndarray) -> dict[str, float]:
    """All scores of a restored image against the ``original`` of its trial.

    Args:
        original: uint8 ``(H, W)`` luma or ``(H, W, 3)`` RGB, in [0, 255], at least 16x16 pixels.
        restored: the same shape and dtype.

    Returns:
        "psnr", "psnr_b" (dB), "ssim" (8x8 uniform window) and "ssim_gaussian" (11x11) on luma, limited-range luma for
        RGB images; these have "psnr_rgb" (dB) in front.
    """
    metrics.check_pair(original, restored)
    scores = {"psnr_rgb": metrics.psnr(original, restored)} if original.ndim == 3 else {}
    original_luma, restored_luma = pixels.studio_luma(original), pixels.studio_luma(restored)
    return scores | {
        "psnr": metrics.psnr(original_luma, restored_luma),
        "psnr_b": metrics.psnr_b(original_luma, restored_luma),
        "ssim": metrics.ssim(original_luma, restored_luma, "uniform"),
        "ssim_gaussian": metrics.ssim(original_luma, restored_luma, "gaussian"),
    }
