"""Which picture becomes which file, as Parquet files that workers on other machines can read.

Names must differ in the target, which takes all names that may clash at once. So what is listed goes through files on
this machine first, by the part of its name that cannot change, and only one of them is in memory at a time.
"""

import json
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import pyarrow as pa
from pyarrow import parquet

from tfar.batch.listing import Entry
from tfar.batch.places import Place
from tfar.restoration.files import folded, name_targets

SCHEMA = pa.schema([("source", pa.string()), ("target", pa.string()), ("error", pa.string())])
HEAPS = 64
ROWS = 10_000  # of a file


def write_plan(listed: Iterable[Entry], folder: Place, extension: str | None) -> int:
    """Write a row for each picture, once: its source, its target below the target's folder, or an error.

    Args:
        listed: what :func:`tfar.batch.listing.entries` gives.
        folder: the files ``000000.parquet`` ... are written here.
        extension: of the targets; None keeps the names.

    Returns:
        How many rows there are.
    """
    rows: list[dict[str, str]] = []
    written = 0

    def flush():
        nonlocal rows, written
        buffer = pa.BufferOutputStream()
        parquet.write_table(pa.Table.from_pylist(rows, SCHEMA), buffer)
        folder.write(part_name(written // ROWS), buffer.getvalue().to_pybytes())
        written += len(rows)
        rows = []

    with tempfile.TemporaryDirectory(prefix="tfar-plan-") as spool:
        for row in _planned(_heaps(listed, Path(spool)), extension):
            rows.append(row)
            if len(rows) == ROWS:
                flush()
    if rows:
        flush()
    return written


def part_names(total: int) -> list[str]:
    """The files of a plan of so many rows."""
    return [part_name(number) for number in range(-(-total // ROWS))]


def read_parts(folder: Place, parts: pa.Table) -> pa.Table:
    """The rows of the files that the column ``part`` names."""
    return pa.concat_tables(
        parquet.read_table(pa.BufferReader(folder.read(name)), schema=SCHEMA)
        for name in parts.column("part").to_pylist()
    )


def part_name(number: int) -> str:
    """The name of one of the files that a table is written in."""
    return f"{number:06}.parquet"


def _heaps(listed: Iterable[Entry], spool: Path) -> Iterator[list[Entry]]:
    """Entries in heaps, such that all whose names could clash are in one."""
    files = [open(spool / str(number), "w", encoding="utf-8") for number in range(HEAPS)]
    for entry in listed:
        path = PurePosixPath(entry.relative)
        never_changes = folded(PurePosixPath(f"{path.parent}/{path.name.partition('.')[0]}"))
        file = files[zlib.crc32(never_changes.encode()) % HEAPS]
        file.write(json.dumps([entry.source, entry.relative, entry.error]) + "\n")
    for file in files:
        file.close()
        with open(file.name, encoding="utf-8") as lines:
            yield [Entry(*json.loads(line)) for line in lines]


def _planned(heaps: Iterable[list[Entry]], extension: str | None) -> Iterator[dict[str, str]]:
    for heap in heaps:
        unique = dict.fromkeys(heap)  # a manifest may name a picture twice
        paths = dict.fromkeys(Path(entry.relative) for entry in unique if not entry.error)
        targets = name_targets(paths, extension)
        taken: dict[Path, str] = {}
        for entry in unique:
            target = targets.get(Path(entry.relative))
            error = entry.error
            if target is not None and target in taken:
                error = f"{entry.source}: {taken[target]} would be written to {target}, too"
            if target is not None:
                taken.setdefault(target, entry.source)
            yield {"source": entry.source, "target": target.as_posix() if target and not error else "", "error": error}
