"""Compare recipes at equal CPU time: which of them learns most?

    python scripts/compare_recipes.py region-aware:cpu.base region-aware:demo.base --data PHOTOS --seconds 300
    python scripts/compare_recipes.py muon=region-aware:cpu.base "adam=region-aware:cpu.base optimizer.kind=adam \
        optimizer.weight_decay=0"

A contestant is SYSTEM:RECIPE, of the region-aware system SYSTEM:RECIPE.base or SYSTEM:RECIPE.texture; in quotation
marks with fields to override; NAME= in front of it gives it another name in the results. Each is trained with its first
phase's losses and rate for the same CPU time: the time of a step is measured, the number of steps follows, the rate
rises over the first 3% of them and falls to zero along a cosine. So no training is cut off before its end. Scores are
those of crops of the held-out images.

The folder gets a run of each contestant, results.md and curves.png (needs matplotlib): the PSNR on held-out patches
against the CPU time.
"""

import argparse
import dataclasses
import json
import shlex
import sys
import time
from pathlib import Path

from plot_runs import curve, plot

from tfar import backend
from tfar.cli import exit_code
from tfar.commands.arguments import add_precision, by_name

CROP = 192
EPOCHS = 6
WARM, PROBE = 5, 15  # steps before the time of a step is measured, and those that are


def contestant(text: str, arguments):
    """The name of a contestant and its recipe, on the images and at the precision of the comparison."""
    from tfar import recipes
    from tfar.models import named_recipe

    first, *assignments = shlex.split(text)
    label, equals, name = first.partition("=")
    common = [f"data.source={json.dumps(arguments.data)}", "monitor=last"]
    common += [f"precision={arguments.precision}"] if arguments.precision else []
    recipe = recipes.override(named_recipe(name if equals else first), common + assignments)
    return label if equals else text, recipe


def timed(recipe, seconds: float):
    """The recipe with one phase of the number of steps that take a CPU time."""
    steps = max(round(seconds / step_seconds(recipe)), EPOCHS)
    phase = dataclasses.replace(recipe.phases[0], epochs=EPOCHS, decay="cosine", warmup=max(round(0.03 * steps), 1))
    return dataclasses.replace(recipe, phases=(phase,), steps_per_epoch=steps // EPOCHS)


def step_seconds(recipe) -> float:
    """CPU time of a training step with its batch, once everything is compiled."""
    import keras

    from tfar.data.patches import Patches, drawn_for, tf_dataset
    from tfar.data.sources import load_split
    from tfar.training.trainer import Trainer

    trainer = Trainer(recipe)
    trainer.begin(recipe.phases[0])
    images, _ = load_split(recipe.data.source, recipe.data.validation, recipe.data.patch)
    patches = Patches(images, recipe.data, **drawn_for(trainer.generator))
    times = []
    watch = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: times.append(time.process_time()))
    trainer.fit(
        tf_dataset(patches, 0, WARM + PROBE),
        epochs=1,
        steps_per_epoch=WARM + PROBE,
        shuffle=False,
        verbose=0,
        callbacks=[watch],
    )
    return (times[-1] - times[WARM - 1]) / PROBE


def crops(recipe, count: int):
    """Names and crops ``(192, 192, 3)`` from the middle of the first held-out images."""
    from tfar.data.sources import load_split
    from tfar.evaluation.protocols import middle

    _, held_out = load_split(recipe.data.source, recipe.data.validation, CROP)
    for image in held_out[:count]:
        yield image.name, middle(image.load(), CROP)


def run(arguments):
    backend.start()
    from tfar.evaluation.benchmark import score_layers
    from tfar.evaluation.results import BASELINE, means
    from tfar.reports import tables
    from tfar.training.runs import Run

    recipes = by_name(contestant(text, arguments) for text in arguments.recipes)
    rows, curves, notes = [], {}, []
    for number, (name, recipe) in enumerate(recipes.items(), start=1):
        trained = Run(Path(arguments.out) / f"run-{number}", timed(recipe, arguments.seconds))
        trained.train(verbose=2)
        measured = score_layers(
            trained.network(),
            list(crops(recipe, arguments.images)),
            qualities=arguments.quality,
            names=arguments.protocol,
        )
        rows += [
            dataclasses.replace(row, model=name if row.model != BASELINE else BASELINE)
            for row in measured
            if number == 1 or row.model != BASELINE
        ]
        curves[name] = curve(trained.folder)
        steps = trained.recipe.epochs * trained.recipe.steps_per_epoch
        notes.append(f"{name}: {steps} steps, {curves[name][0][-1]:.0f} CPU-seconds")
    rows.sort(key=lambda row: (row.protocol, row.quality))
    text = f"{tables.markdown(means(rows))}\n\n{chr(10).join(notes)}\n"
    (Path(arguments.out) / "results.md").write_text(text)
    print(text)
    plot(Path(arguments.out) / "curves.png", curves, unit="seconds")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="+", metavar="[NAME=]SYSTEM:RECIPE[.PART] [FIELD=VALUE ...]")
    parser.add_argument("--data", default="demo", help="folder, demo or tfds:NAME (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=300, help="CPU time of each training (default: %(default)s)")
    add_precision(parser)
    parser.add_argument("--quality", type=int, nargs="+", default=[10], metavar="QF", help="of the scores")
    parser.add_argument("--protocol", nargs="+", default=["gray"], choices=["gray", "color", "double"])
    parser.add_argument("--images", type=int, default=40, help="held-out images to score, at most")
    parser.add_argument("--out", default="runs/compare", metavar="FOLDER", help="default: %(default)s")
    sys.exit(exit_code(run, parser.parse_args()))
