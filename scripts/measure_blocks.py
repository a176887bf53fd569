"""Measure what each residual block of a network brings: the PSNR gained over the JPEG without it.

    python scripts/measure_blocks.py general region-aware-q10 runs/base --data PHOTOS --quality 10 40

A block is taken out by zeros in its last kernel; its bias stays, so what is lost is all that it makes of its input.
Each row is a block, and the last one all blocks of the coarser scales; gains are in dB of PSNR over RGB, means over the
middle of the images, coded in colour (4:2:0). Of a fused network L_B is measured.
"""

import argparse
import itertools
import re
import sys
from pathlib import Path

from tfar import backend
from tfar.cli import exit_code
from tfar.commands.arguments import positive, quality

SIDE = 192  # of the crops, in pixels; smaller images are left out
LAST = re.compile(r"(^|_)block\d+_conv2$")  # names of the last convolutions of blocks
COARSE = ("down2", "down3", "bottom", "up2", "up3")  # stages of a network on several scales


def run(options):
    backend.start()
    import numpy as np

    from tfar import pixels
    from tfar.evaluation import protocols
    from tfar.images.read import image_files, read_image
    from tfar.metrics.fidelity import psnr
    from tfar.models import main_output, rgb_form
    from tfar.training.region_aware import network_of

    images = map(read_image, image_files(Path(options.data)))
    large = (image for image in images if min(image.shape[:2]) >= SIDE)
    crops = [protocols.middle(image, SIDE) for image in itertools.islice(large, options.limit)]
    trials = {factor: [protocols.color(crop, factor) for crop in crops] for factor in options.quality}

    def gains(rgb):
        means = []
        for of_quality in trials.values():
            jpegs = np.stack([trial.jpeg for trial in of_quality])
            outputs = rgb.predict(pixels.as_float(jpegs), batch_size=4, verbose=0)
            restored = pixels.as_levels(outputs[main_output(rgb)])
            gained = [psnr(t.original, image) - psnr(t.original, t.jpeg) for t, image in zip(of_quality, restored)]
            means.append(f"{np.mean(gained):+.3f}")
        return means

    print(f"{len(crops)} images\n")
    print(f"| network | without | {' | '.join(f'QF {factor}' for factor in options.quality)} |")
    print(f"| --- | --- |{' ---: |' * len(trials)}")
    for name in options.network:
        network = network_of(name)
        network = next((layer for layer in network.layers if layer.name == "edge_cnn"), network)
        rgb = rgb_form(network, [main_output(network)])
        ends = [layer for layer in network.layers if LAST.search(layer.name)]
        removals = {"nothing": []} | {layer.name.removesuffix("_conv2"): [layer] for layer in ends}
        if coarse := [layer for layer in ends if layer.name.startswith(COARSE)]:
            removals["all of the coarser scales"] = coarse
        for removed, layers in removals.items():
            kernels = [layer.kernel.numpy() for layer in layers]
            for layer in layers:
                layer.kernel.assign(0 * layer.kernel)
            print(f"| {name} | {removed} | {' | '.join(gains(rgb))} |", flush=True)
            for layer, kernel in zip(layers, kernels):
                layer.kernel.assign(kernel)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", nargs="+", metavar="NETWORK", help="presets, runs or .keras files")
    parser.add_argument("--data", required=True, metavar="FOLDER", help="originals")
    parser.add_argument("--quality", type=quality, nargs="+", default=[10], metavar="QF")
    parser.add_argument("--limit", type=positive, default=20, metavar="N", help="take the first N images (%(default)s)")
    sys.exit(exit_code(run, parser.parse_args()))
