"""The TFLite files of networks in the user's cache, which restoration by LiteRT computes.

``python -m tfar.restoration.converted MODEL FILE 0|1`` writes one of them: a conversion takes TensorFlow and leaves
memory behind, so it is done in a process of its own.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tfar import backend, presets
from tfar.errors import CheckpointError, TfarError, last_line
from tfar.export.tflite import convert
from tfar.storage import cache_folder

FORMAT = 1  # of the files; another number makes them anew


def network_file(model_file: Path, *, eight_bit: bool) -> Path:
    """The file of :func:`tfar.export.tflite.convert` for a ``.keras`` file, made where it is missing.

    It lies in :func:`tfar.storage.cache_folder` under the SHA-256 of the ``.keras`` file. A process of its own makes
    it, with TensorFlow, which takes some seconds once; processes that race for it make the same file.

    Raises:
        CheckpointError: naming the ``.keras`` file, when it cannot be converted.
        TfarError: when there is no cache folder that can be written.
    """
    folder = cache_folder("networks")
    file = folder / f"{presets.digest(model_file)}-{'8bit' if eight_bit else 'float32'}-{FORMAT}.tflite"
    if not file.is_file():
        _check_folder(folder)
        environment = {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"}
        done = run_module("tfar.restoration.converted", model_file, file, int(eight_bit), environment=environment)
        if done.returncode:
            reason = last_line(done)
            named = reason if str(model_file) in reason else f"{model_file}: cannot be converted: {reason}"
            raise CheckpointError(named)
    return file


def run_module(
    name: str, *arguments: object, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a module in a process of its own and return its exit code and what it prints.

    Nothing of the current folder is run (``-P``): a ``numpy.py`` may have been downloaded into it.
    """
    command = [sys.executable, "-P", "-m", name, *map(str, arguments)]
    env = os.environ | (environment or {})
    return subprocess.run(command, env=env, capture_output=True, text=True, errors="replace")


def _check_folder(folder: Path):
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError
    except OSError as error:
        raise TfarError(f"{folder}: the cache cannot be written; name another folder in XDG_CACHE_HOME") from error


def _main(model_file: str, file: str, eight_bit: str) -> int:
    """What the process that converts does."""
    backend.start()
    try:
        convert(presets.load(model_file), file, eight_bit=bool(int(eight_bit)))
    except TfarError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
