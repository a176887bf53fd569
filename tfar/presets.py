"""Trained networks that come with the package.

Each is a folder ``saved_models/NAME`` with model.keras, recipe.json, metrics.json and README.md, its model card.
"""

import functools
import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from tfar.errors import CheckpointError, RecipeError, first_line
from tfar.storage import sha256

DEFAULT = "general"
CODE = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "__lambda__")  # of Keras


def presets_folder() -> Path:
    """``saved_models`` inside the installed package, or beside it in a checkout."""
    installed = Path(__file__).parent / "saved_models"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "saved_models"


def names() -> list[str]:
    """Names of the presets at hand, sorted."""
    return sorted(path.parent.name for path in presets_folder().glob("*/model.keras"))


def card(name: str) -> str:
    """The model card of a preset: what it is, how it was trained, how it scores."""
    path = _folder(name) / "README.md"
    if not path.is_file():
        raise CheckpointError(f"{path}: no such model card")
    return path.read_text(encoding="utf-8")


def qualities(name: str | Path) -> tuple[int, int] | None:
    """Lowest and highest JPEG quality that a preset or run was trained for; None where its recipe is not at hand."""
    from tfar import recipes

    try:
        text = (model_file(name).parent / "recipe.json").read_text(encoding="utf-8")
        try:
            recipe = recipes.from_json(recipes.Recipe, text)
        except RecipeError:
            recipe = recipes.from_json(recipes.RegionAware, text).base
    except (OSError, ValueError):
        return None
    return recipe.data.quality


def load(name: str | Path = DEFAULT):
    """Load a preset, or a network of your own; a network that was loaded before is returned again.

    A file from a stranger runs no code of its own: it may name layers of tfar and of Keras only, and of these none that
    holds code (Keras's ``safe_mode``).

    Args:
        name: a preset, a run or preset folder with ``model.keras``, or a ``.keras`` file.

    Returns:
        The network, a ``keras.Model`` in float32: images ``(B, H, W, C)`` in [-1, 1] to a dictionary of outputs.

    Raises:
        CheckpointError: when there is no such preset or file, it cannot be read, or its SHA-256 is not the one that the
            ``metrics.json`` of its preset holds.
    """
    path = model_file(name)
    return _load(path.resolve(), path.stat().st_mtime_ns)


def model_file(name: str | Path) -> Path:
    """The ``.keras`` file of a preset, a folder or a file, named as for :func:`load`; raises as that does."""
    path = Path(name) if str(name).endswith(".keras") else _folder(name) / "model.keras"
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    expected = _expected_digest(path)
    if expected and digest(path) != expected:
        raise CheckpointError(f"{path}: damaged or changed, its SHA-256 is not that of metrics.json beside it")
    return path


def _expected_digest(path: Path) -> str | None:
    """The SHA-256 that ``metrics.json`` holds of the ``model.keras`` beside it, in presets; None of other files."""
    if path.name != "model.keras":
        return None
    import pydantic

    class Metrics(pydantic.BaseModel):
        model_sha256: str

    try:
        return Metrics.model_validate_json(path.with_name("metrics.json").read_bytes()).model_sha256
    except (OSError, ValueError):
        return None


def digest(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal; kept until the file changes."""
    return _digest(file.resolve(), file.stat().st_mtime_ns)


def title(network: str | Path) -> str:
    """What to call a network by its place: its preset or run, or its ``.keras`` file unless that is ``model.keras``."""
    path = Path(network)
    if path.suffix != ".keras":
        return path.resolve().name
    return path.resolve().parent.name if path.name == "model.keras" else path.stem


@functools.lru_cache(maxsize=16)
def _digest(path: Path, _modified: int) -> str:
    return sha256(path)


@functools.lru_cache(maxsize=4)
def _load(path: Path, _modified: int):
    import keras

    import tfar.models  # noqa: F401  registers the layers that a saved network may contain

    try:
        if suspects := sorted(set(_suspects(_config(path)))):
            raise CheckpointError(
                f"{path}: refused, this is not of tfar or Keras or may hold code: {', '.join(suspects)}"
            )
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except CheckpointError:
        raise
    except (OSError, ValueError, TypeError, KeyError, RecursionError, zipfile.BadZipFile, zlib.error) as error:
        raise CheckpointError(f"{path}: not a Keras model of tfar ({first_line(error)})") from error
    output = getattr(model, "output", None)
    if not isinstance(output, dict) or not {"image", "fused"} & output.keys():
        raise CheckpointError(f"{path}: not a network of tfar that restores images")
    return model


def _config(path: Path):
    """What a ``.keras`` file says its network is made of."""
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))


def _suspects(config) -> Iterator[str]:
    """The classes and functions in a configuration that are of other packages than tfar and Keras, or may hold code."""
    if isinstance(config, dict):
        if "class_name" in config:
            name, module = config["class_name"], config.get("module") or "keras"
            given = (config.get(key) for key in ("registered_name", "class_name", "config"))
            registered = [text for text in given if isinstance(text, str) and ">" in text]
            of_tfar = registered and all(text.startswith("tfar>") for text in registered)
            of_keras = not registered and str(module).partition(".")[0] in ("keras", "builtins")
            if name in CODE or not (of_tfar or of_keras):
                yield f"{module}.{name}"
        for value in config.values():
            yield from _suspects(value)
    elif isinstance(config, list):
        for value in config:
            yield from _suspects(value)


def _folder(name: str | Path) -> Path:
    for folder in (presets_folder() / name, Path(name)):
        if (folder / "model.keras").is_file():
            return folder
    known = ", ".join(names()) or "none"
    raise CheckpointError(f"no preset or folder {str(name)!r} with a model.keras; presets: {known}")
