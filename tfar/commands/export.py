"""Write a preset as SavedModel and TFLite."""

import argparse
import tempfile
from pathlib import Path

from tfar import backend
from tfar.commands.arguments import add_preset, positive, positive_number
from tfar.errors import TfarError
from tfar.export.tflite import QUANTIZATIONS
from tfar.images.write import check_target
from tfar.recipes import LAYERS

FORMATS = ("saved-model", "tflite")


def add_arguments(parser: argparse.ArgumentParser):
    parser.add_argument("output", metavar="FOLDER", help="gets saved_model/ and model.tflite")
    add_preset(parser)
    parser.add_argument("--format", nargs="+", choices=FORMATS, default=FORMATS, help="what to write (default: both)")
    parser.add_argument("--layer", choices=LAYERS, help="of a region-aware preset (default: fused)")
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")
    served = parser.add_argument_group("saved-model")
    served.add_argument("--version", type=positive, metavar="N", help="write saved_model/N/, as TF Serving wants it")
    served.add_argument(
        "--max-megapixels",
        type=positive_number,
        metavar="N",
        help="size from which restore_bytes refuses an image (default: 4)",
    )
    served.add_argument(
        "--warm-up", action="store_true", default=None, help="add requests that TF Serving makes before it serves"
    )
    light = parser.add_argument_group("tflite")
    light.add_argument(
        "--quantize", choices=QUANTIZATIONS, help="weights in 32 (none), 16 or 8 bits (dynamic) (default: none)"
    )
    light.add_argument(
        "--tile", type=positive, metavar="SIDE", help="take images of this size only (default: of any size)"
    )


def run(options: argparse.Namespace) -> int:
    folder = Path(options.output)
    targets = {
        "saved-model": folder / "saved_model" / str(options.version or ""),
        "tflite": folder / "model.tflite",
    }
    written = [target for name, target in targets.items() if name in options.format]
    _check(options, written)
    backend.start()
    from tfar.export.saved_model import MEGAPIXELS, export_saved_model
    from tfar.export.tflite import export_tflite
    from tfar.models import main_output
    from tfar.presets import load

    model = load(options.preset)
    output = options.layer or main_output(model)
    if output not in model.output:
        raise TfarError(f"{options.preset} is a single network and has no layer {output!r}")
    with tempfile.TemporaryDirectory() as temporary:
        served = targets["saved-model"] if "saved-model" in options.format else Path(temporary, "saved_model")
        limit = options.max_megapixels or MEGAPIXELS
        export_saved_model(model, served, output=output, megapixels=limit, warm_up=bool(options.warm_up))
        if "tflite" in options.format:
            export_tflite(served, targets["tflite"], quantize=options.quantize or "none", tile=options.tile)
    print(*written, sep="\n")
    return 0


def _check(options: argparse.Namespace, written: list[Path]):
    """Raise for an option of a format that is not asked for, and for files that must not be replaced."""
    for name, format in {
        "version": "saved-model",
        "max_megapixels": "saved-model",
        "warm_up": "saved-model",
        "quantize": "tflite",
        "tile": "tflite",
    }.items():
        if getattr(options, name) is not None and format not in options.format:
            raise TfarError(f"--{name.replace('_', '-')} is of the format {format}, which --format leaves out")
    for path in written:
        if path.exists() and not options.overwrite:
            raise TfarError(f"{path}: is there already; --overwrite replaces it")
        check_target(path)
