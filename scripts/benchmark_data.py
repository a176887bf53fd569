"""Measure whether the data pipeline keeps up with training: patches per second of both, and their ratio.

    python scripts/benchmark_data.py                                           # demo photographs, recipe cpu
    python scripts/benchmark_data.py --data PHOTOS --recipe gpu

The pipeline is timed without a training beside it, and the training step on one batch that is there already; a ratio
above 1 means that the data are prepared faster than they are used. On a CPU both share the same cores.
"""

import argparse
import dataclasses
import sys
import time

from tfar.cli import exit_code, start_backend


def pipeline_speed(patches, batches: int) -> float:
    """Patches per second of the tf.data pipeline, once every image has been read and every thread is at work."""
    from tfar.data.patches import tf_dataset

    iterator = iter(tf_dataset(patches, 0, 2 * batches))
    for _ in range(batches):
        next(iterator)
    start = time.perf_counter()
    for _ in range(batches):
        next(iterator)
    return batches * patches.data.batch / (time.perf_counter() - start)


def training_speed(trainer, batch, steps: int) -> float:
    """Patches per second of the compiled training step, its compilation left out."""
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensors(batch).repeat()
    trainer.fit(dataset, steps_per_epoch=2, shuffle=False, verbose=0)
    start = time.perf_counter()
    trainer.fit(dataset, steps_per_epoch=steps, shuffle=False, verbose=0)
    return steps * len(batch[1]) / (time.perf_counter() - start)


def run(arguments):
    start_backend()
    from tfar.data.patches import Patches
    from tfar.data.sources import load_split
    from tfar.models.region_aware import RECIPES
    from tfar.training.trainer import Trainer

    recipe = RECIPES[arguments.recipe].base
    data = dataclasses.replace(recipe.data, source=arguments.data)
    trainer = Trainer(recipe)
    trainer.begin(recipe.phases[0])
    images, _ = load_split(data.source, data.validation, data.patch)
    patches = Patches(images, data, seed=recipe.seed, channels=trainer.generator.input_shape[-1])

    pipeline = pipeline_speed(patches, arguments.batches)
    training = training_speed(trainer, patches.batch(0), arguments.steps)
    size = f"{data.batch} patches of {data.patch}x{data.patch}"
    print(f"recipe {arguments.recipe}, data {arguments.data}, {size} per step")
    print(f"pipeline  {pipeline:8.1f} patches per second")
    print(f"training  {training:8.1f} patches per second ({data.batch / training:.3f} s per step)")
    print(f"ratio     {pipeline / training:8.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="demo", help="folder, demo or tfds:NAME (default: %(default)s)")
    parser.add_argument("--recipe", default="cpu", choices=("paper", "gpu", "cpu", "demo"))
    parser.add_argument("--batches", type=int, default=60, help="batches to time, after as many to warm up")
    parser.add_argument("--steps", type=int, default=10, help="training steps to time")
    sys.exit(exit_code(run, parser.parse_args()))
