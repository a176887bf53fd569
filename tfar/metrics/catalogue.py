"""The table of the metrics that an evaluation can print, and scores by their names."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from tfar import pixels
from tfar.errors import TfarError
from tfar.metrics.fidelity import BLOCK, Undefined, check_pair, e_psnr, psnr, psnr_b
from tfar.metrics.flip import flip
from tfar.metrics.structure import GAUSSIAN_WINDOW, MS_SSIM_SMALLEST, UNIFORM_WINDOW, ms_ssim, ssim

logger = logging.getLogger(__name__)


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
        version: SHA-256 of the weights of a metric that needs some.
    """

    heading: str
    function: Callable[[np.ndarray, np.ndarray], float] | None
    takes: Literal["luma", "rgb", "either"]
    decimals: int = 3
    higher_is_better: bool | None = True
    unit: str = ""
    meaning: str = ""
    smallest: int = 1
    version: str = ""


DEFAULT_METRICS = ("psnr_rgb", "psnr", "psnr_b", "ssim", "ssim_gaussian")

METRICS = {
    "psnr_rgb": Metric(
        heading="PSNR RGB",
        function=psnr,
        takes="rgb",
        decimals=2,
        unit="dB",
        meaning="Peak signal-to-noise ratio over the three colour channels.",
    ),
    "psnr": Metric(
        heading="PSNR",
        function=psnr,
        takes="luma",
        decimals=2,
        unit="dB",
        meaning="Peak signal-to-noise ratio on luma.",
    ),
    "psnr_b": Metric(
        heading="PSNR-B",
        function=psnr_b,
        takes="luma",
        decimals=2,
        unit="dB",
        smallest=2 * BLOCK,
        meaning="PSNR on luma that also counts blocking.",
    ),
    "e_psnr": Metric(
        heading="E-PSNR",
        function=e_psnr,
        takes="luma",
        decimals=2,
        unit="dB",
        smallest=3,
        meaning="PSNR on luma over the edges of the original.",
    ),
    "ssim": Metric(
        heading="SSIM",
        function=ssim,
        takes="luma",
        smallest=UNIFORM_WINDOW,
        meaning="Structural similarity on luma, uniform window of 8×8 pixels.",
    ),
    "ssim_gaussian": Metric(
        heading="SSIM Gaussian",
        function=partial(ssim, window="gaussian"),
        takes="luma",
        smallest=GAUSSIAN_WINDOW,
        meaning="Structural similarity on luma, Gaussian window of 11×11 pixels.",
    ),
    "ms_ssim": Metric(
        heading="MS-SSIM",
        function=ms_ssim,
        takes="luma",
        smallest=MS_SSIM_SMALLEST,
        meaning="Structural similarity on luma over five scales.",
    ),
    "flip": Metric(
        heading="FLIP",
        function=flip,
        takes="either",
        higher_is_better=False,
        meaning="Difference seen when the two images alternate, by handmade filters.",
    ),
    "lpips": Metric(
        heading="LPIPS",
        function=None,
        takes="either",
        higher_is_better=False,
        smallest=31,
        meaning="Perceptual distance by the features of AlexNet.",
    ),
    "lpips_vgg": Metric(
        heading="LPIPS-VGG",
        function=None,
        takes="either",
        higher_is_better=False,
        smallest=16,
        meaning="Perceptual distance by the features of VGG-16.",
    ),
    "dists": Metric(
        heading="DISTS",
        function=None,
        takes="either",
        higher_is_better=False,
        smallest=16,
        meaning="Distance of structure and texture by the features of VGG-16, of images at full size.",
    ),
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
        given: functions of the metrics that need weights, such as ``{"lpips": Lpips("lpips_alex.npz")}``, whose
            ``digest``, where they have one, becomes the version; those of metrics that are not named are ignored.

    Raises:
        TfarError: for an unknown name, or a metric that needs weights and was not given.
    """
    chosen = {}
    for name in names:
        if name not in METRICS:
            raise TfarError(f"unknown metric {name!r}; known: {', '.join(METRICS)}")
        function = (given or {}).get(name, METRICS[name].function)
        chosen[name] = replace(METRICS[name], function=function, version=getattr(function, "digest", ""))
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
        assert metric.function is not None  # choose() sees to it
        try:
            scores[name] = metric.function(*(luma if metric.takes == "luma" else pair))
        except Undefined as error:
            logger.info("%s left out: %s", metric.heading, error)
    return scores
