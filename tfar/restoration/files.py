"""Which files to restore, where to write them, and doing so without ever losing one."""

import collections
import concurrent.futures
import errno
import os
import stat
import threading
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from tfar.errors import ImageError, TfarError
from tfar.images.read import find_images
from tfar.images.write import check_file, check_target, format_of

STDIO = Path("-")  # standard input as a source, standard output as a target
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Job:
    """A file to restore and the files to write, in the order in which the restoration gives its pictures."""

    source: Path
    targets: tuple[Path, ...]

    @property
    def in_place(self) -> bool:
        """Whether the result replaces the source."""
        return self.source != STDIO and self.source in self.targets


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        status: ``restored``, ``passed through`` (unchanged, since nothing was lost), ``skipped`` or ``failed``.
        notes: what the user should know, a line each; of a failure, why.
        found: what was found out about the file, for reports.
        seconds: how long it took.
    """

    job: Job
    status: str
    notes: tuple[str, ...] = ()
    found: dict | None = None
    seconds: float = 0.0


class Stopped(TfarError):
    """The run ends: a job finds its disk full, or the user has interrupted it."""


def plan(
    sources: Sequence[str | Path],
    target: str | Path,
    *,
    extension: str | None = ".png",
    candidates: int | None = None,
    recursive: bool = True,
    existing: str = "refuse",
) -> tuple[list[Job], dict[Path, str]]:
    """The files to restore, each with those to write, and what folders hold besides, each with the reason.

    Args:
        sources: image files and folders; ``-`` is standard input.
        target: the file to write, or a folder, which exists or ends in ``/``, for one file, and ``-`` is standard
            output; for a folder the folder in which the same tree is made; for several sources the folder that gets
            them all, as ``cp`` does. Where it lies inside a source, what it holds is not taken for a source.
        extension: of the files written into a folder; None keeps the names. Two files that differ in the extension
            only keep it: ``a.jpg.png``.
        candidates: write so many restorations of each image, ``a-1.png``, ``a-2.png`` ..., and last a contact sheet
            ``a-candidates.png``.
        recursive: take the subfolders of folders, too.
        existing: ``refuse``, ``skip`` or ``overwrite`` files that exist.

    Raises:
        ImageError: when a source does not exist or a folder holds no images, a path is empty, a target cannot be of
            that kind or exists, two images would be written to one file, or an input would be overwritten.
    """
    *paths, folder = _paths([*sources, target])
    if candidates and folder == STDIO:
        raise ImageError("-: standard output takes one picture, and candidates are several; name a file")
    others: dict[Path, str] = {}
    if len(paths) == 1 and not paths[0].is_dir():
        [source] = paths
        _check_exists(source)
        is_folder = os.path.isdir(folder)  # False for a name too long, of which is_dir complains
        into = folder != STDIO and (is_folder or os.fspath(target).endswith(("/", os.sep)))
        if into and not is_folder and folder.exists():
            raise ImageError(f"{folder}: is no folder")
        named = {source: folder / _name(Path(source.name), extension) if into else folder}
    else:
        if folder.exists() and not folder.is_dir():
            what = "the input is a folder" if len(paths) == 1 else "there are several inputs"
            raise ImageError(f"{folder}: {what}, so the output must be a folder")
        named, others = _into_folder(paths, folder, extension, recursive)
    jobs = [Job(source, _labeled(written, candidates)) for source, written in named.items()]
    if extension is not None:
        for target in (target for job in jobs for target in job.targets if target != STDIO):
            format_of(target)
    _check_targets(jobs, existing)
    return jobs, others


def plan_in_place(sources: Sequence[str | Path], *, recursive: bool = True) -> tuple[list[Job], dict[Path, str]]:
    """As :func:`plan`, of files that their restorations replace.

    Links and read-only files in folders are left out, each with the reason.

    Raises:
        ImageError: when a source does not exist, is a link or read-only, or its path empty, or a folder holds no
            images.
    """
    files: dict[Path, Path] = {}  # by the path without links and dots, so that none is there twice
    others: dict[Path, str] = {}
    for source in _paths(sources):
        _check_exists(source)
        found, passed = _images(source, recursive) if source.is_dir() else ([source], {})
        others |= passed
        for file in found:
            try:
                _check_replaceable(file)
            except ImageError as error:
                if not source.is_dir():
                    raise
                others[file] = str(error).removeprefix(f"{file}: ")
            else:
                files.setdefault(file.resolve(), file)
    return [Job(file, (file,)) for file in files.values()], others


def name_targets(paths: Iterable[Path], extension: str | None) -> dict[Path, Path]:
    """Paths of files below a folder, each with that of its result below another one, named as for :func:`plan`."""
    paths = list(paths)
    stems = collections.Counter(folded(path.with_suffix("")) for path in paths)
    stems.update(map(folded, paths))
    return {
        path: Path(f"{path}{extension}")
        if extension is not None and stems[folded(path.with_suffix(""))] > 1
        else path.parent / _name(path, extension)
        for path in paths
    }


def folded(path: PurePath) -> str:
    """What is one name where file systems tell neither upper from lower case nor composed from other letters."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def run(jobs: Sequence[Job], work: Callable[[Job, Callable[[], None]], Outcome], at_once: int = 1) -> Iterator[Outcome]:
    """Do jobs in threads and yield their outcomes in order; one more than ``at_once`` are under way, so that a file is
    read or written while another one is computed.

    Args:
        work: does a job; calls its second argument now and then, which raises :class:`Stopped` when the run has ended.
        at_once: how many jobs compute at a time; the work itself sees to that.

    Raises:
        Stopped: when a job found its disk full. Jobs under way then end without an output, as on KeyboardInterrupt.
    """
    ended = threading.Event()

    def check():
        if ended.is_set():
            raise Stopped("stopped")

    waiting = collections.deque(jobs)
    under_way: collections.deque[concurrent.futures.Future[Outcome]] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(at_once + 1) as pool:
        try:
            while waiting or under_way:
                while waiting and len(under_way) <= at_once:
                    under_way.append(pool.submit(work, waiting.popleft(), check))
                yield under_way.popleft().result()
        finally:
            ended.set()
            pool.shutdown(cancel_futures=True)


def raise_if_full(error: BaseException):
    """Raise :class:`Stopped` when an error, or what caused it, tells of a full disk."""
    if disk_is_full(error):
        raise Stopped(f"{error}; the run stops here") from error


def disk_is_full(error: BaseException) -> bool:
    """Whether an error, or what caused it, tells of a full disk."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in FULL:
            return True
        cause = cause.__cause__
    return False


def _paths(given: Sequence[str | Path]) -> list[Path]:
    """As paths; the empty one would be the folder that one is in."""
    if "" in given:
        raise ImageError("a path is empty (a variable of the shell that is not set?)")
    return [Path(path) for path in given]


def _check_exists(source: Path):
    if source != STDIO and not source.exists():
        raise ImageError(f"{source}: no such file or folder")


def _into_folder(
    sources: Sequence[Path], target: Path, extension: str | None, recursive: bool
) -> tuple[dict[Path, Path], dict[Path, str]]:
    """Sources with their targets below a folder."""
    relative: dict[Path, Path] = {}
    others: dict[Path, str] = {}
    for source in sources:
        _check_exists(source)
        if source == STDIO:
            raise ImageError("-: standard input goes into one file, not into a folder")
        if not source.is_dir():
            relative[source] = Path(source.name)
            continue
        above = Path() if len(sources) == 1 else Path(Path(os.path.abspath(source)).name)
        if source.resolve() in (target.resolve(), (target / above).resolve()):
            raise ImageError(f"{source}: its results would lie among its files; choose another folder, or --in-place")
        files, passed = _images(source, recursive, leave_out=target)
        others |= passed
        relative |= {file: above / file.relative_to(source) for file in files}
    names = name_targets(relative.values(), extension)
    named = {source: target / names[path] for source, path in relative.items()}
    return named, others


def _images(folder: Path, recursive: bool, leave_out: Path | None = None) -> tuple[list[Path], dict[Path, str]]:
    """The images of a folder and what else it holds; of a folder inside of it that is left out nothing."""
    files, others = find_images(folder, recursive=recursive)
    if leave_out is not None and leave_out.resolve().is_relative_to(folder.resolve()):
        here = folder / leave_out.resolve().relative_to(folder.resolve())
        files = [file for file in files if not file.is_relative_to(here)]
        others = {path: reason for path, reason in others.items() if not path.is_relative_to(here)}
        others |= {here: "the output folder"} if here.exists() else {}
    if not files:
        raise ImageError(f"{folder}: no image files")
    return files, others


def _name(path: Path, extension: str | None) -> str:
    if path == STDIO:
        return f"stdin{extension or '.png'}"
    return path.name if extension is None else f"{path.stem}{extension}"


def _labeled(target: Path, candidates: int | None) -> tuple[Path, ...]:
    if candidates is None:
        return (target,)
    labels = [*range(1, candidates + 1), "candidates"]
    return tuple(target.with_name(f"{target.stem}-{label}{target.suffix}") for label in labels)


def _check_targets(jobs: Sequence[Job], existing: str):
    """Raise for targets that cannot be written, exist, or are inputs, before anything is computed."""
    inputs = {_identity(job.source) for job in jobs if job.source != STDIO}
    targets = [target for job in jobs for target in job.targets if target != STDIO]
    for path, count in collections.Counter(target.resolve() for target in targets).items():
        if count > 1:
            raise ImageError(f"{path}: two inputs would be written to it; restore them into folders of their own")
    for job in jobs:
        for path in (target for target in job.targets if target != STDIO):
            check_target(path)
            stays = existing == "skip" and path.exists() and (job.source == STDIO or not path.samefile(job.source))
            if not stays and path.exists() and _identity(path) in inputs:
                raise ImageError(f"{path}: is one of the inputs; choose another output, or --in-place")
    there = [path for path in targets if os.path.lexists(path)]
    if there and existing == "refuse":
        others = f" ({len(there)} of {len(targets)} outputs do)" if len(targets) > 1 else ""
        raise ImageError(f"{there[0]}: exists{others}; --skip-existing keeps what is there, --overwrite replaces it")
    if existing == "overwrite":
        for path in there:
            _check_replaceable(path)


def _check_replaceable(path: Path):
    check_file(path)
    if not stat.S_IMODE(path.stat().st_mode) & 0o222 or not os.access(path, os.W_OK):
        raise ImageError(f"{path}: is read-only")


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
