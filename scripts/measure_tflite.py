"""Measure the TFLite files of every preset: their size, what they cost in quality, their speed, their operators.

    python scripts/measure_tflite.py LIVE1 --limit 8 --size 256
    python scripts/measure_tflite.py LIVE1 --limit 8 --size 256 --preset general

Every preset is exported as `tfar export --format tflite` does it, with each `--quantize`, for images of any size, and
with `--io app --tile TILE`, which is fed tile by tile at odd offsets, as the app DeJPEG does it. The middle of every
image is coded and restored by each of them and by Keras: by networks for luma as a gray JPEG, by others as a colour
JPEG (4:2:0). Columns:

- MB: size of the file, in millions of bytes;
- PSNR (of RGB for colour), SSIM, and LPIPS where TFAR_WEIGHTS names a folder with `lpips_alex.npz`: the mean over the
  images; loss: of PSNR, against Keras, in dB;
- CPU-ms/MP: milliseconds of all processors per megapixel with 1 and with 2 threads, without initialisation, the least
  of three runs on one square of TILE pixels: less the clock than the work, so that other programs matter little;
- not for GPUs: operators that are not in the list of the GPU delegate for phones (tfar/export/flatbuffer.py).
"""

import argparse
import contextlib
import io
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tfar import backend, presets
from tfar.cli import exit_code, main
from tfar.commands.arguments import positive, quality
from tfar.errors import TfarError

KINDS = ("none", "float16", "dynamic", "int8", "app")


def run(options):
    backend.start()
    from tfar.evaluation import protocols
    from tfar.evaluation.contestants import contestant
    from tfar.export.flatbuffer import outside_mobile_gpu
    from tfar.images.read import image_files, read_image
    from tfar.metrics.catalogue import choose, score
    from tfar.metrics.weights import perceptual_metrics
    from tfar.models import channels
    from tfar.restoration.restorer import Restorer

    weights = os.environ.get("TFAR_WEIGHTS")
    perceptual = perceptual_metrics(weights, ["lpips"]) if weights else {}
    files = image_files(Path(options.folder))[: options.limit]
    originals = [protocols.middle(read_image(file), options.size) for file in files]
    print(
        f"{len(originals)} images of {options.size} pixels a side at QF {options.quality}; --io app: {options.tile}\n"
    )
    heads = ["PSNR", "SSIM", *["LPIPS" for _ in perceptual]]
    threads = [f"CPU-ms/MP, {count}" for count in options.threads]
    print(f"| preset | file | MB | {' | '.join(heads)} | loss | {' | '.join(threads)} | not for GPUs |")
    print("| --- | --- | ---: |" + " ---: |" * (len(heads) + 1 + len(threads)) + " --- |")
    for preset in options.preset or presets.names():
        gray = channels(presets.load(preset)) == 1
        metrics = choose(["psnr" if gray else "psnr_rgb", "ssim", *perceptual], perceptual)
        trials = [(protocols.gray if gray else protocols.color)(original, options.quality) for original in originals]

        def row(name, restore, *, size="", loss=None, times=(), missing=""):
            scores = [score(metrics, trial.original, restore(trial.jpeg)) for trial in trials]
            means = [float(np.mean([found[metric] for found in scores])) for metric in metrics]
            shown = [f"{mean:.{3 if index == 0 else 4}f}" for index, mean in enumerate(means)]
            lost = "" if loss is None else f"{loss - means[0]:.3f}"
            print("|", " | ".join([preset, name, size, *shown, lost, *(times or [""] * len(threads)), missing]), "|")
            sys.stdout.flush()
            return means[0]

        row("JPEG", lambda image: image)
        keras = row("Keras", Restorer(presets.load(preset)))
        for kind in options.kind:
            with tempfile.TemporaryDirectory() as folder:
                file = exported(preset, kind, options.tile, folder)
                content = file.read_bytes()
                model = contestant(str(file))
                missing = ", ".join(f"{count} {name}" for name, count in sorted(outside_mobile_gpu(content).items()))
                row(
                    kind,
                    lambda image: model.restore(image)[file.name],
                    size=f"{len(content) / 1e6:.2f}",
                    loss=keras,
                    times=[f"{milliseconds(content, count, options.tile):.0f}" for count in options.threads],
                    missing=missing or "none",
                )
    return 0


def exported(preset: str, kind: str, tile: int, folder: str) -> Path:
    """The file that the command line makes."""
    how = ["--io", "app", "--tile", str(tile)] if kind == "app" else ["--quantize", kind]
    with contextlib.redirect_stdout(io.StringIO()):
        failed = main(["export", folder, "--preset", preset, "--format", "tflite", *how])
    if failed:
        raise TfarError(f"{preset}, {kind}: not exported")
    return Path(folder, "model.tflite")


def milliseconds(content: bytes, threads: int, side: int) -> float:
    """Processor time per megapixel."""
    from ai_edge_litert.interpreter import Interpreter

    network = Interpreter(model_content=content, num_threads=threads).get_signature_runner("serving_default")
    given = {}
    for name, detail in network.get_input_details().items():
        sides = {"image": (side, side, 3), "noise": (-(-side // 2), -(-side // 2), 1), "strength": (1,)}
        given[name] = np.ones((1, *sides[name]), detail["dtype"])
    taken = []
    for _ in range(4):
        start = time.process_time()
        network(**given)
        taken.append(time.process_time() - start)
    return min(taken[1:]) * 1e3 / (side * side / 1e6)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER", help="originals")
    parser.add_argument("--preset", nargs="+", metavar="NAME", help="default: all")
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--threads", type=positive, nargs="+", default=[1, 2], metavar="N")
    parser.add_argument("--quality", type=quality, default=10, metavar="QF")
    parser.add_argument("--limit", type=positive, metavar="N", help="take the first N images only")
    parser.add_argument("--size", type=positive, default=512, metavar="N", help="side of what is taken of an image")
    parser.add_argument("--tile", type=positive, default=128, help="side of the squares (default: %(default)s)")
    sys.exit(exit_code(run, parser.parse_args()))
