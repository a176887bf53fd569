"""Write a page for a blind comparison by people, or score its votes."""

import argparse

from tfar.commands.arguments import named, not_negative
from tfar.errors import TfarError
from tfar.terminal import print_tables


def add_arguments(parser: argparse.ArgumentParser):
    parser.add_argument("page", metavar="PAGE", nargs="?", help="the HTML file to write")
    parser.add_argument("--original", metavar="FOLDER", help="the reference images")
    parser.add_argument(
        "--candidate",
        nargs="+",
        default=[],
        metavar="NAME=FOLDER",
        help="images of the same names to be judged, such as JPEG=... and restored=...",
    )
    parser.add_argument("--seed", type=not_negative, default=0, metavar="S", help="of the hidden names and the order")
    parser.add_argument("--score", nargs="+", metavar="VOTES.csv", help="instead: mean opinion scores of these votes")
    parser.add_argument("--key", metavar="KEY.json", help="with --score: the key file written beside the page")


def run(options: argparse.Namespace) -> int:
    if options.score and not options.key:
        raise TfarError("--score needs --key, the file that was written beside the page")
    if not (options.score or (options.page and options.original and options.candidate)):
        raise TfarError("study needs PAGE, --original and --candidate, or --score")
    from tfar.reports import study

    if options.score:
        scores = study.score_votes(options.score, options.key)
        print_tables(f"{study.format_table(scores)}\n\n{study.format_images(scores)}")
        return 0
    pictures = study.folder_pictures(options.original, dict(map(named, options.candidate)))
    key = study.write_study(options.page, pictures, seed=options.seed)
    print(f"{options.page}\n{key}  (keep it from the participants; --score needs it)")
    return 0
