"""Measure what the metrics cost beside the restoration that they score.

    python scripts/benchmark_metrics.py LIVE1
    python scripts/benchmark_metrics.py LIVE1 --preset galteri-mse-q10-40 --metrics psnr dists --weights FOLDER

Every image of the folder is coded under the protocol gray at quality 10, restored and scored, one step after the other.
Printed are seconds per image, and for each model the share that its metrics have of its restoration; a model with
several layers is restored in one go and scored layer by layer.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from tfar import backend
from tfar.cli import exit_code
from tfar.presets import DEFAULT

LUMA_METRICS = ("psnr", "psnr_b", "e_psnr", "ssim", "ssim_gaussian", "ms_ssim")


def timed(spent, name, function, *arguments):
    """Call a function and add the time it took to ``spent[name]``."""
    start = time.perf_counter()
    result = function(*arguments)
    spent[name] += time.perf_counter() - start
    return result


def run(options):
    backend.start()
    from tfar.evaluation import protocols
    from tfar.evaluation.contestants import contestant
    from tfar.images.read import image_files, read_image
    from tfar.metrics.catalogue import choose
    from tfar.metrics.weights import perceptual_metrics

    given = perceptual_metrics(options.weights, options.metrics) if options.weights else None
    metrics = choose(options.metrics, given)
    models = {name: contestant(name) for name in options.models}
    files = image_files(Path(options.folder))[: options.limit]
    restoring, scoring = Counter(), {name: Counter() for name in models}
    for file in files:
        trial = protocols.gray(read_image(file), 10)
        for name, model in models.items():
            restored = timed(restoring, name, model.restore, trial.jpeg)
            for image in restored.values():
                for metric, entry in metrics.items():
                    timed(scoring[name], metric, entry.function, trial.original, image)

    print(f"| {len(files)} images | restoring | {' | '.join(metric.heading for metric in metrics.values())} | share |")
    print(f"| --- |{' ---: |' * (len(metrics) + 2)}")
    for name in models:
        costs = " | ".join(f"{scoring[name][metric] / len(files):.4f}" for metric in metrics)
        share = scoring[name].total() / restoring[name]
        print(f"| {name} | {restoring[name] / len(files):.3f} | {costs} | {share:.1%} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER", help="originals")
    parser.add_argument("--preset", nargs="+", default=[DEFAULT], metavar="MODEL", dest="models")
    parser.add_argument(
        "--metrics",
        nargs="+",
        default=LUMA_METRICS,
        metavar="NAME",
        help="those of luma, flip, lpips, lpips_vgg or dists (default: all of luma)",
    )
    parser.add_argument("--weights", metavar="FOLDER", help="weights of LPIPS and DISTS")
    parser.add_argument("--limit", type=int, metavar="N", help="take the first N images only")
    sys.exit(exit_code(run, parser.parse_args()))
