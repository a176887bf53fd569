"""What an evaluation gives: one row per dataset, protocol, quality, model and image, and its means."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tfar.metrics.catalogue import metric_of
from tfar.storage import write_text

BASELINE = "JPEG"  # the model of the rows without restoration
OUTSIDE = "outside"  # score without an original: tfar.restoration.consistency.share_outside_interval


@dataclass(frozen=True, kw_only=True)
class Row:
    """The scores of one restored image.

    Args:
        dataset: name of the folder of originals.
        image: file name within it.
        protocol: such as ``gray`` or ``color``.
        quality: JPEG quality factor.
        model: what restored the image, or ``JPEG`` for the image without restoration.
        bpp: size of the JPEG, or of what another codec made, in bits per pixel.
        seconds: time of the restoration; None where it was not measured.
        scores: metric -> value, in the order of the columns.
    """

    dataset: str
    image: str
    protocol: str
    quality: int
    model: str
    bpp: float
    seconds: float | None
    scores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Mean:
    """Means of the rows of one dataset, protocol, quality and model.

    Args:
        count: number of images.
        seconds: mean over the images where it was measured; None where it was for none.
        scores: metric -> mean over the images where it is finite; infinite where it is nowhere.
        infinite: metric -> number of images where it is infinite, such as the PSNR of an exact restoration; metrics
            that are finite everywhere are left out.
    """

    dataset: str
    protocol: str
    quality: int
    model: str
    count: int
    bpp: float
    seconds: float | None
    scores: dict[str, float]
    infinite: dict[str, int]


def means(rows: Iterable[Row]) -> list[Mean]:
    """Average rows over their images; in the order in which groups first appear."""
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault((row.dataset, row.protocol, row.quality, row.model), []).append(row)
    return [_mean(group) for group in groups.values()]


@dataclass(frozen=True, kw_only=True)
class Gain:
    """By how much a model's scores of one dataset, protocol and quality are better than those of the JPEGs.

    Args:
        metric: of the scores.
        mean: over the images where the gain is finite, or over all where it is nowhere; negative where the model is
            worse, see :func:`gain`.
        worst: of the image that gains least; minus infinity where that was exact as a JPEG and is no longer.
    """

    dataset: str
    protocol: str
    quality: int
    model: str
    metric: str
    mean: float
    worst: float


def gain(value: float, baseline: float, higher_is_better: bool | None) -> float:
    """By how much a score is better than that of the JPEG; 0 where they are equal, also where both are infinite."""
    if value == baseline:
        return 0.0
    return value - baseline if higher_is_better else baseline - value


def gains(rows: Iterable[Row], metric: str) -> list[Gain]:
    """What models gain over the JPEG of the same image; in the order in which they first appear.

    Args:
        rows: of an evaluation, with those of the JPEGs.
        metric: name of a metric; rows without it are left out.
    """
    scores: dict[tuple, float] = {
        (row.dataset, row.protocol, row.quality, row.image, row.model): row.scores[metric]
        for row in rows
        if metric in row.scores
    }
    found: dict[tuple, list[float]] = {}
    for (*place, image, model), value in scores.items():
        better_by = gain(value, scores[*place, image, BASELINE], metric_of(metric).higher_is_better)
        if model != BASELINE:
            found.setdefault((*place, model), []).append(better_by)
    return [
        Gain(
            dataset=dataset,
            protocol=protocol,
            quality=quality,
            model=model,
            metric=metric,
            mean=_average([value for value in values if math.isfinite(value)] or values),
            worst=min(values),
        )
        for (dataset, protocol, quality, model), values in found.items()
    ]


def _average(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _mean(rows: Sequence[Row]) -> Mean:
    first = rows[0]
    scores, infinite = {}, {}
    for metric in dict.fromkeys(name for row in rows for name in row.scores):
        values = [row.scores[metric] for row in rows if metric in row.scores]
        finite = [value for value in values if math.isfinite(value)]
        scores[metric] = sum(finite) / len(finite) if finite else math.inf
        if len(finite) < len(values):
            infinite[metric] = len(values) - len(finite)
    times = [row.seconds for row in rows if row.seconds is not None]
    return Mean(
        dataset=first.dataset,
        protocol=first.protocol,
        quality=first.quality,
        model=first.model,
        count=len(rows),
        bpp=sum(row.bpp for row in rows) / len(rows),
        seconds=sum(times) / len(times) if times else None,
        scores=scores,
        infinite=infinite,
    )


COLUMNS = ("dataset", "image", "protocol", "quality", "model", "bpp", "seconds")


def write_csv(rows: Sequence[Row], file: str | Path):
    """Write one line per row: the fields of :class:`Row`, then every metric that any row has."""
    metrics = dict.fromkeys(name for row in rows for name in row.scores)
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*COLUMNS, *metrics])
    for row in rows:
        scores = [row.scores.get(name, "") for name in metrics]
        writer.writerow([*(getattr(row, column) for column in COLUMNS), *scores])
    write_text(file, out.getvalue())
