"""What the arguments of several commands share."""

import argparse
import math
from collections.abc import Callable

from tfar.errors import TfarError
from tfar.presets import DEFAULT


def add_preset(parser: argparse.ArgumentParser):
    """``--preset`` of the commands that take one network."""
    parser.add_argument(
        "--preset", default=DEFAULT, help="a preset, a run folder or a .keras file (default: %(default)s)"
    )


def quality(text: str) -> int:
    """A JPEG quality factor."""
    if text.isdecimal() and 1 <= int(text) <= 100:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a JPEG quality factor from 1 to 100, got {text!r}")


def named(text: str) -> tuple[str, str]:
    """Name and path of ``NAME=PATH``; raises :class:`TfarError` for anything else."""
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise TfarError(f"expected NAME=PATH, got {text!r}")
    return name, path


def positive(text: str) -> int:
    """A whole number from 1 up."""
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a whole number from 1 up, got {text!r}")


def not_negative(text: str) -> int:
    """A whole number from 0 up."""
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a whole number from 0 up, got {text!r}")


def positive_number(text: str) -> float:
    """A number above 0."""
    return _number(text, lambda value: value > 0, "a number above 0")


def share(text: str) -> float:
    """A number from 0 to 1."""
    return _number(text, lambda value: 0 <= value <= 1, "a number from 0 to 1")


def _number(text: str, fits: Callable[[float], bool], what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not fits(value):
        raise argparse.ArgumentTypeError(f"expected {what}, got {text!r}")
    return value
