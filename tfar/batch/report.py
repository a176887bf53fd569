"""What became of each picture, as Parquet files."""

import re
import time

import pyarrow as pa
from pyarrow import parquet

from tfar.batch.places import Place

SCHEMA = pa.schema(
    [
        ("path", pa.string()),  # of the input
        ("target", pa.string()),  # of the output
        ("status", pa.string()),  # restored, passed through, skipped, failed or quarantined
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
FILE = re.compile(r"\d{6}\.parquet")
ROWS, SECONDS = 10_000, 60  # a file is written after so many


class Report:
    """Writes rows into the files ``000000.parquet`` ... of a folder, as they come; to be closed.

    Such files of an earlier run in the same folder are removed, so that the folder is one table.
    """

    def __init__(self, folder: Place):
        folder.remove_files(FILE)
        self._folder = folder
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
        buffer = pa.BufferOutputStream()
        parquet.write_table(pa.concat_tables(self._tables), buffer)
        self._folder.write(f"{self._files:06}.parquet", buffer.getvalue().to_pybytes())
        self._tables = []
        self._files += 1
        self._written = time.monotonic()
