"""Measure how many units of networks are ever active: above zero, where ReLU and LeakyReLU pass a value on as it is.

    python scripts/measure_active_units.py general region-aware-q10 runs/base --data PHOTOS --quality 10 40

A unit of a ReLU that is nowhere active takes time and learns nothing more: it is dead. A row is a layer that cuts or
damps what is below zero: its width, how many of its units are active at none of the places that were looked at, at
fewer than 0.1% and 5% of them, and the share of places at which the median unit is. The places are those of the first
192x192 pixels of each image, coded in colour (4:2:0). PHOTOS should be the training's own.
"""

import argparse
import sys
from pathlib import Path

from tfar import backend
from tfar.cli import exit_code
from tfar.commands.arguments import positive, quality

SIDE = 192  # of the crops, in pixels


def run(options):
    backend.start()
    import numpy as np

    from tfar.evaluation import protocols
    from tfar.images.read import image_files, read_image
    from tfar.training.region_aware import network_of

    files = image_files(Path(options.data))[: options.limit]
    crops = [read_image(file)[:SIDE, :SIDE] for file in files]
    jpegs = [protocols.color(crop, factor).jpeg for factor in options.quality for crop in crops]
    print(f"{len(files)} images, quality {', '.join(map(str, options.quality))}\n")
    print("| network | layer | units | never | < 0.1% | < 5% | median |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for name in options.network:
        for network in trained_parts(network_of(name)):
            for layer, shares in active_shares(network, jpegs).items():
                counts = [(shares < limit).sum() for limit in (np.finfo(float).tiny, 0.001, 0.05)]
                cells = [name, layer, len(shares), *counts, f"{np.median(shares):.4f}"]
                print(f"| {' | '.join(map(str, cells))} |", flush=True)
    return 0


def trained_parts(network):
    """A network's parts, or itself where it has none."""
    import keras

    return [layer for layer in network.layers if isinstance(layer, keras.Model)] or [network]


def active_shares(network, jpegs):
    """The share of places, over all images, at which each unit is above zero, by the name of its layer."""
    import keras
    import numpy as np

    from tfar import pixels
    from tfar.models import call, channels, input_names

    outputs = {layer.name: layer.output for layer in network.layers if damps(layer)}
    if not outputs:
        return {}
    probe, shares = keras.Model(network.inputs, outputs), {name: [] for name in outputs}
    rng = np.random.default_rng(0)
    for jpeg in jpegs:
        image = pixels.as_float(jpeg)[None]
        height, width = image.shape[1:3]
        given = {input_names(network)[0]: image if channels(network) == 3 else pixels.to_luma(image)}
        given["noise"] = rng.normal(size=(1, -(-height // 2), -(-width // 2), 1)).astype("float32")
        for name, value in call(probe, given).items():
            shares[name].append((keras.ops.convert_to_numpy(value) > 0).mean((0, 1, 2)))
    return {name: np.mean(values, axis=0) for name, values in shares.items()}


def damps(layer) -> bool:
    """Whether a layer cuts or damps what is below zero, as ReLU and LeakyReLU do."""
    from keras import activations, layers

    fused = getattr(layer, "activation", None) in (activations.relu, activations.leaky_relu)
    return fused or isinstance(layer, (layers.ReLU, layers.LeakyReLU))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", nargs="+", metavar="NETWORK", help="presets, runs or .keras files")
    parser.add_argument("--data", required=True, metavar="FOLDER", help="originals")
    parser.add_argument("--quality", type=quality, nargs="+", default=[10], metavar="QF")
    parser.add_argument("--limit", type=positive, default=60, metavar="N", help="take the first N images (%(default)s)")
    sys.exit(exit_code(run, parser.parse_args()))
