"""The main jobs, from images to results: what the scripts and the command line run."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np

from tfar import jpeg, pixels
from tfar.data.sources import load_split, read_image
from tfar.errors import TfarError
from tfar.evaluation import benchmark, protocols
from tfar.evaluation.report import side_by_side
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
        results = score_layers(model, [(image.name, image.load()) for image in held_out], qualities={*data.quality})
        text = json.dumps(results, indent=2) + "\n"
        write_atomically(run.folder / "metrics.json", lambda part: part.write_text(text))
        print(f"\nMeans over {len(held_out)} held-out images\n\n{benchmark.format_table(results)}\n")
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


def score_layers(model: keras.Model, images: list[tuple[str, np.ndarray]], *, qualities,
                 names: tuple[str, ...] = ("gray", "color"), lpips=None) -> dict:
    """Score a network on originals under the named protocols, at each quality factor.

    A region-aware network is scored layer by layer, any other one as a whole. Returns ``{"gray QF10": {row: {metric:
    mean}}}`` for :func:`tfar.evaluation.benchmark.format_table`.
    """
    functions = {"gray": protocols.gray, "color": protocols.color}
    return {
        f"{name} QF{quality}": benchmark.evaluate(
            layer_restorers(model), images, protocol=functions[name], quality=quality, lpips=lpips)
        for quality in sorted(qualities) for name in names
    }


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
