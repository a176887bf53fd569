"""Curves of results: what the plots of an evaluation show, and PNG files of them for papers."""

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfar.errors import TfarError
from tfar.evaluation.results import BASELINE, Mean, Row, means
from tfar.metrics.catalogue import metric_of
from tfar.storage import write_atomically

COLORS = ("#5b6470", "#0068b5", "#c2410c", "#007f5b", "#9c3f86", "#946600", "#0b7d94", "#b91c4b")
MARKERS = "os^DvPp*"  # as Matplotlib calls them
KINDS = {  # name: title, x, y
    "psnr-quality": ("PSNR against JPEG quality", "quality", "psnr"),
    "psnr-bpp": ("Rate and distortion", "bpp", "psnr"),
    "lpips-bpp": ("Rate and perceptual distance", "bpp", "lpips"),
    "psnr-lpips": ("Perception-distortion plane", "lpips", "psnr"),
}
PAPER_STYLE = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "axes.xmargin": 0.07,
    "axes.ymargin": 0.1,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.linewidth": 0.4,
    "grid.color": "#d8d8d8",
    "axes.axisbelow": True,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.5,
}
PAPER_INCHES = (3.5, 2.3)  # without the legend; the width is that of one column
PAPER_DPI = 300


@dataclass(frozen=True)
class Point:
    """The mean scores of a model at one JPEG quality; both coordinates finite."""

    x: float
    y: float
    quality: int


@dataclass(frozen=True)
class Series:
    """The points of a model by rising quality; ``number`` gives its colour and marker, the same in every plot."""

    model: str
    number: int
    points: tuple[Point, ...]

    @property
    def color(self) -> int:
        """Index in ``COLORS``: 0 is the JPEG's alone, the others take turns."""
        return self.number and 1 + (self.number - 1) % (len(COLORS) - 1)

    @property
    def marker(self) -> int:
        """Index in ``MARKERS``."""
        return self.number % len(MARKERS)


@dataclass(frozen=True)
class Axis:
    """What an axis shows: its label with the unit, and for values read off it a short name, the unit and decimals."""

    label: str
    heading: str
    unit: str
    decimals: int

    def describe(self, value: float) -> str:
        """A value in words, such as ``PSNR 27.77 dB``."""
        return f"{self.heading} {value:.{self.decimals}f} {self.unit}".strip()


AXES = {
    "quality": Axis("JPEG quality factor", "quality", "", 0),
    "bpp": Axis("coded size (bits per pixel)", "size", "bpp", 3),
}


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Curves of all models on one dataset under one protocol.

    Args:
        name: of its file, behind those of the dataset and the protocol.
        title: what is plotted.
        dataset, protocol: on what; an empty text where there is nothing to tell.
        x, y: the axes.
        series: the curves.
    """

    name: str
    title: str
    dataset: str
    protocol: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]

    @property
    def caption(self) -> str:
        """What is plotted, of what, and the quality where there is one only."""
        one = f", QF {self.qualities[0]}" if len(self.qualities) == 1 else ""
        return f"{self.title}: {', '.join(filter(None, (self.dataset, self.protocol)))}{one}"

    @property
    def points(self) -> list[tuple[Series, Point]]:
        """The points of all series."""
        return [(series, point) for series in self.series for point in series.points]

    @property
    def qualities(self) -> list[int]:
        """The JPEG qualities of the points, rising."""
        return sorted({point.quality for _, point in self.points})

    @property
    def ticks(self) -> list[int] | None:
        """The qualities where they are on the horizontal axis, few and far enough apart to be read; None elsewhere."""
        qualities = self.qualities
        apart = all(12 * (b - a) >= qualities[-1] - qualities[0] for a, b in itertools.pairwise(qualities))
        return qualities if self.x is AXES["quality"] and len(qualities) <= 8 and apart else None

    @property
    def tagged(self) -> set[tuple[Series, Point]]:
        """The points that bear their quality: the topmost of each; none where one can read it off the axis."""
        if self.x is AXES["quality"] or len(self.qualities) == 1:
            return set()
        return set({pair[1].quality: pair for pair in sorted(self.points, key=lambda pair: pair[1].y)}.values())

    def describe(self, point: Point) -> str:
        """The values of a point, such as ``PSNR 27.77 dB at size 0.412 bpp``."""
        at = "" if self.x is AXES["quality"] else f" at {self.x.describe(point.x)}"
        return self.y.describe(point.y) + at


def plots(rows: Iterable[Row]) -> list[Plot]:
    """The plots of ``KINDS`` for each dataset and protocol; those without any finite point are left out."""
    all_means = means(rows)
    models = dict.fromkeys([BASELINE, *(mean.model for mean in all_means)])
    numbers = {model: number for number, model in enumerate(models)}
    found = []
    for (dataset, protocol), group in grouped(all_means, "dataset", "protocol").items():
        for name, (title, x, y) in KINDS.items():
            series = tuple(_series(group, x, y, numbers))
            if series:
                place = {"dataset": dataset, "protocol": protocol}
                found.append(Plot(name=name, title=title, **place, x=_axis(x), y=_axis(y), series=series))
    return found


def grouped(items: Iterable, *names: str) -> dict[tuple, list]:
    """Items by the values of some of their attributes, in the order in which these first appear."""
    groups: dict[tuple, list] = {}
    for item in items:
        groups.setdefault(tuple(getattr(item, name) for name in names), []).append(item)
    return groups


def _series(group: Sequence[Mean], x: str, y: str, numbers: dict[str, int]) -> Iterable[Series]:
    for (model,), own in grouped(group, "model").items():
        points = [Point(_value(mean, x), _value(mean, y), mean.quality) for mean in own]
        finite = [point for point in points if math.isfinite(point.x) and math.isfinite(point.y)]
        if finite:
            yield Series(model, numbers[model], tuple(sorted(finite, key=lambda point: point.quality)))


def _value(mean: Mean, key: str) -> float:
    return getattr(mean, key) if key in AXES else mean.scores.get(key, math.nan)


def _axis(key: str) -> Axis:
    if key in AXES:
        return AXES[key]
    metric = metric_of(key)
    better = {True: "higher is better", False: "lower is better", None: ""}[metric.higher_is_better]
    remarks = ", ".join(part for part in (metric.unit, better) if part)
    label = f"{metric.heading} ({remarks})" if remarks else metric.heading
    return Axis(label, metric.heading, metric.unit, metric.decimals)


def write_figures(folder: str | Path, drawn: Iterable[Plot]) -> list[Path]:
    """Write plots, such as those of :func:`plots`, as ``DATASET-PROTOCOL-NAME.png``: ``live1-gray-psnr-quality.png``.

    Returns:
        The files, in the order of the plots.

    Raises:
        TfarError: without Matplotlib.
    """
    matplotlib = _matplotlib()
    files: list[Path] = []
    for plot in drawn:
        file = Path(folder) / _file_name(plot, {file.name for file in files})
        with matplotlib.rc_context(PAPER_STYLE):
            figure = _paper_figure(plot)
            write_atomically(file, lambda part: figure.savefig(part, dpi=PAPER_DPI))
        files.append(file)
    return files


def write_intervals(file: str | Path, values: Mapping[str, Sequence[tuple[float, float]]], *, x: str, y: str):
    """Write a figure of values with their intervals, side by side for each of several things.

    Args:
        file: PNG, to write.
        values: name of a series -> value and half the width of its interval for each thing; NaN where there is none.
        x, y: labels of the axes.

    Raises:
        TfarError: without Matplotlib.
    """
    matplotlib = _matplotlib()
    from matplotlib.figure import Figure

    count = max(map(len, values.values()))
    with matplotlib.rc_context(PAPER_STYLE):
        figure = Figure(figsize=(max(PAPER_INCHES[0], count / 7), PAPER_INCHES[1]), layout="constrained")
        axes = figure.add_subplot()
        axes.set_xlabel(x, parse_math=False)
        axes.set_ylabel(y, parse_math=False)
        bars = []
        for number, (name, pairs) in enumerate(values.items(), start=1):
            look = Series(name, number, ())
            places = [i + (number - (len(values) + 1) / 2) * 0.6 / len(values) for i in range(1, len(pairs) + 1)]
            means, widths = zip(*pairs)
            style = {"color": COLORS[look.color], "marker": MARKERS[look.marker], "linestyle": "", "markersize": 3}
            bars.append(axes.errorbar(places, means, [w if w >= 0 else 0 for w in widths], elinewidth=0.8, **style))
        _add_legend(figure, bars, [*values])
        write_atomically(file, lambda part: figure.savefig(part, dpi=PAPER_DPI))


def _matplotlib():
    try:
        import matplotlib
    except ImportError as error:
        raise TfarError('figures need matplotlib: pip install "tfar[report]"') from error
    return matplotlib


def _drawable(text: str) -> str:
    """A text with escapes in place of bytes of names that are no text."""
    return text.encode(errors="backslashreplace").decode()


def _file_name(plot: Plot, taken: set[str]) -> str:
    """A name of letters, digits, dots, dashes and underscores that is not taken yet."""
    stem = re.sub(r"[^\w.-]+", "_", "-".join(filter(None, (plot.dataset, plot.protocol, plot.name)))).lstrip(".")
    names = itertools.chain([f"{stem}.png"], (f"{stem}-{number}.png" for number in itertools.count(2)))
    return next(name for name in names if name not in taken)


def _paper_figure(plot: Plot):
    from matplotlib.figure import Figure
    from matplotlib.patheffects import withStroke

    figure = Figure(figsize=PAPER_INCHES, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(_drawable(plot.caption), parse_math=False)
    axes.set_xlabel(plot.x.label, parse_math=False)
    axes.set_ylabel(plot.y.label, parse_math=False)
    for series in plot.series:
        x, y = ([getattr(point, name) for point in series.points] for name in "xy")
        axes.plot(x, y, color=COLORS[series.color], marker=MARKERS[series.marker])
    if plot.ticks:
        axes.set_xticks(plot.ticks)
    for series, point in plot.tagged:
        axes.annotate(
            str(point.quality),
            (point.x, point.y),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=6,
            color=COLORS[series.color],
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )
    _add_legend(figure, axes.lines, [series.model for series in plot.series])
    return figure


def _add_legend(figure, lines: Sequence, labels: Sequence[str]):
    """A legend below the axes, in as many columns as the figure is wide enough for; the figure grows by its height."""
    for columns in (3, 2, 1):
        legend = figure.legend(lines, [" "] * len(lines), loc="outside lower center", ncols=columns, frameon=False)
        for text, label in zip(legend.get_texts(), labels):  # given above, it could not begin with an underscore
            text.set(text=_drawable(label), parse_math=False)
        figure.draw_without_rendering()
        box = legend.get_window_extent()
        if box.width <= figure.bbox.width or columns == 1:
            break
        legend.remove()
    figure.set_figheight(figure.get_figheight() + box.height / figure.dpi)
