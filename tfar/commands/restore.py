"""Restore a JPEG, or a folder of them."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

from tfar import backend
from tfar.commands.arguments import add_preset, not_negative, positive
from tfar.errors import TfarError
from tfar.recipes import LAYERS
from tfar.terminal import print_error


def add_arguments(parser: argparse.ArgumentParser):
    parser.add_argument("input", metavar="IN", help="an image file, or a folder")
    parser.add_argument("output", metavar="OUT", help="the file to write (PNG is lossless), or a folder")
    add_preset(parser)
    parser.add_argument("--layer", choices=LAYERS, help="of a region-aware preset (default: fused)")
    parser.add_argument(
        "--candidates",
        type=positive,
        metavar="K",
        help="write K different restorations and a contact sheet (one-to-many presets)",
    )
    parser.add_argument(
        "--seed",
        type=not_negative,
        default=0,
        metavar="S",
        help="of the noise of a one-to-many preset (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    from tfar.restoration.files import plan, restore_files

    planned = plan(options.input, options.output, candidates=options.candidates)
    backend.start()
    from tfar.presets import load
    from tfar.restoration.restorer import Restorer

    model = load(options.preset)
    try:
        restorer = Restorer(model, options.layer, seed=options.seed)
    except ValueError as error:
        raise TfarError(str(error)) from error

    def restore(image):
        return [restorer(image)]

    if options.candidates:
        restore = candidates(model, options.candidates, options.seed)
    failures = 0
    targets = dict(planned)
    for source, problem in restore_files(planned, restore):
        if problem:
            failures += 1
            print_error(f"tfar: {problem}")
            continue
        for target in targets[source]:
            is_candidate = options.candidates and target != targets[source][-1]
            print(f"{source} -> {target}{_interval_note(source, target) if is_candidate else ''}")
    return 2 if failures else 0


def candidates(model, count: int, seed: int) -> Callable:
    """A function from an image to ``count`` restorations, of the seeds from ``seed`` on, and their contact sheet.

    Raises:
        TfarError: for a network that gives one restoration of an image only.
    """
    from tfar.reports.contact_sheet import side_by_side
    from tfar.restoration.restorer import Restorer

    restorers = [Restorer(model, seed=seed + i) for i in range(count)]
    if not restorers[0].takes_noise:
        raise TfarError(f"{model.name} gives one restoration of an image; a one-to-many network gives candidates")

    def restore(image):
        restored = [restorer(image) for restorer in restorers]
        shown = {"given": image} | {str(number): candidate for number, candidate in enumerate(restored, start=1)}
        return [*restored, side_by_side(shown, columns=math.ceil(math.sqrt(count + 1)))]

    return restore


def _interval_note(source: Path, target: Path) -> str:
    from tfar.restoration.consistency import file_share_outside_interval

    share = file_share_outside_interval(source, target)
    return "" if share is None else f"  ({share:.1%} of the DCT coefficients outside the JPEG's interval)"
