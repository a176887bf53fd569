"""Annotations of PASCAL VOC and COCO, and results of detectors, as they are read."""

import json

import pytest

from tfar.errors import TfarError
from tfar.evaluation.boxes import VOC_CLASSES, Box, read_annotations, read_results, truth_of

OBJECT = """
  <object><name>{name}</name><pose>Left</pose><truncated>1</truncated>{difficult}
    <bndbox><xmin>{xmin}</xmin><ymin>12</ymin><xmax>60</xmax><ymax>41</ymax></bndbox>{parts}
  </object>"""
HEAD = """
    <part><name>head</name><bndbox><xmin>20</xmin><ymin>12</ymin><xmax>30</xmax><ymax>20</ymax></bndbox></part>"""
COCO = {
    "images": [{"id": 1, "file_name": "val/a.jpg"}, {"id": 2}],
    "categories": [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 3, "bbox": [10, 10, 100, 100], "iscrowd": 1},
        {"id": 0, "image_id": 2, "category_id": 5, "bbox": [200, 20, 100, 60]},
    ],
}
FOUND = {"image_id": 1, "category_id": 3, "bbox": [10, 10, 100, 100], "score": 0.9}


def xml(*names, difficult="", xmin=11, parts=""):
    objects = "".join(OBJECT.format(name=name, difficult=difficult, xmin=xmin, parts=parts) for name in names)
    return f"<annotation><folder>VOC2007</folder><filename>whatever.jpg</filename>{objects}\n</annotation>"


@pytest.fixture
def voc(tmp_path):
    """A tree as PASCAL VOC has it: three images, of which two are the test set."""
    for folder in ("Annotations", "ImageSets/Main"):
        (tmp_path / "VOC2007" / folder).mkdir(parents=True)
    annotations = tmp_path / "VOC2007" / "Annotations"
    (annotations / "000001.xml").write_text(xml("dog", "person", parts=HEAD))
    (annotations / "000002.xml").write_text(xml("dog", difficult="<difficult>1</difficult>"))
    (annotations / "000004.xml").write_text(xml("train", difficult="<difficult>0</difficult>"))
    (tmp_path / "VOC2007" / "ImageSets" / "Main" / "test.txt").write_text("000001\n000002\n\n")
    return tmp_path / "VOC2007"


@pytest.fixture
def written(tmp_path):
    def write(name, content):
        file = tmp_path / f"{name}.json"
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return file

    return write


def test_a_tree_of_voc(voc):
    truth = read_annotations(voc / "Annotations")
    assert truth.images == {name: name for name in ("000001", "000002", "000004")}
    assert list(truth.categories) == list(truth.categories.values()) == VOC_CLASSES and not truth.coco
    sides = (10, 11, 50, 30)  # from pixel 11 to pixel 60 and from 12 to 41, counted from 1
    assert truth.objects == [
        Box(image="000001", category="dog", sides=sides),
        Box(image="000001", category="person", sides=sides),  # without its head
        Box(image="000002", category="dog", sides=sides, ignored=True),
        Box(image="000004", category="train", sides=sides),
    ]


def test_a_list_of_images_of_voc(voc):
    for name, line in [
        ("test", "{}"),
        ("dog_test", "{}  -1"),
    ]:  # of one class: with a column that says whether it is there
        file = voc / "ImageSets" / "Main" / f"{name}.txt"
        file.write_text("".join(f"{line.format(image)}\n" for image in ("000004", "000001")))
        truth = read_annotations(file)
        assert list(truth.images) == ["000004", "000001"]
        assert [box.category for box in truth.objects] == ["train", "dog", "person"]


def test_classes_that_are_not_those_of_voc(tmp_path):
    (tmp_path / "a.xml").write_text(xml("owl", "dog"))
    assert list(read_annotations(tmp_path).categories) == ["dog", "owl"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not XML"),
        ("<annotation><object>", "not XML"),
        ("<html></html>", "not an annotation of PASCAL VOC"),
        (xml(""), "object 1: expected a name"),
        (xml("cat", "dog", xmin="left"), "object 1: expected a name and a bndbox"),
        (xml("cat", xmin=61), "object 1: expected"),
        (xml("cat", xmin="nan"), "object 1: expected"),
        ("<annotation><object><name>cat</name></object></annotation>", "object 1: expected"),
    ],
)
def test_unfit_xml_is_named(voc, content, message):
    (voc / "Annotations" / "000002.xml").write_text(content)
    with pytest.raises(TfarError, match=f"000002.xml: {message}") as caught:
        read_annotations(voc / "Annotations")
    assert "\n" not in str(caught.value)


def test_missing_annotations_of_voc_are_named(voc, tmp_path):
    with pytest.raises(TfarError, match="no annotations of PASCAL VOC"):
        read_annotations(tmp_path)
    images = voc / "ImageSets" / "Main" / "test.txt"
    images.write_text("000009\n")
    with pytest.raises(TfarError, match="000009.xml: cannot be read"):
        read_annotations(images)
    images.write_text("\n")
    with pytest.raises(TfarError, match="test.txt: no annotations"):
        read_annotations(images)


def test_annotations_of_coco(written):
    truth = read_annotations(written("truth", COCO))
    assert truth.images == {1: "a", 2: "2"} and truth.categories == {3: "cat", 5: "dog"} and truth.coco
    assert truth.objects == [
        Box(image=1, category=3, sides=(10, 10, 100, 100), ignored=True),
        Box(image=2, category=5, sides=(200, 20, 100, 60)),
    ]


def test_results_name_images_and_categories_by_ids_or_names(written):
    truth = read_annotations(written("truth", COCO))
    by_name = FOUND | {"image_id": "a", "category_id": "cat"}
    boxes = read_results(written("found", [FOUND, by_name]), truth)
    assert boxes == [Box(image=1, category=3, sides=(10, 10, 100, 100), score=0.9)] * 2
    assert read_results(written("found", [by_name]))[0].image == "a"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not JSON"),
        ([], "not COCO annotations"),
        (COCO | {"annotations": []}, "not COCO annotations"),
        ({name: COCO[name] for name in ("images", "annotations")}, "not COCO annotations"),
        (COCO | {"images": COCO["images"] * 2}, "images: every one needs"),
        (COCO | {"images": [{"id": "a"}]}, "images: every one needs"),
        (COCO | {"categories": [{"id": 3}, {"id": 5}]}, "categories: every one needs a name"),
        (COCO | {"images": COCO["images"][:1]}, r"annotations\[1\]: image_id 2"),
        (COCO | {"annotations": [COCO["annotations"][0] | {"bbox": []}]}, r"annotations\[0\]: bbox must be"),
    ],
)
def test_unfit_annotations_of_coco_are_named(written, content, message):
    with pytest.raises(TfarError, match=f"truth.json: .*{message}"):
        read_annotations(written("truth", content))


def changed(**fields):
    return [FOUND, {name: value for name, value in (FOUND | fields).items() if value is not None}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[{", "not JSON"),
        ({"boxes": []}, "not COCO results"),
        ([1], "not COCO results"),
        (changed(image_id=9), r"\[1\]: image_id 9 is not in"),
        (changed(image_id=None), "image_id None"),
        (changed(image_id=[1]), r"image_id \[1\]"),
        (changed(category_id="owl"), r"\[1\]: category_id 'owl' is not in"),
        (changed(bbox=[1, 2, 3]), r"\[1\]: bbox must be"),
        (changed(bbox=[1, 2, -3, 4]), "bbox must be"),
        (changed(bbox=[1, 2, float("nan"), 4]), "bbox must be"),
        (changed(bbox=None), "bbox must be"),
        (changed(score=None), r"\[1\]: no score"),
        (changed(score="high"), r"\[1\]: no score"),
    ],
)
def test_unfit_results_are_named(written, content, message):
    truth = read_annotations(written("truth", COCO))
    with pytest.raises(TfarError, match=f"bad.json: .*{message}") as caught:
        read_results(written("bad", content), truth)
    assert "\n" not in str(caught.value)


def test_missing_and_binary_files_are_named(tmp_path):
    with pytest.raises(TfarError, match="absent.json: cannot be read"):
        read_results(tmp_path / "absent.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TfarError, match="binary.json: not a text"):
        read_annotations(tmp_path / "binary.json")


def test_what_was_found_is_the_truth_from_a_score_on():
    found = [
        Box(image=name, category="face", sides=(0, 0, 9, 9), score=score) for name, score in [("a", 0.5), ("b", 0.4)]
    ]
    truth = truth_of(found, {"a", "b", "c"}, 0.5)
    assert (set(truth.images), list(truth.categories)) == ({"a", "b", "c"}, ["face"])
    assert [box.ignored for box in truth.objects] == [False, True]
