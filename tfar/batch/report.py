"""What became of each picture, as Parquet files."""

import time

import pyarrow as pa
from pyarrow import parquet

from tfar.batch.places import Place
from tfar.batch.plan import part_name
from tfar.errors import TfarError

SCHEMA = pa.schema(
    [
        ("path", pa.string()),  # of the input
        ("target", pa.string()),  # of the output
        ("status", pa.string()),  # restored, passed through, skipped, failed, quarantined or stopped
        ("bytes", pa.int64()),  # of the input
        ("target_bytes", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("quality", pa.int16()),  # of the JPEG that was found
        ("preset", pa.string()),
        ("seconds", pa.float64()),  # in all; of these
        ("fetch_seconds", pa.float64()),  # from the store and
        ("store_seconds", pa.float64()),  # to it
        ("cpu_seconds", pa.float64()),  # of the processor, in all; of these
        ("network_cpu_seconds", pa.float64()),  # for the network
        ("attempts", pa.int16()),
        ("error", pa.string()),
        ("notes", pa.string()),
    ]
)
STOPPED = "stopped"  # the status of a picture at which the run must end
BAD = ("failed", "quarantined")
ROWS, SECONDS = 10_000, 60  # a file is written after so many


class Report:
    """Writes rows into the files ``000000.parquet`` ... of a folder, as they come; to be closed.

    The folder is one table: the first file takes the place of the report of an earlier run.

    Raises:
        TfarError: when the folder holds a Parquet file that is not one of a report.
    """

    def __init__(self, folder: Place):
        self._folder = folder
        self._earlier = [name for name in folder.files() if name.endswith(".parquet")]
        for name in self._earlier:
            if not _is_part(folder, name):
                raise TfarError(f"{folder.url}/{name}: is not of a report; choose another folder for the report")
        self._tables: list[pa.Table] = []
        self._files = 0
        self._written = time.monotonic()

    def add(self, table: pa.Table):
        """Take rows of :data:`SCHEMA`."""
        self._tables.append(table)
        full = sum(len(table) for table in self._tables) >= ROWS
        if full or time.monotonic() - self._written > SECONDS:
            self.close()

    def close(self):
        """Write what there is."""
        if not self._tables:
            return
        for name in self._earlier:
            self._folder.remove_file(name)
        self._earlier = []
        buffer = pa.BufferOutputStream()
        parquet.write_table(pa.concat_tables(self._tables), buffer)
        self._folder.write(part_name(self._files), buffer.getvalue().to_pybytes())
        self._tables = []
        self._files += 1
        self._written = time.monotonic()


def _is_part(folder: Place, name: str) -> bool:
    """Whether a Parquet file has the name and the columns of one that a report has written."""
    number = name.removesuffix(".parquet")
    if not number.isdecimal() or name != part_name(int(number)):
        return False
    data = folder.read(name)
    try:
        return parquet.read_schema(pa.BufferReader(data)).equals(SCHEMA)
    except (pa.ArrowException, OSError):
        return False
