"""Train the one-to-many network and put it to the test.

    python scripts/train_one_to_many.py                                    # demo: minutes on a laptop
    python scripts/train_one_to_many.py --recipe cpu --data PHOTOS         # an evening on a CPU
    python scripts/train_one_to_many.py one-to-many-mse                    # the paper's baseline
    python scripts/train_one_to_many.py --resume RUN                       # after an interruption

``one-to-many`` gives several restorations of an image, ``one-to-many-mse`` is the paper's baseline, without noise; both
are for quality 10, or with ``-q5`` or ``-q20`` behind them for another. ``one-to-many-y`` works on luma alone. The
ablations of Fig. 8 are ``one-to-many-perceptual-unshifted`` (a), ``one-to-many-perceptual`` (b) and
``one-to-many-natural`` (c).
It prints a table of scores on the held-out images, and writes the network, its SavedModel and TFLite exports and a
comparison picture into the run folder.
"""

import argparse
import sys

from tfar.cli import exit_code
from tfar.commands.train import add_training_arguments, run

SYSTEMS = (
    "one-to-many",
    "one-to-many-q5",
    "one-to-many-q20",
    "one-to-many-y",
    "one-to-many-natural",
    "one-to-many-perceptual",
    "one-to-many-perceptual-unshifted",
    "one-to-many-mse",
    "one-to-many-mse-q5",
    "one-to-many-mse-q20",
)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("system", nargs="?", default=SYSTEMS[0], choices=SYSTEMS, help="default: %(default)s")
    add_training_arguments(parser)
    sys.exit(exit_code(run, parser.parse_args()))
