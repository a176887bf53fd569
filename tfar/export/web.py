"""A static page that restores JPEGs in the browser, and a server for it on this machine.

``web_page`` holds what we wrote of the page, and in ``vendor`` what others wrote (LiteRT.js), which see its README.
"""

import functools
import http.server
import json
import shutil
import tarfile
import tempfile
from pathlib import Path

from tfar.errors import TfarError
from tfar.export.tflite import export_tflite
from tfar.storage import write_atomically

PAGE = Path(__file__).parent / "web_page"
RUNTIME = PAGE / "vendor" / "litert_wasm.tar.xz"
QUANTIZATIONS = ("none", "dynamic")  # float16 is computed 4 to 5 times slower in a browser
TILE = 256
MARGIN = 32  # pixels around what is kept of a tile
STEP = 16  # on whose multiples tiles start
HEADERS = {  # the first two let the page compute in several threads
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cache-Control": "no-cache",
}


def export_web(
    saved_model: str | Path,
    folder: str | Path,
    *,
    preset: str,
    version: str,
    quantize: str = "dynamic",
    tile: int = TILE,
):
    """Write a folder with a page that restores JPEGs by a SavedModel of :mod:`tfar.export.saved_model`, in LiteRT.js.

    Any server of static files will do. Nothing leaves the device, and what was loaded once works without a network.

    Args:
        saved_model: folder of the SavedModel.
        folder: what to write; replaced when it exists.
        preset: name of the network, and ``version`` of tfar, for the page's last line.
        quantize: one of :data:`QUANTIZATIONS`, see :func:`tfar.export.tflite.export_tflite`.
        tile: side of the part of an image that is computed at a time, a multiple of 16 from 96 up.

    Raises:
        TfarError: for another tile, and where the network does not restore as the SavedModel does.
    """
    check_tile(tile)
    import tensorflow as tf

    inputs = tf.saved_model.load(saved_model).signatures["serving_default"].structured_input_signature[1]
    settings = {"name": preset, "version": version, "tile": tile, "margin": MARGIN, "noise": "noise" in inputs}

    def write(part: Path):
        with tempfile.TemporaryDirectory() as temporary:
            model = Path(temporary, "model.tflite")
            export_tflite(saved_model, model, quantize=quantize, tile=tile)
            shutil.copytree(PAGE, part, ignore=shutil.ignore_patterns(RUNTIME.name, "__pycache__"))
            shutil.copy(model, part)
        with tarfile.open(RUNTIME) as archive:
            archive.extractall(part / "vendor", filter="data")
        (part / "settings.json").write_text(json.dumps(settings), encoding="utf-8")

    write_atomically(folder, write)


def check_tile(tile: int):
    """Raise :class:`TfarError` for a tile that the page cannot have."""
    if tile % STEP or tile <= 2 * MARGIN + STEP:
        raise TfarError(f"a tile of the page must be a multiple of {STEP} from {2 * MARGIN + 2 * STEP} up, got {tile}")


class _Handler(http.server.SimpleHTTPRequestHandler):
    extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {".js": "text/javascript"}

    def end_headers(self):
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format, *arguments):
        """Requests are not worth a line each."""


def server(folder: str | Path, port: int) -> http.server.ThreadingHTTPServer:
    """A server of a folder's files on 127.0.0.1, in which the page is isolated from other origins.

    Args:
        folder: as :func:`export_web` writes it.
        port: 0 for one that is free.

    Raises:
        TfarError: naming the port, where it is taken.
    """
    try:
        return http.server.ThreadingHTTPServer(("127.0.0.1", port), functools.partial(_Handler, directory=str(folder)))
    except OSError as error:
        raise TfarError(f"port {port} of this machine: {error.strerror}") from error
