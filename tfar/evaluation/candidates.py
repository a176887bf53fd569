"""Several restorations of one image: how good the best and the worst are, how different, how true to the JPEG.

The one-to-many paper (Section 4.2) shows two candidates of an image side by side; what it says of them in words is
measured here.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfar.evaluation.benchmark import FULL_REFERENCE, Failure, outside
from tfar.evaluation.protocols import Trial
from tfar.images.read import image_files, read_image
from tfar.metrics.catalogue import Metric, score
from tfar.restoration.restorer import Restorer
from tfar.terminal import track


@dataclass(frozen=True, kw_only=True)
class CandidateScores:
    """What K restorations of one image have, or the means of that over several images.

    Attributes:
        jpeg: metric -> score of the JPEG.
        mean, best, worst: metric -> the mean over the candidates, the best and the worst of them.
        apart: mean absolute difference of two candidates, over all pairs and pixels, in levels of 255.
        apart_by: metric -> its mean over all pairs of candidates, for distances such as LPIPS.
        outside: mean share of the luma's DCT coefficients that a candidate has outside their quantisation interval;
            None where the file is no JPEG with luma.
        original_outside: the same of the original, which is not zero: pixels are rounded and clipped before they are
            coded and after they are decoded. What a candidate has beyond it contradicts the JPEG.
    """

    jpeg: dict[str, float]
    mean: dict[str, float]
    best: dict[str, float]
    worst: dict[str, float]
    apart: float
    apart_by: dict[str, float]
    outside: float | None
    original_outside: float | None


def score_candidates(
    trial: Trial, restorers: Sequence[Callable[[np.ndarray], np.ndarray]], metrics: Mapping[str, Metric]
) -> CandidateScores:
    """Restore an image several times and score what comes.

    Args:
        trial: with an original.
        restorers: one for each candidate, at least two.
        metrics: of the catalogue; those of which less is better are also taken between candidates.

    Raises:
        ValueError: when there are fewer than two restorers.
    """
    if len(restorers) < 2:
        raise ValueError(f"candidates are compared, so at least two restorers are needed, got {len(restorers)}")
    restored = [restore(trial.jpeg) for restore in restorers]
    scores = [score(metrics, trial.original, image) for image in restored]
    pairs = list(itertools.combinations(restored, 2))
    known = {name: metric for name, metric in metrics.items() if all(name in found for found in scores)}
    ranked = {
        name: sorted((found[name] for found in scores), reverse=metric.higher_is_better is False)
        for name, metric in known.items()
    }
    distances = {name: metric for name, metric in known.items() if metric.higher_is_better is False}
    return CandidateScores(
        jpeg=score(metrics, trial.original, trial.jpeg),
        mean={name: float(np.mean(values)) for name, values in ranked.items()},
        best={name: values[-1] for name, values in ranked.items()},
        worst={name: values[0] for name, values in ranked.items()},
        apart=float(np.mean([np.mean(abs(np.int16(a) - b)) for a, b in pairs])),
        apart_by={
            name: float(np.mean([score({name: metric}, a, b)[name] for a, b in pairs]))
            for name, metric in distances.items()
        },
        outside=_mean([outside(trial, image) for image in restored]),
        original_outside=outside(trial, trial.original),
    )


def score_folder(
    models: Mapping[str, Sequence[Restorer]],
    folder: str | Path,
    protocol: str,
    quality: int,
    metrics: Mapping[str, Metric],
    *,
    limit: int | None = None,
) -> tuple[dict[str, CandidateScores], list[Failure]]:
    """The candidates of each model, over a folder of originals under a protocol at a quality factor.

    Args:
        models: the restorers of each model by its name, at least two, one for each candidate.
        folder: of originals.
        protocol: one of ``FULL_REFERENCE``.
        quality: JPEG quality factor.
        metrics: as for :func:`score_candidates`.
        limit: take the first so many images only.

    Returns:
        The means over the images, by the model's name, empty where none could be scored; and the images that failed.

    Raises:
        ImageError: when the folder is missing or holds no images.
        ValueError: when a model has fewer than two restorers.
    """
    files = image_files(folder)[:limit]
    if few := [name for name, restorers in models.items() if len(restorers) < 2]:
        raise ValueError(f"candidates are compared, so at least two restorers are needed: {', '.join(few)}")
    found: list[dict[str, CandidateScores]] = []
    failures = []
    for file in track(files, len(files), "images"):
        try:
            trial = FULL_REFERENCE[protocol](read_image(file), quality)
            found.append({name: score_candidates(trial, restorers, metrics) for name, restorers in models.items()})
        except (OSError, ValueError) as error:
            failures.append(Failure(f"{file} ({protocol})", str(error).removeprefix(f"{file}: ")))
    return {name: mean_scores([scores[name] for scores in found]) for name in models if found}, failures


def mean_scores(each: Sequence[CandidateScores]) -> CandidateScores:
    """The means of several images' scores, each over the images where it is finite."""

    def averaged(table: str) -> dict:
        names = dict.fromkeys(name for scores in each for name in getattr(scores, table))
        return {name: _mean([getattr(scores, table).get(name) for scores in each]) for name in names}

    return CandidateScores(
        **{table: averaged(table) for table in ("jpeg", "mean", "best", "worst", "apart_by")},
        apart=_mean([scores.apart for scores in each]),
        outside=_mean([scores.outside for scores in each]),
        original_outside=_mean([scores.original_outside for scores in each]),
    )


def _mean(values):
    known = [value for value in values if value is not None and math.isfinite(value)]
    return float(np.mean(known)) if known else None
