"""Train EP-GAN and put it to the test.

    python scripts/train_ep_gan.py                                         # demo: minutes on a laptop
    python scripts/train_ep_gan.py --recipe cpu --data PHOTOS              # an evening on a CPU
    python scripts/train_ep_gan.py v-gan                                   # without the edges
    python scripts/train_ep_gan.py ep-gan-mse                              # the paper's baseline
    python scripts/train_ep_gan.py --resume RUN                            # after an interruption (v-gan --resume RUN)

``ep-gan`` is the whole system, ``v-gan`` its ablation without edges, ``ep-gan-mse`` its generator with the MSE only.
It prints a table of scores on the held-out images, and writes the network, its SavedModel and TFLite exports and a
comparison picture into the run folder.
"""

import argparse
import sys

from tfar.cli import exit_code
from tfar.commands.train import add_training_arguments, run

SYSTEMS = ("ep-gan", "v-gan", "ep-gan-mse")

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("system", nargs="?", default=SYSTEMS[0], choices=SYSTEMS, help="default: %(default)s")
    add_training_arguments(parser)
    sys.exit(exit_code(run, parser.parse_args()))
