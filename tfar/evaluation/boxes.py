"""Boxes around objects in images: annotations of PASCAL VOC and COCO, and what a detector found."""

import json
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tfar.errors import TfarError

Id = int | str
VOC_CLASSES = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant sheep "
    "sofa train tvmonitor"
).split()


@dataclass(frozen=True, kw_only=True)
class Box:
    """An object that is in an image, or was found there.

    Args:
        image, category: ids, as in :class:`Truth`.
        sides: x and y of the upper left corner, width and height, in pixels; the first pixel reaches from 0 to 1.
        score: how sure the detector is, the more the higher.
        ignored: whether neither finding nor missing it counts: objects that PASCAL VOC calls difficult, COCO's crowds.
    """

    image: Id
    category: Id
    sides: tuple[float, float, float, float]
    score: float = 1.0
    ignored: bool = False


@dataclass(frozen=True)
class Truth:
    """The objects that a detector should find.

    Args:
        images: id -> name of the image's file, without folder and extension.
        categories: id -> name.
        objects: what is to be found.
        coco: whether it is COCO's, and its measure applies.
    """

    images: Mapping[Id, str]
    categories: Mapping[Id, str]
    objects: Sequence[Box]
    coco: bool = False


def read_annotations(path: str | Path) -> Truth:
    """The annotations of PASCAL VOC or COCO.

    Ids of images and categories are COCO's numbers; in PASCAL VOC, which has none, names: ``000001`` and ``cat``.

    Args:
        path: a folder of PASCAL VOC's XML files, all of which count (``VOC2007/Annotations``); or a list of its images
            (``VOC2007/ImageSets/Main/test.txt``), whose XML files are looked for in ``VOC2007/Annotations``; or a COCO
            instances file, JSON.

    Raises:
        TfarError: naming the file, when it is missing or not of that structure.
    """
    path = Path(path)
    if path.is_dir():
        return _voc_truth(sorted(path.glob("*.xml")), path)
    if path.suffix == ".txt":
        names = dict.fromkeys(line.split()[0] for line in _read_text(path).splitlines() if line.strip())
        folder = (path.resolve().parent / "../../Annotations").resolve()
        return _voc_truth([folder / f"{name}.xml" for name in names], path)
    return _coco_truth(path)


def read_results(file: str | Path, truth: Truth | None = None) -> list[Box]:
    """Boxes that a detector found: a COCO results file.

    Args:
        file: a JSON list of entries with image_id, category_id, bbox ``[x, y, width, height]`` in pixels, and score.
            Images and categories are given by their ids or by their names.
        truth: what the detector was looking for; without, images and categories may have any names.

    Raises:
        TfarError: naming the file, when it is missing, no JSON, not of that structure, or speaks of images or
            categories that are not among the annotated ones.
    """
    content = _read_json(file)
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise TfarError(f"{file}: not COCO results (expected a list of boxes)")
    known = _known(truth) if truth else None
    boxes = []
    for i, entry in enumerate(content):
        box = _box(entry, f"{file}: [{i}]", known)
        if not _is_number(entry.get("score")):
            raise TfarError(f"{file}: [{i}]: no score")
        boxes.append(replace(box, score=entry["score"]))
    return boxes


def truth_of(found: Sequence[Box], images: Iterable[Id], threshold: float) -> Truth:
    """What a detector found in the originals as the truth, where there are no annotations.

    Args:
        found: the boxes of the originals.
        images: ids of all images.
        threshold: boxes of at least this score are objects; finding or missing the others does not count.
    """
    return Truth(
        images={id: str(id) for id in images},
        categories={id: str(id) for id in sorted({box.category for box in found}, key=str)},
        objects=[replace(box, ignored=box.score < threshold) for box in found],
    )


def _voc_truth(files: Sequence[Path], place: Path) -> Truth:
    """Truth of XML files; ``place`` is where they were looked for."""
    if not files:
        raise TfarError(f"{place}: no annotations of PASCAL VOC (XML files)")
    objects = [box for file in files for box in _voc_boxes(file)]
    found = {box.category for box in objects}
    categories = VOC_CLASSES if found <= {*VOC_CLASSES} else sorted(map(str, found))
    return Truth(
        images={file.stem: file.stem for file in files},
        categories={name: name for name in categories},
        objects=objects,
    )


def _voc_boxes(file: Path) -> list[Box]:
    """The objects of an XML file; parts of objects, such as hands, are none. Its corners count pixels from 1."""
    try:
        root = ElementTree.fromstring(_read_text(file))
    except ElementTree.ParseError as error:
        raise TfarError(f"{file}: not XML ({error})") from error
    if root.tag != "annotation":
        raise TfarError(f"{file}: not an annotation of PASCAL VOC (expected <annotation>, found <{root.tag}>)")
    boxes = []
    for number, entry in enumerate(root.findall("object"), start=1):
        name = (entry.findtext("name") or "").strip()
        try:
            left, top, right, bottom = (
                float(entry.findtext(f"bndbox/{side}", "")) for side in ("xmin", "ymin", "xmax", "ymax")
            )
        except ValueError:
            left, top, right, bottom = 0, 0, -math.inf, -math.inf
        sides = (left - 1, top - 1, right - left + 1, bottom - top + 1)
        if not name or not all(map(math.isfinite, sides)) or min(sides[2:]) <= 0:
            raise TfarError(f"{file}: object {number}: expected a name and a bndbox with xmin, ymin, xmax and ymax")
        difficult = (entry.findtext("difficult") or "0").strip() == "1"
        boxes.append(Box(image=file.stem, category=name, sides=sides, ignored=difficult))
    return boxes


def _coco_truth(file: Path) -> Truth:
    """Images, categories and annotations of a COCO file."""
    content = _read_json(file)
    parts = [
        content.get(part) if isinstance(content, dict) else None for part in ("images", "categories", "annotations")
    ]
    if not all(isinstance(part, list) and part and all(isinstance(entry, dict) for entry in part) for part in parts):
        raise TfarError(f"{file}: not COCO annotations (expected lists of images, categories and annotations)")
    images, categories, annotations = parts
    for part, entries in (("images", images), ("categories", categories)):
        ids = [entry.get("id") for entry in entries]
        if not all(isinstance(id, int) for id in ids) or len(set(ids)) < len(ids):
            raise TfarError(f"{file}: {part}: every one needs a whole number of its own as id")
    names = [category.get("name") for category in categories]
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise TfarError(f"{file}: categories: every one needs a name of its own")
    truth = Truth(
        images={image["id"]: Path(str(image.get("file_name", image["id"]))).stem for image in images},
        categories={category["id"]: category["name"] for category in categories},
        objects=[],
        coco=True,
    )
    known = _known(truth)
    boxes = [
        replace(_box(entry, f"{file}: annotations[{i}]", known), ignored=bool(entry.get("iscrowd")))
        for i, entry in enumerate(annotations)
    ]
    return replace(truth, objects=boxes)


def _known(truth: Truth) -> dict[str, dict[Id, Id]]:
    """``image`` and ``category`` -> id or name -> id; an id goes before a name that looks like it."""

    def ids(part: Mapping[Id, str]) -> dict[Id, Id]:
        names: dict[Id, Id] = {name: id for id, name in part.items()}
        return names | {id: id for id in part}

    return {"image": ids(truth.images), "category": ids(truth.categories)}


def _box(entry: Mapping, place: str, known: Mapping[str, Mapping[Id, Id]] | None) -> Box:
    """The box of an annotation or a result."""
    ids = []
    for kind in ("image", "category"):
        id = entry.get(f"{kind}_id")
        if not isinstance(id, Id) or (known and id not in known[kind]):
            raise TfarError(f"{place}: {kind}_id {id!r} is not in the annotations")
        ids.append(known[kind][id] if known else id)
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)) or min(box[2:]) < 0:
        raise TfarError(f"{place}: bbox must be [x, y, width, height], got {box!r}")
    return Box(image=ids[0], category=ids[1], sides=tuple(box))


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _read_text(file: str | Path) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise TfarError(f"{file}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise TfarError(f"{file}: not a text in UTF-8") from error


def _read_json(file: str | Path):
    try:
        return json.loads(_read_text(file))
    except ValueError as error:
        raise TfarError(f"{file}: not JSON ({error})") from error
