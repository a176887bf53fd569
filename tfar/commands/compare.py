"""Picture of an original, its JPEG and what a preset makes of it."""

import argparse
from pathlib import Path

from tfar import backend
from tfar.commands.arguments import add_preset, quality
from tfar.errors import ImageError, TfarError


def add_arguments(parser: argparse.ArgumentParser):
    parser.add_argument("original", metavar="ORIGINAL", help="an image file that is not damaged yet")
    parser.add_argument("output", metavar="OUT", help="the picture to write")
    add_preset(parser)
    parser.add_argument("--quality", type=quality, default=10, metavar="QF", help="JPEG quality factor (default: 10)")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT where it is there already")


def run(options: argparse.Namespace) -> int:
    from tfar.images.read import read_image
    from tfar.images.write import check_file, format_of, write_image

    original, output = read_image(options.original), Path(options.output)
    format_of(output)
    check_file(output)
    if output.exists() and output.samefile(options.original):
        raise ImageError(f"{output}: is the original, which would be lost; name another file")
    if output.exists() and not options.overwrite:
        raise TfarError(f"{output}: is there already; --overwrite replaces it")
    backend.start()
    from tfar.presets import load
    from tfar.reports.contact_sheet import comparison

    write_image(output, comparison(load(options.preset), original, options.quality))
    print(output)
    return 0
