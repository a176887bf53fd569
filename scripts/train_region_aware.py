"""Train the region-aware system and put it to the test; the main job.

    python scripts/train_region_aware.py                                       # demo: minutes on a laptop
    python scripts/train_region_aware.py --recipe cpu --data PHOTOS            # an evening on a CPU
    python scripts/train_region_aware.py --recipe general --data PHOTOS        # the default preset's: days
    python scripts/train_region_aware.py --recipe gpu --data PHOTOS            # for several GPUs
    python scripts/train_region_aware.py --resume RUN                          # after an interruption

It trains Edge-CNN (the base fidelity layer L_B), then Texture-GAN (the texture enhancement layer L_T), fuses them with
the orientation-diversity mask, prints a table of scores on the held-out images, and writes the fused network, its
SavedModel and TFLite exports and a comparison picture into the run folder.
"""

import argparse
import sys

from tfar.cli import exit_code
from tfar.commands.train import add_training_arguments, run

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(system="region-aware")
    add_training_arguments(parser)
    sys.exit(exit_code(run, parser.parse_args()))
