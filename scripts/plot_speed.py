"""Draw the presets' PSNR against the time they take, beside other programs. Needs matplotlib.

    python scripts/benchmark_speed.py LIVE1 --size 256 --csv docs/speed.csv
    python scripts/plot_speed.py docs/images/speed.png --speed docs/speed.csv --peers docs/peers.csv

PSNR is the mean on LIVE1, gray, at quality 10, from the presets' metrics.json; the time is that of the fastest engine
on one core, per megapixel. Better is up and to the left; the line joins what nothing beats in both.
"""

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from tfar import presets
from tfar.cli import exit_code
from tfar.errors import TfarError

Point = tuple[float, float]  # CPU-seconds per megapixel, PSNR


def rows(file: str) -> list[dict[str, str]]:
    with open(file, newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def peers(file: str) -> dict[str, Point]:
    return {row["peer"]: (float(row["CPU-s/MP"]), float(row["QF 10 PSNR"])) for row in rows(file)}


def presets_by(file: str) -> dict[str, Point]:
    """The points of the presets; of those with two networks, of their layers."""
    taken: dict[str, float] = {}
    for row in rows(file):
        if row["engine"] != "floor" and row["threads"] == "1":
            taken[row["preset"]] = min(float(row["CPU-s/MP"]), taken.get(row["preset"], float("inf")))
    return {name: (seconds, psnr(name)) for name, seconds in taken.items()}


def psnr(name: str) -> float:
    noted = json.loads(presets.model_file(name.split()[0]).with_name("metrics.json").read_text(encoding="utf-8"))
    for mean in (mean for evaluation in noted["evaluations"] for mean in evaluation["means"]):
        place = (mean["dataset"], mean["protocol"], mean["quality"])
        if place == ("LIVE1", "gray", 10) and mean["model"] == name:
            return mean["scores"]["psnr"]
    raise TfarError(f"{name} has no score on LIVE1, gray, at quality 10")


def unbeaten(points: Iterable[Point]) -> list[Point]:
    """Those than which no other is both faster and better, by time."""
    found: list[Point] = []
    for point in sorted(points, key=lambda point: (point[0], -point[1])):
        if not found or point[1] > found[-1][1]:
            found.append(point)
    return found


def plot(file: Path, ours: Mapping[str, Point], others: Mapping[str, Point]):
    """Write the PNG."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise TfarError("the picture needs matplotlib, run: pip install matplotlib") from error
    figure = Figure(figsize=(9, 6.5), layout="constrained")
    axes = figure.subplots()
    axes.step(*zip(*unbeaten([*ours.values(), *others.values()])), where="post", color="0.8", zorder=0)
    for points, color, label in ((others, "tab:gray", "other programs"), (ours, "tab:blue", "presets of tfar")):
        axes.scatter(*zip(*points.values()), color=color, label=label, s=18)
        for name, point in points.items():
            axes.annotate(name, point, (4, 3), textcoords="offset points", fontsize=7, color=color)
    axes.set(
        xscale="log", xlabel="CPU-seconds per megapixel, one core", ylabel="PSNR (dB), LIVE1, gray, JPEG quality 10"
    )
    axes.margins(x=0.12)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(file, dpi=120)


def run(options):
    plot(Path(options.file), presets_by(options.speed), peers(options.peers))
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", metavar="PNG")
    parser.add_argument("--speed", required=True, metavar="CSV", help="of benchmark_speed.py")
    parser.add_argument("--peers", required=True, metavar="CSV", help="peer, CPU-s/MP, QF 10 PSNR, as docs/peers.csv")
    sys.exit(exit_code(run, parser.parse_args()))
