"""Measure how often tfar/traces.py finds the JPEG that a picture was.

    python scripts/measure_inspection.py LIVE1 --limit 29

Every original is coded, decoded and cut off by 0 to 7 rows and columns at random; then the offset of its grid and its
quality are looked for in the pixels alone. Originals that are JPEG files are reduced to 0.7 first, so that they have
no grid of their own. The tables give shares of the pictures in percent:

- one JPEG, in colour (4:2:0) and gray: offset right, offset wrong, quality within 3;
- tables of other encoders: the same, where the quality is that of the standard table nearest to the one used;
- two JPEGs, the second with the same grid or with a shifted one: the first found (offset right, quality within 5),
  something else said, nothing said, which is right where the first is no stronger than the second;
- pictures without a grid: nothing said. Those are the originals, and JPEGs that were resized after decoding.
"""

import argparse
import sys
import time
from pathlib import Path

from tfar import backend, quantization
from tfar.cli import exit_code
from tfar.commands.arguments import positive, quality

QUALITIES = (10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90)
FIRST, SECOND = (10, 30, 50, 70, 90), (60, 75, 85, 95)
RESIZED = (0.5, 0.9, 1.5, 2.0)
REDUCED = 0.7


def run(options):
    backend.start()
    import numpy as np
    from PIL import Image

    from tfar import jpeg
    from tfar.images.read import image_files, read_image
    from tfar.pixels import as_rgb
    from tfar.quantization import nearest_quality
    from tfar.traces import find_trace, find_trace_beneath

    random = np.random.default_rng(0)
    files = image_files(Path(options.folder))
    if options.limit:
        files = [files[i] for i in sorted(random.permutation(len(files))[: options.limit])]
    seconds = []

    def resized(image, factor):
        size = [max(8, round(side * factor)) for side in image.shape[1::-1]]
        return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))

    def cut(image, at_least=0):
        """The image less some rows and columns, and the offset of its grid."""
        top, left = random.integers(at_least, 8, 2)
        return np.ascontiguousarray(image[top:, left:]), (-top % 8, -left % 8)

    def search(find, *given):
        began = time.process_time()
        trace = find(*given)
        seconds.append(time.process_time() - began)
        return trace

    def single(image, factor, tables="standard"):
        picture, offset = cut(jpeg.compress(image, factor, tables=tables))
        trace = search(find_trace, picture)
        wanted = nearest_quality(quantization.luma_table(factor, tables))
        near = trace and abs(trace.quality - wanted) <= 3
        return [bool(trace and trace.offset == offset), bool(trace and trace.offset != offset), bool(near)]

    def double(image, first, second, shifted):
        picture, offset = jpeg.compress(image, first), (0, 0)
        if shifted:
            picture, offset = cut(picture, at_least=1)
        picture = jpeg.compress(picture, second)
        trace = search(find_trace_beneath, picture, quantization.luma_table(second))
        right = bool(trace and trace.offset == offset and abs(trace.quality - first) <= 5)
        return [right, bool(trace) and not right, not trace]

    originals = []
    for file in files:
        image = as_rgb(read_image(file))
        originals.append(resized(image, REDUCED) if Image.open(file).format == "JPEG" else image)
    luma = [np.asarray(Image.fromarray(image).convert("L")) for image in originals]
    print(f"{len(files)} pictures of {Path(options.folder).name}\n")

    def table(heading, rows):
        print(f"| {' | '.join(heading)} |\n| --- |{' ---: |' * (len(heading) - 1)}")
        for name, shares in rows:
            print(f"| {name} | {' | '.join(f'{100 * share:.1f}' for share in shares)} |")
        print()

    shares = ("offset right", "wrong", "quality within 3")
    for kind, images in (("colour", originals), ("gray", luma)):
        rows = [(f"QF {q}", np.mean([single(i, q) for i in images], axis=0)) for q in options.quality]
        table((f"one JPEG, {kind}", *shares), rows)
    rows = [
        (f"{tables}, QF {q}", np.mean([single(i, q, tables) for i in originals], axis=0))
        for tables in ("mozjpeg", "photoshop")
        for q in (30, 60, 90)
    ]
    table(("tables of", *shares), rows)
    rows = [
        (f"QF {first} {'shifted' if shifted else 'aligned'} QF {second}", np.mean(found, axis=0))
        for second in SECOND
        for first in FIRST
        for shifted in (False, True)
        for found in [[double(image, first, second, shifted) for image in originals]]
    ]
    table(("two JPEGs", "first found", "wrong", "nothing said"), rows)
    rows = [("originals", [np.mean([search(find_trace, image) is None for image in originals])])]
    for q in (30, 75):
        for factor in RESIZED:
            none = [search(find_trace, resized(jpeg.compress(image, q), factor)) is None for image in originals]
            rows.append((f"QF {q}, resized to {factor}", [np.mean(none)]))
    table(("no grid", "nothing said"), rows)
    print(f"CPU seconds of a search: {np.mean(seconds):.3f} on average, {np.max(seconds):.3f} at most")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER", help="originals")
    parser.add_argument("--quality", type=quality, nargs="+", default=QUALITIES, metavar="QF")
    parser.add_argument("--limit", type=positive, metavar="N", help="take N images at random only")
    sys.exit(exit_code(run, parser.parse_args()))
