"""Measure what a network loses on pictures that do not start on the grid of their JPEG, such as crops and tiles.

    python scripts/measure_grid.py LIVE1 --preset general --quality 10 40 75

Every image is coded (colour, 4:2:0) and restored as it is and with its first rows and columns cut off, at several
offsets: by the network, which takes the picture's corner for the grid's, and as `tfar restore` does it, which looks for
the grid in the pixels first. All are scored on the same pixels, 16 from the borders: PSNR on luma, the mean over images
and offsets.
"""

import argparse
import sys
from pathlib import Path

from tfar import backend
from tfar.cli import exit_code
from tfar.commands.arguments import add_preset, positive, quality

OFFSETS = ((4, 4), (3, 5), (1, 6), (7, 2))
BORDER = 16


def run(options):
    backend.start()
    import numpy as np

    from tfar.evaluation import protocols
    from tfar.images.read import image_files, read_image
    from tfar.metrics.fidelity import psnr
    from tfar.pixels import studio_luma
    from tfar.restoration.restorer import Restorer
    from tfar.traces import find_trace
    from tfar.training.region_aware import network_of

    restore = Restorer(network_of(options.preset), options.layer)
    files = image_files(Path(options.folder))[: options.limit]
    print(f"| {options.preset}, {len(files)} images | JPEG | on the grid | off the grid | loss | grid found | loss |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for factor in options.quality:
        scores = []
        for file in files:
            trial = protocols.color(read_image(file), factor)
            whole = restore(trial.jpeg)
            for top, left in OFFSETS:
                inner = np.s_[top + BORDER : -BORDER, left + BORDER : -BORDER]
                crop = trial.jpeg[top:, left:]
                trace = find_trace(crop)
                found = restore(crop, offset=trace.offset if trace else (0, 0))
                compared = (
                    trial.jpeg[inner],
                    whole[inner],
                    *(i[BORDER:-BORDER, BORDER:-BORDER] for i in (restore(crop), found)),
                )
                original = studio_luma(trial.original[inner])
                scores.append([psnr(original, studio_luma(image)) for image in compared])
        jpeg, on, off, aligned = np.mean(scores, axis=0)
        print(
            f"| QF {factor} | {jpeg:.2f} | {on:.2f} | {off:.2f} | {on - off:.3f} | {aligned:.2f} | {on - aligned:.3f} |"
        )
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER", help="originals")
    add_preset(parser)
    parser.add_argument("--layer", help="of a region-aware preset")
    parser.add_argument("--quality", type=quality, nargs="+", default=[10], metavar="QF")
    parser.add_argument("--limit", type=positive, metavar="N", help="take the first N images only")
    sys.exit(exit_code(run, parser.parse_args()))
