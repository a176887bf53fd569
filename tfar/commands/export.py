"""Write a preset as SavedModel and TFLite."""

import argparse
from pathlib import Path

from tfar import backend
from tfar.commands.arguments import add_preset
from tfar.errors import TfarError
from tfar.recipes import LAYERS


def add_arguments(parser: argparse.ArgumentParser):
    parser.add_argument("output", metavar="FOLDER", help="gets saved_model/ and model.tflite")
    add_preset(parser)
    parser.add_argument("--layer", choices=LAYERS, help="of a region-aware preset (default: fused)")


def run(options: argparse.Namespace) -> int:
    backend.start()
    from tfar.export.saved_model import export_saved_model
    from tfar.export.tflite import export_tflite
    from tfar.models import main_output
    from tfar.presets import load

    model, folder = load(options.preset), Path(options.output)
    output = options.layer or main_output(model)
    if output not in model.output:
        raise TfarError(f"{options.preset} is a single network and has no layer {output!r}")
    export_saved_model(model, folder / "saved_model", output=output)
    export_tflite(folder / "saved_model", folder / "model.tflite")
    print(f"{folder / 'saved_model'}\n{folder / 'model.tflite'}")
    return 0
