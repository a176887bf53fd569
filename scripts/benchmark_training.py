"""Measure whether anything but the step's arithmetic holds a training up.

    python scripts/benchmark_training.py                                              # demo photographs, recipe cpu
    python scripts/benchmark_training.py --data PHOTOS --recipe general --precision mixed_bfloat16

Printed are patches per second of the data pipeline alone and of the whole training, and CPU-seconds per step of the
bare step (the compiled train_step on one batch that is there already), of the batches, and of the whole training as
`tfar train` runs it, with data, checks and progress. CPU time does not depend on what else the machine is doing; on a
CPU data and training share the same cores.
"""

import argparse
import dataclasses
import sys
import time

from tfar import backend
from tfar.cli import exit_code
from tfar.commands.arguments import add_precision


def cpu_seconds(function, count: int) -> float:
    """CPU time of one call of a function, the mean over some calls after one to warm up."""
    function()
    start = time.process_time()
    for _ in range(count):
        function()
    return (time.process_time() - start) / count


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


class Timing:
    """Times the epochs of a training after the first, which compiles, without their validation and checkpoint."""

    def __init__(self):
        import keras

        self.cpu, self.wall = [], []
        self.callback = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: self._begin(), on_epoch_end=lambda epoch, logs: self._end()
        )

    def _begin(self):
        self.started = time.process_time(), time.perf_counter()

    def _end(self):
        self.cpu.append(time.process_time() - self.started[0])
        self.wall.append(time.perf_counter() - self.started[1])


def run(arguments):
    backend.start()
    import tensorflow as tf

    from tfar.data.patches import Patches, drawn_for, tf_dataset
    from tfar.data.sources import load_split
    from tfar.models.region_aware import RECIPES
    from tfar.training.callbacks import StopOnNonFinite
    from tfar.training.runs import Run
    from tfar.training.trainer import Trainer

    recipe = RECIPES[arguments.recipe].base
    data = dataclasses.replace(recipe.data, source=arguments.data)
    recipe = dataclasses.replace(recipe, precision=arguments.precision or recipe.precision)
    trainer = Trainer(recipe)
    trainer.begin(recipe.phases[0])
    images, _ = load_split(data.source, data.validation, data.patch)
    patches = Patches(images, data, seed=recipe.seed, **drawn_for(trainer.generator))
    steps = arguments.steps

    pipeline = pipeline_speed(patches, arguments.batches)
    batch = tf.nest.map_structure(tf.constant, patches.batch(0))
    bare = cpu_seconds(tf.function(lambda: trainer.train_step(batch)), steps)
    numbers = iter(range(arguments.batches, 10**9))
    batches = cpu_seconds(lambda: patches.batch(next(numbers)), steps)
    timing = Timing()
    trainer.fit(
        tf_dataset(patches, 0, 3 * steps),
        epochs=3,
        steps_per_epoch=steps,
        shuffle=False,
        verbose=2,
        callbacks=[timing.callback, StopOnNonFinite(Run("unused", recipe))],
    )
    whole, wall = (sum(seconds[1:]) / len(seconds[1:]) / steps for seconds in (timing.cpu, timing.wall))

    print(
        f"recipe {arguments.recipe}, {recipe.precision}, data {arguments.data}, "
        f"{data.batch} patches of {data.patch}x{data.patch} per step"
    )
    print(f"pipeline    {pipeline:8.1f} patches per second")
    print(f"training    {data.batch / wall:8.1f} patches per second ({wall:.3f} s per step)")
    print(f"ratio       {pipeline * wall / data.batch:8.1f}")
    print(f"bare step   {bare:8.3f} CPU-s")
    print(f"batch       {batches:8.3f} CPU-s")
    print(f"training    {whole:8.3f} CPU-s per step, of which {bare / whole:.1%} are the bare step")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="demo", help="folder, demo or tfds:NAME (default: %(default)s)")
    parser.add_argument("--recipe", default="cpu", choices=("paper", "general", "tiny", "gpu", "cpu", "demo"))
    add_precision(parser)
    parser.add_argument("--batches", type=int, default=60, help="batches to time, after as many to warm up")
    parser.add_argument("--steps", type=int, default=20, help="training steps to time, after as many to warm up")
    sys.exit(exit_code(run, parser.parse_args()))
