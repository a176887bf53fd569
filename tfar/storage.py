"""Writing files so that nobody ever sees half of one."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: str | Path, write: Callable[[Path], object]):
    """Call ``write(part)`` with a temporary path beside ``path``, then rename what it wrote to ``path``.

    The part has the name's extension, may become a file or a folder, and is removed when ``write`` fails. Missing
    parent folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    try:
        write(part)
        if path.is_dir():
            shutil.rmtree(path)
        os.replace(part, path)
    finally:
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)
