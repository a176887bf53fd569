"""Score presets, and note it in their metrics.json; scripts/write_tables.py then writes the tables of the documents.

    python scripts/score_presets.py general --data DATA --weights WEIGHTS
    python scripts/score_presets.py --bundled-only         # all presets

DATA is a folder with LIVE1, Classic5 and BSDS500-val, folders of originals; WEIGHTS one with those of LPIPS
(scripts/perceptual_weights.py). metrics.json, which has the SHA-256 of model.keras (scripts/store_preset.py), gets

- ``evaluations``: for each ``tfar evaluate`` of :data:`ENDINGS` its ``command``, and the ``means`` and ``gains``
  that it prints;
- ``bundled``: the PSNR over RGB, in dB, of a part of three photographs of the scikit-image wheel as a colour JPEG
  (4:2:0) of quality 10, and of its restoration. Everybody has these photographs, so the tests compute it again.
"""

import argparse
import contextlib
import json
import shlex
import sys
from pathlib import Path

from tfar import backend, presets
from tfar.cli import exit_code
from tfar.commands import evaluate
from tfar.errors import TfarError
from tfar.storage import write_text

PHOTOS = ("astronaut", "coffee", "chelsea")
QUALITY = 10
BLIND = (
    "LIVE1 --protocol color --quality 10 20 30 40 50 60 75 85 95 --metrics psnr_rgb psnr ssim lpips --gain psnr_rgb"
    " --weights WEIGHTS",
    "LIVE1 --protocol color-444 --quality 10 40 75 95 --metrics psnr_rgb --gain psnr_rgb",
    "LIVE1 BSDS500-val Classic5 --protocol gray --quality 10 20 30 40 --weights WEIGHTS",
    "LIVE1 --protocol double --quality 20 40 60 80 95 --metrics psnr psnr_b ssim --gain psnr",
)
OF_ONE_QUALITY = (
    "LIVE1 BSDS500-val Classic5 --protocol gray --quality 10 20 --weights WEIGHTS",
    "LIVE1 --protocol color --quality 10 --weights WEIGHTS",
)
OF_SEVERAL = (
    "LIVE1 BSDS500-val Classic5 --protocol gray --quality 10 20 30 40 --weights WEIGHTS",
    "LIVE1 --protocol color --quality 10 20 30 40 --weights WEIGHTS",
)
ENDINGS = {"-q10": OF_ONE_QUALITY, "-q10-40": OF_SEVERAL}  # of the presets' names; the others are blind


def run(options):
    if not options.bundled_only and not (options.data and options.weights):
        raise TfarError("--data and --weights are needed, or --bundled-only")
    for name in options.names or presets.names():
        file = presets.model_file(name).with_name("metrics.json")
        noted = json.loads(file.read_text()) | {"bundled": bundled(name)}
        if not options.bundled_only:
            [commands] = [found for ending, found in ENDINGS.items() if name.endswith(ending)] or [BLIND]
            noted["evaluations"] = [evaluated(name, command, options.data, options.weights) for command in commands]
        write_text(file, json.dumps(noted, indent=1) + "\n")
        print(f"{file}: {json.dumps(noted['bundled'])}")
    return 0


def evaluated(name: str, arguments: str, data: str, weights: str) -> dict:
    """What ``tfar evaluate`` finds for a preset with these arguments, run in the folder of the originals."""
    command = f"tfar evaluate {arguments} --preset {name}"
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    options = parser.parse_args(shlex.split(command)[2:])
    options.weights = options.weights and str(Path(weights).resolve())
    from tfar.evaluation.results import gains, means

    with contextlib.chdir(data):
        rows, failures, _ = evaluate.scored(options)
    if failures:
        raise TfarError(f"{failures[0].image}: {failures[0].problem}")
    return {
        "command": command,
        "means": [vars(mean) for mean in means(rows)],
        "gains": [vars(gain) for gain in gains(rows, options.gain)] if options.gain else [],
    }


def bundled(name: str) -> dict:
    """PSNR of a preset on the photographs that everybody has."""
    backend.start()
    from skimage import data

    import tfar
    from tfar.jpeg import compress
    from tfar.metrics.fidelity import psnr

    scores = {}
    for photo in PHOTOS:
        original = getattr(data, photo)()[60:220, 100:300]
        jpeg = compress(original, QUALITY)
        found = {"JPEG": psnr(original, jpeg), "restored": psnr(original, tfar.restore(jpeg, preset=name))}
        scores[photo] = {row: round(value, 3) for row, value in found.items()}
    return scores


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="PRESET", help="default: all")
    parser.add_argument("--data", metavar="DATA")
    parser.add_argument("--weights", metavar="WEIGHTS")
    parser.add_argument("--bundled-only", action="store_true", help="compute only the scores that the tests compute")
    sys.exit(exit_code(run, parser.parse_args()))
