"""Measure what it changes that a restoration is moved into the quantization intervals of its JPEG.

    python scripts/measure_consistency.py PHOTOS --preset general region-aware-q10 --quality 10 40 --weights WEIGHTS
    python scripts/measure_consistency.py LIVE1 --preset region-aware-q10 --layer base --ensemble --protocol gray

Every image is coded (color: 4:2:0) and restored by what restores it for ``tfar restore``: on CPUs LiteRT, with weights
in 8 bits where the processor is faster with them (``tfar evaluate`` takes float32). The means of the scores are printed
without and with consistency, and what it changed; with ``--ensemble`` in a second row for each, of the mean of the
image in all 8 positions.
"""

import argparse
import sys
from pathlib import Path

from tfar import backend
from tfar.cli import exit_code
from tfar.commands.arguments import positive, quality
from tfar.presets import DEFAULT
from tfar.recipes import LAYERS

METRICS = {"color": ("psnr_rgb", "psnr", "psnr_b"), "gray": ("psnr", "psnr_b", "ssim")}  # by protocol


def run(options):
    backend.start()
    import numpy as np

    from tfar.evaluation import protocols
    from tfar.images.read import image_files, read_image
    from tfar.metrics.catalogue import choose, score
    from tfar.metrics.weights import perceptual_metrics
    from tfar.restoration.projection import coded_planes, project
    from tfar.restoration.restorer import Restorer

    names = (*METRICS[options.protocol], *(["lpips"] if options.weights else []))
    metrics = choose(names, perceptual_metrics(options.weights, names) if options.weights else None)
    headings = [metric.heading for metric in metrics.values()]
    files = image_files(Path(options.folder))[: options.limit]
    print(f"{len(files)} images; without -> with consistency\n")
    print(f"| preset | QF | {' | '.join(headings)} |")
    print(f"| --- | --- |{' ---: |' * len(headings)}")
    code = getattr(protocols, options.protocol)
    for preset in options.preset:
        restorers = {"": Restorer(preset, layer=options.layer)}
        if options.ensemble:
            restorers[", ensemble"] = Restorer(preset, layer=options.layer, ensemble=True)
        for factor in options.quality:
            trials = [code(read_image(file), factor) for file in files]
            for how, restore in restorers.items():
                scores = []
                for trial in trials:
                    restored = restore(trial.jpeg)
                    moved = project(restored, coded_planes(trial.file))
                    scores.append([list(score(metrics, trial.original, image).values()) for image in (restored, moved)])
                cells = [
                    f"{without:.4f} -> {with_it:.4f} ({with_it - without:+.4f})"
                    for without, with_it in np.mean(scores, axis=0).T
                ]
                print(f"| {preset}{how} | {factor} | {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER", help="originals")
    parser.add_argument("--preset", nargs="+", default=[DEFAULT], metavar="NAME", help="(default: %(default)s)")
    parser.add_argument("--layer", choices=LAYERS, help="of a region-aware preset (default: fused)")
    parser.add_argument("--ensemble", action="store_true", help="the mean of 8 positions, too")
    parser.add_argument("--protocol", choices=METRICS, default="color", help="(%(default)s)")
    parser.add_argument("--quality", type=quality, nargs="+", default=[10], metavar="QF")
    parser.add_argument("--weights", metavar="FOLDER", help="weights of LPIPS")
    parser.add_argument("--limit", type=positive, metavar="N", help="take the first N images only")
    sys.exit(exit_code(run, parser.parse_args()))
