"""Folders on this machine and in stores, and paths that cannot leave them."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec

from tfar.errors import ImageError, TfarError, first_line
from tfar.storage import write_atomically

STORES = ("s3", "s3a", "gs", "gcs")  # where an object appears whole or not at all
STATE = ".tfar"  # what a target holds besides pictures


@dataclasses.dataclass(frozen=True)
class Place:
    """A folder, or what begins with a prefix in a store.

    Attributes:
        url: ``s3://...`` or ``gs://...``, or an absolute path on this machine; no slash at its end.
    """

    url: str

    @property
    def fs(self) -> Any:
        """fsspec's file system."""
        return file_system(self.url)[0]

    @property
    def local(self) -> bool:
        return is_local(self.url)

    @property
    def root(self) -> str:
        """The path of the folder in its file system."""
        return file_system(self.url)[1]

    def resolved(self) -> "Place":
        """The same folder without links and ``..``, where it is on this machine."""
        return Place(str(Path(self.url).resolve())) if self.local else self

    def __truediv__(self, below: str | PurePosixPath) -> "Place":
        return Place(f"{self.url}/{below}")

    def is_folder(self) -> bool:
        with self._answers():
            return self.fs.isdir(self.root)

    def is_file(self) -> bool:
        with self._answers():
            return self.fs.isfile(self.root)

    def listing(self, path: str) -> list[dict[str, Any]]:
        """What fsspec tells of the content of a folder, at once."""
        with self._answers():
            found = self.fs.ls(path, detail=True, refresh=True)
            self.fs.invalidate_cache(path)  # of many folders it would fill the memory
            return found

    def read(self, name: str) -> bytes | None:
        """A small file of the folder; None where there is none."""
        with self._answers():
            try:
                return self.fs.cat_file(f"{self.root}/{name}")
            except FileNotFoundError:
                return None

    def write(self, name: str, data: bytes):
        """Write a small file of the folder; it appears whole or not at all."""
        with self._answers():
            if self.local:
                write_atomically(Path(self.url, name), lambda part: part.write_bytes(data))
            else:
                self.fs.pipe_file(f"{self.root}/{name}", data)

    def remove(self):
        """Remove the folder, if it is there, with all that it holds."""
        with self._answers(), contextlib.suppress(FileNotFoundError):
            self.fs.rm(self.root, recursive=True)

    def files(self) -> list[str]:
        """The names of the files of the folder; none where it is not there."""
        if not self.is_folder():
            return []
        return [PurePosixPath(entry["name"]).name for entry in self.listing(self.root) if entry["type"] == "file"]

    def remove_file(self, name: str):
        """Remove a file of the folder."""
        with self._answers():
            self.fs.rm_file(f"{self.root}/{name}")

    @contextlib.contextmanager
    def _answers(self) -> Iterator[None]:
        """Turns a store's errors, of which there are many kinds, into one."""
        try:
            yield
        except Exception as error:
            if self.local:
                raise
            raise TfarError(f"{self.url}: {first_line(error)}") from error


def place(text: str) -> Place:
    """The place that a user names; :class:`TfarError` where it is in no store that is known."""
    url = text.rstrip("/") or "/"
    found = Place(str(Path(url).absolute()) if is_local(url) else url)
    found.fs  # noqa: B018  raises
    return found


def is_local(url: str) -> bool:
    return fsspec.core.split_protocol(url)[0] is None


def file_system(url: str) -> tuple[Any, str]:
    """fsspec's file system of a path or URL, and the path in it.

    Raises:
        TfarError: for other URLs than those of :data:`STORES`, or when a package for them is missing.
    """
    protocol, path = fsspec.core.split_protocol(url)
    if protocol is None:
        return fsspec.filesystem("file"), path
    if protocol not in STORES:
        raise TfarError(f"{url}: expected a path or one of {', '.join(f'{name}://' for name in STORES)}")
    try:
        fs = fsspec.filesystem(protocol)
    except ImportError as error:
        raise TfarError(f"{url}: {error}") from error
    return fs, fs._strip_protocol(url)


def inside(text: str) -> PurePosixPath:
    """The path of a file below a folder, wherever the folder is.

    A path from the root, and a URL, lose what makes them absolute: ``/a/b.jpg`` and ``s3://a/b.jpg`` are ``a/b.jpg``.

    Raises:
        ImageError: when it names no file, could leave the folder, or lies where a target keeps its state.
    """
    path = PurePosixPath(text.split("://", 1)[-1].lstrip("/"))
    if not path.name or "\0" in text:
        raise ImageError(f"{text!r}: not the path of a file")
    if ".." in path.parts:
        raise ImageError(f"{text}: leaves the folder by '..'")
    if path.parts[0] == STATE:
        raise ImageError(f"{text}: {STATE} is not for pictures")
    return path


def check_links(root: Path, target: Path):
    """Raise :class:`ImageError` when a link leads a target out of its folder."""
    if not target.resolve().is_relative_to(root.resolve()):
        raise ImageError(f"{target}: a link leads out of {root}")
