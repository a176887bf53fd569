"""What the arguments of several commands share."""

import argparse
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar, get_args

from tfar.errors import TfarError
from tfar.images.read import MAX_MEGAPIXELS
from tfar.presets import DEFAULT
from tfar.recipes import LAYERS, Precision

EXTENSIONS = {"png": ".png", "webp": ".webp", "tiff": ".tif", "jpeg": ".jpg", "avif": ".avif", "same": None}
POSITIONALS = {"folders": "FOLDER", "page": "PAGE"}  # that some modes of a command have no use for
DIALS = "layer texture strength ensemble engine exact".split()  # to Restorer, beside the seed
PASSED_ON = "quality consistency depth frames partial max_megapixels strip again force".split()  # to FileRestorer
Given = TypeVar("Given")


class Distinct(argparse.Action):
    """Stores each of several values once, in the order in which they first appear."""

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, [*dict.fromkeys(values)])


def add_preset(parser: argparse.ArgumentParser):
    """``--preset`` of the commands that take one network."""
    parser.add_argument(
        "--preset", default=DEFAULT, help="a preset, a run folder or a .keras file (default: %(default)s)"
    )


def add_precision(parser: argparse.ArgumentParser):
    """``--precision`` of what trains: a Keras dtype policy in place of the recipe's."""
    parser.add_argument("--precision", choices=get_args(Precision), help="default: the recipe's")


def add_format(group: argparse._ArgumentGroup, what: str):
    """``--format``, a key of :data:`EXTENSIONS`."""
    group.add_argument("--format", choices=EXTENSIONS, help=what)


def add_file_arguments(group: argparse._ArgumentGroup):
    """What is read of files and written into them, for the commands that restore files."""
    group.add_argument("--strip", action="store_true", help="write no metadata but the color profile")
    group.add_argument(
        "--frames", choices=("first", "all"), default="first", help="of animations and TIFF (%(default)s)"
    )
    group.add_argument("--depth", type=int, choices=(8, 16), default=8, help="bits a channel to write (%(default)s)")
    group.add_argument("--partial", action="store_true", help="restore JPEGs that were cut short as far as they decode")
    group.add_argument(
        "--max-megapixels",
        type=positive_number,
        default=MAX_MEGAPIXELS,
        metavar="N",
        help="refuse larger pictures (%(default)s)",
    )


def add_dials(group: argparse._ArgumentGroup):
    """What is done to pictures, for the commands that restore files."""
    group.add_argument(
        "--quality", type=quality, metavar="Q", help="of the JPEG, where its file tells nothing or a lie"
    )
    group.add_argument("--force", action="store_true", help="restore pictures that have lost nothing, too")
    group.add_argument("--again", action="store_true", help="restore results of tfar, too")
    group.add_argument("--layer", choices=LAYERS, help="of a region-aware preset (default: fused)")
    group.add_argument("--texture", type=share, default=1.0, metavar="0..1", help="how much texture inside the mask")
    group.add_argument("--strength", type=share, default=1.0, metavar="0..1", help="from the input to the result")
    group.add_argument("--ensemble", action="store_true", help="average eight flips and turns: slower, a little better")
    group.add_argument(
        "--consistency",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep what the JPEG says of the original (default where a file is one)",
    )
    group.add_argument(
        "--seed", type=not_negative, default=0, metavar="S", help="of the noise of a one-to-many preset (%(default)s)"
    )


def add_engine(group: argparse._ArgumentGroup):
    """What computes the network, for the commands that restore files."""
    group.add_argument("--engine", choices=("litert", "keras"), help="default: litert on CPUs, keras on GPUs")
    group.add_argument("--exact", action="store_true", help="no 8-bit weights with the engine litert")


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


def all_named(texts: Iterable[str]) -> dict[str, str]:
    """Paths by name of several ``NAME=PATH``; raises :class:`TfarError` for anything else, or a name given twice."""
    return by_name(map(named, texts))


def by_name(pairs: Iterable[tuple[str, Given]]) -> dict[str, Given]:
    """What is given by its name, of pairs of both; raises :class:`TfarError` for a name given twice."""
    pairs = [*pairs]
    if len(dict(pairs)) < len(pairs):
        raise TfarError(f"a name is given twice: {', '.join(name for name, _ in pairs)}")
    return dict(pairs)


def named_model(text: str) -> tuple[str, str]:
    """Name and path of a model given as ``NAME=PATH``; no name with any other text, or where that is a path itself.

    A name holds no ``/``, so ``x/lr=1/best.keras`` is a path.
    """
    name, equals, _ = text.partition("=")
    return named(text) if equals and "/" not in name and not Path(text).exists() else ("", text)


def refuse(
    names: str, mode: str, options: argparse.Namespace, add_arguments: Callable[[argparse.ArgumentParser], None]
):
    """Raise :class:`TfarError` where an argument is given for which a mode of a command has no use.

    Args:
        names: of these arguments, as attributes of ``options``.
        mode: what the message says they cannot be used with.
        options: what is given.
        add_arguments: of the command.
    """
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    defaults = parser.parse_args([])
    for name in names.split():
        if getattr(options, name) != getattr(defaults, name):
            raise TfarError(f"{POSITIONALS.get(name) or '--' + name.replace('_', '-')} cannot be used {mode}")


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


def any_port(text: str) -> int:
    """The number of a port, or 0 for any that is free."""
    return 0 if text == "0" else port(text)


def port(text: str) -> int:
    """The number of a port, from 1 to 65535."""
    if text.isdecimal() and 1 <= int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a port from 1 to 65535, got {text!r}")


def positive_number(text: str) -> float:
    """A number above 0 that is finite."""
    return _number(text, lambda value: 0 < value < math.inf, "a finite number above 0")


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
