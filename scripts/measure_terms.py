"""Measure how much each loss term of an adversarial training has to say.

    python scripts/measure_terms.py region-aware:general.texture --data PHOTOS --initial general
    python scripts/measure_terms.py argan:cpu --phase 1 --set data.batch=8

Printed are, for each term of a phase, its value, and the norm of its weighted gradient at the kernel of the generator's
last layer, also in units of the first term's. The generator stays as it is: fresh, or that of --initial, such as the
end of the phase before. The discriminator is taught for some steps first, since a fresh one has nothing to say.
"""

import argparse
import json
import sys

from tfar import backend
from tfar.cli import exit_code
from tfar.commands.arguments import not_negative


def run(options):
    backend.start()
    import numpy as np
    from keras import ops

    from tfar import recipes
    from tfar.data.patches import Patches, drawn_for
    from tfar.data.sources import load_split
    from tfar.models import named_recipe
    from tfar.training.gradients import GradientTape
    from tfar.training.region_aware import network_of
    from tfar.training.runs import copy_matching_weights
    from tfar.training.trainer import TERMS, Step, Trainer

    source = f"data.source={json.dumps(options.data)}"
    recipe = recipes.override(named_recipe(options.recipe), [source, "precision=float32", *options.assignments])
    trainer = Trainer(recipe)
    if options.initial:
        copy_matching_weights(network_of(options.initial), trainer.generator)
    phase = recipe.phases[options.phase]
    trainer.begin(phase)
    images, _ = load_split(recipe.data.source, recipe.data.validation, recipe.data.patch)
    patches = Patches(images, recipe.data, seed=recipe.seed, **drawn_for(trainer.generator))
    for number in range(options.teach if trainer.adversarial else 0):
        trainer.discriminator_step(Step(trainer, patches.batch(number), trainer.generator, training=True))
    last = trainer.generator.trainable_variables[-2]
    measured = {name: [] for name in phase.terms}
    for number in range(options.teach, options.teach + options.batches):
        for name in phase.terms:
            with GradientTape() as tape:
                value = TERMS[name](Step(trainer, patches.batch(number), trainer.generator, training=True))
            [gradient] = tape.gradient(value, [last])
            norm = 0.0 if gradient is None else float(ops.norm(ops.ravel(gradient)))
            measured[name].append((float(value), phase.terms[name] * norm))

    first = np.mean([norm for _, norm in measured[next(iter(phase.terms))]])
    print(f"{options.recipe}, phase {options.phase}: gradients at {last.path}")
    print("| term | weight | value | weight x gradient | of the first term's |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, pairs in measured.items():
        value, norm = np.mean(pairs, axis=0)
        print(f"| {name} | {phase.terms[name]:g} | {value:.4g} | {norm:.3g} | {norm / first:.1%} |")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", metavar="SYSTEM:RECIPE[.PART]")
    parser.add_argument("--data", default="demo", help="folder, demo or tfds:NAME (default: %(default)s)")
    parser.add_argument("--set", nargs="+", default=[], metavar="FIELD=VALUE", dest="assignments")
    parser.add_argument("--initial", metavar="MODEL", help="a preset, run or .keras file for the generator")
    parser.add_argument("--phase", type=not_negative, default=0, help="of the recipe (default: %(default)s)")
    parser.add_argument("--teach", type=not_negative, default=20, metavar="N", help="steps of the discriminator before")
    parser.add_argument("--batches", type=int, default=4, help="to average over (default: %(default)s)")
    sys.exit(exit_code(run, parser.parse_args()))
