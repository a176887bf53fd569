"""Starting Keras, its backend and LiteRT quietly."""

import contextlib
import logging
import os
import sys
import threading
from pathlib import Path
from typing import Any


class _Silence:
    """While any thread is inside, stderr goes nowhere."""

    def __init__(self):
        self._lock = threading.Lock()
        self._inside = 0
        self._stderr: int | None = None  # where it went before; None where it was closed

    def __enter__(self):
        with self._lock:
            self._inside += 1
            if self._inside == 1 and sys.stderr:
                with contextlib.suppress(OSError, ValueError):  # the second: it was closed in Python
                    sys.stderr.flush()
                with contextlib.suppress(OSError):
                    self._stderr = os.dup(2)
                    null = os.open(os.devnull, os.O_WRONLY)
                    os.dup2(null, 2)
                    os.close(null)

    def __exit__(self, *_):
        with self._lock:
            self._inside -= 1
            if not self._inside and self._stderr is not None:
                os.dup2(self._stderr, 2)
                os.close(self._stderr)
                self._stderr = None


_silence = _Silence()


@contextlib.contextmanager
def starting():
    """While Keras and its backend start, keep the notes that TensorFlow prints then off stderr.

    They come before its log level is heeded and would drown the one line that the user should see.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with _silence:
        yield


def litert(file: str | Path | bytes, *, threads: int | None = None) -> Any:
    """LiteRT's interpreter of a TFLite file, or of its content, without the note that it prints of itself.

    Raises:
        ImportError: without LiteRT.
        ValueError: for what is not a TFLite file.
    """
    source = {"model_content": file} if isinstance(file, bytes) else {"model_path": str(file)}
    with starting():
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(**source, num_threads=threads)
        interpreter.allocate_tensors()  # the note comes here
    return interpreter


def start():
    """Import Keras and its backend and let it find its devices.

    TensorFlow's own warnings are left out: it would warn of the graphs that an evaluation of many models compiles.
    """
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with starting():
        import keras

        keras.ops.zeros(1)
