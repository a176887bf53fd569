"""TensorBoard's event files, written without TensorFlow so that every backend has them."""

import io
import os
import socket
import time
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


class TensorBoardLog:
    """Appends to an event file below ``folder``, which is made with the first entry."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._file: BinaryIO | None = None

    def write(self, step: int, scalars: dict[str, float], images: dict[str, np.ndarray]):
        """Log scalars and uint8 RGB or gray images ``(H, W, 3 or 1)`` under their names at a step.

        It is on the disk when this returns; raises OSError when it cannot be.
        """
        values = [Summary.Value(tag=name, simple_value=value) for name, value in scalars.items()]
        values += [Summary.Value(tag=name, image=_png(image)) for name, image in images.items()]
        if self._file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}"
            self._file = open(self.folder / name, "ab")
            self._append(self._file, Event(wall_time=time.time(), file_version="brain.Event:2"))
        self._append(self._file, Event(wall_time=time.time(), step=step, summary=Summary(value=values)))

    @staticmethod
    def _append(file: BinaryIO, event: Event):
        RecordWriter(file).write(event.SerializeToString())
        file.flush()


def _png(image: np.ndarray) -> Summary.Image:
    buffer = io.BytesIO()
    Image.fromarray(image.squeeze()).save(buffer, "PNG")
    height, width, channels = image.shape
    return Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=buffer.getvalue())
