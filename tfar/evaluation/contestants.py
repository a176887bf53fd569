"""What an evaluation compares: presets, trained networks and exported models, as functions on uint8 images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfar import backend, presets
from tfar.data.patches import draw_noise
from tfar.errors import CheckpointError, TfarError, first_line
from tfar.evaluation.apps import as_dejpeg
from tfar.evaluation.results import BASELINE
from tfar.models import main_output
from tfar.pixels import as_rgb
from tfar.restoration.restorer import Restorer, region_mask, restore_layers
from tfar.storage import sha256
from tfar.training.region_aware import in_training, network_of

Restore = Callable[[np.ndarray], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Contestant:
    """A model under evaluation.

    Attributes:
        names: of the rows it gives: its own name, or one per layer of a region-aware network.
        digest: SHA-256 of its file or files.
        restore: from an image, uint8 ``(H, W)`` or ``(H, W, 3)``, to its restorations by name, of the same shape.
        masks: from an image to the region masks of its restorations by name, uint8 ``(H, W)``, 255 for texture.
    """

    names: tuple[str, ...]
    digest: str
    restore: Restore
    masks: Restore = lambda image: {}


def check_names(names: Sequence[str]):
    """Raise :class:`TfarError` when two models have the same name, or one has that of the JPEGs."""
    if len({BASELINE, *names}) <= len(names):
        raise TfarError(f"two models have the same name: {', '.join(names)}; NAME=PATH gives a model another")


def contestant(name: str, label: str = "") -> Contestant:
    """The model of a preset's name, a run folder, a ``.keras`` file, a SavedModel folder or a ``.tflite`` file.

    A ``.tflite`` file for apps (``tfar export --io app``) restores as the app does, tile by tile. Of a run that is not
    finished it is the network of the best epochs so far.

    Args:
        name: of the preset, or the path.
        label: what to call the model; by default :func:`tfar.presets.title`, or the name of the export.

    Raises:
        CheckpointError: when there is no such model, or it cannot be read.
    """
    path = Path(name)
    if path.suffix == ".tflite":
        return _single(path, label, _tflite(path))
    if (path / "saved_model.pb").is_file():
        return _single(path, label, _saved_model(path))
    model = network_of(name)
    if in_training(path):
        digest = sha256(*sorted([*path.rglob("recipe.json"), *path.rglob("best.weights.h5")]))
    else:
        digest = presets.digest(presets.model_file(name))
    label = label or presets.title(path)
    if main_output(model) == "image":
        restorer = Restorer(model)
        return Contestant((label,), digest, lambda image: {label: restorer(image)})
    names = {layer: f"{label} {layer}" for layer in ("base", "texture", "fused")}

    def restore(image: np.ndarray) -> dict[str, np.ndarray]:
        layers = restore_layers(model, image)
        return {name: layers[layer] for layer, name in names.items()}

    return Contestant(tuple(names.values()), digest, restore, lambda image: {names["fused"]: region_mask(model, image)})


def _single(path: Path, label: str, restore: Callable[[np.ndarray], np.ndarray]) -> Contestant:
    digest = sha256(*sorted(file for file in [path, *path.rglob("*")] if file.is_file()))
    label = label or path.name
    return Contestant((label,), digest, lambda image: {label: _through_rgb(restore, image)})


def _through_rgb(restore: Callable[[np.ndarray], np.ndarray], image: np.ndarray) -> np.ndarray:
    """A gray image goes through an exported model three times alike; the mean of the three is the result."""
    restored = restore(as_rgb(image)[None])[0]
    if image.ndim == 3:
        return restored
    return np.uint8(np.round(restored.mean(axis=-1)))


def _saved_model(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """What a SavedModel restores; it is a program, which may read and write files, so it must not be a stranger's."""
    import tensorflow as tf

    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    noise = "noise" in serve.structured_input_signature[1]

    def restore(batch: np.ndarray) -> np.ndarray:
        return serve(**{name: tf.constant(array) for name, array in _inputs(batch, noise).items()})["restored"].numpy()

    return restore


def _tflite(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        runner = backend.litert(path).get_signature_runner("serving_default")
    except ImportError as error:
        raise TfarError(f"{path}: TFLite files need LiteRT, run: pip install ai-edge-litert") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: not a TFLite file of tfar ({first_line(error)})") from error
    inputs = runner.get_input_details()
    if "strength" in inputs:
        side = int(inputs["image"]["shape"][1])
        return lambda batch: np.stack([as_dejpeg(_of_app(runner), image, side) for image in batch])
    return lambda batch: runner(**_inputs(batch, "noise" in inputs))["restored"]


def _of_app(runner) -> Callable[[np.ndarray, float], np.ndarray]:
    """A file of :func:`tfar.export.app.export_app` as a function for :func:`as_dejpeg`."""
    return lambda image, strength: runner(image=image[None], strength=np.float32([[strength]]))["restored"][0]


def _inputs(batch: np.ndarray, noise: bool) -> dict[str, np.ndarray]:
    drawn = {"noise": draw_noise(np.random.default_rng(0), *batch.shape[:3])} if noise else {}
    return {"image": batch, **drawn}
