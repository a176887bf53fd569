"""Picture of an original, its JPEG and what a preset makes of it."""

import argparse

from tfar import backend
from tfar.commands.arguments import add_preset, quality


def add_arguments(parser: argparse.ArgumentParser):
    parser.add_argument("original", metavar="ORIGINAL", help="an image file that is not damaged yet")
    parser.add_argument("output", metavar="OUT", help="the picture to write")
    add_preset(parser)
    parser.add_argument("--quality", type=quality, default=10, metavar="QF", help="JPEG quality factor (default: 10)")


def run(options: argparse.Namespace) -> int:
    from tfar.images.read import read_image

    original = read_image(options.original)
    backend.start()
    from tfar.images.write import write_image
    from tfar.presets import load
    from tfar.reports.contact_sheet import comparison

    write_image(options.output, comparison(load(options.preset), original, options.quality))
    print(options.output)
    return 0
