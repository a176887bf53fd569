import json
import sys

import numpy as np
import pytest

from tfar.errors import TfarError
from tfar.evaluation.boxes import Box, Truth
from tfar.evaluation.detections import mean_average_precision, method_and_quality, voc_precision

TRUTH = {
    "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
    "categories": [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}, {"id": 7, "name": "owl"}],
    "annotations": [  # two cats, a dog whose id pycocotools would take for "not matched", and a crowd of cats; no owl
        {"id": 1, "image_id": 1, "category_id": 3, "bbox": [10, 10, 100, 100], "area": 10000, "iscrowd": 0},
        {"id": 2, "image_id": 2, "category_id": 3, "bbox": [50, 60, 120, 80], "area": 9600, "iscrowd": 0},
        {"id": 0, "image_id": 2, "category_id": 5, "bbox": [200, 20, 100, 60]},
        {"id": 4, "image_id": 1, "category_id": 3, "bbox": [300, 200, 100, 100], "area": 10000, "iscrowd": 1},
    ],
}
PERFECT = [
    {"image_id": box["image_id"], "category_id": box["category_id"], "bbox": box["bbox"], "score": 0.9}
    for box in TRUTH["annotations"][:3]
]
FOUND = {
    "original": PERFECT,
    # One of two cats: precision 1 up to recall 0.5, so at 51 of the 101 recalls.
    "half": [PERFECT[0], PERFECT[2]],
    # The dog is 20 of its 100 pixels aside: an IoU of 80 / 120, enough for 0.5, 0.55, 0.6 and 0.65.
    "aside": [*PERFECT[:2], PERFECT[2] | {"bbox": [220, 20, 100, 60]}],
    # A wrong cat before the right ones halves the precision at the first and leaves 2/3 at the second.
    "wrong": [*PERFECT, PERFECT[0] | {"bbox": [300, 300, 20, 20], "score": 0.95}],
    # An IoU of 84 / 116, or 0.724, is enough for the thresholds up to 0.7.
    "near": [*PERFECT[:2], PERFECT[2] | {"bbox": [216, 20, 100, 60]}],
    # The right dog is the eleventh box of its image.
    "eleventh": [*PERFECT, *[PERFECT[2] | {"bbox": [10, 200, 20, 20], "score": 0.95}] * 10],
    # A cat in the crowd counts neither way.
    "crowd": [*PERFECT, PERFECT[0] | {"bbox": [310, 210, 20, 20], "score": 0.95}],
    "nothing": [],
}
AT_HALF = 51 / 101


@pytest.fixture
def written(tmp_path):
    def write(name, content):
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps(content))
        return file

    return write


@pytest.fixture(scope="module")
def precisions(tmp_path_factory):
    pytest.importorskip("pycocotools")
    folder = tmp_path_factory.mktemp("detections")
    for name, content in {"truth": TRUTH, **FOUND}.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return mean_average_precision(folder / "truth.json", {label: folder / f"{label}.json" for label in FOUND})


@pytest.mark.parametrize(
    ("label", "cat", "dog"),
    [
        ("original", [1, 1, 1], [1, 1, 1]),
        ("half", [AT_HALF] * 3, [1, 1, 1]),
        ("aside", [1, 1, 1], [0.4, 1, 0]),
        ("wrong", [2 / 3] * 3, [1, 1, 1]),
        ("near", [1, 1, 1], [0.5, 1, 0]),
        ("eleventh", [1, 1, 1], [1 / 11] * 3),
        ("crowd", [1, 1, 1], [1, 1, 1]),
        ("nothing", [0, 0, 0], [0, 0, 0]),
    ],
)
def test_cocos_precision_of_boxes_reckoned_by_hand(precisions, label, cat, dog):
    row = precisions[label]
    assert list(row.means) == ["mAP@[.5:.95]", "AP50", "AP75"] and row.objects == 3
    assert [*row.means.values()] == pytest.approx(list(np.mean([cat, dog], axis=0)), abs=1e-9)
    assert row.mean == row.means["mAP@[.5:.95]"]
    assert row.categories == pytest.approx({"cat": cat[1], "dog": dog[1]}, abs=1e-9)


def test_nothing_is_printed_and_the_order_is_kept(written, capfd):
    pytest.importorskip("pycocotools")
    rows = mean_average_precision(written("truth", TRUTH), {"b": written("b", PERFECT), "a": written("a", [])})
    assert list(rows) == ["b", "a"]
    assert capfd.readouterr() == ("", "")


def test_missing_pycocotools_says_what_to_install(written, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(TfarError, match=r'pip install "tfar\[detection\]"'):
        mean_average_precision(written("truth", TRUTH), {"JPEG": written("jpeg", PERFECT)})


def cat(x, *, score=1.0, image="a", ignored=False, width=10):
    return Box(image=image, category="cat", sides=(x, 0, width, 10), score=score, ignored=ignored)


def precision(objects, found):
    """The precision of cats, of which there are images a and b."""
    return voc_precision(Truth({"a": "a", "b": "b"}, {"cat": "cat", "dog": "dog"}, objects), found)


FOUR = [cat(0), cat(20), cat(40), cat(0, image="b")]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (FOUR, 1),
        ([], 0),
        # The first of four is right, then there is a wrong one, then a right one: precisions 1, 1/2 and 2/3 at the
        # recalls 1/4, 1/4 and 2/4. So 1 at the recalls 0, 0.1 and 0.2, and 2/3 at 0.3, 0.4 and 0.5.
        ([cat(20, score=0.9), cat(70, score=0.8), cat(40, score=0.7)], (3 + 3 * 2 / 3) / 11),
        ([cat(40, score=0.7), cat(70, score=0.8), cat(20, score=0.9)], (3 + 3 * 2 / 3) / 11),
        # The same object twice: the second counts as wrong, although it fits better. Two of three are right.
        ([cat(1, score=0.9), cat(0, score=0.8), cat(20, score=0.7)], (3 + 3 * 2 / 3) / 11),
        # Right in one image, and at the same place of the other image, where nothing is.
        ([cat(20, score=0.9), cat(20, score=0.8, image="b"), cat(40, score=0.7)], (3 + 3 * 2 / 3) / 11),
        # An overlap of 1/2 suffices: 20 pixels wide where there are 10; of a little less does not.
        ([cat(0, width=20, image="b")], 3 / 11),
        ([cat(0, width=20.1, image="b")], 0),
    ],
)
def test_vocs_precision_reckoned_by_hand(found, expected):
    row = precision(FOUR, found)
    assert row.categories == {"cat": pytest.approx(expected, abs=1e-12)}  # there are no dogs
    assert row.means == {"mAP": pytest.approx(expected, abs=1e-12)} and row.objects == 4


def test_difficult_objects_count_neither_when_found_nor_when_missed():
    objects = [cat(0), cat(20, ignored=True), cat(40)]
    for difficult in ([], [cat(20, score=0.95)], [cat(20, score=0.95), cat(21, score=0.94)]):
        row = precision(objects, [*difficult, cat(0, score=0.9)])
        assert row.mean == pytest.approx(6 / 11) and row.objects == 2
    with_dog = [*objects, Box(image="a", category="dog", sides=(0, 0, 5, 5), ignored=True)]
    assert precision(with_dog, objects).categories == {"cat": 1}


def test_a_box_belongs_to_the_object_that_it_overlaps_most():
    objects = [cat(0), cat(4)]
    assert precision(objects, [cat(1, score=0.9), cat(1.5, score=0.8)]).mean == pytest.approx(6 / 11)


def test_recall_is_compared_exactly():
    objects = [cat(20 * i) for i in range(10)]
    for count in range(11):  # 3 of 10 is a recall of 0.3, which 3 * 0.1 exceeds in floating point
        assert precision(objects, objects[:count]).mean == pytest.approx((count + 1) / 11 if count else 0)


def devkit(objects, found, count):
    """VOCevaldet.m and VOCap.m of the development kit of 2007, line by line; boxes are (image, score, corners)."""
    order = sorted(range(len(found)), key=lambda d: -found[d][1])
    detected = [False] * len(objects)
    tp, fp = np.zeros(len(found)), np.zeros(len(found))
    for rank, d in enumerate(order):
        image, _, bb = found[d]
        ovmax, jmax = -np.inf, None
        for j, (other, bbgt, _) in enumerate(objects):
            if other != image:
                continue
            bi = [max(bb[0], bbgt[0]), max(bb[1], bbgt[1]), min(bb[2], bbgt[2]), min(bb[3], bbgt[3])]
            iw, ih = bi[2] - bi[0] + 1, bi[3] - bi[1] + 1
            if iw > 0 and ih > 0:
                ua = (
                    (bb[2] - bb[0] + 1) * (bb[3] - bb[1] + 1)
                    + (bbgt[2] - bbgt[0] + 1) * (bbgt[3] - bbgt[1] + 1)
                    - iw * ih
                )
                ov = iw * ih / ua
                if ov > ovmax:
                    ovmax, jmax = ov, j
        if ovmax >= 0.5:
            if not objects[jmax][2]:
                if not detected[jmax]:
                    tp[rank], detected[jmax] = 1, True
                else:
                    fp[rank] = 1
        else:
            fp[rank] = 1
    fp, tp = np.cumsum(fp), np.cumsum(tp)
    rec = tp / count
    with np.errstate(invalid="ignore"):
        prec = tp / (fp + tp)
    ap = 0
    for t in range(11):
        reached = prec[rec >= t / 10 - 1e-12]  # Matlab's 0:0.1:1
        ap += (np.nanmax(reached) if len(reached) else 0) / 11
    return ap


def random_case(rng):
    """Objects of four images as (image, corners, difficult), and what was found of them as (image, score, corners)."""

    def corners():
        low = rng.integers(1, 80, 2)
        return np.hstack([low, low + rng.integers(10, 40, 2)])

    objects = [(str(rng.integers(4)), corners(), rng.random() < 0.2) for _ in range(rng.integers(1, 20))]
    places = [(image, box + rng.integers(-5, 6, 4)) for image, box, _ in objects for _ in range(rng.integers(3))]
    places += [(str(rng.integers(4)), corners()) for _ in range(rng.integers(8))]
    scores = rng.permutation(len(places))
    return objects, [(image, score, box) for (image, box), score in zip(places, scores)]


def test_vocs_precision_is_that_of_the_development_kit():
    def sides(box):
        return (box[0] - 1, box[1] - 1, box[2] - box[0] + 1, box[3] - box[1] + 1)

    rng, seen = np.random.default_rng(5), set()
    for objects, found in (random_case(rng) for _ in range(60)):
        count = sum(not difficult for *_, difficult in objects)
        if count:
            expected = devkit(objects, found, count)
            row = precision(
                [Box(image=i, category="cat", sides=sides(box), ignored=difficult) for i, box, difficult in objects],
                [Box(image=i, category="cat", sides=sides(box), score=score) for i, score, box in found],
            )
            assert row.mean == pytest.approx(expected, abs=1e-12)
            seen.add(round(expected, 6))
    assert len(seen) > 40


def test_without_annotations_the_originals_are_the_truth(written):
    box = {"image_id": "a", "category_id": "face", "bbox": [0, 0, 10, 10], "score": 0.9}
    weak = box | {"bbox": [50, 0, 10, 10], "score": 0.4}
    elsewhere = box | {"image_id": "b", "score": 0.95}
    files = {
        "original": written("original", [box, weak]),
        "same": written("same", [box]),
        "weak": written("weak", [box, weak | {"score": 0.99}]),  # counts neither as found nor as wrong
        "wrong": written("wrong", [box, elsewhere]),  # in an image where nothing was found
    }
    rows = mean_average_precision(None, files)
    assert {label: row.mean for label, row in rows.items()} == {"original": 1, "same": 1, "weak": 1, "wrong": 0.5}
    assert {row.objects for row in rows.values()} == {1}
    assert mean_average_precision(None, files, threshold=0.3)["same"].mean == pytest.approx(6 / 11)
    with pytest.raises(TfarError, match="original.json: there is no object"):
        mean_average_precision(None, files, threshold=0.95)
    with pytest.raises(TfarError, match="without annotations, the boxes found in the originals"):
        mean_average_precision(None, {"same": files["same"]})


def test_labels():
    assert method_and_quality("general@20") == ("general", 20)
    assert method_and_quality("a@b@5") == ("a@b", 5)
    assert method_and_quality("original") == ("original", None)
    assert method_and_quality("@20") == ("@20", None)
