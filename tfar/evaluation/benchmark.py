"""Score restorers on a set of images and print the result as a Markdown table."""

import logging
import sys
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from tfar.evaluation.protocols import Trial, score

BASELINE = "JPEG"

# Column heading and decimals of each metric.
COLUMNS = {
    "psnr_rgb": ("PSNR RGB", 2),
    "psnr": ("PSNR", 2),
    "psnr_b": ("PSNR-B", 2),
    "ssim": ("SSIM", 3),
    "ssim_gaussian": ("SSIM Gaussian", 3),
    "lpips": ("LPIPS", 3),
}

logger = logging.getLogger(__name__)


def evaluate(
    restorers: Mapping[str, Callable[[np.ndarray], np.ndarray]],
    images: Iterable[tuple[str, np.ndarray]],
    *,
    protocol: Callable[[np.ndarray, int], Trial],
    quality: int,
    lpips: Callable[[np.ndarray, np.ndarray], float] | None = None,
) -> dict[str, dict[str, float]]:
    """Average the scores of each restorer over the images.

    Args:
        restorers: name -> function from the decoded JPEG (uint8) to the restored image (uint8, same shape). The row
            "JPEG", the image without restoration, is added in front.
        images: pairs of a name and an original, uint8 ``(H, W)`` or ``(H, W, 3)`` RGB; read once.
        protocol: ``protocols.gray`` or ``protocols.color``.
        quality: libjpeg's quality factor, 1 to 100.
        lpips: an ``Lpips``, to score that distance too.

    Returns:
        Row name -> metric name -> mean. Infinite values (an exact restoration) are left out of the mean, with a note
        in the log; the mean is infinite only when all of them are.

    Raises:
        ValueError: for no images, a restorer named "JPEG", or one that changes the shape or dtype.
    """
    if BASELINE in restorers:
        raise ValueError(f'the row "{BASELINE}" is the image without restoration; give the restorer another name')
    rows = {BASELINE: lambda image: image, **restorers}
    scores = {row: [] for row in rows}
    for count, (image_name, image) in enumerate(images, start=1):
        _show_progress(f"{count}: {image_name}")
        trial = protocol(image, quality)
        for row, restore in rows.items():
            restored = restore(trial.jpeg)
            if restored.shape != trial.jpeg.shape or restored.dtype != np.uint8:
                raise ValueError(
                    f"{row} returned {restored.dtype} {restored.shape} for {image_name}, "
                    f"expected uint8 {trial.jpeg.shape}"
                )
            distance = {"lpips": lpips(trial.original, restored)} if lpips else {}
            scores[row].append(score(trial.original, restored) | distance)
    _show_progress("")
    if not scores[BASELINE]:
        raise ValueError("no images to evaluate")
    return {row: _means(row, per_image) for row, per_image in scores.items()}


def format_table(results: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Markdown table of results: one line per row, one column per protocol.

    A cell lists the metrics in the order of its heading: two decimals for dB, three for SSIM and LPIPS; "-" stands
    where a row was not evaluated.

    Args:
        results: protocol name (such as "gray QF10") -> what ``evaluate`` returned for it.
    """
    metrics = {protocol: list(next(iter(rows.values()))) for protocol, rows in results.items()}
    header = [f"{protocol}: {' / '.join(COLUMNS[name][0] for name in names)}" for protocol, names in metrics.items()]
    lines = [_line(["", *header]), _line(["---", *["---:"] * len(header)])]
    for row in dict.fromkeys(row for rows in results.values() for row in rows):
        cells = [_cell(rows[row], metrics[protocol]) if row in rows else "-" for protocol, rows in results.items()]
        lines.append(_line([row, *cells]))
    return "\n".join(lines)


def _means(row, per_image):
    means = {}
    for metric in per_image[0]:
        values = np.array([scores[metric] for scores in per_image])
        exact = np.isinf(values)
        if exact.any():
            logger.info("%s: %s is infinite for %d of %d images", row, metric, exact.sum(), len(values))
        means[metric] = float(values.mean() if exact.all() else values[~exact].mean())
    return means


def _show_progress(text):
    if sys.stderr.isatty():
        print(f"\r{text}\033[K", end="", file=sys.stderr, flush=True)


def _cell(scores, metrics):
    return " / ".join(f"{scores[name]:.{COLUMNS[name][1]}f}" for name in metrics)


def _line(cells):
    return f"| {' | '.join(cells)} |"
