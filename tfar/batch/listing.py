"""The pictures of a folder, of a store or of a manifest, one by one, however many they are."""

import collections
import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

from tfar.batch.places import Place, inside, is_local, place
from tfar.errors import ImageError, TfarError, first_line
from tfar.images.read import EXTENSIONS, walk_images

MANIFESTS = (".parquet", ".csv")
COLUMN = "path"  # of a manifest


@dataclasses.dataclass(frozen=True)
class Entry:
    """A picture to restore.

    Attributes:
        source: its path or URL.
        relative: the same below the source's folder, with ``/``; empty where there is an error.
        error: why it cannot be restored, found out before anything was read.
    """

    source: str
    relative: str
    error: str = ""


def entries(source: str, target: Place, root: str | None, others: collections.Counter[str]) -> Iterator[Entry]:
    """What a source lists.

    Args:
        source: a folder, a prefix in a store, or a manifest: a Parquet or CSV file whose column ``path`` holds paths or
            URLs of pictures.
        target: is passed over where it lies in the source.
        root: of a manifest: the folder that its relative paths start from (by default the manifest's) and below which
            absolute ones must lie; the targets' paths start from it, too.
        others: counts, by reason, what is passed over.

    Raises:
        TfarError: when there is no such source, or a manifest has no such column.
    """
    if source.lower().endswith(MANIFESTS):
        return _of_manifest(source, root)
    if root is not None:
        raise TfarError("--root is of manifests")
    folder = place(source)
    if not folder.is_folder():
        raise TfarError(f"{source}: no such folder")
    if folder.resolved() == target.resolved():
        raise TfarError(f"{source}: the target must be another folder")
    listed = _of_folder(folder, target) if folder.local else _of_store(folder, target)
    return _images(listed, folder, others)


def _images(listed: Iterable[tuple[str, str]], folder: Place, others: collections.Counter[str]) -> Iterator[Entry]:
    for relative, reason in listed:
        if reason:
            others[reason] += 1
        else:
            yield _checked(f"{folder.url}/{relative}", relative)


def _of_folder(folder: Place, target: Place) -> Iterator[tuple[str, str]]:
    root, results = folder.resolved(), target.resolved()
    for path, reason in walk_images(folder.url):
        relative = path.relative_to(folder.url)
        is_result = target.local and Path(root.url, relative).is_relative_to(results.url)
        yield relative.as_posix(), "the target" if is_result else reason.partition(" (")[0]


def _of_store(folder: Place, target: Place) -> Iterator[tuple[str, str]]:
    """As of a folder; by extension only, since a look at the content would be a request for each object."""
    waiting = [folder.root]
    while waiting:
        here = waiting.pop()
        for info in folder.listing(here):
            path = info["name"].rstrip("/")
            relative = path.removeprefix(folder.root).lstrip("/")
            name = relative.rpartition("/")[2]
            if path == here.rstrip("/"):  # an empty object that stands for the folder itself
                continue
            if f"{folder.url}/{relative}" == target.url:
                yield relative, "the target"
            elif name.startswith("."):
                yield relative, "hidden"
            elif info["type"] == "directory":
                waiting.append(path)
            else:
                yield relative, "" if name.lower().endswith(EXTENSIONS) else "no image"


def _of_manifest(manifest: str, root: str | None) -> Iterator[Entry]:
    file = place(manifest)
    if not file.is_file():
        raise TfarError(f"{manifest}: no such file")
    above = place(root) if root is not None else None
    base = above or Place(file.url.rpartition("/")[0])

    def rows():
        for text in _column(file, manifest):
            yield _of_row(text, base, above)

    return rows()


def _of_row(text: object, base: Place, above: Place | None) -> Entry:
    if not isinstance(text, str) or not text:
        return Entry(str(text), "", f"{text!r}: not a path")
    absolute = text.startswith("/") or not is_local(text)
    source = text if absolute else f"{base.url}/{text}"
    if not absolute:
        return _checked(source, text)
    if above is None:
        return _checked(source, text)
    if not source.startswith(f"{above.url}/"):
        return Entry(source, "", f"{source}: is not below {above.url}")
    return _checked(source, source.removeprefix(f"{above.url}/"))


def _checked(source: str, relative: str) -> Entry:
    try:
        source.encode()
        return Entry(source, str(inside(relative)))
    except ImageError as error:
        return Entry(source, "", str(error))
    except UnicodeEncodeError:
        shown = source.encode(errors="backslashreplace").decode()
        return Entry(shown, "", f"{shown}: its name is not UTF-8, which a report cannot hold; tfar restore takes it")


def _column(file: Place, manifest: str) -> Iterator[object]:
    """The column of paths, in parts of the file."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    try:
        with file.fs.open(file.root, "rb") as opened:
            if manifest.lower().endswith(".csv"):
                convert = csv.ConvertOptions(column_types={COLUMN: pa.string()}, include_columns=[COLUMN])
                parts = csv.open_csv(opened, convert_options=convert)
            else:
                parts = parquet.ParquetFile(opened).iter_batches(columns=[COLUMN])
            for part in parts:
                yield from part.column(COLUMN).to_pylist()
    except (pa.ArrowInvalid, pa.ArrowKeyError, KeyError) as error:
        raise TfarError(f"{manifest}: no manifest with a column {COLUMN!r} ({first_line(error)})") from error
