"""Shards: a folder of photographs packed into a few large files, in which every photograph can be read by its number.

- ``photos-00003-of-00016.tfrecord``: TFRecords of ``tf.train.Example``: ``image/encoded``, the bytes of its file as
  they are, ``image/filename``, ``image/height`` and ``image/width`` (upright);
- ``index.npy``: a row per photograph (:data:`ROW`): where its bytes lie, their CRC-32 and its size.

Any reader of TFRecords can go through the shards. tfar reads single photographs at their place, without TensorFlow;
the index is mapped into memory, not read, so it may be larger than that.
"""

import bisect
import math
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfar.errors import ShardError, TfarError, first_line
from tfar.storage import write_atomically

INDEX = "index.npy"
SHARD_BYTES = 256 << 20  # of a shard, unless their number is given
RECORD_HEAD, RECORD_TAIL = 12, 4  # bytes of a TFRecord around its content: length and checksum, checksum
ROW = np.dtype(
    [("shard", "<u4"), ("start", "<u8"), ("bytes", "<u4"), ("crc", "<u4"), ("height", "<u4"), ("width", "<u4")]
)


class Shards:
    """Packed photographs, read by their number.

    Args:
        folder: what :func:`pack` wrote.

    Attributes:
        rows: the index, an array of :data:`ROW` ``(N,)``.

    Raises:
        ShardError: when there is no index, or a shard is missing or cut short.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        file = self.folder / INDEX
        if not file.is_file():
            raise ShardError(f"{self.folder}: no {INDEX}, so no shards; tfar pack PHOTOS {self.folder} makes them")
        try:
            self.rows = np.load(file, mmap_mode="r", allow_pickle=False)
        except (OSError, EOFError, ValueError) as error:
            raise ShardError(f"{file}: not an index of shards ({first_line(error)})") from error
        if self.rows.dtype != ROW or self.rows.ndim != 1 or not len(self.rows):
            raise ShardError(f"{file}: not an index of shards")
        self.count = int(self.rows[-1]["shard"]) + 1
        for number in range(self.count):
            self._check_length(number)

    def __len__(self) -> int:
        return len(self.rows)

    def shard(self, number: int) -> Path:
        """The file of a shard."""
        return self.folder / _name(number, self.count)

    def name(self, index: int) -> str:
        """Which photograph this is, for people: its shard, and its number among all photographs."""
        return f"{self.shard(self.rows[index]['shard'])}: photograph {index}"

    def read(self, index: int) -> bytes:
        """The bytes of a photograph's file.

        Raises:
            ShardError: naming the shard, when they cannot be read or are not those that were packed.
        """
        row = self.rows[index]
        try:
            with open(self.shard(row["shard"]), "rb") as file:
                file.seek(row["start"])
                data = file.read(row["bytes"])
        except OSError as error:
            raise ShardError(f"{self.name(index)}: cannot be read ({error.strerror})") from error
        if zlib.crc32(data) != row["crc"]:
            fault = f"corrupt at byte {row['start']}, its checksum is wrong"
            raise ShardError(f"{self.name(index)}: {fault}; copy or pack the shard again")
        return data

    def _check_length(self, number: int):
        last = self.rows[bisect.bisect_right(self.rows["shard"], number) - 1]
        file = self.shard(number)
        if not file.is_file():
            raise ShardError(f"{file}: no such shard")
        if file.stat().st_size < last["start"] + last["bytes"]:
            raise ShardError(f"{file}: cut short; copy or pack it again")


def pack(folder: str | Path, photographs: Sequence[tuple[Path, tuple[int, int]]], shards: int | None = None):
    """Write photographs into shards, in their order, as many into each.

    Args:
        folder: to write; it appears whole or not at all, and replaces what is there.
        photographs: files with the height and width of their upright images.
        shards: how many files to make; by default as many as make them 256 MB on average.

    Raises:
        TfarError: when the shards cannot be written.
    """
    import tensorflow as tf

    if shards is None:
        shards = math.ceil(sum(path.stat().st_size for path, _ in photographs) / SHARD_BYTES)
    count = max(min(shards, len(photographs)), 1)
    bounds = [number * len(photographs) // count for number in range(count + 1)]

    def write(part: Path):
        part.mkdir()
        rows = np.lib.format.open_memmap(part / INDEX, mode="w+", dtype=ROW, shape=(len(photographs),))
        for number, (first, last) in enumerate(zip(bounds, bounds[1:])):
            with tf.io.TFRecordWriter(str(part / _name(number, count))) as writer:
                end = 0
                for index in range(first, last):
                    path, size = photographs[index]
                    data = path.read_bytes()
                    record = _example(data, path.name, size).SerializeToString()
                    start = end + RECORD_HEAD + record.index(data)
                    rows[index] = (number, start, len(data), zlib.crc32(data), *size)
                    writer.write(record)
                    end += RECORD_HEAD + len(record) + RECORD_TAIL
        rows.flush()

    try:
        write_atomically(folder, write)
    except tf.errors.OpError as error:
        raise TfarError(f"{os.fspath(folder)}: cannot be written ({error.message})") from error


def _example(data: bytes, name: str, size: tuple[int, int]):
    import tensorflow as tf

    def feature(value):
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    values = {
        "image/encoded": data,
        "image/filename": os.fsencode(name),
        "image/height": size[0],
        "image/width": size[1],
    }
    return tf.train.Example(features=tf.train.Features(feature={key: feature(v) for key, v in values.items()}))


def _name(number: int, count: int) -> str:
    return f"photos-{number:05d}-of-{count:05d}.tfrecord"
