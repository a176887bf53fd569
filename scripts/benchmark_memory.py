"""Measure the memory that restoring an image takes, by preset, engine and size.

    python scripts/benchmark_memory.py --megapixels 2 12 48
    python scripts/benchmark_memory.py --preset galteri-mse-q10-40 --engine litert --megapixels 100 250

Each row is a process of its own that restores a colour image of 4:3, made of a photograph over and over, and prints
its peak of resident memory (the image and its result among it), the share of the limit of 1.5 GB and twice the image,
and its processor time. ``--tiles N`` stops after N tiles, when the peak is reached and every page of the result was
written to: for networks that would take hours. Linux only.
"""

import argparse
import io
import json
import re
import subprocess
import sys
import time
from pathlib import Path

from tfar import presets
from tfar.cli import exit_code
from tfar.commands.arguments import positive
from tfar.errors import TfarError, last_line
from tfar.restoration.engines import ENGINES

GIGABYTE = 10**9


def run(options):
    print("| preset | engine | megapixels | tiles | peak, GB | of the limit | CPU-s per megapixel |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for preset in options.preset or presets.names():
        for engine in options.engine:
            for size in options.megapixels:
                command = [sys.executable, __file__, "--measure", preset, engine, str(size), str(options.tiles or 0)]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    raise TfarError(f"{preset}, {engine}, {size:g} megapixels: {last_line(done)}")
                row = json.loads(done.stdout)
                limit = 1.5 * GIGABYTE + 2 * row["image"]
                print(
                    f"| {preset} | {engine} | {size:g} | {row['done']}/{row['tiles']} | {row['peak'] / GIGABYTE:.2f} |"
                    f" {row['peak'] / limit:.0%} | {row['seconds'] * row['tiles'] / row['done'] / size:.2f} |",
                    flush=True,
                )
    return 0


class Enough(Exception):
    """Raised after as many tiles as were asked for."""


def measure(preset: str, engine: str, megapixels: float, most: int):
    """What the process of one row does."""
    import numpy as np
    from PIL import Image
    from skimage import data

    from tfar.restoration.restorer import Restorer

    height, width = round((megapixels * 0.75e6) ** 0.5), round((megapixels * 1e6 / 0.75) ** 0.5)
    coded = io.BytesIO()
    Image.fromarray(data.astronaut()).save(coded, "JPEG", quality=30)
    photo = np.asarray(Image.open(coded))
    image = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, 512):
        for left in range(0, width, 512):
            part = image[top : top + 512, left : left + 512]
            part[:] = photo[: part.shape[0], : part.shape[1]]
    restorer = Restorer(preset, engine=engine)
    last, start = (0, 0), time.process_time()

    def progress(done, tiles):
        nonlocal last
        last = done, tiles
        if done == most:
            raise Enough

    try:
        restorer(image, progress=progress)
    except Enough:
        np.ones_like(image)  # what the rest of the result would have taken
    seconds = time.process_time() - start
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
    print(json.dumps({"peak": peak, "image": image.nbytes, "done": last[0], "tiles": last[1], "seconds": seconds}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], sys.argv[3], float(sys.argv[4]), int(sys.argv[5]))
        sys.exit()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", nargs="+", metavar="NAME", help="default: all")
    parser.add_argument("--engine", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--megapixels", nargs="+", type=float, default=[2, 12, 48], metavar="N")
    parser.add_argument("--tiles", type=positive, metavar="N", help="stop after N tiles")
    sys.exit(exit_code(run, parser.parse_args()))
