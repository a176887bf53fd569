"""What happens at the end of each step and epoch of a run: faults, checkpoints, the log.

``run`` is the :class:`tfar.training.runs.Run` that is trained.
"""

import csv
import math
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from tfar import pixels
from tfar.errors import NonFiniteLoss
from tfar.models import call
from tfar.storage import save_weights, write_atomically
from tfar.training.distribution import on_any_worker
from tfar.training.tensorboard import TensorBoardLog

SAMPLES = 4


class StopOnNonFinite(keras.callbacks.Callback):
    """Raises :class:`NonFiniteLoss` with the step, the term and the last good checkpoint.

    A step's values are looked at when the next step has been started, so that an accelerator is never waited for. What
    the last step of an epoch did to the networks shows in the validation, before a checkpoint is written.
    """

    def __init__(self, run: Any):
        super().__init__()
        self.run = run
        self.epoch = 0
        self.pending: tuple[str, dict] = "", {}

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self._check(*self.pending)
        self.pending = f"step {batch + 1}", logs

    def on_epoch_end(self, epoch, logs=None):
        self._check(*self.pending)
        self.pending = "", {}
        self._check("validation", {name: value for name, value in logs.items() if name.startswith("val_")})

    def _check(self, where: str, logs: dict):
        for name, value in sorted(logs.items(), key=lambda item: item[0].endswith("loss")):  # the sum of all terms last
            if not name.endswith("psnr") and not np.isfinite(float(value)):
                term = name.removeprefix("val_")
                raise NonFiniteLoss(
                    f"loss term {term!r} became {float(value)} in epoch {self.epoch + 1}, {where}; {self.run.kept()}"
                )


class StopAfter(keras.callbacks.Callback):
    """Stops at the end of the epoch in which a number of minutes, if any, has passed since the callback was made.

    Of a cluster all workers stop as soon as it has passed for one of them.
    """

    def __init__(self, minutes: float | None, strategy: Any):
        super().__init__()
        self.strategy = strategy
        self.deadline = math.inf if minutes is None else time.monotonic() + 60 * minutes

    def on_epoch_end(self, epoch, logs=None):
        if on_any_worker(self.strategy, time.monotonic() >= self.deadline):
            self.model.stop_training = True


class Checkpoint(keras.callbacks.Callback):
    """Writes a checkpoint after every epoch, and ``best.weights.h5`` when the monitored figure has improved."""

    def __init__(self, run: Any):
        super().__init__()
        self.run = run
        self.best = run.best_value()

    def on_epoch_end(self, epoch, logs=None):
        monitor = self.run.recipe.monitor
        value = None if monitor == "last" else float(logs[f"val_{monitor}"]) * (1 if monitor == "psnr" else -1)
        with self.run.writing(self.run.checkpoint(epoch + 1)):
            if value is None or self.best is None or value > self.best:
                self.best = value
                network = self.model.averaged_generator
                write_atomically(self.run.folder / "best.weights.h5", lambda part: save_weights(network, part))
            self.run.save(self.model, epoch + 1, self.best)


class EpochLog(keras.callbacks.Callback):
    """Writes one row of ``log.csv`` and one step of the TensorBoard log per epoch, with sample images.

    ``cpu_seconds`` is the CPU time of all threads during the steps of the epoch, without its validation.
    """

    def __init__(self, run: Any, validation: tuple[dict[str, np.ndarray], np.ndarray]):
        super().__init__()
        self.run = run
        self.file = run.folder / "log.csv"
        x, original = validation
        self.x = {name: array[:SAMPLES] for name, array in x.items()}
        self.original = original[:SAMPLES]
        self.board = TensorBoardLog(run.folder / "tensorboard")

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.process_time()

    def on_test_begin(self, logs=None):
        self.cpu_seconds = time.process_time() - self.started

    def on_epoch_end(self, epoch, logs=None):
        values = {name: float(value) for name, value in logs.items()} | {"cpu_seconds": self.cpu_seconds}
        with self.run.writing(self.file):
            self._append_row({"epoch": epoch + 1, **values})
        x = {**self.x, "jpeg": pixels.to_float(self.x["jpeg"])}
        restored = call(self.model.averaged_generator, x)["image"]
        restored = ops.convert_to_numpy(pixels.to_uint8(restored))
        strips = [np.concatenate(images, axis=1) for images in zip(self.x["jpeg"], restored, self.original)]
        with self.run.writing(self.board.folder):
            self.board.write(epoch + 1, values, {"jpeg | restored | original": np.concatenate(strips)})

    def _append_row(self, row: dict[str, float]):
        """Add a row; when a new phase brings new columns, the file is written anew with all of them."""
        rows = []
        if self.file.exists():
            with open(self.file, newline="") as file:
                rows = [r for r in csv.DictReader(file) if int(r["epoch"]) < row["epoch"]]
        rows.append(row)
        columns = dict.fromkeys(name for r in rows for name in r)

        def write(part: Path):
            with open(part, "w", newline="") as file:
                writer = csv.DictWriter(file, columns)
                writer.writeheader()
                writer.writerows(rows)

        write_atomically(self.file, write)
