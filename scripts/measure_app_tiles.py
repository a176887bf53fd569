"""What ``tfar export --format onnx --io app`` loses to the tiles that apps cut at any offset, in dB of PSNR over RGB.

Prints a line per photograph of scikit-image and JPEG quality: the gain of ``tfar.restore`` over the JPEG, and what
tiles of two sizes, of the image with its border repeated, gain less.

    tfar export app/ --format onnx --io app
    python scripts/measure_app_tiles.py app/model.onnx
"""

import argparse
import io

import numpy as np
import onnxruntime
from PIL import Image
from skimage import data, metrics

import tfar

PHOTOS = ("coffee", "astronaut", "chelsea")
QUALITIES = (10, 40, 75)
TILES = ((127, 16), (251, 17))  # side, and how much of it is cut on every side


def in_tiles(session: onnxruntime.InferenceSession, image: np.ndarray, side: int, cut: int) -> np.ndarray:
    """Restore an image, uint8 ``(H, W, 3)``, in tiles that overlap by ``2 * cut``."""
    height, width = image.shape[:2]
    padded = np.pad(image, ((cut, cut + side), (cut, cut + side), (0, 0)), mode="edge")
    step, result = side - 2 * cut, np.empty_like(image)
    for top in range(0, height, step):
        for left in range(0, width, step):
            tile = np.float32(padded[top : top + side, left : left + side]).transpose(2, 0, 1)[None] / 255
            [restored] = session.run(None, {"image": tile})
            kept = np.uint8(np.rint(255 * restored[0].transpose(1, 2, 0)))[cut:-cut, cut:-cut]
            result[top : top + step, left : left + step] = kept[: height - top, : width - left]
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="of tfar export --format onnx --io app")
    parser.add_argument("--preset", default=tfar.presets.DEFAULT, help="that the file is of (default: %(default)s)")
    options = parser.parse_args()
    session = onnxruntime.InferenceSession(options.file, providers=["CPUExecutionProvider"])
    for photo in PHOTOS:
        original = getattr(data, photo)()[:, :500]
        for quality in QUALITIES:
            coded = io.BytesIO()
            Image.fromarray(original).save(coded, "JPEG", quality=quality)
            jpeg = np.asarray(Image.open(coded))
            images = [jpeg, tfar.restore(jpeg, preset=options.preset, exact=True)]
            images += [in_tiles(session, jpeg, *tile) for tile in TILES]
            given, whole, *tiled = (metrics.peak_signal_noise_ratio(original, image) for image in images)
            losses = "  ".join(f"{side} px {score - whole:+.3f}" for (side, _), score in zip(TILES, tiled))
            print(f"{photo:10} quality {quality}  restored {whole - given:+.3f}  {losses}", flush=True)


if __name__ == "__main__":
    main()
