"""Write the tables of scores in README.md, docs/ and the presets' cards from the presets' metrics.json.

    python scripts/write_tables.py            # after scripts/score_presets.py
    python scripts/write_tables.py --check    # exit code 2 when a table is not what metrics.json says; the tests run it
    python scripts/write_tables.py --figure   # saved_models/LIVE1-gray-psnr-lpips.png, too; needs matplotlib

A table stands between two comments, of which the first says what it shows:

    <!-- scores general: all -->                                 each evaluation: its command, means and gains
    <!-- scores general: gains LIVE1 color -->                   what presets gain over the JPEG
    <!-- scores general: across lpips LIVE1 color -->        the means of one metric, a column for each quality
    <!-- scores galteri-mse-q10-40 ...: LIVE1 gray 10 20 -->     the means of presets, a table for each quality
    <!-- /scores -->
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tfar import backend, presets
from tfar.cli import exit_code
from tfar.errors import TfarError

with backend.starting():
    from tfar.evaluation.results import BASELINE, Gain, Mean, Row
    from tfar.metrics.catalogue import metric_of
    from tfar.reports import figures, tables

ROOT = Path(__file__).parent.parent
MEASURED = ("dataset", "protocol", "quality", "model", "bpp", "seconds", "scores")
BLOCK = re.compile(r"(<!-- scores (?P<names>[^:]+): (?P<what>.+?) -->\n).*?(?=<!-- /scores -->)", re.DOTALL)


def run(options):
    stale = []
    for file in documents():
        text = file.read_text(encoding="utf-8")
        written = BLOCK.sub(lambda block: f"{block[1]}\n{table(block['names'].split(), block['what'])}\n\n", text)
        if written != text:
            stale.append(file)
            print(file.relative_to(ROOT))
            if not options.check:
                file.write_text(written, encoding="utf-8")
    if stale and options.check:
        raise TfarError("these tables are not those of metrics.json; run scripts/write_tables.py")
    if options.figure:
        print(*figures.write_figures(ROOT / "saved_models", [plane("LIVE1", "gray", (10, 20))]))
    return 0


def plane(dataset: str, protocol: str, qualities: Sequence[int]) -> figures.Plot:
    """PSNR against LPIPS of all presets."""
    rows = [
        Row(image="mean", **{name: getattr(mean, name) for name in MEASURED})
        for mean in measurements(presets.names(), dataset, protocol)
        if mean.quality in qualities
    ]
    [plot] = (plot for plot in figures.plots(rows) if plot.name == "psnr-lpips")
    return plot


def documents() -> Iterator[Path]:
    yield ROOT / "README.md"
    yield from sorted((ROOT / "docs").glob("*.md"))
    yield from sorted((ROOT / "saved_models").glob("*/README.md"))


def table(names: Sequence[str], what: str) -> str:
    """Markdown for one block."""
    if what == "all":
        return "\n\n".join(map(evaluation, evaluations(names)))
    if what.startswith("gains "):
        place = tuple(what.split()[1:])
        found = [g for noted in evaluations(names) for g in gains(noted) if (g.dataset, g.protocol) == place]
        return tables.gains_table(found)
    if what.startswith("across "):
        return across(names, *what.split()[1:])
    dataset, protocol, *qualities = what.split()
    found = measurements(names, dataset, protocol)
    measured = [mean for quality in map(int, qualities) for mean in found if mean.quality == quality]
    if not measured:
        raise TfarError(f"no scores for {' '.join(names)}: {what}")
    return tables.markdown(measured, quote=False)


def measurements(names: Sequence[str], dataset: str, protocol: str) -> list[Mean]:
    found = unique(mean for noted in evaluations(names) for mean in means(noted))
    return [mean for mean in found if (mean.dataset, mean.protocol) == (dataset, protocol)]


def across(names: Sequence[str], metric: str, dataset: str, protocol: str) -> str:
    """Markdown of one metric: a row for each model, a column for each quality."""
    scores: dict[str, dict[int, float]] = {}
    for mean in measurements(names, dataset, protocol):
        if metric in mean.scores:
            scores.setdefault(mean.model, {})[mean.quality] = mean.scores[metric]
    qualities = sorted({quality for row in scores.values() for quality in row})
    decimals = metric_of(metric).decimals
    return tables.markdown_table(
        ["", *(f"QF {quality}" for quality in qualities)],
        [[model, *(f"{row[q]:.{decimals}f}" if q in row else "" for q in qualities)] for model, row in scores.items()],
    )


def evaluation(noted: dict) -> str:
    """A command and what it prints, without the published lines."""
    gained = gains(noted)
    parts = [tables.gains(gained)] if gained else []
    return "\n\n".join([f"`{noted['command']}`", *parts, tables.markdown(means(noted), quote=False)])


def evaluations(names: Sequence[str]) -> list[dict]:
    return [
        noted
        for name in names
        for noted in json.loads(presets.model_file(name).with_name("metrics.json").read_text())["evaluations"]
    ]


def means(noted: dict) -> list[Mean]:
    """Without times, which were taken beside other work on several days; docs/restore.md has the speed."""
    return [Mean(**fields | {"seconds": None}) for fields in noted["means"]]


def gains(noted: dict) -> list[Gain]:
    return [Gain(**fields) for fields in noted["gains"]]


def unique(measured: Iterator[Mean]) -> list[Mean]:
    """The JPEG was measured beside each preset; its first line stands for all."""
    seen: dict[tuple, Mean] = {}
    for mean in measured:
        seen.setdefault((mean.model == BASELINE or mean.model, mean.dataset, mean.protocol, mean.quality), mean)
    return list(seen.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--figure", action="store_true")
    sys.exit(exit_code(run, parser.parse_args()))
