"""Curves of results: PNG files for papers, SVG for the page; both drawn from the same :class:`Plot`."""

import html
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfar.errors import TfarError
from tfar.evaluation.results import BASELINE, Mean, Row, means
from tfar.metrics.catalogue import metric_of
from tfar.storage import write_atomically


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


@dataclass(frozen=True, kw_only=True)
class Axis:
    """What an axis shows.

    Args:
        key: ``quality``, ``bpp`` or the name of a metric.
        label: with the unit.
        heading: short name.
        decimals: of values read off the axis.
        unit: such as ``dB``.
    """

    key: str
    label: str
    heading: str
    decimals: int
    unit: str = ""


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Curves of all models on one dataset under one protocol."""

    name: str
    title: str
    dataset: str
    protocol: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]

    @property
    def points(self) -> list[tuple[Series, Point]]:
        """The points of all series."""
        return [(series, point) for series in self.series for point in series.points]

    @property
    def qualities(self) -> list[int]:
        """The JPEG qualities of the points, rising."""
        return sorted({point.quality for _, point in self.points})

    @property
    def x_bounds(self) -> tuple[float, float]:
        """The range of the horizontal axis."""
        return _bounds([point.x for _, point in self.points])

    @property
    def y_bounds(self) -> tuple[float, float]:
        """The range of the vertical axis."""
        return _bounds([point.y for _, point in self.points])


@dataclass(frozen=True)
class Tag:
    """A point that bears its quality, at its right or left (1, -1), above or below (1, -1)."""

    series: Series
    point: Point
    right: int
    up: int


# In shares of the width and the height of a plot.
POINT_SIZE = (0.022, 0.032)
TAG_SIZE = (0.05, 0.045)
TAG_SHIFT = (0.04, 0.042)  # from the point to the middle of its tag

KINDS = {  # name: title, x, y
    "psnr-quality": ("PSNR against JPEG quality", "quality", "psnr"),
    "psnr-bpp": ("Rate and distortion", "bpp", "psnr"),
    "lpips-bpp": ("Rate and perceptual distance", "bpp", "lpips"),
    "psnr-lpips": ("Perception-distortion plane", "lpips", "psnr"),
}


def plots(rows: Iterable[Row]) -> list[Plot]:
    """The plots of ``KINDS`` for each dataset and protocol; those without any finite point are left out."""
    all_means = means(rows)
    numbers = series_numbers(mean.model for mean in all_means)
    groups: dict[tuple[str, str], list[Mean]] = {}
    for mean in all_means:
        groups.setdefault((mean.dataset, mean.protocol), []).append(mean)
    found = []
    for (dataset, protocol), group in groups.items():
        for name, (title, x, y) in KINDS.items():
            series = tuple(_series(group, x, y, numbers))
            if series:
                found.append(
                    Plot(
                        name=name,
                        title=title,
                        dataset=dataset,
                        protocol=protocol,
                        x=_axis(x),
                        y=_axis(y),
                        series=series,
                    )
                )
    return found


def series_numbers(models: Iterable[str]) -> dict[str, int]:
    """Model -> number of its series: 0 is kept for the JPEG, the others count from 1 as they first appear."""
    others = [model for model in dict.fromkeys(models) if model != BASELINE]
    return {BASELINE: 0} | {model: number for number, model in enumerate(others, start=1)}


def _series(group: Sequence[Mean], x: str, y: str, numbers: dict[str, int]) -> Iterable[Series]:
    for model in dict.fromkeys(mean.model for mean in group):
        points = [Point(_value(mean, x), _value(mean, y), mean.quality) for mean in group if mean.model == model]
        finite = [point for point in points if math.isfinite(point.x) and math.isfinite(point.y)]
        if finite:
            yield Series(model, numbers[model], tuple(sorted(finite, key=lambda point: point.quality)))


def _value(mean: Mean, key: str) -> float:
    return getattr(mean, key) if key in ("quality", "bpp") else mean.scores.get(key, math.nan)


def _axis(key: str) -> Axis:
    if key == "quality":
        return Axis(key=key, label="JPEG quality factor", heading="quality", decimals=0)
    if key == "bpp":
        return Axis(key=key, label="JPEG size (bits per pixel)", heading="size", unit="bpp", decimals=3)
    metric = metric_of(key)
    better = {True: "higher is better", False: "lower is better", None: ""}[metric.higher_is_better]
    remarks = ", ".join(part for part in (metric.unit, better) if part)
    return Axis(
        key=key,
        label=f"{metric.heading} ({remarks})" if remarks else metric.heading,
        heading=metric.heading,
        unit=metric.unit,
        decimals=metric.decimals,
    )


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count`` round numbers (1, 2 or 5 times a power of ten apart) in [low, high], where low < high."""
    step = (high - low) / count
    power = 10.0 ** math.floor(math.log10(step))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    """A range that holds the values with a margin, and is never empty."""
    low, high = min(values), max(values)
    apart = high - low > 1e-6 * abs(high)
    margin = 0.07 * (high - low) if apart else 0.05 * abs(high) or 1.0
    return low - margin, high + margin


# SVG, for the page: coloured by the classes s0 to s7 of its style sheet.

WIDTH, HEIGHT = 480, 330
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 14, 50
MARKERS = (
    "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0Z",  # circle
    "M-4 -4H4V4H-4Z",  # square
    "M0 -5.5L5 4H-5Z",  # triangle
    "M0 -5.5L5.5 0L0 5.5L-5.5 0Z",  # diamond
    "M0 5.5L5 -4H-5Z",  # triangle upside down
    "M-1.7 -5H1.7V-1.7H5V1.7H1.7V5H-1.7V1.7H-5V-1.7H-1.7Z",  # plus
    "M0 -5.5L5.2 -1.7L3.2 4.5H-3.2L-5.2 -1.7Z",  # pentagon
    "M-5 -5L0 -2L5 -5L2 0L5 5L0 2L-5 5L-2 0Z",  # star of four
)


def svg(plot: Plot) -> str:
    """An inline ``<svg>`` element; every point can take the focus and says its values."""
    (x_low, x_high), (y_low, y_high) = plot.x_bounds, plot.y_bounds

    def left(x):
        return round(LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT), 2)

    def top(y):
        return round(HEIGHT - BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM), 2)

    title = html.escape(caption(plot))
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="group" aria-label="{title}">', '<g aria-hidden="true">']
    for x in _x_ticks(plot):
        parts.append(
            f'<path class="grid" d="M{left(x)} {TOP}V{HEIGHT - BOTTOM}"/>'
            f'<text x="{left(x)}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x:g}</text>'
        )
    for y in ticks(y_low, y_high):
        parts.append(
            f'<path class="grid" d="M{LEFT} {top(y)}H{WIDTH - RIGHT}"/>'
            f'<text x="{LEFT - 8}" y="{top(y)}" dy=".35em" text-anchor="end">{y:g}</text>'
        )
    parts.append(
        f'<path class="axis" d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>'
        f'<text class="label" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">'
        f"{html.escape(plot.x.label)}</text>"
        f'<text class="label" transform="translate(15 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" '
        f'text-anchor="middle">{html.escape(plot.y.label)}</text></g>'
    )
    for series in plot.series:
        line = " ".join(f"{left(point.x)},{top(point.y)}" for point in series.points)
        parts.append(f'<g class="series {series_class(series.number)}"><polyline points="{line}"/>')
        for point in series.points:
            text = html.escape(describe(plot, series, point))
            parts.append(
                f'<g class="point" tabindex="0" role="img" aria-label="{text}" '
                f'transform="translate({left(point.x)} {top(point.y)})"><title>{text}</title>'
                f'<circle class="target" r="11"/>{marker(series.number)}</g>'
            )
        parts.append("</g>")
    for tag in tags(plot):
        parts.append(
            f'<text class="tag {series_class(tag.series.number)}" aria-hidden="true" text-anchor="middle" '
            f'dy=".35em" x="{left(tag.point.x) + tag.right * TAG_SHIFT[0] * (WIDTH - LEFT - RIGHT):.2f}" '
            f'y="{top(tag.point.y) - tag.up * TAG_SHIFT[1] * (HEIGHT - TOP - BOTTOM):.2f}">'
            f"{tag.point.quality}</text>"
        )
    return "\n".join([*parts, "</svg>"])


def caption(plot: Plot) -> str:
    """What is plotted, of what, and the quality where there is one only."""
    one = f", QF {plot.qualities[0]}" if len(plot.qualities) == 1 else ""
    return f"{plot.title}: {plot.dataset}, {plot.protocol}{one}"


def tags(plot: Plot) -> list[Tag]:
    """The points that bear their quality: all in the plane, the topmost of each quality against the size.

    None do where the quality can be read off the axis or there is only one, nor does a point whose four corners are
    taken by other points or their tags.
    """
    if plot.x.key == "quality" or len(plot.qualities) == 1:
        return []
    (x_low, x_high), (y_low, y_high) = plot.x_bounds, plot.y_bounds
    taken = [
        ((point.x - x_low) / (x_high - x_low), (point.y - y_low) / (y_high - y_low), *POINT_SIZE)
        for _, point in plot.points
    ]
    highest = {
        quality: max(point.y for _, point in plot.points if point.quality == quality) for quality in plot.qualities
    }
    found = []
    for (series, point), (x, y, *_) in zip(plot.points, list(taken)):
        if plot.x.key == "bpp" and point.y < highest[point.quality]:
            continue
        for right, up in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            box = (x + right * TAG_SHIFT[0], y + up * TAG_SHIFT[1], *TAG_SIZE)
            if not any(_overlap(box, other) for other in taken):
                taken.append(box)
                found.append(Tag(series, point, right, up))
                break
    return found


def _overlap(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether two boxes (x, y of the middle, width, height) have a part in common."""
    return abs(a[0] - b[0]) < (a[2] + b[2]) / 2 and abs(a[1] - b[1]) < (a[3] + b[3]) / 2


def series_class(number: int) -> str:
    """The class that colours a series."""
    return f"s{color_index(number)}"


def color_index(number: int) -> int:
    """Index of a series' colour in ``COLORS``: 0 is the JPEG's alone, the others take turns."""
    return number and 1 + (number - 1) % (len(COLORS) - 1)


def marker(number: int) -> str:
    """The ``<path>`` of a series' marker, about 10 units wide around the origin."""
    return f'<path class="marker" d="{MARKERS[number % len(MARKERS)]}"/>'


def describe(plot: Plot, series: Series, point: Point) -> str:
    """One line about a point, such as ``JPEG, QF 10: PSNR 27.77 dB at size 0.412 bpp``."""
    y, x = (
        f"{axis.heading} {value:.{axis.decimals}f} {axis.unit}".strip()
        for axis, value in ((plot.y, point.y), (plot.x, point.x))
    )
    return f"{series.model}, QF {point.quality}: {y}" + ("" if plot.x.key == "quality" else f" at {x}")


def _x_ticks(plot: Plot) -> list[float]:
    """The qualities themselves where they are few and far enough apart to be read, round numbers elsewhere."""
    low, high = plot.x_bounds
    apart = all(b - a >= (high - low) / 12 for a, b in zip(plot.qualities, plot.qualities[1:]))
    return plot.qualities if plot.x.key == "quality" and len(plot.qualities) <= 8 and apart else ticks(low, high)


# PNG, for papers.

COLORS = ("#5b6470", "#0068b5", "#c2410c", "#007f5b", "#9c3f86", "#946600", "#0b7d94", "#b91c4b")
DARK_COLORS = ("#a6b0bd", "#63b3ff", "#ff8f63", "#3dd4a3", "#e59bd3", "#e6b84a", "#5ad1e6", "#ff7d9c")
PAPER_MARKERS = "os^DvPp*"
PAPER_STYLE = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
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


def write_figures(folder: str | Path, rows: Iterable[Row]) -> list[Path]:
    """Write each of :func:`plots` as ``DATASET-PROTOCOL-NAME.png``, such as ``live1-gray-psnr-quality.png``.

    Returns:
        The files, in the order of the plots.

    Raises:
        TfarError: without matplotlib.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise TfarError('figures need matplotlib: pip install "tfar[report]"') from error
    files = []
    for plot in plots(rows):
        file = Path(folder) / _file_name(plot, {file.name for file in files})
        with matplotlib.rc_context(PAPER_STYLE):
            figure = _paper_figure(plot)
            write_atomically(file, lambda part: figure.savefig(part, dpi=PAPER_DPI))
        files.append(file)
    return files


def _file_name(plot: Plot, taken: set[str]) -> str:
    """A name of letters, digits, dots, dashes and underscores that is not taken yet."""
    stem = re.sub(r"[^\w.-]+", "_", f"{plot.dataset}-{plot.protocol}-{plot.name}").lstrip(".")
    name, number = f"{stem}.png", 2
    while name in taken:
        name, number = f"{stem}-{number}.png", number + 1
    return name


def _paper_figure(plot: Plot):
    from matplotlib.figure import Figure
    from matplotlib.patheffects import withStroke

    figure = Figure(figsize=PAPER_INCHES, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(caption(plot), parse_math=False)
    axes.set_xlabel(plot.x.label, parse_math=False)
    axes.set_ylabel(plot.y.label, parse_math=False)
    lines = [
        axes.plot(
            [point.x for point in series.points],
            [point.y for point in series.points],
            color=COLORS[color_index(series.number)],
            marker=PAPER_MARKERS[series.number % len(PAPER_MARKERS)],
        )[0]
        for series in plot.series
    ]
    axes.set(xlim=plot.x_bounds, ylim=plot.y_bounds, xticks=_x_ticks(plot))
    for tag in tags(plot):
        x, y = axes.transLimits.transform((tag.point.x, tag.point.y))
        axes.text(
            x + tag.right * TAG_SHIFT[0],
            y + tag.up * TAG_SHIFT[1],
            str(tag.point.quality),
            fontsize=6,
            ha="center",
            va="center",
            transform=axes.transAxes,
            color=COLORS[color_index(tag.series.number)],
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )
    _add_legend(figure, lines, [series.model for series in plot.series])
    return figure


def _add_legend(figure, lines: Sequence, labels: Sequence[str]):
    """A legend below the axes, in as many columns as the figure is wide enough for; the figure grows by its height."""
    for columns in (3, 2, 1):
        legend = figure.legend(lines, [" "] * len(lines), loc="outside lower center", ncols=columns, frameon=False)
        for text, label in zip(legend.get_texts(), labels):  # given above, it could not begin with an underscore
            text.set(text=label, parse_math=False)
        figure.draw_without_rendering()
        box = legend.get_window_extent()
        if box.width <= figure.bbox.width or columns == 1:
            break
        legend.remove()
    figure.set_figheight(figure.get_figheight() + box.height / figure.dpi)
