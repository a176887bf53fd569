"""Draw the PSNR on held-out patches against the CPU time of trainings. Needs matplotlib.

    python scripts/plot_runs.py curves.png general=runs/general tiny=runs/tiny

The patches differ between recipes (quality, share on the grid), so compare curves of the same data only.
"""

import argparse
import csv
import sys
from collections.abc import Mapping
from pathlib import Path

from tfar.cli import exit_code
from tfar.commands.arguments import named
from tfar.errors import TfarError

Curve = tuple[list[float], list[float]]


def curve(folder: Path) -> Curve:
    """CPU-seconds and PSNR on the held-out patches after each epoch of a run."""
    with open(folder / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    spent = [float(row["cpu_seconds"]) for row in rows]
    return [sum(spent[: i + 1]) for i in range(len(rows))], [float(row["val_psnr"]) for row in rows]


def plot(file: Path, curves: Mapping[str, Curve], *, unit: str = "minutes"):
    """Write a PNG of curves, by their names."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise TfarError("curves need matplotlib, run: pip install matplotlib") from error
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name, (seconds, psnr) in curves.items():
        axes.plot([second / {"minutes": 60, "seconds": 1}[unit] for second in seconds], psnr, marker=".", label=name)
    axes.set(xlabel=f"CPU-{unit} of training", ylabel="PSNR on held-out patches (dB)")
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize="small")
    figure.savefig(file, dpi=120)


def run(options):
    plot(Path(options.file), {name: curve(Path(folder)) for name, folder in map(named, options.runs)})
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", metavar="PNG")
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN")
    sys.exit(exit_code(run, parser.parse_args()))
