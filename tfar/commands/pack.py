"""Pack a folder of photographs into shards to train on."""

import argparse
from pathlib import Path

from tfar import backend
from tfar.commands.arguments import positive
from tfar.errors import TfarError


def add_arguments(parser: argparse.ArgumentParser):
    parser.add_argument("folder", metavar="FOLDER", help="photographs, in subfolders, too")
    parser.add_argument("out", metavar="OUT", help="the folder of shards to write")
    parser.add_argument(
        "--shards", type=positive, metavar="N", help="how many files to make (default: one for each 256 MB)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT where it is there already")


def run(options: argparse.Namespace) -> int:
    """Pack the photographs and print how to train on them."""
    out = Path(options.out)
    if out.exists() and not options.overwrite:
        raise TfarError(f"{out}: is there already; --overwrite replaces it")
    from tfar.data.shards import Shards, pack
    from tfar.data.sources import photographs_to_pack

    photographs = photographs_to_pack(options.folder)
    if not photographs:
        raise TfarError(f"{options.folder}: no photographs that can be read")
    if any(path.resolve().is_relative_to(out.resolve()) for path, _ in photographs):
        raise TfarError(f"{out}: holds photographs that are to be packed; choose another folder")
    with backend.starting():
        pack(out, photographs, options.shards)
    packed = Shards(out)
    print(f"{len(packed)} photographs in {packed.count} shards; train on them with --data shards:{out}")
    return 0
