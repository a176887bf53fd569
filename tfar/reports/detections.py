"""Tables and figures of what a detector finds in versions of the same images, at several qualities of JPEG."""

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tfar.errors import TfarError
from tfar.evaluation.detections import BASELINE, Precision, method_and_quality
from tfar.evaluation.results import BASELINE as JPEG
from tfar.reports.figures import AXES, Axis, Plot, Point, Series, write_figures
from tfar.reports.tables import markdown_table
from tfar.storage import write_text

PUBLISHED_QUALITY, PUBLISHED_BASELINE = 20, "Original"  # of the paper's table


def markdown(precisions: Mapping[str, Precision], quoted: Sequence[Mapping] = ()) -> str:
    """Tables in percent: a line per mean and per category, a column per version, with its difference to ``original``.

    There is one for each quality, and before them, where there are several, one of the foremost mean at all of them.

    Args:
        precisions: label -> precision, where labels are as :func:`method_and_quality` takes them.
        quoted: published lines, as :func:`tfar.evaluation.published.detections` gives them. They stand beside what was
            measured by PASCAL VOC's measure on its categories, at their quality, with the differences to their own
            original.
    """
    groups = _by_quality(precisions)
    tables = [_overview(groups)] if len(groups) > 1 else []
    for quality, group in groups.items():
        first = next(iter(group.values()))
        title = f"{first.objects} object{'' if first.objects == 1 else 's'}"
        beside = _quoted(quoted, first) if quality == PUBLISHED_QUALITY else {}
        tables.append(f"**{f'QF {quality}, ' if quality else ''}{title}**\n\n{_table(group, beside)}")
    return "\n\n".join(tables)


def plots(precisions: Mapping[str, Precision]) -> list[Plot]:
    """Precision against JPEG quality, as in Fig. 6 of Galteri et al.: the foremost mean, then every category.

    None where no label has a quality. With a single category, whose curve is that of the mean, there is one plot.
    """
    groups = {quality: group for quality, group in _by_quality(precisions).items() if quality}
    if not groups:
        return []
    first = _first(groups)
    methods = list(dict.fromkeys(method for group in groups.values() for method in (JPEG, *group)))
    name, categories = next(iter(first.means)), [*first.categories]

    def plot(heading: str, place: str, value) -> Plot:
        series = (
            Series(
                method,
                number,
                tuple(
                    Point(q, 100 * value(group[method]), q) for q, group in sorted(groups.items()) if method in group
                ),
            )
            for number, method in enumerate(methods)
        )
        return Plot(
            name="precision-quality",
            title=f"{heading} against JPEG quality",
            dataset=place,
            protocol="",
            x=AXES["quality"],
            y=Axis(f"{heading} (%, higher is better)", heading, "%", 1),
            series=tuple(one for one in series if one.points),
        )

    drawn = [plot(name, categories[0] if len(categories) == 1 else "all", lambda precision: precision.mean)]
    if len(categories) > 1:
        drawn += [plot("AP", name, lambda precision, name=name: precision.categories[name]) for name in categories]
    return drawn


def to_json(precisions: Mapping[str, Precision]) -> str:
    """All precisions, in [0, 1], as JSON: a list with an entry for each version."""
    entries = []
    for label, precision in precisions.items():
        method, quality = method_and_quality(label)
        entries.append({"method": method, "quality": quality, **vars(precision)})
    return json.dumps(entries, indent=2) + "\n"


def detection_report(
    folder: str | Path, precisions: Mapping[str, Precision], quoted: Sequence[Mapping] = ()
) -> list[Path]:
    """Write detections.md, detections.json and, where matplotlib is installed, figures/*.png; returns the files."""
    files = [Path(folder, name) for name in ("detections.md", "detections.json")]
    for file, text in zip(files, (f"{markdown(precisions, quoted)}\n", to_json(precisions))):
        write_text(file, text)
    try:
        files += write_figures(Path(folder, "figures"), plots(precisions))
    except TfarError as error:
        warnings.warn(f"no PNG figures: {error}", stacklevel=2)
    return files


def _by_quality(precisions: Mapping[str, Precision]) -> dict[int | None, dict[str, Precision]]:
    """Quality -> method -> precision: the original in every group, then the JPEG, then the others as given."""
    groups: dict[int | None, dict[str, Precision]] = {}
    base = {label: precision for label, precision in precisions.items() if label == BASELINE}
    for label, precision in precisions.items():
        if label != BASELINE:
            method, quality = method_and_quality(label)
            groups.setdefault(quality, {})[method] = precision
    ordered = sorted(groups.items(), key=lambda item: item[0] or 0)
    return {
        quality: base | dict(sorted(group.items(), key=lambda item: item[0] != JPEG)) for quality, group in ordered
    } or {None: base}


def _overview(groups: Mapping[int | None, Mapping[str, Precision]]) -> str:
    """The foremost mean of every method at every quality."""
    methods = dict.fromkeys(method for group in groups.values() for method in group)
    columns = [_cells(group, BASELINE, lambda precision: precision.mean) for group in groups.values()]
    name = next(iter(_first(groups).means))
    headings = [f"{name}, %", *(f"QF {quality}" if quality else "" for quality in groups)]
    return markdown_table(headings, [[method, *(column.get(method, "") for column in columns)] for method in methods])


def _table(group: Mapping[str, Precision], beside: Mapping[str, Precision]) -> str:
    first = next(iter(group.values()))
    lines = []
    for part in ("means", "categories") if len(first.categories) > 1 else ("means",):
        for name in getattr(first, part):
            measured, quoted = (
                _cells(versions, base, lambda precision: getattr(precision, part)[name])
                for versions, base in ((group, BASELINE), (beside, PUBLISHED_BASELINE))
            )
            lines.append([name, *measured.values(), *quoted.values()])
    return markdown_table(["%", *group, *(f"{method} (published)" for method in beside)], lines)


def _quoted(quoted: Sequence[Mapping], measured: Precision) -> dict[str, Precision]:
    """The published lines where what was measured has their categories and measure."""
    return {
        line["method"]: Precision(means={"mAP": line["map"]}, categories=line["classes"], objects=measured.objects)
        for line in quoted
        if {*line["classes"]} == {*measured.categories} and {*measured.means} == {"mAP"}
    }


def _cells(versions: Mapping[str, Precision], base: str, value: Callable[[Precision], float]) -> dict[str, str]:
    """Method -> a value in percent, with its difference to the base where there is one."""
    percents = {method: 100 * value(precision) for method, precision in versions.items()}
    return {
        method: f"{percent:.1f}"
        if method == base or base not in percents
        else f"{percent:.1f} ({percent - percents[base]:+.1f})"
        for method, percent in percents.items()
    }


def _first(groups: Mapping[int | None, Mapping[str, Precision]]) -> Precision:
    return next(iter(next(iter(groups.values())).values()))
