"""Starting Keras, its backend and LiteRT quietly."""

import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def starting():
    """While Keras and its backend start, keep the notes that TensorFlow prints then off stderr.

    They come before its log level is heeded and would drown the one line that the user should see.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    sys.stderr.flush()
    stderr, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)


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
