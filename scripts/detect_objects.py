"""Detect objects in versions of the same images; writes COCO results for tfar evaluate --detections.

    python scripts/detect_objects.py ANNOTATIONS.json FOUND original=PHOTOS jpeg=JPEGS restored=RESTORED

With --model, a YOLO network as ONNX file (version 8 or 11: one output, a row for each of 4 sides and all classes) whose
classes are the annotated categories in the order of their ids; needs pip install onnxruntime. Without, the frontal-face
detector of scikit-image, for annotations of faces alone. Extensions of image files need not agree.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tfar import backend
from tfar.cli import exit_code
from tfar.errors import TfarError
from tfar.images.read import image_files
from tfar.storage import write_atomically


def find_faces(image):
    """Class 0, score and box of each face: the more windows on it the cascade accepts, the higher the score."""
    from skimage import data, feature

    cascade, scores = feature.Cascade(data.lbp_frontal_face_cascade_filename()), {}
    for windows in (1, 2, 4, 8, 16):
        for face in cascade.detect_multi_scale(image, 1.2, 1, (32, 32), image.shape[:2], windows):
            scores[face["c"], face["r"], face["width"], face["height"]] = windows / 16
    return [(0, score, list(box)) for box, score in scores.items()]


def yolo(file):
    """A function that gives class, score and box of the objects in an image, and the number of classes."""
    with backend.starting():
        import onnxruntime
        import tensorflow as tf
    session = onnxruntime.InferenceSession(file, providers=onnxruntime.get_available_providers())
    source, classes = session.get_inputs()[0], session.get_outputs()[0].shape[1] - 4
    side = source.shape[2] if isinstance(source.shape[2], int) else 640

    def find(image):
        zoom = side / max(image.shape[:2])
        width, height = (max(1, round(length * zoom)) for length in image.shape[1::-1])
        canvas = np.full((side, side, 3), 114, np.uint8)
        canvas[:height, :width] = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        found = session.run(None, {source.name: np.float32(canvas.transpose(2, 0, 1)[None]) / 255})[0][0].T
        kinds, scores, size = found[:, 4:].argmax(axis=1), found[:, 4:].max(axis=1), found[:, 2:4] / zoom
        low = found[:, :2] / zoom - size / 2
        apart = 1e4 * kinds[:, None]  # boxes of two classes never suppress each other
        best = tf.image.non_max_suppression(np.float32(np.hstack([low, low + size]) + apart), scores, 300, 0.7, 0.001)
        return [(kinds[i], float(scores[i]), [*low[i].tolist(), *size[i].tolist()]) for i in best.numpy()]

    return find, classes


def run(options):
    annotations = json.loads(Path(options.annotations).read_text(encoding="utf-8"))
    categories = sorted(category["id"] for category in annotations["categories"])
    find, classes = yolo(options.model) if options.model else (find_faces, 1)
    if classes != len(categories):
        raise TfarError(f"the detector knows {classes} classes, the annotations {len(categories)} categories")
    for label, folder in (version.split("=", 1) for version in options.versions):
        files, results = {file.stem: file for file in image_files(folder)}, []
        for image_id, stem in ((entry["id"], Path(entry["file_name"]).stem) for entry in annotations["images"]):
            if stem not in files:
                raise TfarError(f"{folder}: no image {stem}")
            results += [
                {"image_id": image_id, "category_id": categories[kind], "score": score, "bbox": box}
                for kind, score, box in find(np.asarray(Image.open(files[stem]).convert("RGB")))
            ]
        write_atomically(Path(options.output, f"{label}.json"), lambda part: part.write_text(json.dumps(results)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("annotations", help="COCO annotations of the images")
    parser.add_argument("output", help="folder for the results, one JSON file per version")
    parser.add_argument("versions", nargs="+", metavar="LABEL=FOLDER")
    parser.add_argument("--model", metavar="FILE.onnx", help="a YOLO network (default: scikit-image's face detector)")
    sys.exit(exit_code(run, parser.parse_args()))
