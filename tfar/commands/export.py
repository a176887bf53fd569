"""Write a preset as SavedModel, TFLite, ONNX, or a page that restores in the browser."""

import argparse
import contextlib
import json
import tempfile
import webbrowser
from http.server import HTTPServer
from pathlib import Path
from typing import Any

from tfar import __version__, backend, presets
from tfar.commands.arguments import add_preset, port, positive, positive_number
from tfar.errors import TfarError
from tfar.export.onnx import IO, check_installed, export_onnx
from tfar.export.tflite import QUANTIZATIONS
from tfar.export.web import QUANTIZATIONS as WEB_QUANTIZATIONS
from tfar.export.web import TILE, check_tile, export_web, server
from tfar.images.write import check_target
from tfar.recipes import LAYERS

FORMATS = ("saved-model", "tflite", "web", "onnx")
DEFAULT_FORMATS = ("saved-model", "tflite")
PORT = 8377
OPTIONS_OF = {
    "version": ("saved-model",),
    "max_megapixels": ("saved-model",),
    "warm_up": ("saved-model",),
    "quantize": ("tflite", "web"),
    "tile": ("tflite", "web"),
    "serve": ("web",),
    "io": ("tflite", "onnx"),
}
APP_TILE = 256  # of TFLite files for apps
LICENCE = "MIT"  # of the presets


def add_arguments(parser: argparse.ArgumentParser):
    parser.add_argument("output", metavar="FOLDER", help="gets saved_model/, model.tflite, web/, model.onnx")
    add_preset(parser)
    parser.add_argument(
        "--format",
        nargs="+",
        choices=FORMATS,
        default=DEFAULT_FORMATS,
        help=f"what to write (default: {' and '.join(DEFAULT_FORMATS)})",
    )
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
    light = parser.add_argument_group("tflite, web")
    light.add_argument(
        "--quantize",
        choices=QUANTIZATIONS,
        help="weights in 32 (none) or 16 bits, or in 8 bits with ranges of the activations that are measured for every"
        " image (dynamic) or once (int8) (default: none; of web: dynamic)",
    )
    light.add_argument(
        "--tile",
        type=positive,
        metavar="SIDE",
        help=f"take images of this size only (default: of any size; {APP_TILE} with --io app; {TILE} in web)",
    )
    page = parser.add_argument_group("web")
    page.add_argument(
        "--serve",
        nargs="?",
        type=port,
        const=PORT,
        metavar="PORT",
        help=f"open the page in the browser, from http://localhost:{PORT}, until Ctrl-C; one that is there already,"
        " as it is",
    )
    exchange = parser.add_argument_group("tflite, onnx")
    exchange.add_argument(
        "--io",
        choices=IO,
        help="image: uint8 images; app: what DeJPEG takes, and of onnx chaiNNer: float images in [0, 1]; of tflite with"
        " the slider as the strength, of operators for GPUs of phones (default: image)",
    )


def run(options: argparse.Namespace) -> int:
    folder = Path(options.output)
    targets = {
        "saved-model": folder / "saved_model" / str(options.version or ""),
        "tflite": folder / "model.tflite",
        "web": folder / "web",
        "onnx": folder / "model.onnx",
    }
    as_it_is = options.serve and not options.overwrite and _is_there(targets["web"], options)
    written = {name: target for name, target in targets.items() if name in options.format}
    if as_it_is:
        written.pop("web", None)
    if "saved-model" in written:
        _check_versions(folder / "saved_model", options.version)
    _check(options, list(written.values()))
    with server(targets["web"], options.serve) if options.serve else contextlib.nullcontext() as http:
        if written:
            _write(options, written)
            print(*written.values(), sep="\n")
        if as_it_is:
            print(f"{targets['web']}: is there already, and served as it is; --overwrite replaces it")
        if http:
            _serve(http)
    return 0


def _write(options: argparse.Namespace, targets: dict[str, Path]):
    """Write a preset to where each format has its target."""
    backend.start()
    from tfar.export.mobile_gpu import check_tile as check_app_tile
    from tfar.export.saved_model import MEGAPIXELS, export_saved_model
    from tfar.models import main_output

    model = presets.load(options.preset)
    output = options.layer or main_output(model)
    if output not in model.output:
        raise TfarError(f"{options.preset} is a single network and has no layer {output!r}")
    if options.io == "app" and "tflite" in targets:
        check_app_tile(model, options.tile or APP_TILE, name=options.preset)
    with tempfile.TemporaryDirectory() as temporary:
        served = targets.get("saved-model", Path(temporary, "saved_model"))
        limit = options.max_megapixels or MEGAPIXELS
        export_saved_model(model, served, output=output, megapixels=limit, warm_up=bool(options.warm_up))
        if "tflite" in targets:
            _write_tflite(options, model, output, served, targets["tflite"])
        if "web" in targets:
            how = {"quantize": options.quantize or "dynamic", "tile": options.tile or TILE}
            name = presets.title(presets.model_file(options.preset))
            page_of = name if output == main_output(model) else f"{name}.{output}"
            export_web(served, targets["web"], preset=page_of, version=__version__, **how)
        if "onnx" in targets:
            export_onnx(served, targets["onnx"], io=options.io or "image")


def _serve(http: HTTPServer):
    """Open a page in the browser, and serve it until Ctrl-C."""
    address = f"http://localhost:{http.server_port}"
    print(f"{address}  (Ctrl-C ends)", flush=True)
    webbrowser.open(address)
    with contextlib.suppress(KeyboardInterrupt):
        http.serve_forever()


def _write_tflite(options: argparse.Namespace, model, output: str, served: Path, target: Path):
    """Write a TFLite file of a network, or of the SavedModel that was made of it."""
    from tfar.data.calibration import calibration_patches
    from tfar.export.app import export_app
    from tfar.export.tflite import export_tflite

    quantize = options.quantize or "none"
    patches = calibration_patches(presets.qualities(options.preset)) if quantize == "int8" else None
    given: dict[str, Any] = {"quantize": quantize, "calibration": patches, "about": _about(options.preset, output)}
    if options.io == "app":
        export_app(model, target, output=output, tile=options.tile or APP_TILE, **given)
    else:
        export_tflite(served, target, tile=options.tile, **given)


def _about(preset: str, output: str) -> dict[str, Any]:
    """What a file says of its network; of networks that are no presets, neither qualities nor licence may be known."""
    file = presets.model_file(preset)
    known = {
        "preset": presets.title(file).encode(errors="backslashreplace").decode(),  # a folder's name may be no UTF-8
        "layer": output,
        "sha256": presets.digest(file),
        "tfar": __version__,
        "qualities": presets.qualities(preset),
        "licence": LICENCE if preset in presets.names() else None,
    }
    return {name: value for name, value in known.items() if value is not None}


def _is_there(page: Path, options: argparse.Namespace) -> bool:
    """Whether a folder holds a page of the preset that is asked for, of whose form nothing is said."""
    if options.layer or options.quantize or options.tile or not (page / "index.html").is_file():
        return False
    try:
        name = json.loads((page / "settings.json").read_text(encoding="utf-8"))["name"]
    except (OSError, ValueError, KeyError, TypeError):  # another program's page, or a damaged one
        return False
    return name == presets.title(presets.model_file(options.preset))


def _check_versions(folder: Path, version: int | None):
    """Raise where a SavedModel would take the place of versions of one, or a version would lie in a SavedModel."""
    versions = sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal()) if folder.is_dir() else []
    if versions and not version:
        raise TfarError(f"{folder}: holds versions {', '.join(map(str, versions))}; name one with --version")
    if version and (folder / "saved_model.pb").exists():
        raise TfarError(f"{folder}: is a SavedModel without versions; export those into another folder")


def _check_name(folder: str):
    """Raise for a folder into which TensorFlow can write no SavedModel."""
    try:
        folder.encode()
    except UnicodeEncodeError as error:
        raise TfarError(f"{folder}: TensorFlow writes no SavedModel into a folder whose name is not UTF-8") from error


def _check(options: argparse.Namespace, written: list[Path]):
    """Raise for an option of a format that is not asked for, and for files that must not be replaced."""
    for name, formats in OPTIONS_OF.items():
        if getattr(options, name) is not None and not set(formats) & set(options.format):
            raise TfarError(
                f"--{name.replace('_', '-')} is of the format {' or '.join(formats)}, which --format leaves out"
            )
    if "web" in options.format and options.quantize not in (None, *WEB_QUANTIZATIONS):
        raise TfarError(f"--quantize {options.quantize} is not for the format web; {' or '.join(WEB_QUANTIZATIONS)} is")
    if "web" in options.format and options.tile:
        check_tile(options.tile)
    if "onnx" in options.format:
        check_installed()
    if "saved-model" in options.format:
        _check_name(options.output)
    for path in written:
        if path.exists() and not options.overwrite:
            raise TfarError(f"{path}: is there already; --overwrite replaces it")
        check_target(path)
