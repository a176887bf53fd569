"""One self-contained HTML page of an evaluation: tables, plots, best and worst images, and comparisons to look at.

The page holds its style, its script and all its pictures; it refers to nothing else, and opens from a file.
"""

import base64
import hashlib
import html
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

import numpy as np
from PIL import Image

from tfar import pixels
from tfar.evaluation.results import BASELINE, Mean, Row, means
from tfar.metrics.catalogue import METRICS, metric_of
from tfar.reports import figures
from tfar.reports.figures import Plot
from tfar.reports.tables import same_dataset
from tfar.storage import write_atomically

ORIGINAL = "original"
MASK = "mask of "  # labels of region masks begin with it
ERROR = "error of "
ERROR_LIMIT = 32  # levels of luma, of 255, that have the last colour of an error map
ERROR_COLORS = ((0, 0, 4), (86, 15, 109), (187, 55, 84), (249, 142, 8), (252, 255, 164))  # from none to the limit
EXTREMES = 3  # best and worst images per model and metric
GRAY = "gray"  # the protocol of published scores


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
    groups: dict[tuple, list[tuple[float, Row]]] = {}
    for row in rows:
        if row.model != BASELINE and _place(row) in jpeg:
            gain = _gain(row.scores[metric], jpeg[_place(row)], higher_is_better)
            groups.setdefault((row.dataset, row.protocol, row.quality, row.model), []).append((gain, row))
    found = []
    for gains in groups.values():
        gains.sort(key=lambda pair: pair[0], reverse=True)
        best = min(count, (len(gains) + 1) // 2)
        worst = min(count, len(gains) - best)
        found += [Extreme(row, gain, best=True) for gain, row in gains[:best]]
        found += [Extreme(row, gain, best=False) for gain, row in gains[::-1][:worst]]
    return found


def _place(item: Row | Picture) -> tuple:
    """What a row and a picture of the same JPEG have in common."""
    return item.dataset, item.image, item.protocol, item.quality


def _gain(value: float, baseline: float, higher_is_better: bool) -> float:
    if value == baseline:  # also where both are infinite
        return 0.0
    return value - baseline if higher_is_better else baseline - value


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
    anchors = {_place(picture): f"picture-{number}" for number, picture in enumerate(pictures)}
    sections = {
        "Scores": _scores(rows, published),
        "Plots": _plots(rows),
        "Best and worst images": _extremes(rows, anchors),
        "Pictures": "".join(_comparison(picture, rows, f"picture-{number}") for number, picture in enumerate(pictures)),
    }
    sections = {heading: content for heading, content in sections.items() if content}
    script = _template("page.js")
    page = Template(_template("page.html")).substitute(
        title=html.escape(title),
        lead=html.escape(_lead(rows, pictures)),
        style=_style(),
        script=script,
        script_hash="sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        navigation="".join(f'<li><a href="#{_slug(heading)}">{heading}</a></li>' for heading in sections),
        sections="\n".join(
            f'<section aria-labelledby="{_slug(heading)}"><h2 id="{_slug(heading)}">{heading}</h2>{content}</section>'
            for heading, content in sections.items()
        ),
    )
    write_atomically(file, lambda part: part.write_text(page, encoding="utf-8", newline="\n"))


def _template(name: str) -> str:
    return resources.files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


def _style() -> str:
    colors, dark_colors = (
        " ".join(f"--series-{number}: {color};" for number, color in enumerate(group))
        for group in (figures.COLORS, figures.DARK_COLORS)
    )
    classes = "\n".join(f".s{number} {{ --series: var(--series-{number}); }}" for number in range(len(figures.COLORS)))
    ramp = ", ".join(f"rgb{color}" for color in ERROR_COLORS)
    return Template(_template("page.css")).substitute(colors=colors, dark_colors=dark_colors, ramp=ramp) + classes


def _slug(heading: str) -> str:
    return heading.lower().replace(" ", "-")


def _lead(rows: Sequence[Row], pictures: Sequence[Picture]) -> str:
    models = dict.fromkeys(row.model for row in rows if row.model != BASELINE)
    datasets = dict.fromkeys(row.dataset for row in rows)
    counts = (
        _count(len({(row.dataset, row.image) for row in rows}), "image"),
        _count(len(models), "model"),
        _count(len({row.quality for row in rows}), "JPEG quality", "JPEG qualities"),
        _count(len(pictures), "picture"),
    )
    return f"{', '.join(datasets) or 'No scores'}: {counts[0]}, {counts[1]}, {counts[2]}; {counts[3]} to look at."


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


# Numbers and tables


def _number(value: float | None, decimals: int, *, sign: bool = False) -> str:
    """A number for the reader: with a real minus, the sign of infinity, and nothing for None."""
    if value is None:
        return ""
    value = round(value, decimals) + 0.0 if math.isfinite(value) else value  # no negative zero
    text = f"{value:{'+' if sign else ''}.{decimals}f}" if math.isfinite(value) else f"{value:{'+' if sign else ''}}"
    return text.replace("inf", "∞").replace("-", "−")


@dataclass(frozen=True, kw_only=True)
class _Column:
    heading: str
    unit: str = ""
    text: bool = False
    descending: bool = False  # the direction of the first click

    def header(self) -> str:
        unit = f" <small>{html.escape(self.unit)}</small>" if self.unit else ""
        first = "descending" if self.descending else "ascending"
        kind = ' class="text"' if self.text else ""
        return (
            f'<th scope="col"{kind} data-first="{first}"><button type="button">{html.escape(self.heading)}{unit}'
            "</button></th>"
        )


def _metric_column(name: str) -> _Column:
    metric = metric_of(name)
    return _Column(heading=metric.heading, unit=metric.unit, descending=metric.higher_is_better is True)


def _table(label: str, columns: Sequence[_Column], lines: Iterable[str]) -> str:
    """A table that sorts; lines are ``<tr>`` elements."""
    label, body = html.escape(label), "\n".join(lines)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{label}"><table>'
        f'<caption class="hidden">{label}</caption><thead><tr>{"".join(column.header() for column in columns)}</tr>'
        f"</thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def _cell(value: float | None, decimals: int, *, strong: bool = False) -> str:
    if value is None:
        return "<td></td>"
    text = _number(value, decimals)
    key = str(float(value)).replace("inf", "Infinity")
    return f'<td data-sort="{key}">{f"<strong>{text}</strong>" if strong else text}</td>'


# Scores


def _scores(rows: Sequence[Row], published: Sequence[Mapping]) -> str:
    groups: dict[tuple[str, str], list[Mean]] = {}
    for mean in means(rows):
        groups.setdefault((mean.dataset, mean.protocol), []).append(mean)
    if not groups:
        return ""
    parts = [_meanings(rows)]
    for (dataset, protocol), group in groups.items():
        shown = [entry for entry in published if protocol == GRAY and same_dataset(entry["dataset"], dataset)]
        parts.append(_mean_table(dataset, protocol, group, shown))
    return "".join(parts)


def _meanings(rows: Sequence[Row]) -> str:
    names = [name for name in dict.fromkeys(name for row in rows for name in row.scores) if metric_of(name).meaning]
    better = {True: " Higher is better.", False: " Lower is better.", None: ""}
    entries = "".join(
        f"<dt>{METRICS[name].heading}</dt><dd>{METRICS[name].meaning}{better[METRICS[name].higher_is_better]}</dd>"
        for name in names
    )
    return (
        "<p>Means over the images; the best of each quality is bold. A click on a heading sorts by its column.</p>"
        '<details><summary>What the columns mean</summary><dl class="meanings"><dt>size</dt><dd>Of the JPEG, in bits '
        f"per pixel.</dd>{entries}<dt>time</dt><dd>Of the restoration of one image.</dd></dl></details>"
    )


def _mean_table(dataset: str, protocol: str, group: Sequence[Mean], published: Sequence[Mapping]) -> str:
    metrics = list(dict.fromkeys(name for mean in group for name in mean.scores))
    columns = [
        _Column(heading="model"),
        _Column(heading="quality"),
        _Column(heading="images"),
        _Column(heading="size", unit="bpp"),
        *(_metric_column(name) for name in metrics),
        _Column(heading="time", unit="s"),
    ]
    lines, sources = [], {}
    for quality in sorted({mean.quality for mean in group}):
        measured = [mean for mean in group if mean.quality == quality]
        best = {name: _best(name, measured) for name in metrics}
        lines += [_mean_line(mean, metrics, best, first=mean is measured[0]) for mean in measured]
        for entry in published:
            if entry["quality"] == quality:
                lines.append(_published_line(entry, metrics))
                sources[entry["method"], entry["source"]] = None
    notes = [note for mean in group for note in _notes(mean)]
    notes += [f"{html.escape(method)}, published: {_source(source)}" for method, source in sources]
    listed = f'<ul class="note">{"".join(f"<li>{note}</li>" for note in notes)}</ul>' if notes else ""
    heading = f"<h3>{html.escape(dataset)} <small>{html.escape(protocol)}</small></h3>"
    return heading + _table(f"Scores on {dataset}, {protocol}", columns, lines) + listed


def _best(name: str, measured: Sequence[Mean]) -> float | None:
    values = [mean.scores[name] for mean in measured if name in mean.scores]
    higher_is_better = metric_of(name).higher_is_better
    if higher_is_better is None or len(values) < 2:
        return None
    return max(values) if higher_is_better else min(values)


def _mean_line(mean: Mean, metrics: Sequence[str], best: Mapping[str, float | None], *, first: bool) -> str:
    cells = "".join(
        _cell(
            mean.scores.get(name),
            metric_of(name).decimals,
            strong=name in mean.scores and mean.scores[name] == best[name],
        )
        for name in metrics
    )
    kind = ' class="first"' if first else ""
    return (
        f'<tr{kind}><th scope="row">{html.escape(mean.model)}</th>{_cell(mean.quality, 0)}{_cell(mean.count, 0)}'
        f"{_cell(mean.bpp, 3)}{cells}{_cell(mean.seconds, 3)}</tr>"
    )


def _published_line(entry: Mapping, metrics: Sequence[str]) -> str:
    cells = "".join(_cell(entry.get(name), metric_of(name).decimals) for name in metrics)
    return (
        f'<tr class="published"><th scope="row">{html.escape(entry["method"])} '
        f'<span class="badge">published</span></th>{_cell(entry["quality"], 0)}<td></td><td></td>{cells}'
        "<td></td></tr>"
    )


def _notes(mean: Mean) -> Iterable[str]:
    for name, count in mean.infinite.items():
        yield (
            f"{html.escape(mean.model)}, quality {mean.quality}: {html.escape(metric_of(name).heading)} infinite "
            f"for {count} of {_count(mean.count, 'image')}"
            + (", left out of the mean." if math.isfinite(mean.scores[name]) else ".")
        )


def _source(source: str) -> str:
    text = html.escape(source)
    return f'<a href="{text}">{text}</a>' if source.startswith(("https://", "http://")) else text


# Plots


def _plots(rows: Sequence[Row]) -> str:
    groups: dict[tuple[str, str], list[Plot]] = {}
    for plot in figures.plots(rows):
        groups.setdefault((plot.dataset, plot.protocol), []).append(plot)
    if not groups:
        return ""
    numbers = figures.series_numbers(row.model for row in rows)
    parts = [
        "<p>Each point is a mean over the images; numbers beside points are JPEG qualities. Point at one, or move "
        "the focus to a plot and press the arrow keys, to read its values.</p>"
    ]
    for (dataset, protocol), group in groups.items():
        models = list(dict.fromkeys(series.model for plot in group for series in plot.series))
        parts.append(
            f"<h3>{html.escape(dataset)} <small>{html.escape(protocol)}</small></h3>"
            f'<ul class="legend" aria-label="Models">{"".join(_key(model, numbers) for model in models)}</ul>'
            f'<div class="plots">{"".join(_plot(plot) for plot in group)}</div>'
        )
    return "".join(parts)


def _key(model: str, numbers: Mapping[str, int]) -> str:
    number = numbers[model]
    return (
        f'<li class="{figures.series_class(number)}"><svg viewBox="-7 -7 14 14" aria-hidden="true">'
        f"{figures.marker(number)}</svg>{html.escape(model)}</li>"
    )


def _plot(plot: Plot) -> str:
    return f'<figure class="plot"><figcaption>{html.escape(plot.title)}</figcaption>{figures.svg(plot)}</figure>'


# Best and worst images


def _extremes(rows: Sequence[Row], anchors: Mapping[tuple, str]) -> str:
    groups: dict[tuple, dict[tuple[str, str], list[Extreme]]] = {}
    for name in dict.fromkeys(name for row in rows for name in row.scores):
        higher_is_better = metric_of(name).higher_is_better
        if higher_is_better is not None:
            for extreme in extremes(rows, name, higher_is_better, EXTREMES):
                row = extreme.row
                group = groups.setdefault((row.dataset, row.protocol, row.quality), {})
                group.setdefault((name, row.model), []).append(extreme)
    if not groups:
        return ""
    columns = [
        _Column(heading="model"),
        _Column(heading="metric", text=True),
        _Column(heading="best images", text=True, descending=True),
        _Column(heading="worst images", text=True),
    ]
    parts = [
        "<p>By the gain over the JPEG in the unit of the metric: positive where the model is better, also for "
        "metrics where lower is better. Names with a link are shown under Pictures.</p>"
    ]
    for number, ((dataset, protocol, quality), group) in enumerate(groups.items()):
        label = f"{dataset}, {protocol}, quality {quality}"
        lines = [_extremes_line(model, name, found, anchors) for (name, model), found in group.items()]
        parts.append(
            f"<details{'' if number else ' open'}><summary>{html.escape(label)}</summary>"
            f"{_table(f'Best and worst images of {label}', columns, lines)}</details>"
        )
    return "".join(parts)


def _extremes_line(model: str, name: str, found: Sequence[Extreme], anchors: Mapping[tuple, str]) -> str:
    metric = metric_of(name)
    cells = ""
    for best in (True, False):
        side = [extreme for extreme in found if extreme.best == best]
        items = "".join(
            f"<li>{_image_link(extreme.row, anchors)} "
            f"<span>{_number(extreme.gain, metric.decimals, sign=True)}</span></li>"
            for extreme in side
        )
        key = str(side[0].gain).replace("inf", "Infinity") if side else ""
        cells += f'<td class="text" data-sort="{key}">{f"<ol>{items}</ol>" if items else ""}</td>'
    unit = f" <small>{html.escape(metric.unit)}</small>" if metric.unit else ""
    return (
        f'<tr><th scope="row">{html.escape(model)}</th><td class="text">{html.escape(metric.heading)}{unit}</td>'
        f"{cells}</tr>"
    )


def _image_link(row: Row, anchors: Mapping[tuple, str]) -> str:
    name, anchor = html.escape(row.image), anchors.get(_place(row))
    return f'<a href="#{anchor}">{name}</a>' if anchor else f"<span>{name}</span>"


# Pictures


def _comparison(picture: Picture, rows: Sequence[Row], anchor: str) -> str:
    """An article: two pictures under a divide, then all of them side by side, then the scores."""
    groups = _picture_groups(picture)
    labels = [label for group in groups.values() for label in group]
    left, right = _first_choice(labels)
    height, width = next(iter(picture.images.values())).shape[:2]
    where = html.escape(f"{picture.dataset}, {picture.protocol}, quality {picture.quality}")
    name = html.escape(picture.image)
    figures_of = "".join(_picture_group(heading, group, picture) for heading, group in groups.items())
    return f"""
<article class="comparison" id="{anchor}" aria-labelledby="{anchor}-title" style="--ratio: {width / height:.5f}">
<h3 id="{anchor}-title">{name} <small>{where}</small></h3>
<div class="viewer">
<div class="bar">
<label>Left picture {_select("left", groups, left)}</label>
<label>Right picture {_select("right", groups, right)}</label>
<div class="zoom" role="group" aria-label="Zoom">
<button type="button" data-zoom="out" aria-label="Zoom out">−</button><output aria-label="Magnification">1×</output>
<button type="button" data-zoom="in" aria-label="Zoom in">+</button>
<button type="button" data-zoom="fit">Fit</button></div>
</div>
<div class="frame">
<div class="view panel" role="group" tabindex="0" aria-label="{name}, left and right picture"
 aria-describedby="{anchor}-hint"><div class="layer left"></div><div class="layer right"></div>
<div class="divide"></div><span class="name left" aria-hidden="true"></span>
<span class="name right" aria-hidden="true"></span></div>
<input class="slider" type="range" min="0" max="100" step="1" value="50" autocomplete="off"
 aria-label="Divide of {name}">
</div>
<p class="hint" id="{anchor}-hint">Drag the divide, or focus the slider and use the arrow keys. <kbd>+</kbd>
<kbd>−</kbd> <kbd>0</kbd> zoom; in a focused picture so does the wheel, and dragging or the arrow keys move it. All
pictures of this image follow.</p>
</div>
<details open><summary>All pictures side by side</summary>{figures_of}</details>
{_image_scores(picture, rows)}
</article>"""


def _picture_groups(picture: Picture) -> dict[str, dict[str, str]]:
    """Heading -> label -> data URI: the images, their error maps and the region masks."""
    masks = {label: image for label, image in picture.images.items() if label.startswith(MASK)}
    images = {label: image for label, image in picture.images.items() if label not in masks}
    errors = {}
    if ORIGINAL in images:
        errors = {
            f"{ERROR}{label}": _error_uri(error_map(images[ORIGINAL], image))
            for label, image in images.items()
            if label != ORIGINAL
        }
    groups = {
        "Images": {label: _data_uri(Image.fromarray(image)) for label, image in images.items()},
        "Error maps": errors,
        "Region masks": {label: _data_uri(Image.fromarray(mask)) for label, mask in masks.items()},
    }
    return {heading: group for heading, group in groups.items() if group}


def _data_uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _error_uri(error: np.ndarray) -> str:
    image = Image.fromarray(error)
    levels, stops = np.arange(ERROR_LIMIT + 1), np.linspace(0, ERROR_LIMIT, len(ERROR_COLORS))
    palette = np.stack([np.interp(levels, stops, channel) for channel in np.float64(ERROR_COLORS).T], axis=-1)
    image.putpalette(np.uint8(np.round(palette)).tobytes())
    return _data_uri(image)


def _first_choice(labels: Sequence[str]) -> tuple[int, int]:
    """Numbers of the two pictures shown at first: the JPEG and the first model, where there are such."""
    shown = [number for number, label in enumerate(labels) if not label.startswith((ERROR, MASK))]
    left, right = (*shown, 0)[:2] if len(shown) < 3 else shown[1:3]
    return left, right


def _select(side: str, groups: Mapping[str, Mapping[str, str]], chosen: int) -> str:
    options, number = "", 0
    for heading, group in groups.items():
        options += f'<optgroup label="{heading}">'
        for label in group:
            selected = " selected" if number == chosen else ""
            options += f'<option value="{number}"{selected}>{html.escape(label)}</option>'
            number += 1
        options += "</optgroup>"
    return f'<select class="{side}" autocomplete="off">{options}</select>'


GROUP_NOTES = {
    "Error maps": '<p class="note">Absolute difference from the original in luma: 0 <span class="ramp"></span> '
    f"{ERROR_LIMIT} levels of 255 or more.</p>",
    "Region masks": '<p class="note">Bright where the texture layer is taken, dark where the base layer is.</p>',
}


def _picture_group(heading: str, group: Mapping[str, str], picture: Picture) -> str:
    panels = "".join(
        f'<figure><div class="panel"><img src="{uri}" alt="{html.escape(_alt(label, picture))}" decoding="async" '
        f'draggable="false"></div><figcaption>{html.escape(label)}</figcaption></figure>'
        for label, uri in group.items()
    )
    return f'<h4>{heading}</h4>{GROUP_NOTES.get(heading, "")}<div class="pictures">{panels}</div>'


def _alt(label: str, picture: Picture) -> str:
    if label == ORIGINAL:
        return f"{picture.image}, the original"
    if label == BASELINE:
        return f"{picture.image} as a JPEG of quality {picture.quality}"
    if label.startswith(ERROR):
        return f"{picture.image}: where {label.removeprefix(ERROR)} differs from the original"
    if label.startswith(MASK):
        return f"{picture.image}: region mask of {label.removeprefix(MASK)}"
    return f"{picture.image} as restored by {label}"


def _image_scores(picture: Picture, rows: Sequence[Row]) -> str:
    own = [row for row in rows if _place(row) == _place(picture)]
    if not own:
        return ""
    metrics = list(dict.fromkeys(name for row in own for name in row.scores))
    lines = [
        f'<tr><th scope="row">{html.escape(row.model)}</th>'
        + "".join(_cell(row.scores.get(name), metric_of(name).decimals) for name in metrics)
        + "</tr>"
        for row in own
    ]
    label = f"Scores of {picture.image}, {picture.protocol}, quality {picture.quality}"
    return f"<h4>Scores of this image <small>{_number(own[0].bpp, 3)} bpp</small></h4>" + _table(
        label, [_Column(heading="model"), *(_metric_column(name) for name in metrics)], lines
    )
