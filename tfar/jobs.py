"""The main jobs, from images to results: what the scripts and the command line run."""

import itertools
import math
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np

from tfar import jpeg, pixels
from tfar.data.sources import image_files, load_split, read_image
from tfar.errors import ImageError, TfarError
from tfar.evaluation import benchmark, protocols, tables
from tfar.evaluation.contestants import Contestant
from tfar.evaluation.figures import write_figures
from tfar.evaluation.metrics import DEFAULT_METRICS, METRICS, choose, score
from tfar.evaluation.page import MASK, Picture, extremes, write_page
from tfar.evaluation.report import side_by_side
from tfar.evaluation.results import BASELINE, Row, means, write_csv
from tfar.export.saved_model import export_saved_model
from tfar.export.tflite import export_tflite
from tfar.models import main_output
from tfar.restoration.consistency import share_outside_interval
from tfar.restoration.files import write_image
from tfar.restoration.restorer import Restorer, region_mask
from tfar.storage import write_atomically
from tfar.training.distribution import is_chief
from tfar.training.region_aware import RegionAwareRun
from tfar.training.runs import Run

SINGLE = "restored"  # the row of a network that has no layers
LAYER_NAMES = {"base": "L_B (base)", "texture": "L_T (texture)", "fused": "fused"}


def training_job(run: Run | RegionAwareRun, *, strategy, minutes: float | None = None, verbose: str | int = "auto",
                 test_images: int = 8) -> Path:
    """Train a system, then score and export the network it is for.

    Writes into the run folder: ``model.keras``, ``metrics.json``, ``comparison.png`` and, on the TensorFlow backend,
    ``saved_model/`` and ``model.tflite``; prints the table and where everything lies.

    Args:
        run: the run to train, or to go on with.
        strategy: made by :func:`tfar.training.distribution.choose_strategy`.
        minutes: stop each training after the epoch in which this time has passed.
        verbose: progress bar of Keras.
        test_images: how many of the held-out images are scored, at most.

    Returns:
        The run folder.
    """
    finished = run.train(strategy=strategy, minutes=minutes, verbose=verbose)
    if not is_chief(strategy):
        return run.folder
    if not finished:
        print(f"Stopped before the end of the recipe; go on with --resume {run.folder}")
    model = run.network()
    write_atomically(run.folder / "model.keras", model.save)

    data = run.data
    _, held_out = load_split(data.source, data.validation, data.patch)
    held_out = held_out[:test_images]
    if held_out:
        images = [(image.name, image.load()) for image in held_out]
        measured = means(score_layers(model, images, qualities={*data.quality}))
        text = tables.to_json(measured)
        write_atomically(run.folder / "metrics.json", lambda part: part.write_text(text))
        print(f"\n{tables.markdown(measured)}\n")
        write_image(run.folder / "comparison.png", comparison(model, held_out[0].load(), data.quality[0]))

    if keras.backend.backend() == "tensorflow":
        export_saved_model(model, run.folder / "saved_model", output=main_output(model))
        export_tflite(run.folder / "saved_model", run.folder / "model.tflite")
    else:
        print(f"Exports need the TensorFlow backend: tfar export FOLDER --preset {run.folder}")
    for name, what in (("model.keras", "network"), ("saved_model", "SavedModel for TF Serving"),
                       ("model.tflite", "TFLite for phones and browsers"), ("metrics.json", "scores"),
                       ("comparison.png", "picture of a held-out image")):
        if (run.folder / name).exists():
            print(f"{what + ':':<45}{run.folder / name}")
    return run.folder


def score_layers(model: keras.Model, images: Sequence[tuple[str, np.ndarray]], *, qualities: Iterable[int],
                 names: Sequence[str] = ("gray", "color")) -> list[Row]:
    """Score a network that was just trained on originals under the named protocols, at each quality factor.

    A region-aware network is scored layer by layer, any other one as a whole; the rows of the JPEGs are added.
    """
    chosen = choose(DEFAULT_METRICS)
    restorers = {BASELINE: lambda image: image, **layer_restorers(model)}
    rows = []
    for quality, name, (image, original) in itertools.product(sorted(qualities), names, images):
        trial = benchmark.FULL_REFERENCE[name](original, quality)
        for label, restore in restorers.items():
            start = time.perf_counter()
            restored = restore(trial.jpeg)
            rows.append(Row(
                dataset="held-out", image=Path(image).name, protocol=name, quality=quality, model=label,
                bpp=trial.bpp, seconds=time.perf_counter() - start, scores=score(chosen, trial.original, restored)))
    return rows


def layer_restorers(model: keras.Model) -> Mapping[str, Restorer]:
    """A restorer per layer of a region-aware network, under the name of its row; of another network the one it has."""
    if main_output(model) == "fused":
        return {name: Restorer(model, layer) for layer, name in LAYER_NAMES.items()}
    return {SINGLE: Restorer(model)}


def comparison(model: keras.Model, original: np.ndarray, quality: int) -> np.ndarray:
    """The picture original | JPEG | restored of an original under the colour protocol.

    Of a region-aware network it shows L_B, L_T, the mask and the fused image, in two rows.

    Args:
        model: any network that restores.
        original: uint8 ``(H, W)`` or ``(H, W, 3)``.
        quality: JPEG quality factor.

    Returns:
        uint8 RGB picture with labels.
    """
    trial = protocols.color(original, quality)
    images = {"original": trial.original, f"JPEG QF{quality}": trial.jpeg}
    images |= {name: restore(trial.jpeg) for name, restore in layer_restorers(model).items()}
    if main_output(model) == "fused":
        fused = images.pop(LAYER_NAMES["fused"])
        images |= {"mask": region_mask(model, trial.jpeg), LAYER_NAMES["fused"]: fused}
    return side_by_side(images, columns=3)


def candidates(model: keras.Model, count: int, seed: int) -> Callable[[np.ndarray], list[np.ndarray]]:
    """A function from an image to ``count`` restorations, of the seeds from ``seed`` on, and their contact sheet.

    Raises:
        TfarError: for a network that gives one restoration of an image only.
    """
    restorers = [Restorer(model, seed=seed + i) for i in range(count)]
    if not restorers[0].takes_noise:
        raise TfarError(f"{model.name} gives one restoration of an image; a one-to-many network gives candidates")

    def restore(image: np.ndarray) -> list[np.ndarray]:
        restored = [restorer(image) for restorer in restorers]
        shown = {"given": image} | {str(number): candidate for number, candidate in enumerate(restored, start=1)}
        return [*restored, side_by_side(shown, columns=math.ceil(math.sqrt(count + 1)))]

    return restore


def consistency(source: Path, target: Path) -> float | None:
    """Share of the luma's DCT coefficients of a JPEG file that its restored file has moved out of their interval.

    None when the source is no JPEG or smaller than a block; see
    :func:`tfar.restoration.consistency.share_outside_interval`.
    """
    table, image = jpeg.file_luma_table(source), read_image(source)
    if table is None or min(image.shape[:2]) < jpeg.BLOCK:
        return None
    return share_outside_interval(pixels.as_rgb(image), pixels.as_rgb(read_image(target)), table)  # WebP has no gray


def evaluation_report(folder: Path, rows: Sequence[Row], contestants: Sequence[Contestant], folders: Sequence[Path], *,
                      pictures: int) -> list[Path]:
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
        write_atomically(file, lambda part, text=text: part.write_text(text, encoding="utf-8"))
    shown = [picture(place, contestants, folders) for place in worth_showing(rows, pictures)]
    title = f"Evaluation on {', '.join(dict.fromkeys(row.dataset for row in rows))}"
    write_page(files[4], rows, shown, title=title, published=tables.beside(measured))
    try:
        files += write_figures(folder / "figures", rows)
    except TfarError as error:
        warnings.warn(f"no PNG figures: {error}", stacklevel=2)
    return files


def worth_showing(rows: Sequence[Row], count: int) -> list[Row]:
    """A row for each image to look at: those on which a model gained most and least, by each metric in turn."""
    chosen: dict[tuple, Row] = {}
    by_metric = [
        extremes(rows, name, METRICS[name].higher_is_better, 1)
        for name in dict.fromkeys(metric for row in rows for metric in row.scores) if name in METRICS]
    for found in itertools.chain.from_iterable(itertools.zip_longest(*by_metric)):
        if found is not None:
            row = found.row
            chosen.setdefault((row.dataset, row.image, row.protocol, row.quality), row)
    return list(chosen.values())[:count]


def picture(row: Row, contestants: Sequence[Contestant], folders: Sequence[Path]) -> Picture:
    """The images of the place of a row: original, JPEG and what each model makes of it, with region masks."""
    file = next(folder for folder in map(Path.resolve, map(Path, folders)) if folder.name == row.dataset) / row.image
    trial = benchmark.trial(file, row.protocol, row.quality)
    images = {"original": trial.original, BASELINE: trial.jpeg}
    for contestant in contestants:
        images |= contestant.restore(trial.jpeg)
        images |= {f"{MASK}{name}": mask for name, mask in contestant.masks(trial.jpeg).items()}
    return Picture(row.dataset, row.image, row.protocol, row.quality, images)


def study_pictures(original: str | Path, candidates: Mapping[str, str | Path]) -> dict[str, dict[str, np.ndarray]]:
    """The pictures of a blind comparison: those of a folder of originals, each with the candidates of its name.

    Args:
        original: a folder of images.
        candidates: label -> folder with an image of the same name, whatever its extension, for each original.

    Raises:
        ImageError: when a folder or an image is missing or cannot be read, or a name is there twice.
    """
    folders = {"original": original, **candidates}
    found = {label: {} for label in folders}
    for label, folder in folders.items():
        for file in image_files(folder):
            if found[label].setdefault(file.stem, file) != file:
                raise ImageError(f"{folder}: two images are called {file.stem}")
    for label, files in found.items():
        for missing in found["original"].keys() - files.keys():
            raise ImageError(f"{folders[label]}: no image {missing}, which is among the originals")
    return {stem: {label: read_image(files[stem]) for label, files in found.items()} for stem in found["original"]}
