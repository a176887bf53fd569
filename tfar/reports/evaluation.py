"""What an evaluation writes into a folder."""

import itertools
import warnings
from collections.abc import Sequence
from pathlib import Path

from tfar.errors import TfarError
from tfar.evaluation import benchmark
from tfar.evaluation.contestants import Contestant
from tfar.evaluation.results import BASELINE, Row, means, write_csv
from tfar.metrics.catalogue import METRICS
from tfar.reports import tables
from tfar.reports.figures import plots, write_figures
from tfar.reports.page import MASK, Picture, extremes, write_page
from tfar.storage import write_text


def evaluation_report(
    folder: Path, rows: Sequence[Row], contestants: Sequence[Contestant], folders: Sequence[Path], *, pictures: int
) -> list[Path]:
    """Write everything an evaluation gives into a folder: results.csv, summary.md, summary.json, tables.tex,
    report.html and, where matplotlib is installed, figures/*.png.

    Args:
        folder: made when it does not exist.
        rows: what :func:`tfar.evaluation.benchmark.evaluate` gave.
        contestants: the models it was given.
        folders: the folders it was given.
        pictures: how many images to show in the report, at most.

    Returns:
        The files, in the order above.
    """
    measured = means(rows)
    files = [folder / name for name in ("results.csv", "summary.md", "summary.json", "tables.tex", "report.html")]
    write_csv(rows, files[0])
    for file, text in zip(files[1:4], (tables.markdown(measured), tables.to_json(measured), tables.latex(measured))):
        write_text(file, text)
    shown = [picture(place, contestants, folders) for place in worth_showing(rows, pictures)]
    title = f"Evaluation on {', '.join(dict.fromkeys(row.dataset for row in rows))}"
    write_page(files[4], rows, shown, title=title, published=tables.beside(measured))
    try:
        files += write_figures(folder / "figures", plots(rows))
    except TfarError as error:
        warnings.warn(f"no PNG figures: {error}", stacklevel=2)
    return files


def worth_showing(rows: Sequence[Row], count: int) -> list[Row]:
    """A row for each image to look at: those on which a model gained most and least, by each metric in turn."""
    chosen: dict[tuple, Row] = {}
    by_metric = [
        extremes(rows, name, METRICS[name].higher_is_better, 1)
        for name in dict.fromkeys(metric for row in rows for metric in row.scores)
        if name in METRICS
    ]
    for found in itertools.chain.from_iterable(itertools.zip_longest(*by_metric)):
        if found is not None:
            row = found.row
            chosen.setdefault((row.dataset, row.image, row.protocol, row.quality), row)
    return list(chosen.values())[:count]


def picture(row: Row, contestants: Sequence[Contestant], folders: Sequence[Path]) -> Picture:
    """The images of the place of a row: original, JPEG and what each model makes of it, with region masks."""
    file = next(folder for folder in map(benchmark.dataset, folders) if folder.name == row.dataset) / row.image
    trial = benchmark.trial(file, row.protocol, row.quality)
    images = {"original": trial.original, BASELINE: trial.jpeg}
    for contestant in contestants:
        images |= contestant.restore(trial.jpeg)
        images |= {f"{MASK}{name}": mask for name, mask in contestant.masks(trial.jpeg).items()}
    return Picture(row.dataset, row.image, row.protocol, row.quality, images)
