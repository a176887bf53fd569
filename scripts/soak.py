"""Restore random photographs for a long time: memory must stay flat and the speed what it was.

    python scripts/soak.py --minutes 60 --output docs/images/soak

Photographs of random sizes as JPEGs of random qualities go, one after the other, through one ``tfar.Restorer`` and
through the signature ``restore_bytes`` of the same preset in the stand-in for TF Serving, each in a process of its own.
Prints resident memory and processor seconds per megapixel by tenths of the time, and writes OUTPUT.csv, a row for each
photograph, and OUTPUT.png, the plot. After the warm-up, the first two tenths, the memory of no tenth may differ from
another by more than 5%, and the last tenth may take no more than 10% longer than the third; otherwise the exit code
is 2.
"""

import argparse
import csv
import dataclasses
import io
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from random_photographs import jpegs
from serve_client import RestServer, restore_bytes

from tfar import backend
from tfar.cli import exit_code
from tfar.commands.arguments import add_preset, positive, positive_number
from tfar.errors import TfarError
from tfar.storage import write_atomically

TENTHS, WARM_UP = 10, 2
GROWTH, SLOW_DOWN = 0.05, 0.10


@dataclasses.dataclass(frozen=True)
class Row:
    """A photograph that was restored: when, by what, at what cost, and the memory of the process afterwards."""

    minute: float
    by: str
    megapixels: float
    cpu_seconds: float
    memory_mb: float


def restore_apart(preset: str, connection):
    """What the process of the Restorer does: restore each JPEG that it gets and send the pixels back."""
    from tfar import Restorer
    from tfar.images.read import read_image

    restorer = Restorer(preset)
    while (content := connection.recv()) is not None:
        connection.send(restorer(read_image(content)))


def soak(ways: dict[str, tuple[Callable, psutil.Process]], photos, minutes: float) -> list[Row]:
    """Restore photographs, each in all ways, until the time is over, which begins after the first of them."""
    for restore, _ in ways.values():
        restore(next(photos)[1])
    rows, start = [], time.monotonic()
    while (minute := (time.monotonic() - start) / 60) < minutes:
        image, content = next(photos)
        for by, (restore, process) in ways.items():
            before = sum(process.cpu_times()[:2])
            restored = restore(content)
            if restored.shape[:2] != image.shape[:2] or restored.dtype != np.uint8:
                raise TfarError(f"{by}: {image.shape} was restored as {restored.shape}, {restored.dtype}")
            seconds = sum(process.cpu_times()[:2]) - before
            size = image.shape[0] * image.shape[1] / 1e6
            rows.append(Row(minute, by, size, seconds, process.memory_info().rss / 1e6))
    return rows


def by_tenth(rows: list[Row], minutes: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean memory in MB, and processor seconds per megapixel, of each tenth of the time."""
    tenths = [[row for row in rows if int(row.minute / minutes * TENTHS) == tenth] for tenth in range(TENTHS)]
    if not all(tenths):
        raise TfarError("a tenth of the time was too short for a photograph; give more --minutes")
    memory = [np.mean([row.memory_mb for row in part]) for part in tenths]
    speed = [sum(row.cpu_seconds for row in part) / sum(row.megapixels for row in part) for part in tenths]
    return np.array(memory), np.array(speed)


def faults(by: str, memory: np.ndarray, speed: np.ndarray) -> list[str]:
    """What is wrong with the memory and the speed after the warm-up."""
    memory, speed = memory[WARM_UP:], speed[WARM_UP:]
    spread, longer = memory.max() / memory.min() - 1, speed[-1] / speed[0] - 1
    found = [f"{by}: memory differs by {spread:.1%} after the warm-up"] if spread > GROWTH else []
    return found + ([f"{by}: the last tenth took {longer:.0%} longer than the third"] if longer > SLOW_DOWN else [])


def plot(rows: list[Row], minutes: float, file: Path):
    import matplotlib.pyplot as plt

    figure, (upper, lower) = plt.subplots(2, 1, figsize=(7, 5), sharex=True, layout="constrained")
    edges = np.linspace(0, minutes, TENTHS + 1)
    for by in dict.fromkeys(row.by for row in rows):
        own = [row for row in rows if row.by == by]
        upper.plot([row.minute for row in own], [row.memory_mb for row in own], label=by)
        lower.stairs(by_tenth(own, minutes)[1], edges, label=by, baseline=None)
    upper.set(ylabel="resident memory, MB", ylim=(0, None))
    lower.set(ylabel="CPU-s per megapixel", ylim=(0, None), xlabel="minutes")
    upper.legend()
    write_atomically(file, lambda part: figure.savefig(part, dpi=80))


def write_rows(rows: list[Row], part: Path):
    with open(part, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(field.name for field in dataclasses.fields(Row))
        for row in rows:
            writer.writerow(value if isinstance(value, str) else f"{value:.4f}" for value in dataclasses.astuple(row))


def run(options):
    backend.start()  # not above: the process of the Restorer imports this file, too
    from serving_stand_in import serving_apart

    from tfar.export.saved_model import export_saved_model
    from tfar.models import main_output
    from tfar.presets import load

    output = Path(options.output)
    processes = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        model = load(options.preset)
        export_saved_model(model, Path(folder, "1"), output=main_output(model))
        with serving_apart(folder) as (_, rest, pid):
            here, there = processes.Pipe()
            worker = processes.Process(target=restore_apart, args=(options.preset, there), daemon=True)
            worker.start()
            there.close()  # or the end of the worker would not be seen
            server = RestServer(rest, "tfar", None, timeout=600)

            def by_restorer(content: bytes) -> np.ndarray:
                try:
                    here.send(content)
                    return here.recv()
                except (EOFError, OSError) as error:
                    worker.join()
                    raise TfarError(f"the process of the Restorer has ended, exit code {worker.exitcode}") from error

            def by_server(content: bytes) -> np.ndarray:
                [(restored, error)] = restore_bytes(server, [content])
                if error:
                    raise TfarError(f"the stand-in: {error}")
                return np.asarray(Image.open(io.BytesIO(restored)))

            ways = {
                "Restorer": (by_restorer, psutil.Process(worker.pid)),
                "stand-in for TF Serving": (by_server, psutil.Process(pid)),
            }
            rows = soak(ways, jpegs(options.photos, options.sides, options.seed), options.minutes)
            here.send(None)
            worker.join()
    write_atomically(output.with_suffix(".csv"), lambda part: write_rows(rows, part))
    plot(rows, options.minutes, output.with_suffix(".png"))
    found = []
    print(f"| | photographs | {' | '.join(str(tenth + 1) for tenth in range(TENTHS))} |")
    print("| --- |" + " ---: |" * (TENTHS + 1))
    for by in ways:
        own = [row for row in rows if row.by == by]
        memory, speed = by_tenth(own, options.minutes)
        print(f"| {by}, MB | {len(own)} | {' | '.join(f'{value:.0f}' for value in memory)} |")
        print(f"| {by}, CPU-s per megapixel | | {' | '.join(f'{value:.2f}' for value in speed)} |")
        found += faults(by, memory, speed)
    if found:
        raise TfarError("; ".join(found))
    return 0


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_preset(parser)
    parser.add_argument("--minutes", type=positive_number, default=60.0, metavar="N", help="(%(default)g)")
    parser.add_argument("--output", default="soak", metavar="NAME", help="of NAME.csv and NAME.png (%(default)s)")
    parser.add_argument("--photos", default="demo", metavar="FOLDER", help="default: photographs of scikit-image")
    parser.add_argument(
        "--sides", type=positive, nargs=2, default=[32, 1024], metavar="N", help="least and largest (32 1024)"
    )
    parser.add_argument("--seed", type=positive, default=1, metavar="S", help="(%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(exit_code(run, arguments().parse_args()))
