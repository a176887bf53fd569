"""Errors whose message is meant for the user: one line that names the file or field at fault."""

import subprocess


class TfarError(Exception):
    """Anything the user can mend; the command line prints it without a traceback and exits with 2."""


class ImageError(TfarError, ValueError):
    """An image that cannot be read, decoded or written.

    Attributes:
        advice: an option of the commands that restore files; the message leaves it out, since others print that, too.
    """

    def __init__(self, message: str, advice: str = ""):
        super().__init__(message)
        self.advice = advice


class ShardError(TfarError, ValueError):
    """Packed photographs that are missing, cut short or not as they were packed."""


class RecipeError(TfarError, ValueError):
    """A recipe field that does not exist or cannot have that value."""


class CheckpointError(TfarError, ValueError):
    """A checkpoint, run folder or preset that is missing, belongs to another architecture or cannot be written."""


class NonFiniteLoss(TfarError, ArithmeticError):
    """A loss term became NaN or infinite during training."""


class LostWorker(TfarError, RuntimeError):
    """Another process of a training on several machines is gone."""


class ProcessError(TfarError, RuntimeError):
    """Something that was made in another process and does not work in the child that was forked from it."""


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its kind where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """What a process that failed has said last, or its exit code where it was killed without a word."""
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"
