"""What compression and restoration do to object detection: mean average precision of boxes found in each version.

Two measures: that of PASCAL VOC 2007, with which Galteri et al. (ICCV 2017, Section 4.4) measured, and COCO's.
"""

import contextlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfar.errors import TfarError
from tfar.evaluation.boxes import Box, Truth, read_annotations, read_results, truth_of

BASELINE = "original"  # what the other rows of a table are compared with
MIN_OVERLAP = 0.5  # intersection over union from which on a box is right
RECALLS = 11  # at which PASCAL VOC 2007 takes the precision: 0, 0.1 ... 1


@dataclass(frozen=True, kw_only=True)
class Precision:
    """How well the boxes of one detector run agree with the truth; all precisions in [0, 1].

    Args:
        means: name of a mean -> value, the foremost first. PASCAL VOC's: ``mAP``, the mean over categories. COCO's:
            ``mAP@[.5:.95]``, the mean over categories and the IoU thresholds 0.5, 0.55 ... 0.95, ``AP50`` and ``AP75``.
        categories: category name -> average precision at IoU 0.5; categories without objects are left out.
        objects: number of objects that were to be found.
    """

    means: dict[str, float]
    categories: dict[str, float]
    objects: int

    @property
    def mean(self) -> float:
        """The foremost mean."""
        return next(iter(self.means.values()))


def mean_average_precision(
    annotations: str | Path | None, predictions: Mapping[str, str | Path], *, threshold: float = 0.5
) -> dict[str, Precision]:
    """Score boxes that a detector found in several versions of the same images.

    All annotated images count: boxes that are missing because an image was left out are missed objects.

    Args:
        annotations: the true boxes, as :func:`tfar.evaluation.boxes.read_annotations` takes them: PASCAL VOC's, which
            are scored by its measure of 2007, or COCO's, by COCO's. None: what was found in the originals is the truth,
            by PASCAL VOC's measure.
        predictions: label of a version, such as ``original``, ``JPEG`` or ``restored`` -> results file, as
            :func:`tfar.evaluation.boxes.read_results` takes it.
        threshold: without annotations, the score from which on a box of the originals is an object; the other boxes
            there count neither when found nor when missed.

    Returns:
        Label -> precision, in the order of ``predictions``.

    Raises:
        TfarError: naming the file, when it is missing, not of its structure, or speaks of images or categories that
            the annotations do not have; without annotations and ``original``, or with nothing to be found; or when
            COCO's measure needs pycocotools, which is not installed.
    """
    if annotations is None:
        if BASELINE not in predictions:
            raise TfarError(f"without annotations, the boxes found in the {BASELINE}s are needed as the truth")
        found = {label: read_results(file) for label, file in predictions.items()}
        truth = truth_of(found[BASELINE], {box.image for boxes in found.values() for box in boxes}, threshold)
    else:
        truth = read_annotations(annotations)
        found = {label: read_results(file, truth) for label, file in predictions.items()}
    if all(box.ignored for box in truth.objects):
        raise TfarError(f"{annotations or predictions[BASELINE]}: there is no object to be found")
    measure = _coco_precision if truth.coco else voc_precision
    return {label: measure(truth, boxes) for label, boxes in found.items()}


def voc_precision(truth: Truth, found: Sequence[Box]) -> Precision:
    """Mean average precision as the development kit of PASCAL VOC 2007 has it.

    A box is right when the object of its category that it overlaps most has an intersection over union with it of at
    least 0.5, and no box of a higher score has found that object already; it does not count when that object is
    difficult. The average precision is the mean, over the recalls 0, 0.1 ... 1, of the highest precision at that recall
    or a higher one (Everingham et al., IJCV 88(2), 2010, Section 4.2).

    Args:
        truth: the objects.
        found: boxes of all images and categories.
    """
    precisions, wanted = {}, 0
    for id, name in truth.categories.items():
        objects = [box for box in truth.objects if box.category == id]
        count = sum(not box.ignored for box in objects)
        if count:
            precisions[name] = _average_precision(objects, [box for box in found if box.category == id], count)
            wanted += count
    return Precision(means={"mAP": float(np.mean([*precisions.values()]))}, categories=precisions, objects=wanted)


def method_and_quality(label: str) -> tuple[str, int | None]:
    """What made a version, and of which JPEG quality, from its label: ``general@20``, or ``original`` of none."""
    match = re.fullmatch(r"(.+)@(\d{1,3})", label)
    return (match[1], int(match[2])) if match else (label, None)


def _average_precision(objects: Sequence[Box], found: Sequence[Box], count: int) -> float:
    """Average precision in one category of which ``count`` objects are to be found."""
    by_image: dict = {}
    for number, box in enumerate(objects):
        by_image.setdefault(box.image, []).append((number, box))
    taken: set[int] = set()
    right = []
    for box in sorted(found, key=lambda box: -box.score):
        overlaps = [(_overlap(box.sides, other.sides), number) for number, other in by_image.get(box.image, ())]
        overlap, nearest = max(overlaps, key=lambda pair: pair[0], default=(0, -1))
        if overlap < MIN_OVERLAP:
            right.append(False)
        elif not objects[nearest].ignored:
            right.append(nearest not in taken)
            taken.add(nearest)
    hits = np.cumsum(right, dtype=int)
    precision = hits / np.arange(1, len(right) + 1)
    steps = RECALLS - 1  # recall >= step / steps, in whole numbers: 0.3 is not less than three times 0.1
    return float(np.mean([max(precision[hits * steps >= step * count], default=0) for step in range(RECALLS)]))


def _overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    width, height = (max(0, min(one[i] + one[i + 2], other[i] + other[i + 2]) - max(one[i], other[i])) for i in (0, 1))
    both = width * height
    union = one[2] * one[3] + other[2] * other[3] - both
    return both / union if union > 0 else 0.0


def _coco_precision(truth: Truth, found: Sequence[Box]) -> Precision:
    """COCO's means, by pycocotools; its precisions have the axes IoU, recall, category, area and number of boxes."""
    COCO, COCOeval = _pycocotools()

    def index(boxes: Sequence[Box], **fields):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": id} for id in truth.images],
            "categories": [{"id": id, "name": name} for id, name in truth.categories.items()],
            "annotations": [
                {
                    "id": number,  # it misses an annotation of id 0
                    "image_id": box.image,
                    "category_id": box.category,
                    "bbox": list(box.sides),
                    "area": box.sides[2] * box.sides[3],
                    "score": box.score,
                    "iscrowd": int(box.ignored),
                }
                for number, box in enumerate(boxes, start=1)
            ],
        }
        coco.createIndex()
        return coco

    with contextlib.redirect_stdout(io.StringIO()):  # it reports every step
        evaluation = COCOeval(index(truth.objects), index(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    curves = evaluation.eval["precision"][..., 0, -1]  # boxes of all sizes, at most 100 an image; -1: not annotated
    annotated = curves[0, 0] > -1
    precision = curves[..., annotated].mean(axis=1)
    names = [truth.categories[id] for id in np.array(evaluation.params.catIds)[annotated].tolist()]
    means = {"mAP@[.5:.95]": precision.mean(), "AP50": precision[0].mean(), "AP75": precision[5].mean()}
    return Precision(
        means={name: float(value) for name, value in means.items()},
        categories=dict(zip(names, map(float, precision[0]))),
        objects=sum(not box.ignored for box in truth.objects),
    )


def _pycocotools():
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise TfarError('scoring by COCO\'s measure needs pycocotools: pip install "tfar[detection]"') from error
    return COCO, COCOeval
