"""One self-contained HTML page of an evaluation: tables, plots, best and worst images, and comparisons to look at.

The page holds its style, its scripts and all its pictures; it refers to nothing else, and opens from a file.
"""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from plotly.offline import get_plotlyjs

from tfar import pixels
from tfar.evaluation.results import BASELINE, Mean, Row, gain, means
from tfar.metrics.catalogue import Metric, metric_of
from tfar.reports.figures import COLORS, Plot, grouped, plots
from tfar.reports.html import data_uri, template_text, write_html
from tfar.reports.tables import same_dataset

ORIGINAL = "original"
MASK = "mask of "  # labels of region masks begin with it
ERROR = "error of "
ERROR_LIMIT = 32  # levels of luma, of 255, that have the last colour of an error map
EXTREMES = 3  # best and worst images per model and metric
GRAY = "gray"  # the protocol of published scores
DARK_COLORS = ("#a6b0bd", "#63b3ff", "#ff8f63", "#3dd4a3", "#e59bd3", "#e6b84a", "#5ad1e6", "#ff7d9c")
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "pentagon", "star")  # of Plotly


def _colored(error: np.ndarray) -> np.ndarray:
    """An error map ``(H, W)`` in colours from none to the limit: uint8 ``(H, W, 3)`` RGB."""
    levels = np.round(error * (255 / ERROR_LIMIT)).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)


ERROR_COLORS = [tuple(map(int, color)) for color in _colored(np.linspace(0, ERROR_LIMIT, 5)[None])[0]]  # of its legend


@dataclass(frozen=True, eq=False)
class Picture:
    """An image to look at on the page.

    Args:
        dataset, image, protocol, quality: as in :class:`tfar.evaluation.results.Row`.
        images: label -> uint8 ``(H, W)`` or ``(H, W, 3)`` RGB, in [0, 255], all of one size: "original", "JPEG", then
            one per model. A label "mask of NAME" is a region mask ``(H, W)``, 255 where NAME takes its texture layer.

    Raises:
        ValueError: for no images, or images of several sizes or of another type.
    """

    dataset: str
    image: str
    protocol: str
    quality: int
    images: Mapping[str, np.ndarray]

    def __post_init__(self):
        if not self.images or len({image.shape[:2] for image in self.images.values()}) > 1:
            shapes = {label: image.shape for label, image in self.images.items()}
            raise ValueError(f"{self.image}: expected images of one size, got {shapes}")
        for label, image in self.images.items():
            if image.dtype != np.uint8 or image.shape[2:] not in ((), (3,)):
                raise ValueError(
                    f"{self.image}, {label}: expected uint8 (H, W) or (H, W, 3), got {image.dtype} {image.shape}"
                )


@dataclass(frozen=True)
class Extreme:
    """An image on which a model gained most or least over the JPEG.

    Args:
        row: the scores of the model on it.
        gain: by how much the model is better than the JPEG; negative where it is worse.
        best: whether it is one of the best, otherwise one of the worst.
    """

    row: Row
    gain: float
    best: bool


def extremes(rows: Iterable[Row], metric: str, higher_is_better: bool, count: int) -> list[Extreme]:
    """The best and the worst images of each model, by its gain over the JPEG.

    The gain tells where a model helps and where it harms; the value alone tells how hard an image is to code. Images
    without this metric, of the model or of the JPEG, are left out. No image is among both the best and the worst.

    Args:
        rows: scores of all images, with those of the JPEG.
        metric: such as ``psnr``.
        higher_is_better: the direction of the metric.
        count: how many of the best, and of the worst, for each dataset, protocol, quality and model; fewer where
            there are fewer than twice as many images.

    Returns:
        For each group in the order of the rows, its best images from the best on, then its worst from the worst on.
    """
    rows = [row for row in rows if metric in row.scores]
    jpeg = {_place(row): row.scores[metric] for row in rows if row.model == BASELINE}
    restored = [row for row in rows if row.model != BASELINE and _place(row) in jpeg]
    found = []
    for group in grouped(restored, "dataset", "protocol", "quality", "model").values():
        gains = [(gain(row.scores[metric], jpeg[_place(row)], higher_is_better), row) for row in group]
        gains.sort(key=lambda pair: pair[0], reverse=True)
        best = min(count, (len(gains) + 1) // 2)
        worst = min(count, len(gains) - best)
        found += [Extreme(row, better_by, best=True) for better_by, row in gains[:best]]
        found += [Extreme(row, better_by, best=False) for better_by, row in gains[::-1][:worst]]
    return found


def _place(item: Row | Picture) -> tuple:
    """What a row and a picture of the same JPEG have in common."""
    return item.dataset, item.image, item.protocol, item.quality


def error_map(original: np.ndarray, restored: np.ndarray) -> np.ndarray:
    """Absolute difference of luma, on the scale of the scores, cut off at ``ERROR_LIMIT``.

    Args:
        original: uint8 ``(H, W)`` luma or ``(H, W, 3)`` RGB, in [0, 255].
        restored: of the same size.

    Returns:
        uint8 ``(H, W)``, in [0, ERROR_LIMIT].
    """
    difference = np.subtract(pixels.studio_luma(original), pixels.studio_luma(restored), dtype=np.int16)
    return np.uint8(np.minimum(np.abs(difference), ERROR_LIMIT))


def write_page(
    file: str | Path, rows: Sequence[Row], pictures: Sequence[Picture], *, title: str, published: Sequence[Mapping] = ()
):
    """Write the page: an HTML file that needs no other file and no network.

    Args:
        file: to write.
        rows: scores of all images.
        pictures: the images to look at; :func:`extremes` tells which are worth it.
        title: of the page.
        published: scores from papers with the keys "method", "dataset", "quality" and "source", and those of "psnr",
            "psnr_b" and "ssim" that the paper has. They stand, marked as published, in the table of the dataset of
            that name, whatever its case and punctuation, under the protocol "gray", at the qualities measured.
    """
    charts = grouped(plots(rows), "dataset", "protocol")
    write_html(
        file,
        "page.html",
        scripts=[*([get_plotlyjs()] if charts else []), template_text("page.js")],
        title=title,
        images=len({(row.dataset, row.image) for row in rows}),
        models=len({row.model for row in rows} - {BASELINE}),
        qualities=len({row.quality for row in rows}),
        metrics=_metrics(rows),
        scores=[
            _score_table(dataset, protocol, group, published)
            for (dataset, protocol), group in grouped(means(rows), "dataset", "protocol").items()
        ],
        charts=charts,
        extremes=_extreme_tables(rows),
        viewers=[_viewer(picture, rows) for picture in pictures],
        anchors={_place(picture): f"picture-{number}" for number, picture in enumerate(pictures)},
        place=_place,
        chart=_chart,
        metric_columns=_metric_columns,
        number=_number,
        colors=list(zip(COLORS, DARK_COLORS)),
        error_limit=ERROR_LIMIT,
        error_colors=ERROR_COLORS,
    )


def _metrics(items: Iterable[Row | Mean]) -> dict[str, Metric]:
    """The metrics that any of some rows or means have, as they first appear."""
    return {name: metric_of(name) for item in items for name in item.scores}


def _metric_columns(metrics: Mapping[str, Metric]) -> list[tuple[str, str, bool]]:
    """Heading, unit, and whether the first click sorts from the largest on."""
    return [(metric.heading, metric.unit, metric.higher_is_better is True) for metric in metrics.values()]


def _number(value: float, decimals: int, *, sign: bool = False) -> str:
    """A number for the reader: with a real minus and the sign of infinity."""
    value = round(value, decimals) + 0.0 if math.isfinite(value) else value  # no negative zero
    return f"{value:{'+' if sign else ''}.{decimals}f}".replace("inf", "∞").replace("-", "−")


def _score_table(dataset: str, protocol: str, group: Sequence[Mean], published: Sequence[Mapping]) -> dict:
    """The means of a dataset under a protocol by quality, with the published ones and the best of each metric."""
    known = [entry for entry in published if protocol == GRAY and same_dataset(entry["dataset"], dataset)]
    qualities = {
        quality: (measured, [entry for entry in known if entry["quality"] == quality])
        for (quality,), measured in sorted(grouped(group, "quality").items())
    }
    quoted = [entry for _, entries in qualities.values() for entry in entries]
    metrics = _metrics(group)
    return {
        "dataset": dataset,
        "protocol": protocol,
        "metrics": metrics,
        "qualities": qualities,
        "best": {(quality, name): _best(name, own) for quality, (own, _) in qualities.items() for name in metrics},
        "infinite": [(mean, name, count) for mean in group for name, count in mean.infinite.items()],
        "sources": dict.fromkeys((entry["method"], entry["source"]) for entry in quoted),
    }


def _best(name: str, measured: Sequence[Mean]) -> float | None:
    values = [mean.scores[name] for mean in measured if name in mean.scores]
    higher_is_better = metric_of(name).higher_is_better
    if higher_is_better is None or len(values) < 2:
        return None
    return max(values) if higher_is_better else min(values)


def _chart(plot: Plot) -> dict:
    """A plot as Plotly takes it, but for colours and fonts; ``meta`` is the number of a trace's colour."""
    traces, tagged = [], plot.tagged
    for series in plot.series:
        labels = [f"{series.model}, QF {point.quality}: {plot.describe(point)}" for point in series.points]
        traces.append(
            {
                "name": _plotly_text(series.model),
                "meta": series.color,
                "mode": "lines+markers+text",
                "x": [point.x for point in series.points],
                "y": [point.y for point in series.points],
                "marker": {"symbol": SYMBOLS[series.marker], "size": 9},
                "text": [str(point.quality) if (series, point) in tagged else "" for point in series.points],
                "textposition": "top center",
                "cliponaxis": False,
                "customdata": labels,
                "hovertext": ["<br>".join(map(_plotly_text, label.rsplit(": ", 1))) for label in labels],
                "hoverinfo": "text",
            }
        )
    axes = {"x": {"title": {"text": plot.x.label}, "tickvals": plot.ticks}, "y": {"title": {"text": plot.y.label}}}
    return {"data": traces, **axes}


def _plotly_text(text: str) -> str:
    """A text that Plotly, which takes what it shows for a template of HTML without quotes, shows as it is."""
    return html.escape(text, quote=False).replace("%", "&#37;")


def _extreme_tables(rows: Sequence[Row]) -> dict[tuple, dict[tuple[str, str], list[Extreme]]]:
    """(dataset, protocol, quality) -> (metric, model) -> best and worst images."""
    tables: dict[tuple, dict[tuple[str, str], list[Extreme]]] = {}
    for name, metric in _metrics(rows).items():
        if metric.higher_is_better is not None:
            for extreme in extremes(rows, name, metric.higher_is_better, EXTREMES):
                row = extreme.row
                table = tables.setdefault((row.dataset, row.protocol, row.quality), {})
                table.setdefault((name, row.model), []).append(extreme)
    return tables


def _viewer(picture: Picture, rows: Sequence[Row]) -> dict:
    """A picture's groups, heading -> label -> alternative text and data URI; which are seen first; and its scores."""
    masks = {label: image for label, image in picture.images.items() if label.startswith(MASK)}
    images = {label: image for label, image in picture.images.items() if label not in masks}
    errors = {
        f"{ERROR}{label}": _colored(error_map(images[ORIGINAL], image))
        for label, image in images.items()
        if ORIGINAL in images and label != ORIGINAL
    }
    groups = {"Images": images, "Error maps": errors, "Region masks": masks}
    height, width = next(iter(picture.images.values())).shape[:2]
    labels = list(images or masks)
    left, right = (
        labels[1:3] if len(labels) > 2 else (labels * 2)[:2]
    )  # the JPEG and the first model, if they are there
    own = [row for row in rows if _place(row) == _place(picture)]
    return {
        "picture": picture,
        "ratio": width / height,
        "groups": {
            heading: {label: (_alt(label, picture), data_uri(image)) for label, image in group.items()}
            for heading, group in groups.items()
            if group
        },
        "left": left,
        "right": right,
        "rows": own,
        "metrics": _metrics(own),
    }


def _alt(label: str, picture: Picture) -> str:
    if label == ORIGINAL:
        return f"{picture.image}, the original"
    if label == BASELINE:
        return f"{picture.image} as it was coded: {picture.protocol}, quality {picture.quality}"
    if label.startswith(ERROR):
        return f"{picture.image}: where {label.removeprefix(ERROR)} differs from the original"
    if label.startswith(MASK):
        return f"{picture.image}: region mask of {label.removeprefix(MASK)}"
    return f"{picture.image} as restored by {label}"
