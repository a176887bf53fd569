"""TensorBoard's event files, written without TensorFlow so that every backend has them."""

import io
import time
from pathlib import Path

import numpy as np
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter


class TensorBoardLog:
    """Appends to an event file below ``folder``, which is made with the first entry."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._writer: EventFileWriter | None = None

    def write(self, step: int, scalars: dict[str, float], images: dict[str, np.ndarray]):
        """Log scalars and uint8 RGB or gray images ``(H, W, 3 or 1)`` under their names at a step."""
        values = [Summary.Value(tag=name, simple_value=value) for name, value in scalars.items()]
        values += [Summary.Value(tag=name, image=_png(image)) for name, image in images.items()]
        writer = self._writer = self._writer or EventFileWriter(str(self.folder))
        writer.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))
        writer.flush()


def _png(image: np.ndarray) -> Summary.Image:
    buffer = io.BytesIO()
    Image.fromarray(image.squeeze()).save(buffer, "PNG")
    height, width, channels = image.shape
    return Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=buffer.getvalue())
