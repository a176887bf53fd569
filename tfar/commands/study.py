"""Write a page for a blind comparison by people, or score its votes."""

import argparse
from pathlib import Path

from tfar.commands.arguments import all_named, not_negative, positive, refuse
from tfar.errors import TfarError
from tfar.terminal import print_tables

NOT_TAKEN = {  # by mode: the arguments that it has no use for
    "with --score": "page original candidate ask images seed overwrite",
    "without --score": "key out",
}


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
    parser.add_argument(
        "--ask",
        choices=["similarity", "favourite"],
        default="similarity",
        help="how similar each is to the original, on a scale without marks, or which of all is the favourite "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--images",
        type=positive,
        default=50,
        metavar="N",
        help="take N of the images at random, or all where there are no more (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=not_negative, default=0, metavar="S", help="of the images, the hidden names and the order"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace PAGE and its key, without which no votes on it can be scored"
    )
    parser.add_argument("--score", nargs="+", metavar="VOTES.csv", help="instead: mean opinion scores of these votes")
    parser.add_argument("--key", metavar="KEY.json", help="with --score: the key file written beside the page")
    parser.add_argument("--out", metavar="FOLDER", help="with --score: write the tables and a figure there")


def run(options: argparse.Namespace) -> int:
    mode = "with --score" if options.score else "without --score"
    refuse(NOT_TAKEN[mode], mode, options, add_arguments)
    if options.score and not options.key:
        raise TfarError("--score needs --key, the file that was written beside the page")
    if not (options.score or (options.page and options.original and options.candidate)):
        raise TfarError("study needs PAGE, --original and --candidate, or --score")
    from tfar.images.read import image_files
    from tfar.images.write import check_file
    from tfar.reports import study

    if options.score:
        scores = study.score_votes(options.score, options.key)
        print_tables(study.markdown(scores))
        if options.out:
            print("", *study.study_report(options.out, scores), sep="\n")
        return 0
    for path in (Path(options.page), study.key_of(options.page)):
        check_file(path)
        if path.exists() and not options.overwrite:
            raise TfarError(f"{path}: is there already; --overwrite replaces it")
    total = len(image_files(options.original))
    candidates = all_named(options.candidate)
    pictures = study.folder_pictures(options.original, candidates, count=options.images, seed=options.seed)
    key = study.write_study(options.page, pictures, ask=options.ask, seed=options.seed)
    drawn = f", drawn at random with seed {options.seed}" if len(pictures) < total else ""
    print(f"{options.page}\n{key}  (keep it from the participants; --score needs it)")
    print(f"{len(pictures)} of {total} images{drawn}; each has {', '.join(candidates)} to be judged")
    return 0
