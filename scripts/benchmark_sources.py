"""Compare what it costs to find and to read the photographs of several sources.

    tfar pack PHOTOS SHARDS
    python scripts/benchmark_sources.py PHOTOS shards:SHARDS

Printed for each source: seconds to find and split its photographs, and milliseconds per photograph for reading and
decoding them in a random order, once for every photograph, in processor time and by the clock. The sources take turns,
and the best of the rounds counts, since the clock also runs for what else the machine is doing.
"""

import argparse
import sys
import time
import warnings

import numpy as np

from tfar.cli import exit_code
from tfar.data.sources import load_split


def costs(function) -> np.ndarray:
    """Processor time and clock time of a call, in seconds."""
    before = time.process_time(), time.perf_counter()
    function()
    return np.subtract((time.process_time(), time.perf_counter()), before)


def read_all(images):
    for index in np.random.default_rng(0).permutation(len(images)):
        images[index].load()


def run(arguments):
    warnings.simplefilter("ignore")
    found = {source: [] for source in arguments.source}
    read = {source: [] for source in arguments.source}
    counts = {}
    for _ in range(arguments.rounds):
        for source in arguments.source:
            found[source].append(costs(lambda: load_split(source, 0.1, arguments.patch)))
            images, _ = load_split(source, 0.1, arguments.patch)
            counts[source] = len(images)
            read[source].append(costs(lambda: read_all(images)) / len(images))
    print("source  photographs  find, CPU-s  find, s  read, CPU-ms  read, ms")
    for source, count in counts.items():
        (find_cpu, find), (read_cpu, reading) = np.min(found[source], axis=0), 1000 * np.min(read[source], axis=0)
        print(f"{source}  {count}  {find_cpu:.4f}  {find:.4f}  {read_cpu:.2f}  {reading:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="+", help="a folder, shards:FOLDER, demo or tfds:NAME")
    parser.add_argument("--patch", type=int, default=96, help="side of the patches that photographs must hold")
    parser.add_argument("--rounds", type=int, default=3)
    sys.exit(exit_code(run, parser.parse_args()))
