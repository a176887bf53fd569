"""Errors whose message is meant for the user: one line that names the file or field at fault."""


class TfarError(Exception):
    """Anything the user can mend; the command line prints it without a traceback and exits with 2."""


class ImageError(TfarError, ValueError):
    """An image that cannot be read, decoded or written."""


class RecipeError(TfarError, ValueError):
    """A recipe field that does not exist or cannot have that value."""


class CheckpointError(TfarError, ValueError):
    """A checkpoint, run folder or preset that is missing or belongs to another architecture."""


class NonFiniteLoss(TfarError, ArithmeticError):
    """A loss term became NaN or infinite during training."""


class ProcessError(TfarError, RuntimeError):
    """Something that was made in another process and does not work in the child that was forked from it."""


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its kind where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
