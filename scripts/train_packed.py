"""Train what pack_for_gpu.py has packed, for a number of minutes, on a machine with PyTorch and a GPU.

    KERAS_BACKEND=torch PYTHONPATH=site:. python train_packed.py --minutes 8 --out OUT
    KERAS_BACKEND=torch PYTHONPATH=site:. python train_packed.py --minutes 8 --out OUT2 --state OUT   # goes on

Run it in the packed folder. Processes cut and code patches into a pool that stays on the card; steps draw their batches
from it while older patches are replaced. The step is one graph (tfar/training/captured.py). The learning rate rises and
falls once over the minutes of a call, with the clock, so that every call ends with a finished network.

The folder gets average.weights.h5 (what the training is for), state-*.npz (networks and optimizers), all under 16 MB,
and log.csv with the PSNR on held-out patches.
"""

import argparse
import csv
import dataclasses
import math
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np

TRAINING, HELD_OUT = "images/training", "images/held-out"
LARGEST_FILE = 15 << 20
WARM_UP = 0.03  # share of the time during which the rate rises


def packed_recipe():
    from tfar import recipes

    return recipes.from_json(recipes.Recipe, Path("recipe.json").read_text(encoding="utf-8"))


def photographs(folder: str, recipe):
    from tfar.data.sources import load_split

    images, _ = load_split(folder, 0.0, recipe.data.patch)
    return images


def work(number: int, count: int, first: int, drawn: dict, queue):
    """A process that makes the batches ``first + number``, ``first + number + count`` ... until it is ended."""
    from tfar.data.patches import Patches

    recipe = packed_recipe()
    patches = Patches(photographs(TRAINING, recipe), recipe.data, seed=recipe.seed, **drawn)
    index = first + number
    while True:
        queue.put(patches.batch(index))
        index += count


class Pool:
    """Patches on the device, replaced one batch after the other by what the processes send."""

    def __init__(self, queue, size: int, device):
        import torch
        from torch.utils import _pytree as pytree

        self.queue, self.size, self.device = queue, size, device
        first = pytree.tree_map(torch.from_numpy, queue.get())
        self.patches = pytree.tree_map(lambda a: torch.zeros((size, *a.shape[1:]), dtype=a.dtype, device=device), first)
        self.filled = self.place = self.received = 0
        self._put(first)

    def _put(self, batch):
        import torch
        from torch.utils import _pytree as pytree

        count = len(batch[1])
        rows = torch.arange(self.place, self.place + count, device=self.device) % self.size
        for kept, new in zip(pytree.tree_leaves(self.patches), pytree.tree_leaves(batch)):
            kept.index_copy_(0, rows, new.to(self.device))
        self.place = (self.place + count) % self.size
        self.filled = min(self.filled + count, self.size)
        self.received += 1

    def refresh(self, wait: bool = False):
        """Take what the processes have sent; when asked, wait for one batch."""
        import torch
        from torch.utils import _pytree as pytree

        while wait or not self.queue.empty():
            self._put(pytree.tree_map(torch.from_numpy, self.queue.get()))
            wait = False

    def draw(self, count: int):
        """A batch of patches drawn at random."""
        import torch
        from torch.utils import _pytree as pytree

        rows = torch.randint(self.filled, (count,), device=self.device)
        return pytree.tree_map(lambda kept: kept[rows], self.patches)


def variables(trainer) -> dict:
    """Everything that a training goes on from, by name, without the learning rates."""
    groups = {
        "generator": trainer.generator.weights,
        "average": trainer.averaged_generator.weights,
        "generator_optimizer": trainer.optimizer.variables,
    }
    if trainer.adversarial:
        groups |= {
            "discriminator": trainer.discriminator.weights,
            "discriminator_optimizer": trainer.discriminator_optimizer.variables,
        }
    return {
        f"{group}/{i}": variable
        for group, values in groups.items()
        for i, variable in enumerate(values)
        if not variable.path.endswith("learning_rate")
    }


def save(trainer, out: Path, batches: int):
    """Write the averaged network and the state, in files that are small enough to travel."""
    from keras import ops

    trainer.averaged_generator.save_weights(out / "average.weights.h5")
    parts, size = [{"batches": np.int64(batches)}], 0
    for name, variable in variables(trainer).items():
        array = ops.convert_to_numpy(variable.value)
        if size + array.nbytes > LARGEST_FILE:
            parts.append({})
            size = 0
        parts[-1][name] = array
        size += array.nbytes
    for number, part in enumerate(parts):
        np.savez(out / f"state-{number}.npz", **part)


def restore(trainer, folder: Path) -> int:
    """Go on from a state; returns how many batches it has seen."""
    arrays = {}
    for file in sorted(folder.glob("state-*.npz")):
        with np.load(file, allow_pickle=False) as part:
            arrays |= dict(part)
    for name, variable in variables(trainer).items():
        variable.assign(arrays[name])
    return int(arrays["batches"])


def rate(share: float) -> float:
    """The learning rate, in units of its peak, when a share of the time has passed."""
    return share / WARM_UP if share < WARM_UP else 0.5 + 0.5 * math.cos(math.pi * min(share, 1.0))


def validate(trainer, batch, size: int) -> float:
    """Mean PSNR of the averaged network on the held-out patches."""
    import torch
    from torch.utils import _pytree as pytree

    trainer.reset_metrics()
    with torch.no_grad():
        for start in range(0, len(batch[1]), size):
            logs = trainer.test_step(pytree.tree_map(lambda array: array[start : start + size], batch))
    psnr = float(logs["psnr"])
    trainer.reset_metrics()
    return psnr


def main(arguments):
    started = time.monotonic()
    import torch
    from torch.utils import _pytree as pytree

    from tfar.data.patches import drawn_for, validation_batch
    from tfar.training.captured import CapturedStep
    from tfar.training.trainer import Trainer

    device = "cuda" if torch.cuda.is_available() else "cpu"
    recipe, out = packed_recipe(), Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    phase = dataclasses.replace(recipe.phases[arguments.phase], decay="constant", warmup=0)  # the clock has the rate
    trainer = Trainer(recipe)
    trainer.begin(phase)
    optimizers = [(trainer.optimizer, phase.learning_rate)]
    if trainer.adversarial:
        optimizers.append((trainer.discriminator_optimizer, phase.discriminator_rate or phase.learning_rate))
    trainer.generator.load_weights("initial.weights.h5")
    trainer.averaged_generator.set_weights(trainer.generator.get_weights())
    batches = restore(trainer, Path(arguments.state)) if arguments.state else 0

    drawn = drawn_for(trainer.generator)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue(maxsize=64)
    workers = [
        context.Process(target=work, args=(i, arguments.workers, batches, drawn, queue), daemon=True)
        for i in range(arguments.workers)
    ]
    for worker in workers:
        worker.start()
    held_out = validation_batch(photographs(HELD_OUT, recipe), recipe.data, **drawn)
    validation = pytree.tree_map(lambda array: torch.from_numpy(array).to(device), held_out)
    pool = Pool(queue, arguments.pool, device)
    while pool.filled < min(arguments.pool, 4 * recipe.data.batch):
        pool.refresh(wait=True)
    for optimizer, _ in optimizers:
        optimizer.learning_rate = 0.0  # the steps by which the graph is made leave the weights as they are
    step = CapturedStep(trainer, pool.draw(recipe.data.batch))
    print(f"{device}: ready after {time.monotonic() - started:.0f} s, PSNR {validate(trainer, validation, 16):.3f} dB")

    begun, steps, log, validated = time.monotonic(), 0, [], 0.0
    length = 60 * arguments.minutes - (begun - started) - arguments.reserve
    while (passed := time.monotonic() - begun) < length:
        for optimizer, peak in optimizers:
            optimizer.learning_rate = peak * rate(passed / length)
        pool.refresh()
        step(pool.draw(recipe.data.batch))
        steps += 1
        if passed - validated > length / 10:
            if device == "cuda":
                torch.cuda.synchronize()
            validated = passed
            log.append(
                {
                    "seconds": round(passed, 1),
                    "steps": steps,
                    "batches": batches + pool.received,
                    "val_psnr": round(validate(trainer, validation, 16), 4),
                }
            )
            print(log[-1], flush=True)
    log.append(
        {
            "seconds": round(time.monotonic() - begun, 1),
            "steps": steps,
            "batches": batches + pool.received,
            "val_psnr": round(validate(trainer, validation, 16), 4),
        }
    )
    print(log[-1], flush=True)
    save(trainer, out, batches + pool.received)
    with open(out / "log.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, log[0])
        writer.writeheader()
        writer.writerows(log)
    for worker in workers:
        worker.terminate()


if __name__ == "__main__":
    from tfar.commands.arguments import positive_number

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=positive_number, required=True, help="of this call, all in all")
    parser.add_argument("--out", required=True, metavar="FOLDER")
    parser.add_argument("--state", metavar="FOLDER", help="the --out of an earlier call, to go on from")
    parser.add_argument(
        "--reserve",
        type=float,
        default=45,
        metavar="SECONDS",
        help="kept for the last validation and the files (default: %(default)s)",
    )
    parser.add_argument("--phase", type=int, default=0, help="of the recipe (default: %(default)s)")
    parser.add_argument(
        "--pool", type=int, default=65536, metavar="N", help="patches on the card (default: %(default)s)"
    )
    parser.add_argument("--workers", type=int, default=max(os.cpu_count() - 1, 1), help="(default: %(default)s)")
    main(parser.parse_args())
