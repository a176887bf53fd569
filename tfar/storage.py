"""Writing files so that nobody ever sees half of one."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: str | Path, write: Callable[[Path], object]):
    """Call ``write(part)`` with a temporary path beside ``path``, then rename what it wrote to ``path``.

    The part has the name's extension, may become a file or a folder, and is removed when ``write`` fails, as is one
    that a killed process of the same id has left. Missing parent folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    old = path.with_name(f".old-{os.getpid()}-{path.name}")
    _remove(part)
    try:
        write(part)
        part.stat()  # what has not been written must not replace anything
        if path.is_dir():
            _remove(old)
            os.replace(path, old)
        os.replace(part, path)
        _remove(old)
    finally:
        _remove(part)


def _remove(path: Path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
