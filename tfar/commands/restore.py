"""Restore JPEGs, and pictures that were JPEGs."""

import argparse
import json
import math
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tfar import __version__, presets
from tfar.commands.arguments import (
    DIALS,
    EXTENSIONS,
    PASSED_ON,
    add_dials,
    add_engine,
    add_file_arguments,
    add_format,
    add_preset,
    positive,
)
from tfar.errors import ImageError, TfarError
from tfar.images.write import WRITABLE, check_file
from tfar.storage import write_text
from tfar.terminal import parts_bar, print_error, printable

SHOWN = 5  # files passed over that are named; --verbose names all


def add_arguments(parser: argparse.ArgumentParser):
    parser.usage = f"{parser.prog} [options] IN... OUT"
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="image files and folders, and last the file to write, or a folder; - is standard input or output",
    )
    add_preset(parser)

    files = parser.add_argument_group("files")
    add_format(files, "of files in a folder, and on standard output (png)")
    files.add_argument("--recursive", action=argparse.BooleanOptionalAction, default=True, help="take subfolders, too")
    existing = files.add_mutually_exclusive_group()
    existing.add_argument("--skip-existing", action="store_true", help="leave out inputs whose outputs exist")
    existing.add_argument("--overwrite", action="store_true", help="replace outputs that exist, never an input")
    existing.add_argument(
        "--in-place", action="store_true", help="there is no OUT: replace each input, once its output is whole"
    )
    add_file_arguments(files)

    what = parser.add_argument_group("what to do")
    add_dials(what)
    what.add_argument(
        "--candidates", type=positive, metavar="K", help="K restorations and a contact sheet (one-to-many presets)"
    )

    how = parser.add_argument_group("how")
    how.add_argument(
        "--jobs",
        type=positive,
        default=1,
        metavar="N",
        help="pictures worked on at a time; the network takes one by one, on all cores (%(default)s)",
    )
    add_engine(how)
    how.add_argument("--report", type=Path, metavar="FILE", help="write what was done as JSON")
    loudness = how.add_mutually_exclusive_group()
    loudness.add_argument("-q", "--quiet", action="store_true", help="print what went wrong only")
    loudness.add_argument("-v", "--verbose", action="store_true", help="print what was found out about each file")


def run(options: argparse.Namespace) -> int:
    from tfar.restoration import files

    jobs, others = _plan(options)
    _check_report(options.report, jobs)
    from tfar.restoration.file_restorer import FileRestorer

    restore = _restoration(options)
    outcomes: list[files.Outcome] = []
    say = _printer(options)
    with parts_bar(len(jobs), "restoring") as show:
        work = FileRestorer(
            restore=restore,
            version=__version__,
            preset=str(options.preset),
            qualities=presets.qualities(options.preset),
            form=None if options.in_place else WRITABLE.get(EXTENSIONS[options.format or "png"] or ""),
            existing=_existing(options),
            progress=lambda job, done, total: show(job, done / total),
            **{name: getattr(options, name) for name in PASSED_ON},
        )
        try:
            for outcome in files.run(jobs, work, options.jobs):
                outcomes.append(outcome)
                show(outcome.job, 1.0)
                _print(outcome, options, say)
        finally:
            if options.report:
                _write_report(options, outcomes, others)
    unread = {path: reason for path, reason in others.items() if reason.startswith("unreadable")}
    for path, reason in unread.items():
        print_error(f"tfar: {path}: {reason}")
    _print_summary(outcomes, others, options, say)
    return 2 if unread or any(outcome.status == "failed" for outcome in outcomes) else 0


def _plan(options: argparse.Namespace):
    from tfar.restoration import files

    if options.in_place:
        if options.candidates or options.format:
            raise TfarError("--in-place goes with neither --candidates nor --format")
        return files.plan_in_place(options.paths, recursive=options.recursive)
    if len(options.paths) < 2:
        raise TfarError("restore needs an input and an output: tfar restore IN... OUT")
    if options.candidates and options.frames == "all":
        raise TfarError("--candidates goes with --frames first only")
    if options.candidates and options.depth == 16:
        raise TfarError("--candidates goes with --depth 8 only")
    *sources, target = options.paths
    return files.plan(
        sources,
        target,
        extension=EXTENSIONS[options.format or "png"],
        candidates=options.candidates,
        recursive=options.recursive,
        existing=_existing(options),
    )


def _check_report(report: Path | None, jobs: Sequence):
    """Raise for a report that cannot be written, or would be over an input or a result."""
    if not report:
        return
    check_file(report)
    if report.resolve() in {path.resolve() for job in jobs for path in (job.source, *job.targets)}:
        raise TfarError(f"{report}: is an input or an output, the report needs a file of its own")


def _existing(options: argparse.Namespace) -> str:
    return "skip" if options.skip_existing else "overwrite" if options.overwrite else "refuse"


def _restoration(options: argparse.Namespace) -> Callable:
    """From a picture, what was found out about it, and a function for its progress to the pictures to write."""
    from tfar.restoration.file_restorer import pictures_of
    from tfar.restoration.restorer import Restorer, candidate_restorers

    dials = {name: getattr(options, name) for name in DIALS}
    try:
        if options.candidates:
            seeds = range(options.seed, options.seed + options.candidates)
            restorers = candidate_restorers(options.preset, seeds, **dials)
        else:
            restorers = [Restorer(options.preset, seed=options.seed, **dials)]
    except ValueError as error:
        raise TfarError(str(error)) from error
    turn = threading.Semaphore(options.jobs)
    pictures = pictures_of(restorers, options.depth)

    def restore(image, found, progress):
        with turn:
            results = pictures(image, found, progress)
        return [*results, contact_sheet(image, results)] if options.candidates else results

    return restore


def contact_sheet(image: np.ndarray, candidates: Sequence[np.ndarray]) -> np.ndarray:
    """A picture of the given image and its numbered restorations, about as high as wide, uint8 ``(H, W, 3)``."""
    from tfar.reports.contact_sheet import side_by_side

    shown = {"given": image} | {str(number): candidate for number, candidate in enumerate(candidates, start=1)}
    return side_by_side(shown, columns=math.ceil(math.sqrt(len(shown))))


def _printer(options: argparse.Namespace) -> Callable[[str], None]:
    """Where lines that are no errors go: not among the bytes of a picture on standard output."""
    if options.quiet:
        return lambda line: None
    to_stdout = options.paths[-1] == "-" and not options.in_place
    stream = sys.stderr if to_stdout else sys.stdout
    return lambda line: print(printable(line), file=stream)


def _print(outcome, options: argparse.Namespace, say: Callable[[str], None]):
    source = outcome.job.source
    if outcome.status == "failed":
        print_error(f"tfar: {'; '.join(outcome.notes)}")
        return
    if outcome.status == "skipped":
        say(f"{source}: skipped, {'; '.join(outcome.notes)}")
        return
    notes = outcome.notes
    if options.verbose:
        notes = (*notes, outcome.found["advice"], f"{outcome.seconds:.2f} s")
    for target in outcome.job.targets:
        is_candidate = options.candidates and target != outcome.job.targets[-1]
        said = (*notes, *_interval_note(source, target)) if is_candidate and not options.quiet else notes
        remarks = f"  ({'; '.join(said)})" if said else ""
        say(f"{source} -> {target}{remarks}")


def _interval_note(source: Path, target: Path) -> list[str]:
    from tfar.restoration.consistency import file_share_outside_interval

    try:
        outside = file_share_outside_interval(source, target)
    # standard input, a file that was cut short, or one larger than is read without asking
    except (ImageError, OSError):
        return []
    return [] if outside is None else [f"{outside:.1%} of the DCT coefficients outside the JPEG's interval"]


def _print_summary(outcomes, others: dict[Path, str], options: argparse.Namespace, say: Callable[[str], None]):
    """Counts, where not all files that were found have simply been restored."""
    counts = Counter(outcome.status for outcome in outcomes)
    if len(outcomes) > 1 and counts.keys() - {"restored"}:
        say(", ".join(f"{count} {status}" for status, count in counts.items()))
    if others:
        named = [f"{path} ({reason})" for path, reason in others.items()]
        rest = len(named) - SHOWN
        if rest > 0 and not options.verbose:
            named = [*named[:SHOWN], f"and {rest} more"]
        say(f"passed over {len(others)}: {', '.join(named)}")


def _write_report(options: argparse.Namespace, outcomes, others: dict[Path, str]):
    report = {
        "version": __version__,
        "preset": str(options.preset),
        "files": [
            {
                "input": str(outcome.job.source),
                "outputs": [str(target) for target in outcome.job.targets],
                "status": outcome.status,
                "notes": outcome.notes,
                "found": outcome.found,
                "seconds": round(outcome.seconds, 3),
            }
            for outcome in outcomes
        ],
        "passed_over": {str(path): reason for path, reason in others.items()},
    }
    write_text(options.report, json.dumps(report, indent=2) + "\n")
