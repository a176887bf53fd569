"""The main jobs, from images to results: what the scripts and the command line run."""

import json
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
from keras import ops

from tfar import pixels
from tfar.data.sources import load_split
from tfar.evaluation import benchmark, protocols
from tfar.evaluation.report import side_by_side
from tfar.export.saved_model import export_saved_model
from tfar.export.tflite import export_tflite
from tfar.restoration.files import write_image
from tfar.restoration.restorer import Restorer
from tfar.storage import write_atomically
from tfar.training.distribution import is_chief
from tfar.training.region_aware import RegionAwareRun

LAYER_NAMES = {"base": "L_B (base)", "texture": "L_T (texture)", "fused": "fused"}


def region_aware_job(run: RegionAwareRun, *, strategy, minutes: float | None = None, verbose: str | int = "auto",
                     test_images: int = 8) -> Path:
    """Train the region-aware system, then fuse, score and export it.

    Writes into the run folder: ``model.keras`` (the fused network), ``metrics.json``, ``comparison.png`` and, on the
    TensorFlow backend, ``saved_model/`` and ``region_aware.tflite``; prints the table and where everything lies.

    Args:
        run: the run to train, or to go on with.
        strategy: made by :func:`tfar.training.distribution.choose_strategy`.
        minutes: stop each of the two trainings after the epoch in which this time has passed.
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
    model = run.fuse()
    write_atomically(run.folder / "model.keras", model.save)

    data = run.recipe.base.data
    _, held_out = load_split(data.source, data.validation, data.patch)
    held_out = held_out[:test_images]
    if held_out:
        results = score_layers(model, [(image.name, image.load()) for image in held_out], qualities={*data.quality})
        text = json.dumps(results, indent=2) + "\n"
        write_atomically(run.folder / "metrics.json", lambda part: part.write_text(text))
        print(f"\nMeans over {len(held_out)} held-out images\n\n{benchmark.format_table(results)}\n")
        write_image(run.folder / "comparison.png", comparison(model, held_out[0].load(), data.quality[0]))

    if keras.backend.backend() == "tensorflow":
        export_saved_model(model, run.folder / "saved_model")
        export_tflite(run.folder / "saved_model", run.folder / "region_aware.tflite")
    else:
        print(f"Exports need the TensorFlow backend: tfar export FOLDER --preset {run.folder}")
    for name, what in (("model.keras", "fused network"), ("saved_model", "SavedModel for TF Serving"),
                       ("region_aware.tflite", "TFLite for phones and browsers"), ("metrics.json", "scores"),
                       ("comparison.png", "original | JPEG | L_B | L_T | mask | fused")):
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
    if "fused" not in model.output:
        return {model.name: Restorer(model)}
    return {name: Restorer(model, layer) for layer, name in LAYER_NAMES.items()}


def comparison(model: keras.Model, original: np.ndarray, quality: int) -> np.ndarray:
    """The picture original | JPEG | L_B | L_T | mask | fused of an original, in two rows, under the colour protocol.

    Args:
        model: a region-aware network.
        original: uint8 ``(H, W)`` or ``(H, W, 3)``.
        quality: JPEG quality factor.

    Returns:
        uint8 RGB picture with labels.
    """
    trial = protocols.color(original, quality)
    outputs = model(pixels.to_float(trial.jpeg[None]), training=False)
    layers = {layer: ops.convert_to_numpy(pixels.to_uint8(outputs[layer]))[0] for layer in LAYER_NAMES}
    mask = np.uint8(255 * ops.convert_to_numpy(outputs["mask"])[0, ..., 0])
    return side_by_side({
        "original": trial.original, f"JPEG QF{quality}": trial.jpeg, LAYER_NAMES["base"]: layers["base"],
        LAYER_NAMES["texture"]: layers["texture"], "mask": mask, LAYER_NAMES["fused"]: layers["fused"]}, columns=3)
