"""Does one picture after the other: from paths to rows of a report, whatever happens."""

import contextlib
import dataclasses
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import filelock
import psutil
import pyarrow as pa

from tfar import __version__, presets
from tfar.batch.places import Place, check_links, file_system, is_local
from tfar.batch.report import SCHEMA, STOPPED
from tfar.errors import ImageError, first_line
from tfar.restoration.file_restorer import FileRestorer, Restore, pictures_of
from tfar.restoration.files import Job, Outcome, Stopped, disk_is_full
from tfar.restoration.restorer import Restorer
from tfar.storage import cache_folder, remove_parts

SCRATCH = f"tfar-batch-{platform.node()}-"  # and the process: folders of files on their way from and to a store


class Book(Protocol):
    """A :class:`tfar.batch.ledger.Ledger`, or one in another process."""

    def begin(self, source: str, target: str) -> dict[str, Any] | int: ...

    def end(self, target: str, row: dict[str, Any]): ...


@dataclasses.dataclass(frozen=True)
class Settings:
    """How pictures are restored.

    Attributes:
        preset: as of :class:`tfar.restoration.restorer.Restorer`.
        dials: its other arguments.
        options: those of :class:`tfar.restoration.file_restorer.FileRestorer`.
    """

    preset: str
    dials: Mapping[str, Any]
    options: Mapping[str, Any]

    def file_restorer(self) -> FileRestorer:
        """Loads the network; raises as ``Restorer`` does."""
        restorer = Restorer(self.preset, **self.dials)
        return FileRestorer(
            restore=pictures_of([restorer], self.options["depth"]),
            version=__version__,
            preset=self.preset,
            qualities=presets.qualities(self.preset),
            existing="skip",
            **self.options,
        )


class Worker:
    """Restores what the rows of a plan name, and gives a row of :data:`tfar.batch.report.SCHEMA` for each.

    It raises nothing, since that would end the run; a row says what went wrong.

    Args:
        settings: how.
        target: the folder for the results.
        book: outlives the worker.
    """

    def __init__(self, settings: Settings, target: Place, book: Book):
        self._settings = settings
        self._target = target
        self._book = book
        self._stopped = ""
        self._network = 0.0  # seconds of the processor
        try:
            restorer = _one_at_a_time(settings.file_restorer)
            self._restore = dataclasses.replace(restorer, restore=self._timed(restorer.restore))
        except Exception as error:  # without its network no worker can go on
            self._stopped = first_line(error)
        _sweep()

    def _timed(self, restore: Restore) -> Restore:
        def timed(image, found, progress):
            begun = time.process_time()
            try:
                return restore(image, found, progress)
            finally:
                self._network += time.process_time() - begun

        return timed

    def __call__(self, plan: pa.Table) -> pa.Table:
        """Rows of :data:`tfar.batch.plan.SCHEMA` to rows of the report, in their order."""
        rows = [self._row(**row) for row in plan.to_pylist()]
        return pa.Table.from_pylist(rows, SCHEMA)

    def _row(self, source: str, target: str, error: str) -> dict[str, Any]:
        if error:
            return {"path": source, "status": "failed", "error": error}
        if self._stopped:
            return {"path": source, "status": STOPPED, "error": self._stopped}
        written = self._target / target
        begun = self._book.begin(source, written.url)
        if begun != 1:
            self._clear(target)
        if isinstance(begun, dict):
            return begun
        row = self._restored(source, target, begun)
        if row["status"] != STOPPED:
            self._book.end(written.url, row)
        return row

    def _restored(self, source: str, target: str, attempt: int) -> dict[str, Any]:
        clock, cpu, network = time.perf_counter(), time.process_time(), self._network
        written = self._target / target
        row = {"path": source, "target": written.url, "preset": self._settings.preset, "attempts": attempt}
        try:
            if _exists(self._target, target):
                # written by a worker that died before it could say so, or by an earlier run
                row |= {"status": "restored"} if attempt > 1 else {"status": "skipped", "notes": "exists"}
            else:
                row |= self._through(source, written)
        except Exception as error:  # whatever a decoder, a store or the memory has to say
            ends = isinstance(error, Stopped) or disk_is_full(error)
            row |= {"status": STOPPED if ends else "failed", "error": _line(error, source)}
        return row | {
            "seconds": time.perf_counter() - clock,
            "cpu_seconds": time.process_time() - cpu,
            "network_cpu_seconds": self._network - network,
        }

    def _clear(self, target: str):
        """Remove what a worker that died may have left of a result."""
        if self._target.local:
            with contextlib.suppress(ImageError, OSError):
                path = Path(self._target.url, target)
                check_links(Path(self._target.url), path)
                remove_parts(path.parent, path.name)

    def _through(self, source: str, written: Place) -> dict[str, Any]:
        """Restores a picture, by files on this machine where it comes from a store or goes to one."""
        with _scratch() as scratch:
            clock = time.perf_counter()
            given = Path(source) if is_local(source) else scratch / "given" / source.rpartition("/")[2]
            if not is_local(source):
                fs, path = file_system(source)
                given.parent.mkdir()
                fs.get_file(path, str(given))
            fetched = time.perf_counter()
            made = Path(written.url) if written.local else scratch / written.url.rpartition("/")[2]
            outcome = self._restore(Job(given, (made,)), lambda: None)
            done = time.perf_counter()
            if not written.local and made.exists():
                written.fs.put_file(str(made), written.root)
            row = _facts(outcome, given, made)
            for name in ("error", "notes"):
                row[name] = row[name] and row[name].replace(str(given), source).replace(str(made), written.url)
            return row | {"fetch_seconds": fetched - clock, "store_seconds": time.perf_counter() - done}


def _facts(outcome: Outcome, given: Path, made: Path) -> dict[str, Any]:
    found = outcome.found or {}
    said = "; ".join(outcome.notes) or None
    failed = outcome.status == "failed"
    return {
        "status": outcome.status,
        "bytes": given.stat().st_size if given.is_file() else None,
        "target_bytes": made.stat().st_size if made.is_file() else None,
        "width": found.get("width"),
        "height": found.get("height"),
        "quality": found.get("quality"),
        "error": said if failed else None,
        "notes": None if failed else said,
    }


def _exists(folder: Place, name: str) -> bool:
    if not folder.local:
        return folder.fs.exists(f"{folder.root}/{name}")
    path = Path(folder.url, name)
    check_links(Path(folder.url), path)
    return path.exists()


def _line(error: Exception, source: str) -> str:
    """The first line of an error, with the picture's name."""
    text = first_line(error)
    return text if source in text else f"{source}: {text}"


def _one_at_a_time(make: Callable[[], FileRestorer]) -> FileRestorer:
    """The first worker of a machine converts the network, which takes memory; the others wait for it."""
    folder = cache_folder("networks")
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    writable = os.access(folder, os.W_OK)
    with filelock.FileLock(folder / "batch.lock") if writable else contextlib.nullcontext():
        return make()


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=f"{SCRATCH}{os.getpid()}-") as folder:
        yield Path(folder)


def _sweep():
    """Remove what killed workers have left."""
    for folder in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        process = folder.name.removeprefix(SCRATCH).partition("-")[0]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            shutil.rmtree(folder, ignore_errors=True)
