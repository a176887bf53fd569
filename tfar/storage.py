"""Files: written so that nobody ever sees half of one, and weights read with errors that name the file."""

import errno
import glob
import hashlib
import math
import os
import shutil
import threading
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from tfar.errors import CheckpointError, TfarError

HDF5_OVERHEAD = 8192  # bytes of a weight's names, groups and headers in an HDF5 file, at most


def cache_folder(name: str) -> Path:
    """A folder for what can be computed anew: ``tfar/NAME`` in the user's cache folder (XDG_CACHE_HOME).

    Raises:
        TfarError: when neither that nor a home is known.
    """
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tfar" / name
    except RuntimeError as error:
        raise TfarError("there is no home folder for the cache; name a folder in XDG_CACHE_HOME") from error


def sha256(*files: str | Path) -> str:
    """SHA-256 of what files hold, one after the other, in hexadecimal."""
    found = hashlib.sha256()
    for path in files:
        with open(path, "rb") as file:
            hashlib.file_digest(file, lambda: found)
    return found.hexdigest()


def write_atomically(path: str | Path, write: Callable[[Path], object]):
    """Call ``write(part)`` with a temporary path beside ``path``, then rename what it wrote to ``path``.

    The part ends as the name does, its extension included, may become a file or a folder, and is removed when ``write``
    fails, as is one that a killed process of the same id has left. Missing parent folders are made.
    Threads may write the same file at a time; the last one wins.

    Raises:
        IsADirectoryError: when ``path`` is a folder and ``write`` has written a file, which does not replace it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    own = f"{os.getpid()}-{threading.get_native_id()}-{_own(path)}"
    part, old = path.with_name(f".part-{own}"), path.with_name(f".old-{own}")
    _remove(part)
    try:
        write(part)
        part.stat()  # what has not been written must not replace anything
        if path.is_dir():
            if not part.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
            _remove(old)
            os.replace(path, old)
        os.replace(part, path)
        _remove(old)
    finally:
        _remove(part)


def write_text(path: str | Path, text: str):
    """Write a text atomically, in UTF-8, with its line ends as they are.

    Bytes in names of files that are no UTF-8 become escapes, as on the terminal.
    """
    write_atomically(path, lambda part: part.write_text(text, "utf-8", "backslashreplace", newline=""))


def remove_parts(folder: str | Path, name: str = ""):
    """Remove what killed processes have left in a folder: of the file of a name, or of all that it holds.

    No process may be writing what is meant.
    """
    own = f"-{glob.escape(_own(Path(name)))}" if name else ""
    for prefix in (".part-", ".old-"):
        for part in Path(folder).glob(f"{prefix}*{own}"):
            _remove(part)


def _own(path: Path) -> str:
    """What tells a file from the others of its folder, and is no longer than names may be with what is put before."""
    return f"{zlib.crc32(os.fsencode(path.name)):08x}-{path.name[-40:]}"


def _remove(path: Path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def save_weights(network, path: str | Path):
    """Write the weights of a Keras model into a ``.weights.h5`` file.

    HDF5 brings the process down when it finds the disk full, so the room is claimed before it writes.

    Raises:
        OSError: when the disk has not enough room.
    """
    room = sum(math.prod(weight.shape) * 4 + HDF5_OVERHEAD for weight in network.weights) + HDF5_OVERHEAD
    with open(path, "wb") as file:
        if hasattr(os, "posix_fallocate"):  # not on macOS
            os.posix_fallocate(file.fileno(), 0, room)
    network.save_weights(path)


def load_weights(network, path: str | Path):
    """Load a ``.weights.h5`` file into a Keras model.

    Raises:
        CheckpointError: naming the file, when it is missing or holds weights of another architecture.
    """
    if not Path(path).is_file():
        raise CheckpointError(f"{path}: no such weights file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras warns of each layer that does not fit before it gives up
            network.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: not weights of {network.name}, or of another architecture") from error


def load_arrays(path: str | Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Read arrays of given names and shapes from an ``.npz`` file, as float32.

    Raises:
        CheckpointError: naming the file, when it is missing, is no such file, or an array is missing or of another
            shape.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: np.float32(file[name]) for name in shapes}
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"cannot read weights from {os.fspath(path)}: {error}") from error
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise CheckpointError(f"{os.fspath(path)}: {name} has shape {arrays[name].shape}, expected {shape}")
    return arrays
