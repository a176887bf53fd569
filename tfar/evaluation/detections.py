"""What compression and restoration do to object detection: mean average precision of boxes found in each version."""

import contextlib
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfar.errors import TfarError

BASELINE = "original"  # what the other rows of a table are compared with


@dataclass(frozen=True, kw_only=True)
class Precision:
    """How well the boxes of one detector run agree with the annotations; all values in [0, 1].

    Args:
        mean: COCO's mAP, the mean over categories and the IoU thresholds 0.5, 0.55 ... 0.95.
        ap50: the mean over categories at IoU 0.5, as in PASCAL VOC.
        ap75: the same at IoU 0.75.
        categories: category name -> average precision at IoU 0.5; categories without annotations are left out.
    """

    mean: float
    ap50: float
    ap75: float
    categories: dict[str, float]


def mean_average_precision(annotations: str | Path, predictions: Mapping[str, str | Path]) -> dict[str, Precision]:
    """Score boxes that a detector found in several versions of the same images.

    All annotated images count: boxes that are missing because an image was left out are missed objects.

    Args:
        annotations: the true boxes, a COCO instances file (JSON with images, categories and annotations).
        predictions: label of a version, such as ``original``, ``JPEG`` or ``restored`` -> COCO results file: a JSON
            list of entries with image_id, category_id, bbox ``[x, y, width, height]`` in pixels, and score.

    Returns:
        Label -> precision, in the order of ``predictions``.

    Raises:
        TfarError: naming the file, when it is missing, no JSON, not of that structure, or speaks of images or
            categories that the annotations do not have; or when pycocotools is not installed.
    """
    COCO, COCOeval = _pycocotools()
    truth = _read_annotations(annotations)
    found = {label: _read_results(file, truth) for label, file in predictions.items()}

    def index(boxes):
        coco = COCO()
        coco.dataset = {"images": truth["images"], "categories": truth["categories"], "annotations": boxes}
        coco.createIndex()
        return coco

    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports every step
        truth_index = index(truth["annotations"])
        return {label: _precision(COCOeval(truth_index, index(boxes), "bbox")) for label, boxes in found.items()}


def format_table(precisions: Mapping[str, Precision]) -> str:
    """Markdown table in percent: one line per version, with the difference to ``original`` where that is there."""
    rows = {label: [row.mean, row.ap50, row.ap75] for label, row in precisions.items()}
    return _table(
        ["%", "mAP@[.5:.95]", "AP50", "AP75"],
        [[label, *_cells(row, rows.get(BASELINE), label)] for label, row in rows.items()],
    )


def format_categories(precisions: Mapping[str, Precision]) -> str:
    """Markdown table of AP50 in percent: one line per category, one column per version, with the differences."""
    names = list(next(iter(precisions.values())).categories) if precisions else []
    columns = {label: [row.categories[name] for name in names] for label, row in precisions.items()}
    cells = [_cells(column, columns.get(BASELINE), label) for label, column in columns.items()]
    return _table(["AP50, %", *columns], [[name, *row] for name, row in zip(names, zip(*cells))])


def _pycocotools():
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise TfarError('scoring detections needs pycocotools: pip install "tfar[detection]"') from error
    return COCO, COCOeval


def _precision(evaluation) -> Precision:
    """Run a ``COCOeval``; its precisions have the axes IoU, recall, category, area and number of boxes."""
    evaluation.evaluate()
    evaluation.accumulate()
    curves = evaluation.eval["precision"][..., 0, -1]  # boxes of all sizes, at most 100 an image; -1: not annotated
    annotated = curves[0, 0] > -1
    precision = curves[..., annotated].mean(axis=1)
    names = [evaluation.cocoGt.cats[id]["name"] for id in np.array(evaluation.params.catIds)[annotated]]
    return Precision(
        mean=float(precision.mean()),
        ap50=float(precision[0].mean()),
        ap75=float(precision[5].mean()),
        categories=dict(zip(names, map(float, precision[0]))),
    )


def _read_annotations(file: str | Path) -> dict[str, list[dict]]:
    """Images, categories and annotations of a COCO file, of which only what boxes need."""
    content = _read_json(file)
    parts = [
        content.get(part) if isinstance(content, dict) else None for part in ("images", "categories", "annotations")
    ]
    if not all(isinstance(part, list) and part and all(isinstance(entry, dict) for entry in part) for part in parts):
        raise TfarError(f"{file}: not COCO annotations (expected lists of images, categories and annotations)")
    images, categories, annotations = parts
    known = {"image": _ids(images, f"{file}: images"), "category": _ids(categories, f"{file}: categories")}
    names = [category.get("name") for category in categories]
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise TfarError(f"{file}: categories: every one needs a name of its own")
    boxes = [_box(entry, f"{file}: annotations[{i}]", known) for i, entry in enumerate(annotations)]
    for i, (box, entry) in enumerate(zip(boxes, annotations), start=1):
        box |= {"id": i, "iscrowd": int(bool(entry.get("iscrowd")))}  # pycocotools misses an annotation of id 0
        box["area"] = entry["area"] if _is_number(entry.get("area")) else box["area"]
    return {
        "images": [{"id": image["id"]} for image in images],
        "categories": [{"id": category["id"], "name": category["name"]} for category in categories],
        "annotations": boxes,
    }


def _read_results(file: str | Path, truth: Mapping[str, Sequence[dict]]) -> list[dict]:
    """Boxes of a COCO results file."""
    content = _read_json(file)
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise TfarError(f"{file}: not COCO results (expected a list of boxes)")
    known = {
        "image": {image["id"] for image in truth["images"]},
        "category": {category["id"] for category in truth["categories"]},
    }
    boxes = [_box(entry, f"{file}: [{i}]", known) for i, entry in enumerate(content)]
    for i, (box, entry) in enumerate(zip(boxes, content)):
        if not _is_number(entry.get("score")):
            raise TfarError(f"{file}: [{i}]: no score")
        box |= {"id": i + 1, "score": entry["score"], "iscrowd": 0}
    return boxes


def _read_json(file: str | Path):
    try:
        return json.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise TfarError(f"{file}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise TfarError(f"{file}: not JSON ({error})") from error


def _ids(entries: Sequence[dict], place: str) -> set[int]:
    ids = [entry.get("id") for entry in entries]
    if not all(isinstance(id, int) for id in ids) or len(set(ids)) < len(ids):
        raise TfarError(f"{place}: every one needs a whole number of its own as id")
    return set(ids)


def _box(entry: Mapping, place: str, known: Mapping[str, set[int]]) -> dict:
    """Image, category, box and its area in pixels, of an annotation or a result."""
    for kind, ids in known.items():
        id = entry.get(f"{kind}_id")
        if not isinstance(id, int) or id not in ids:
            raise TfarError(f"{place}: {kind}_id {id!r} is not in the annotations")
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)) or min(box[2:]) < 0:
        raise TfarError(f"{place}: bbox must be [x, y, width, height], got {box!r}")
    return {"image_id": entry["image_id"], "category_id": entry["category_id"], "bbox": box, "area": box[2] * box[3]}


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _cells(values: Sequence[float], baseline: Sequence[float] | None, label: str) -> list[str]:
    if baseline is None or label == BASELINE:
        return [f"{100 * value:.1f}" for value in values]
    return [f"{100 * value:.1f} ({100 * (value - base):+.1f})" for value, base in zip(values, baseline)]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in cells)
