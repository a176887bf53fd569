"""Tables of an evaluation: Markdown, LaTeX and JSON, with published results beside the measured ones."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from tabulate import SEPARATING_LINE, DataRow, TableFormat, tabulate

from tfar.evaluation import published
from tfar.evaluation.results import BASELINE, Gain, Mean
from tfar.metrics.catalogue import metric_of

if TYPE_CHECKING:
    from tfar.evaluation.candidates import CandidateScores  # which needs TensorFlow

_CELLS = DataRow("| ", " | ", " |")
MARKDOWN = TableFormat(  # without the padding of tabulate's own, which a longer name would change in all lines
    lineabove=None,
    linebelowheader=lambda widths, _: f"| {' | '.join(['---', *['---:'] * (len(widths) - 1)])} |",
    linebetweenrows=None,
    linebelow=None,
    headerrow=_CELLS,
    datarow=_CELLS,
    padding=0,
    with_header_hide=None,
)


# By how much a paper's scores of the JPEG may differ from those measured here before a table says so.
SAME_BASE = {"psnr": 0.02, "psnr_b": 0.02, "ssim": 0.002, "e_psnr": 0.02}


def beside(measured: Sequence[Mean]) -> list[dict]:
    """The published results of the datasets and qualities that were measured under ``gray``.

    Datasets are known by the names of their folders: ``LIVE1``, ``Classic5``, ``BSDS500-val``, ``BSDS500-test``,
    ``Urban100``.
    """
    known = {(mean.dataset, mean.quality) for mean in measured if mean.protocol == "gray"}
    return [
        line
        for line in published.scores()
        if any(same_dataset(line["dataset"], dataset) and line["quality"] == quality for dataset, quality in known)
    ]


def same_dataset(name: str, other: str) -> bool:
    """Whether two names mean the same dataset, whatever their case and punctuation."""
    return _plain(name) == _plain(other)


def markdown(measured: Sequence[Mean], *, quote: bool = True) -> str:
    """One table for each dataset, protocol and quality, with notes on what is left out of the means.

    Args:
        measured: what to show.
        quote: show what papers have published beside it.
    """
    return "\n\n".join(_markdown_table(title, group, quote) for title, group in _groups(measured).items())


def latex(measured: Sequence[Mean]) -> str:
    """The same tables as LaTeX ``tabular`` environments (booktabs)."""
    return "\n\n".join(_latex_table(title, group) for title, group in _groups(measured).items()) + "\n"


def markdown_table(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table of texts: the first column to the left, the others to the right."""
    cells = [[cell.replace("|", r"\|") for cell in line] for line in (headings, *lines)]
    return tabulate(cells[1:], cells[0], MARKDOWN, disable_numparse=True, numalign=None, stralign=None)


def gains(measured: Sequence[Gain]) -> str:
    """One table of what models gain over the JPEG for each dataset, protocol and metric: Markdown.

    A cell holds the mean over the images, and in brackets that of the image for which it is worst. Plus is better, also
    for metrics of which less is better.
    """
    groups: dict[tuple, list[Gain]] = {}
    for gain in measured:
        groups.setdefault((gain.dataset, gain.protocol, gain.metric), []).append(gain)
    return "\n\n".join(
        f"**{dataset}, {protocol}: {metric_of(metric).heading} {_better(metric)} the JPEG's, mean (worst image)**\n\n"
        + gains_table(group)
        for (dataset, protocol, metric), group in groups.items()
    )


def _better(metric: str) -> str:
    return "below" if metric_of(metric).higher_is_better is False else "over"


def gains_table(group: Sequence[Gain]) -> str:
    """The table of :func:`gains` for one dataset, protocol and metric, without its title."""
    decimals = metric_of(group[0].metric).decimals
    cells = {
        (g.quality, g.model): f"{g.mean:+.{decimals}f} ({g.worst:+.{decimals}f})".replace("inf", "∞") for g in group
    }
    qualities, models = list(dict.fromkeys(g.quality for g in group)), list(dict.fromkeys(g.model for g in group))
    return markdown_table(
        ["", *(f"QF {quality}" for quality in qualities)],
        [[model, *(cells.get((quality, model), "") for quality in qualities)] for model in models],
    )


def candidates(measured: Mapping[str, "CandidateScores"]) -> str:
    """What several restorations of each image have, a line per model: Markdown.

    Args:
        measured: model -> means over the images.
    """
    first = next(iter(measured.values()))
    headings, jpeg = [""], [BASELINE]
    for name in first.mean:
        heading = metric_of(name).heading
        headings += [heading, f"{heading} best", f"{heading} worst"]
        jpeg += [_number(first.jpeg.get(name), name), "", ""]
    headings += ["apart (levels)", *(f"apart ({metric_of(name).heading})" for name in first.apart_by), "outside"]
    jpeg += [""] * (1 + len(first.apart_by)) + [_share(None if first.original_outside is None else 0.0)]
    lines = [jpeg, [*["original"] + [""] * (len(headings) - 2), _share(first.original_outside)]]
    for model, found in measured.items():
        each = [(found.mean[name], found.best[name], found.worst[name], name) for name in first.mean]
        cells = [_number(value, name) for *values, name in each for value in values]
        apart = [f"{found.apart:.2f}", *(_number(value, name) for name, value in found.apart_by.items())]
        lines.append([model, *cells, *apart, _share(found.outside)])
    return markdown_table(headings, lines)


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"


def to_json(measured: Sequence[Mean]) -> str:
    """The means and the published results as JSON; an infinite mean is the text ``"inf"``."""
    means = [
        {**vars(mean), "scores": {n: v if math.isfinite(v) else "inf" for n, v in mean.scores.items()}}
        for mean in measured
    ]
    return json.dumps({"means": means, "published": beside(measured)}, indent=2, allow_nan=False) + "\n"


def _groups(measured: Sequence[Mean]) -> dict[str, list[Mean]]:
    groups: dict[str, list[Mean]] = {}
    for mean in measured:
        quality = f", QF {mean.quality}" if mean.quality else ""
        count = f"{mean.count} image{'' if mean.count == 1 else 's'}"
        groups.setdefault(f"{mean.dataset}, {mean.protocol}{quality}, {count}", []).append(mean)
    return groups


def _lines(group: Sequence[Mean], quote: bool = True) -> tuple[list[str], list[list[str]], list[list[str]]]:
    """Headings, cells of the measured lines and cells of the published ones of a table; times where some are known."""
    names = list(dict.fromkeys(name for mean in group for name in mean.scores))
    headings = ["", *(metric_of(name).heading for name in names), "bpp", "s/image"]
    measured = [
        [
            mean.model,
            *(_number(mean.scores.get(name), name) for name in names),
            f"{mean.bpp:.3f}",
            "" if mean.model == BASELINE or mean.seconds is None else f"{mean.seconds:.2f}",
        ]
        for mean in group
    ]
    quoted = [
        [
            f"{line['method']} (published, {published.paper(line)})",
            *(_number(line.get(name), name) for name in names),
            "",
            "",
        ]
        for line in (beside(group) if quote else ())
    ]
    if not any(line[-1] for line in measured):
        headings, measured, quoted = headings[:-1], [line[:-1] for line in measured], [line[:-1] for line in quoted]
    return headings, measured, quoted


def _markdown_table(title: str, group: Sequence[Mean], quote: bool) -> str:
    headings, measured, quoted = _lines(group, quote)
    notes = [
        f"{mean.model}: {metric_of(name).heading} infinite for {count} of {mean.count} images, not in the mean"
        for mean in group
        for name, count in mean.infinite.items()
    ]
    notes += other_bases(group, beside(group)) if quote else []
    return "\n".join(
        [f"**{title}**", "", markdown_table(headings, measured + quoted), *([""] + notes if notes else [])]
    )


def other_bases(group: Sequence[Mean], quoted: Iterable[Mapping]) -> list[str]:
    """Which of the published lines of a dataset and quality start from another JPEG than the one that was measured."""
    [scores] = [mean.scores for mean in group if mean.model == BASELINE] or [{}]
    notes = []
    for line in quoted:
        differing = [
            f"{metric_of(name).heading} {_number(line[name], name)} (here {_number(scores[name], name)})"
            for name, tolerance in SAME_BASE.items()
            if line["method"] == BASELINE and {name} <= scores.keys() & line.keys()
            if abs(line[name] - scores[name]) > tolerance
        ]
        if differing:
            notes.append(f"{published.paper(line)}: starts from another JPEG, {', '.join(differing)}")
    return notes


def _latex_table(title: str, group: Sequence[Mean]) -> str:
    headings, measured, quoted = _lines(group)
    alignment = ["left", *["right"] * (len(headings) - 1)]
    lines = [*measured, SEPARATING_LINE, *quoted] if quoted else measured
    table = tabulate(lines, headings, "latex_booktabs", disable_numparse=True, colalign=alignment)
    return f"% {title}\n{table}".replace("∞", r"$\infty$")


def _number(value: float | None, name: str) -> str:
    if value is None:
        return ""
    return f"{value:.{metric_of(name).decimals}f}" if math.isfinite(value) else "∞"


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())
