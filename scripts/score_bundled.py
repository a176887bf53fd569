"""Score presets on three photographs of the scikit-image wheel, and note it in their metrics.json.

    python scripts/score_bundled.py                  # all presets
    python scripts/score_bundled.py general          # after its model.keras was changed

Everybody has these photographs, so the tests can compute the scores again and compare: ``bundled`` in metrics.json is
the PSNR over RGB, in dB, of a part of each photograph as a colour JPEG (4:2:0) of quality 10, and of its restoration.
"""

import argparse
import json
import sys

from tfar import backend, presets
from tfar.cli import exit_code
from tfar.storage import write_atomically

PHOTOS = ("astronaut", "coffee", "chelsea")
QUALITY = 10


def run(options):
    backend.start()
    from skimage import data

    import tfar
    from tfar.jpeg import compress
    from tfar.metrics.fidelity import psnr

    for name in options.names or presets.names():
        file = presets.model_file(name).with_name("metrics.json")
        scores = {}
        for photo in PHOTOS:
            original = getattr(data, photo)()[60:220, 100:300]
            jpeg = compress(original, QUALITY)
            found = {"JPEG": psnr(original, jpeg), "restored": psnr(original, tfar.restore(jpeg, preset=name))}
            scores[photo] = {row: round(value, 3) for row, value in found.items()}
        text = json.dumps({**json.loads(file.read_text()), "bundled": scores}, indent=2) + "\n"
        write_atomically(file, lambda part, text=text: part.write_text(text))
        print(name, json.dumps(scores))
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="PRESET")
    sys.exit(exit_code(run, parser.parse_args()))
