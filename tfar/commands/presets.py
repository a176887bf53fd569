"""List the trained presets, or show the card of one."""

import argparse

from tfar import presets


def add_arguments(parser: argparse.ArgumentParser):
    parser.add_argument("name", nargs="?")


def run(options: argparse.Namespace) -> int:
    print(presets.card(options.name) if options.name else "\n".join(presets.names()))
    return 0
