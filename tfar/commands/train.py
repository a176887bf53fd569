"""Train a system on photographs."""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np

from tfar import backend
from tfar.commands.arguments import add_precision, positive_number
from tfar.errors import TfarError
from tfar.recipes import RegionAware
from tfar.terminal import print_tables

DEFAULT_RECIPE = "demo"


def add_arguments(parser: argparse.ArgumentParser):
    parser.add_argument(
        "system",
        metavar="NAME",
        help="region-aware, ep-gan, argan, galteri-gan, one-to-many, or one of their variants and ablations, which "
        "docs/papers.md lists; region-aware.base and region-aware.texture train one of the two networks alone; "
        "with --resume a system that trains the run's network",
    )
    add_training_arguments(parser)


def add_training_arguments(parser: argparse.ArgumentParser):
    """The arguments that every training script shares."""
    parser.add_argument(
        "--recipe",
        help=f"{DEFAULT_RECIPE} (default), cpu or paper; for region-aware also general, tiny and gpu",
    )
    parser.add_argument(
        "--data", metavar="SOURCE", help="a folder of photographs, shards:FOLDER (tfar pack), demo, or tfds:NAME"
    )
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="FIELD=VALUE",
        dest="assignments",
        help="override recipe fields, such as data.patch=64 (region-aware: base.data.patch=64)",
    )
    add_precision(parser)
    parser.add_argument(
        "--show-recipe", action="store_true", help="print the recipe (of --resume the run's) as JSON and train nothing"
    )
    parser.add_argument(
        "--initial",
        metavar="MODEL",
        help="a preset, run folder or .keras file from whose weights to start, where shapes agree",
    )
    parser.add_argument("--strategy", default="auto", help="auto (default), one, mirrored or multiworker")
    parser.add_argument("--run", metavar="FOLDER", help="the run folder (default: a new one in runs/)")
    parser.add_argument("--resume", metavar="FOLDER", help="go on with a run that was interrupted")
    parser.add_argument(
        "--minutes", type=positive_number, help="stop each training after the epoch in which this time passed"
    )
    parser.add_argument(
        "--on-nan",
        choices=["stop", "rollback"],
        default="stop",
        help="when a loss becomes NaN or infinite: stop (default), or go back to the last checkpoint at half the rate",
    )


def run(options: argparse.Namespace) -> int:
    """Run the training that ``options.system`` and the other training arguments describe."""
    with backend.starting():
        from tfar import recipes
        from tfar.training.distribution import choose_strategy, worker_count
        from tfar.training.region_aware import network_of

    started = _resumed(options) if options.resume else _new(options)
    if options.show_recipe:
        print(recipes.to_json(started.recipe), end="")
        return 0
    with backend.starting():
        strategy = choose_strategy(options.strategy)
    if worker_count(strategy) > 1 and not (options.run or options.resume):
        raise TfarError("several workers need --run with a folder that all of them share")
    backend.start()
    initial = network_of(options.initial) if options.initial else None
    training_job(started, strategy=strategy, minutes=options.minutes, initial=initial, on_nan=options.on_nan)
    return 0


def _new(options: argparse.Namespace):
    """The run of a recipe with what ``--data``, ``--precision`` and ``--set`` change."""
    from tfar import recipes
    from tfar.training.region_aware import RegionAwareRun
    from tfar.training.runs import Run

    kind = options.recipe or DEFAULT_RECIPE
    recipe = _recipe(options.system, kind)
    whole = isinstance(recipe, RegionAware)
    places = ("base.", "texture.") if whole else ("",)
    changes = [f"{place}data.source={json.dumps(options.data)}" for place in places if options.data]
    changes += [f"{place}precision={options.precision}" for place in places if options.precision]
    recipe = recipes.override(recipe, changes + options.assignments)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    folder = options.run or Path("runs") / f"{options.system}-{kind}-{stamp}"
    return RegionAwareRun(folder, recipe) if whole else Run(folder, recipe)


def _resumed(options: argparse.Namespace):
    """The run of ``--resume``, which trains what ``options.system`` does."""
    from tfar.training.region_aware import open_run

    given = (options.recipe, options.assignments, options.data, options.precision, options.run, options.initial)
    if any(given):
        raise TfarError(
            "--resume takes the run's own recipe, so no --set, --recipe, --data, --precision, --run or --initial"
        )
    recipe = _recipe(options.system, DEFAULT_RECIPE)
    started = open_run(options.resume)
    named = [recipe, recipe.base, recipe.texture] if isinstance(recipe, RegionAware) else [recipe]
    if (trained := _trained(started.recipe)) not in map(_trained, named):
        raise TfarError(f"{options.resume}: trains {trained}, not {options.system}")
    return started


def _recipe(name: str, kind: str):
    """The recipe of a kind of a system, or of one of the two networks of the region-aware one."""
    from tfar.models import SYSTEMS, named_recipe

    system, _, part = name.partition(".")
    if system not in SYSTEMS:
        raise TfarError(f"unknown system {name!r}; known: {', '.join(SYSTEMS)}")
    if kind not in SYSTEMS[system]:
        raise TfarError(f"unknown recipe {kind!r}; known: {', '.join(SYSTEMS[system])}")
    return named_recipe(f"{system}:{kind}.{part}") if part else SYSTEMS[system][kind]


def _trained(recipe) -> str:
    """What a recipe trains: the region-aware system, or the network of a builder. No recipe knows its system's name."""
    return "region-aware" if isinstance(recipe, RegionAware) else recipe.generator.builder


def training_job(
    run,
    *,
    strategy,
    minutes: float | None = None,
    initial=None,
    on_nan: str = "stop",
    verbose: str | int = "auto",
    test_images: int = 8,
) -> Path:
    """Train a system, then score and export the network it is for.

    Writes into the run folder: ``model.keras``, ``metrics.json``, ``comparison.png`` and, on the TensorFlow backend,
    ``saved_model/`` and ``model.tflite``; prints the table and where everything lies. Held-out images that cannot be
    scored are left out with a warning each.

    Args:
        run: the :class:`~tfar.training.runs.Run` or :class:`~tfar.training.region_aware.RegionAwareRun` to train, or to
            go on with.
        strategy: made by :func:`tfar.training.distribution.choose_strategy`.
        minutes: stop each training after the epoch in which this time has passed.
        initial: a network whose weights a new run starts from.
        on_nan: ``stop`` or ``rollback``, see :meth:`tfar.training.runs.Run.train`.
        verbose: progress bar of Keras.
        test_images: how many of the held-out images are scored, at most.

    Returns:
        The run folder.
    """
    import keras

    from tfar.export.saved_model import export_saved_model
    from tfar.export.tflite import export_tflite
    from tfar.models import main_output
    from tfar.storage import write_atomically
    from tfar.training.distribution import is_chief

    finished = run.train(strategy=strategy, minutes=minutes, initial=initial, on_nan=on_nan, verbose=verbose)
    if not is_chief(strategy):
        return run.folder
    if not finished:
        print(f"Stopped before the end of the recipe; go on with --resume {run.folder}")
    model = run.network()
    write_atomically(run.folder / "model.keras", model.save)
    _score(run, model, test_images)
    if keras.backend.backend() == "tensorflow":
        export_saved_model(model, run.folder / "saved_model", output=main_output(model))
        export_tflite(run.folder / "saved_model", run.folder / "model.tflite")
    else:
        print(f"Exports need the TensorFlow backend: tfar export FOLDER --preset {run.folder}")
    for name, what in (
        ("model.keras", "network"),
        ("saved_model", "SavedModel for TF Serving"),
        ("model.tflite", "TFLite for phones and browsers"),
        ("metrics.json", "scores"),
        ("comparison.png", "picture of a held-out image"),
    ):
        if (run.folder / name).exists():
            print(f"{what + ':':<45}{run.folder / name}")
    return run.folder


def _score(run, model, most: int):
    """Score a network on so many of the held-out images, at most, and show what it makes of the first of them."""
    from tfar.data.sources import load_split
    from tfar.evaluation.benchmark import score_layers
    from tfar.evaluation.results import Row, means
    from tfar.images.write import write_image
    from tfar.reports import tables
    from tfar.reports.contact_sheet import comparison
    from tfar.storage import write_text

    data = run.data
    _, held_out = load_split(data.source, data.validation, data.patch)
    rows: list[Row] = []
    scored: list[np.ndarray] = []
    for image in held_out:
        try:
            original = image.load()
            rows += score_layers(model, [(image.name, original)], qualities={*data.quality})
        except ValueError as error:  # it cannot be read, or is too small for a metric
            warnings.warn(f"skipped {image.name}: {str(error).removeprefix(f'{image.name}: ')}", stacklevel=2)
            continue
        scored.append(original)
        if len(scored) == most:
            break
    if not scored:
        print("No held-out image can be scored, so there are neither scores nor a picture.")
        return
    measured = means(rows)
    write_text(run.folder / "metrics.json", tables.to_json(measured))
    print_tables(f"\n{tables.markdown(measured)}\n")
    write_image(run.folder / "comparison.png", comparison(model, scored[0], data.quality[0]))
