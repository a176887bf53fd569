"""Restore a picture with a TFLite file of tfar as a phone does it, for whoever writes that in Kotlin or Swift.

    tfar export phone/ --format tflite --quantize int8 --tile 256
    python scripts/restore_with_litert.py phone/model.tflite photo.jpg restored.png --strength 0.8 --threads 2

Needs NumPy, Pillow and ai-edge-litert only, and neither tfar nor TensorFlow. docs/mobile.md says what is done and why.
"""

import argparse
import json
import sys

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from PIL import Image, ImageOps

GRID = 16  # pixels: JPEGs whose colour has half the resolution repeat themselves after so many
OVERLAP = 48  # pixels of a tile that its neighbour computes as well; a multiple of GRID
LARGEST = 512  # side of the tiles of files that take images of any size; a multiple of GRID
ORIENTATION = 0x0112  # in EXIF


class OverlapError(ValueError):
    """An overlap that the tiles cannot have."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL.tflite")
    parser.add_argument("picture", metavar="IN")
    parser.add_argument("target", metavar="OUT")
    parser.add_argument("--strength", type=float, default=1.0, help="0: the picture as it is, 1: fully restored")
    parser.add_argument("--overlap", type=int, default=OVERLAP, help="a multiple of 16 (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="of the noise, where the network takes any")
    options = parser.parse_args()
    if not 0 <= options.strength <= 1:
        parser.error(f"--strength is from 0 to 1, not {options.strength:g}")

    print(json.dumps(metadata(options.model)), file=sys.stderr)
    network = Interpreter(options.model, num_threads=options.threads).get_signature_runner("serving_default")
    picture = Image.open(options.picture)
    given = np.asarray(picture.convert("RGB"))  # as it is stored: turned, it would no longer lie on its JPEG's grid
    try:
        restored = restore(network, given, strength=options.strength, overlap=options.overlap, seed=options.seed)
    except OverlapError as error:
        parser.error(str(error))
    if picture.mode == "L":
        restored = np.uint8(np.round(restored.mean(axis=-1)))
    result = Image.fromarray(restored)
    result.getexif()[ORIENTATION] = picture.getexif().get(ORIENTATION, 1)
    ImageOps.exif_transpose(result).save(options.target)


def restore(network, image, *, strength=1.0, overlap=OVERLAP, seed=0):
    """Restore an image tile by tile.

    Args:
        network: the signature ``serving_default`` of a TFLite file of tfar, also of one for apps (``--io app``).
        image: the decoded JPEG, uint8 ``(H, W, 3)`` RGB.
        strength: how much of what the network changes is taken, from 0 to 1.
        overlap: pixels on each side of a tile that are computed and not kept; a multiple of 16.
        seed: of the noise.

    Returns:
        The restored image, uint8 ``(H, W, 3)``.
    """
    fixed = network.get_input_details()["image"]["shape_signature"][1]  # -1 where the file takes images of any size
    side = LARGEST if fixed < 0 else int(fixed)
    if overlap < 0 or overlap % GRID or side - 2 * overlap < GRID:
        raise OverlapError(f"the overlap must be a multiple of {GRID} and less than half of {side} pixels: {overlap}")
    height, width = image.shape[:2]
    noise = np.random.default_rng(seed).standard_normal((-(-height // 2), -(-width // 2), 1), dtype=np.float32)
    restored = np.empty_like(image)
    for top, bottom, first_row, last_row in spans(height, side, overlap):
        for left, right, first_column, last_column in spans(width, side, overlap):
            tile = image[top:bottom, left:right]
            drawn = noise[top // 2 : -(-bottom // 2), left // 2 : -(-right // 2)]
            if fixed > 0:
                tile, drawn = extended(tile, side), extended(drawn, -(-side // 2))
            result = compute(network, tile, drawn, strength)
            kept = result[first_row - top : last_row - top, first_column - left : last_column - left]
            restored[first_row:last_row, first_column:last_column] = kept
    return restored


def spans(size, side, overlap):
    """Where along one side of the image the tiles begin and end, and what is kept of them begins and ends."""
    step = (side - 2 * overlap) // GRID * GRID
    start = 0
    while True:
        end = min(start + side, size)
        last = end == size
        yield start, end, start + overlap if start else 0, size if last else start + step + overlap
        if last:
            return
        start += step


def extended(tile, side):
    """A tile of the side that the file wants: what is missing at its right and bottom repeats the border."""
    return np.pad(tile, ((0, side - tile.shape[0]), (0, side - tile.shape[1]), (0, 0)), mode="edge")


def compute(network, tile, noise, strength):
    """The restored tile, uint8."""
    inputs = network.get_input_details()
    if "strength" in inputs:  # a file for apps: float32 in [0, 1], and what comes back is cut to whole levels
        given = {"image": np.float32(tile[None]) / np.float32(255), "strength": np.float32([[strength]])}
        return np.uint8(np.clip(network(**given)["restored"][0] * np.float32(255), 0, 255))
    given = {"image": tile[None]} | ({"noise": noise[None]} if "noise" in inputs else {})
    change = np.float32(network(**given)["restored"][0]) - tile
    return np.uint8(np.clip(np.round(tile + np.float32(strength) * change), 0, 255))


def metadata(file):
    """What a TFLite file of tfar says of itself: the JSON in its metadata buffer ``tfar``."""
    with open(file, "rb") as stream:
        model = schema.Model.GetRootAs(stream.read())
    for entry in map(model.Metadata, range(model.MetadataLength())):
        if entry.Name() == b"tfar":
            return json.loads(model.Buffers(entry.Buffer()).DataAsNumpy().tobytes())
    return {}


if __name__ == "__main__":
    main()
