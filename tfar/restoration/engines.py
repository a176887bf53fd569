"""What computes a network: Keras, or LiteRT from a ``.tflite`` file, which starts without TensorFlow.

Both take and give NumPy arrays in [-1, 1]; one call at a time, on all cores (LiteRT: on OMP_NUM_THREADS where that is
set), whatever the number of threads that call.

``python -m tfar.restoration.engines FILE LAYER`` prints what LiteRT takes per pixel for a layer.
"""

import contextlib
import functools
import glob
import importlib.util
import logging
import os
import platform
import sys
import threading
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import psutil

from tfar import backend, presets
from tfar.errors import ProcessError, TfarError, first_line
from tfar.export.tflite import LAYER_OUTPUTS
from tfar.machine import cores
from tfar.restoration.converted import network_file, run_module
from tfar.storage import write_text

ENGINES = ("litert", "keras")
PIXEL_BYTES = 2048  # that a network takes at most, per pixel of a tile
MEASURED_SIDES = (128, 512)
FORKED = (
    "this process was forked from the one that started the network's engine, and lacks its threads; start processes by"
    " the method 'spawn', or restorers in the children only"
)
logger = logging.getLogger(__name__)


class Engine(Protocol):
    """A network that is ready to be computed.

    Attributes:
        kind: ``litert`` or ``keras``.
        name: of the network, for messages.
        channels: of the image that the network takes: 3 for RGB, 1 for luma.
        takes_noise: whether it takes noise, too.
        layered: whether it is a fused region-aware network, with the layers ``fused``, ``base`` and ``texture``;
            another network has the one layer ``image``.
        memory: bytes that a tile may take at most.
        file: the ``.tflite`` file that is computed, or None.
    """

    kind: str
    name: str
    channels: int
    takes_noise: bool
    layered: bool
    memory: int
    file: Path | None

    def run(self, layer: str, image: np.ndarray, noise: np.ndarray | None) -> dict[str, np.ndarray]:
        """Compute what a layer needs, and no more.

        Args:
            layer: a key of :data:`tfar.export.tflite.LAYER_OUTPUTS`.
            image: float32 ``(h, w, channels)`` in [-1, 1].
            noise: of a network that takes it: float32 ``(ceil(h/2), ceil(w/2), 1)``.

        Returns:
            The outputs that ``LAYER_OUTPUTS`` names, each ``(h, w, ...)``, float32.

        Raises:
            MemoryError: when there is not enough memory for an image of this size.
            ProcessError: in a process that was forked from the one that made the engine.
        """


def choose(model: Any, kind: str | None, exact: bool) -> Engine:
    """The engine for a network.

    Args:
        model: a ``keras.Model``, or what :func:`tfar.presets.load` takes.
        kind: ``litert``, ``keras``, or None: LiteRT on CPUs for networks in files, Keras otherwise, also where LiteRT's
            file of the network cannot be made, which is logged.
        exact: see :func:`eight_bit_weights`.

    Raises:
        ValueError: for another kind, or LiteRT for a model that is in no file.
        CheckpointError: when there is no such preset or file, or it cannot be read.
        TfarError: when LiteRT is asked for and not installed.
    """
    if kind not in (None, *ENGINES):
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {kind!r}")
    if not isinstance(model, str | Path):
        if kind == "litert":
            raise ValueError("the engine litert takes the name of a preset or a file, not a model")
        return KerasEngine(model)
    if kind == "keras" or (kind is None and (gpu_visible() or not _has_litert())):
        backend.start()
        return KerasEngine(presets.load(model))
    if not _has_litert():
        raise TfarError("the engine litert needs LiteRT, run: pip install ai-edge-litert")
    source = presets.model_file(model)
    try:
        file = network_file(source, eight_bit=not exact and eight_bit_weights())
    except TfarError as error:
        if kind == "litert":
            raise
        backend.start()
        network = presets.load(model)  # where the file is at fault, this says so, too
        logger.warning("Keras computes the network, without LiteRT: %s", error)
        return KerasEngine(network)
    return _litert(file, presets.title(source), os.getpid())


class KerasEngine:
    """A ``keras.Model`` in this process, float32 unless the model is of another type."""

    kind = "keras"
    memory = 640 << 20  # TensorFlow itself takes as much
    file = None

    def __init__(self, model):
        _check_keras()
        from tfar.models import channels, input_names, main_output

        self.model = model
        self.name = model.name
        self.channels = channels(model)
        self.takes_noise = "noise" in input_names(model)
        self.layered = main_output(model) == "fused"

    def run(self, layer, image, noise):
        _check_keras()
        network = _network(self.model, layer)
        inputs = [array[None] for array in (image, noise) if array is not None]
        with _keras_lock:
            try:
                outputs = network.predict_on_batch(inputs if len(inputs) > 1 else inputs[0])
            except Exception as error:
                if type(error).__name__ in ("ResourceExhaustedError", "OutOfMemoryError"):
                    raise MemoryError(first_line(error)) from error
                raise
        return {name: array[0] for name, array in outputs.items()}


_keras_lock = threading.Lock()


@functools.lru_cache(maxsize=8)
def _network(model, layer: str):
    """A model cut down to what a layer needs; kept, since each compiles a graph."""
    import keras

    network = keras.Model(model.inputs, {name: model.output[name] for name in LAYER_OUTPUTS[layer]})
    network.jit_compile = False  # XLA would compile it for every size of images anew
    return network


class LiteRTEngine:
    """A file of :func:`tfar.export.tflite.convert` in this process."""

    kind = "litert"
    memory = 1 << 30

    def __init__(self, file: Path, name: str, *, threads: int | None = None):
        self._interpreter = backend.litert(file, threads=threads or _threads())
        self.name = name
        self.file = file
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._runners: dict[str, Any] = {}
        signatures = self._interpreter.get_signature_list()
        self.layered = "fused" in signatures
        names = next(iter(signatures.values()))["inputs"]
        self.takes_noise = "noise" in names
        [self._image] = [name for name in names if name != "noise"]
        details = self._runner("fused" if self.layered else "image").get_input_details()
        self.channels = int(details[self._image]["shape"][-1])

    def run(self, layer, image, noise):
        if os.getpid() != self._process:
            raise ProcessError(FORKED)
        given = {self._image: image[None]} | ({} if noise is None else {"noise": noise[None]})
        with self._lock:
            try:
                outputs = self._runner(layer)(**given)
            except (RuntimeError, ValueError) as error:
                raise MemoryError(f"LiteRT: {first_line(error)}") from error
        return {name: outputs[name][0] for name in LAYER_OUTPUTS[layer]}

    def _runner(self, layer: str):
        if layer not in self._runners:
            self._runners[layer] = self._interpreter.get_signature_runner(layer)
        return self._runners[layer]


@functools.lru_cache(maxsize=4)
def _litert(file: Path, name: str, process: int) -> LiteRTEngine:
    """An engine that several restorers share; a child process has its own."""
    return LiteRTEngine(file, name)


def pixel_bytes(layer: str) -> int:
    """What computing a layer takes per pixel of a tile, at most, whatever the network."""
    return PIXEL_BYTES * len(LAYER_OUTPUTS[layer][:2])  # the mask takes little


def measured_pixel_bytes(engine: Engine, layer: str) -> int:
    """What computing a layer takes per pixel of a tile: often much less than :func:`pixel_bytes`.

    It is measured once, in a process of its own, and kept beside the file that LiteRT computes.
    """
    return pixel_bytes(layer) if engine.file is None else _measured(engine.file, layer)


@functools.lru_cache
def _measured(file: Path, layer: str) -> int:
    known = file.with_name(f"{file.stem}-{layer}.bytes")
    if not known.is_file():
        done = run_module("tfar.restoration.engines", file, layer)
        if done.returncode:
            return pixel_bytes(layer)
        with contextlib.suppress(OSError):  # a cache that came with a container may be read-only
            write_text(known, done.stdout)
        return int(done.stdout)
    return int(known.read_text())


def _growth(file: str, layer: str) -> int:
    """By how many bytes this process grows per pixel of an image, and a quarter of it to spare."""
    engine = LiteRTEngine(Path(file), "")
    taken = []
    for side in MEASURED_SIDES:
        noise = np.zeros((side // 2, side // 2, 1), np.float32) if engine.takes_noise else None
        engine.run(layer, np.zeros((side, side, engine.channels), np.float32), noise)
        taken.append(psutil.Process().memory_info().rss)
    small, large = MEASURED_SIDES
    return max(round(1.25 * (taken[1] - taken[0]) / (large**2 - small**2)), 256)


def eight_bit_weights() -> bool:
    """Whether this processor gains by 8-bit weights: it has instructions for sums of products of bytes.

    Such are AVX-512 VNNI, AVX-VNNI and AMX on x86, and the dot products of ARMv8.2. Elsewhere LiteRT takes longer with
    8-bit weights than with float32 (``scripts/benchmark_speed.py``), so there is nothing to trade accuracy for.
    """
    if platform.system() == "Darwin":
        return platform.machine() == "arm64"
    try:
        words = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return False
    return not words.isdisjoint({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"})


def gpu_visible() -> bool:
    """Whether Keras would find a GPU; it is started only where the system has a device file for one."""
    if not glob.glob("/dev/nvidia[0-9]*") and not Path("/dev/kfd").exists():
        return False
    backend.start()
    import keras

    return bool(keras.distribution.list_devices("gpu"))


def _threads() -> int:
    """As many as there are cores, or what OMP_NUM_THREADS says, as schedulers of clusters do."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdecimal() and int(said) else cores()


def _has_litert() -> bool:
    return importlib.util.find_spec("ai_edge_litert") is not None


def _check_keras():
    if _forked_from_keras:
        raise ProcessError(FORKED)


def _note_fork():
    global _forked_from_keras
    _forked_from_keras = _forked_from_keras or "keras" in sys.modules


_forked_from_keras = False  # TensorFlow would wait for threads that only the parent has
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


if __name__ == "__main__":
    print(_growth(*sys.argv[1:]))
