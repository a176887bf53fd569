"""Train the residual GAN of Galteri et al. and put it to the test.

    python scripts/train_galteri.py                                        # demo: minutes on a laptop
    python scripts/train_galteri.py --recipe cpu --data PHOTOS             # an evening on a CPU
    python scripts/train_galteri.py galteri-mse                            # direct supervision, most faithful
    python scripts/train_galteri.py --resume RUN                           # after an interruption

``galteri-gan`` is the whole system, ``galteri-gan-y`` the same for luma alone, ``galteri-gan-l1`` with an L1 loss in
place of the perceptual one, ``galteri-gan-full`` with a discriminator of whole patches; ``galteri-mse`` and
``galteri-ssim`` are its generator under direct supervision.
It prints a table of scores on the held-out images, and writes the network, its SavedModel and TFLite exports and a
comparison picture into the run folder.
"""

import argparse
import sys

from tfar.cli import exit_code
from tfar.commands.train import add_training_arguments, run

SYSTEMS = ("galteri-gan", "galteri-gan-y", "galteri-gan-l1", "galteri-gan-full", "galteri-mse", "galteri-ssim")

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("system", nargs="?", default=SYSTEMS[0], choices=SYSTEMS, help="default: %(default)s")
    add_training_arguments(parser)
    sys.exit(exit_code(run, parser.parse_args()))
