"""Measure what restoration does to screenshots and text, which are no photographs.

    python scripts/measure_screenshots.py --preset general --quality 30 75 90

Draws a window with a menu, lines of text and a button, takes the page of small print that scikit-image carries, and
prints what restored files, as ``tfar restore`` makes them, gain over their JPEG: PSNR over RGB. ``--picture FILE``
writes the JPEGs of the window and, below, what became of them.
"""

import argparse
import sys

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tfar.cli import exit_code
from tfar.commands.arguments import add_preset, quality


def screenshot() -> np.ndarray:
    """A window of 480x320 pixels, uint8 RGB."""
    window = Image.new("RGB", (480, 320), "white")
    pen = ImageDraw.Draw(window)
    pen.rectangle((0, 0, 480, 28), fill=(36, 60, 120))
    pen.text((8, 7), "File  Edit  View  Help", fill="white", font=ImageFont.load_default(14))
    for line in range(14):
        ink, font = (180, 30, 30) if line % 3 == 0 else (20, 20, 20), ImageFont.load_default(10 + line % 5)
        pen.text((12, 40 + 18 * line), "The quick brown fox jumps over the lazy dog 0123456789", fill=ink, font=font)
    pen.rectangle((380, 60, 470, 110), fill=(230, 230, 235), outline=(120, 120, 120))
    pen.text((400, 75), "Cancel", fill="black", font=ImageFont.load_default(13))
    return np.asarray(window)


def restored(restorer, file: bytes) -> np.ndarray:
    """What ``tfar restore`` makes of a JPEG file that lies on its grid."""
    from tfar.images.read import read_image
    from tfar.restoration.projection import coded_planes, project

    return project(restorer(read_image(file)), coded_planes(file))


def run(options):
    from skimage import data

    from tfar import jpeg
    from tfar.metrics.fidelity import psnr
    from tfar.pixels import as_rgb
    from tfar.restoration.restorer import Restorer

    restorer = Restorer(options.preset)
    shown = []
    print(f"| {options.preset} | chroma |{''.join(f' QF {factor} |' for factor in options.quality)}")
    print(f"| --- | --- |{' ---: |' * len(options.quality)}")
    for name, original in (("window", screenshot()), ("small print", as_rgb(data.text()))):
        for subsampling in ("4:2:0", "4:4:4"):
            gains = []
            for factor in options.quality:
                file = jpeg.encode(original, factor, subsampling)
                pair = jpeg.decode(file), restored(restorer, file)
                gains.append(psnr(original, pair[1]) - psnr(original, pair[0]))
                if name == "window" and subsampling == "4:2:0":
                    shown.append(np.vstack([image[:200, :320] for image in pair]))
            print(f"| {name} | {subsampling} |{''.join(f' {gain:+.2f} |' for gain in gains)}")
    if options.picture:
        from tfar.images.write import write_image

        write_image(options.picture, np.hstack(shown))
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_preset(parser)
    parser.add_argument("--quality", type=quality, nargs="+", default=[30, 75, 90], metavar="QF")
    parser.add_argument("--picture", metavar="FILE")
    sys.exit(exit_code(run, parser.parse_args()))
