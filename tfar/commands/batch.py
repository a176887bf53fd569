"""Restore folders, buckets and lists of pictures with many processes or machines."""

import argparse
import contextlib
import importlib.util
import sys
from pathlib import Path

from tfar import presets
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
    positive_number,
)
from tfar.errors import TfarError
from tfar.images.write import WRITABLE
from tfar.terminal import print_error


def add_arguments(parser: argparse.ArgumentParser):
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a folder, s3://... or gs://..., or a manifest: a Parquet or CSV file with a column 'path'",
    )
    parser.add_argument(
        "target", metavar="TARGET", help="a folder, s3://... or gs://...; what is there is not done again"
    )
    add_preset(parser)

    files = parser.add_argument_group("files")
    add_format(files, "of the results (png)")
    files.add_argument(
        "--root", metavar="FOLDER", help="of a manifest: where its paths start, here and in TARGET (its own folder)"
    )
    add_file_arguments(files)
    add_dials(parser.add_argument_group("what to do"))

    how = parser.add_argument_group("how")
    how.add_argument("--address", metavar="URL", help="of a Ray cluster (default: RAY_ADDRESS, or Ray on this machine)")
    how.add_argument("--workers", type=positive, metavar="N", help="default: what processors and memory allow")
    how.add_argument("--cpus", type=positive, default=1, metavar="N", help="threads of a worker (%(default)s)")
    how.add_argument("--gpus", type=positive_number, default=0, metavar="N", help="of a worker, 0.5 for half of one")
    how.add_argument(
        "--attempts", type=positive, default=3, metavar="N", help="workers that a picture may kill (%(default)s)"
    )
    how.add_argument("--retry-quarantined", action="store_true", help="try pictures that killed their workers before")
    how.add_argument(
        "--report", metavar="FOLDER", help="for the Parquet files of the report (default: in TARGET/.tfar)"
    )
    add_engine(how)
    how.add_argument("-q", "--quiet", action="store_true", help="print what went wrong only")


def run(options: argparse.Namespace) -> int:
    if importlib.util.find_spec("ray") is None:
        raise TfarError('batch needs Ray, run: pip install "tfar[cluster]"')
    from tfar.batch.cluster import Machines, restore_all
    from tfar.batch.places import place

    with contextlib.redirect_stdout(sys.stderr):  # Ray's remarks
        batch = restore_all(
            options.source,
            place(options.target),
            _settings(options),
            Machines(options.address, options.workers, options.cpus, options.gpus),
            extension=EXTENSIONS[options.format or "png"],
            root=options.root,
            report=options.report and place(options.report),
            attempts=options.attempts,
            forgive=options.retry_quarantined,
        )
    for row in batch.bad:
        print_error(f"tfar: {row['error']}")
    bad = sum(batch.counts[status] for status in ("failed", "quarantined"))
    if bad > len(batch.bad):
        print_error(f"tfar: and {bad - len(batch.bad)} more")
    if not options.quiet:
        print(", ".join(f"{count} {status}" for status, count in sorted(batch.counts.items())))
        if batch.others:
            print(f"passed over: {', '.join(f'{count} {reason}' for reason, count in sorted(batch.others.items()))}")
        print(f"report: {batch.report.url}")
    return 2 if bad or batch.others["unreadable folder"] else 0


def _settings(options: argparse.Namespace):
    """What the workers need to know; a preset that is a file is named so that they find it."""
    from tfar.batch.worker import Settings

    presets.model_file(options.preset)  # raises before anything is started
    preset = options.preset if options.preset in presets.names() else str(Path(options.preset).absolute())
    dials = {name: getattr(options, name) for name in (*DIALS, "seed")}
    if options.gpus and not options.engine:
        dials["engine"] = "keras"
    passed = {name: getattr(options, name) for name in PASSED_ON}
    return Settings(preset, dials, passed | {"form": WRITABLE.get(EXTENSIONS[options.format or "png"] or "")})
