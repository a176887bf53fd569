"""Show what is known about image files, and what restore would do with them."""

import argparse
import json

from tfar.errors import ImageError
from tfar.terminal import print_error, print_rows


def add_arguments(parser: argparse.ArgumentParser):
    parser.add_argument("files", metavar="FILE", nargs="+", help="an image file")
    parser.add_argument("--json", action="store_true", help="print a JSON array with an object for each file")


def run(options: argparse.Namespace) -> int:
    from tfar.restoration.inspection import inspect

    found, failures = {}, 0
    for file in options.files:
        try:
            found[file] = inspect(file)
        except ImageError as error:
            failures += 1
            print_error(f"tfar: {error}")
    if options.json:
        lines = [json.dumps({"file": file, **inspection.as_dict()}) for file, inspection in found.items()]
        print("[" + ",\n ".join(lines) + "]")
    elif found:
        print_rows([_row(file, inspection) for file, inspection in found.items()])
    return 2 if failures else 0


def _row(file: str, inspection) -> dict[str, str]:
    earlier = inspection.earlier
    return {
        "file": file,
        "format": _format(inspection),
        "size": f"{inspection.width}x{inspection.height}",
        "quality": _or_dash(inspection.file_quality),
        "tables": _or_dash(inspection.encoder),
        "chroma": _or_dash(inspection.facts.subsampling),
        "earlier JPEG": f"{earlier.quality} ({earlier.tables})" if earlier else "-",
        "grid": _or_dash(inspection.offset),
        "what restore does": inspection.advice,
    }


def _format(inspection) -> str:
    facts = inspection.facts
    notes = [f"{facts.mode} {facts.bits} bit"]
    if facts.progressive:
        notes.append("progressive")
    if facts.orientation != 1:
        notes.append(f"orientation {facts.orientation}")
    return f"{facts.format} ({', '.join(notes)})"


def _or_dash(value) -> str:
    return "-" if value is None else str(value)
