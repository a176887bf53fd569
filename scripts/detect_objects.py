"""Detect objects in photographs, in their JPEGs and in what restores these; tfar evaluate --detections scores it.

    python scripts/detect_objects.py PHOTOS FOUND --quality 10 20 40 --preset general galteri-gan-q10-40
    tfar evaluate --detections FOUND

FOUND, a new folder or one without JSON files, gets a file of COCO results for the originals, and for the JPEGs and each
preset at each quality.

The detector is MTCNN, which finds faces; its weights are in its package: pip install "tfar[detection]". With --model it
is a YOLO network as ONNX file (version 8 or 11: one output, a row for each of 4 sides and all classes), for which
onnxruntime is needed. Its classes have the names that the file gives them, or those of --classes: for PASCAL VOC with a
network of COCO, lines such as "aeroplane" for airplane, and empty ones for classes that are left out.
"""

import argparse
import ast
import itertools
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from tfar import backend
from tfar.cli import exit_code
from tfar.commands.arguments import Distinct, all_named, named_model, positive, quality
from tfar.errors import TfarError, first_line
from tfar.evaluation.boxes import read_annotations
from tfar.evaluation.detections import BASELINE
from tfar.evaluation.results import BASELINE as JPEG
from tfar.images.read import image_files, read_image
from tfar.pixels import as_rgb
from tfar.storage import write_text


def face_detector():
    """A function that gives class, score and box ``[x, y, width, height]`` of each face in uint8 ``(H, W, 3)`` RGB."""
    with backend.starting():
        try:
            from mtcnn import MTCNN
        except ImportError as error:
            raise TfarError('detecting faces needs MTCNN: pip install "tfar[detection]"') from error
        network = MTCNN()

    def find(image):
        return [
            ("face", float(face["confidence"]), [float(side) for side in face["box"]])
            for face in network.detect_faces(image)
        ]

    return find


def yolo(file, classes=None):
    """The same of a YOLO network; ``classes`` are names in place of the file's own, empty for those left out."""
    with backend.starting():
        try:
            import onnxruntime
        except ImportError as error:
            raise TfarError("YOLO networks need ONNX Runtime: pip install onnxruntime") from error
        import tensorflow as tf
    try:
        session = onnxruntime.InferenceSession(file, providers=onnxruntime.get_available_providers())
    except Exception as error:  # ONNX Runtime's own have no other kind in common
        raise TfarError(f"{file}: no network that ONNX Runtime can run ({first_line(error)})") from error
    source, count = session.get_inputs()[0], session.get_outputs()[0].shape[1] - 4
    side = source.shape[2] if isinstance(source.shape[2], int) else 640
    own = ast.literal_eval(session.get_modelmeta().custom_metadata_map.get("names", "{}"))
    names = classes or [own[kind] for kind in sorted(own)]
    if len(names) != count:
        raise TfarError(f"{file}: the network knows {count} classes, and {len(names)} names are given")

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
        return [
            (names[kinds[i]], float(scores[i]), [*low[i].tolist(), *size[i].tolist()])
            for i in best.numpy()
            if names[kinds[i]]
        ]

    return find


def photographs(folder, annotations):
    """Name -> file of the images of a folder, or of those that are annotated."""
    files: dict[str, Path] = {}
    for file in image_files(folder):
        if files.setdefault(file.stem, file) != file:
            raise TfarError(f"{folder}: two images are called {file.stem}")
    names = read_annotations(annotations).images.values() if annotations else files
    for name in names:
        if name not in files:
            raise TfarError(f"{folder}: no image {name}")
    return {name: files[name] for name in names}


def versions(original, options, contestants):
    """Label -> image: the original, its JPEGs, and what each contestant makes of them."""
    from tfar.evaluation.benchmark import FULL_REFERENCE

    yield BASELINE, original
    for factor in options.quality:
        coded = FULL_REFERENCE[options.protocol](original, factor).jpeg
        yield f"{JPEG}@{factor}", coded
        for contestant in contestants:
            for name, restored in contestant.restore(coded).items():
                yield f"{name}@{factor}", restored


def run(options):
    if any(Path(options.found).glob("*.json")):
        raise TfarError(f"{options.found}: holds results already (JSON files); name a new folder")
    files = dict(itertools.islice(photographs(options.photos, options.annotations).items(), options.limit))
    folders = {label: photographs(folder, options.annotations) for label, folder in all_named(options.folder).items()}
    for label, others in folders.items():
        for missing in files.keys() - others.keys():
            raise TfarError(f"{label}: no image {missing}")
    classes = options.classes and Path(options.classes).read_text(encoding="utf-8").splitlines()
    find = yolo(options.model, classes) if options.model else face_detector()
    from tfar.evaluation.contestants import check_names, contestant

    contestants = [contestant(path, name) for name, path in map(named_model, options.preset)]
    names = [name for contestant in contestants for name in contestant.names]
    check_names(names)
    made = {BASELINE, *(f"{name}@{factor}" for factor in options.quality for name in (JPEG, *names))}
    for label in made & folders.keys():
        raise TfarError(f"--folder {label}: results of this label are made here; choose another one")
    results = defaultdict(list)
    for name, file in files.items():
        images = [*versions(read_image(file), options, contestants)]
        images += [(label, read_image(others[name])) for label, others in folders.items()]
        for label, image in images:
            results[label] += [
                {"image_id": name, "category_id": kind, "score": score, "bbox": box}
                for kind, score, box in find(as_rgb(image))
            ]
    for label, boxes in results.items():
        file = Path(options.found, f"{label}.json")
        write_text(file, json.dumps(boxes))
        print(f"{file}  ({len(boxes)} boxes)")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", metavar="PHOTOS", help="folder of originals, such as VOC2007/JPEGImages")
    parser.add_argument("found", metavar="FOUND", help="folder for the results, one JSON file per version")
    parser.add_argument("--quality", type=quality, nargs="+", action=Distinct, default=[10, 20, 30, 40], metavar="QF")
    parser.add_argument("--preset", nargs="+", default=[], metavar="MODEL", help="as of tfar evaluate")
    parser.add_argument(
        "--protocol",
        choices=["color", "gray", "webp", "jpeg2000", "avif", "heic"],
        default="color",
        help="how they are coded, as of tfar evaluate (default: %(default)s)",
    )
    parser.add_argument(
        "--folder",
        nargs="+",
        default=[],
        metavar="LABEL=FOLDER",
        help="what others restored, images of the same names: AR-CNN@20=FOLDER",
    )
    parser.add_argument("--annotations", metavar="PATH", help="take its images only; as of tfar evaluate")
    parser.add_argument("--limit", type=positive, metavar="N", help="take the first N images only")
    parser.add_argument("--model", metavar="FILE.onnx", help="a YOLO network in place of MTCNN")
    parser.add_argument("--classes", metavar="FILE", help="names of its classes, a line each")
    return parser


if __name__ == "__main__":
    sys.exit(exit_code(run, arguments().parse_args()))
