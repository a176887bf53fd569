import importlib.util
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import ROOT
from PIL import Image
from skimage import data

from tfar.errors import TfarError
from tfar.evaluation.detections import Precision, format_categories, format_table, mean_average_precision

SCRIPT = ROOT / "scripts" / "detect_objects.py"
TRUTH = {
    "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
    "categories": [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}, {"id": 7, "name": "owl"}],
    "annotations": [  # two cats, and a dog whose id pycocotools would take for "not matched"; no owl
        {"id": 1, "image_id": 1, "category_id": 3, "bbox": [10, 10, 100, 100], "area": 10000, "iscrowd": 0},
        {"id": 2, "image_id": 2, "category_id": 3, "bbox": [50, 60, 120, 80], "area": 9600, "iscrowd": 0},
        {"id": 0, "image_id": 2, "category_id": 5, "bbox": [200, 20, 100, 60]},
    ],
}
PERFECT = [
    {"image_id": box["image_id"], "category_id": box["category_id"], "bbox": box["bbox"], "score": 0.9}
    for box in TRUTH["annotations"]
]
FOUND = {
    "original": PERFECT,
    # One of two cats: precision 1 up to recall 0.5, so at 51 of the 101 recalls.
    "half": [PERFECT[0], PERFECT[2]],
    # The dog is 20 of its 100 pixels aside: an IoU of 80 / 120, enough for 0.5, 0.55, 0.6 and 0.65.
    "aside": [*PERFECT[:2], PERFECT[2] | {"bbox": [220, 20, 100, 60]}],
    # A wrong cat before the right ones halves the precision at the first and leaves 2/3 at the second.
    "wrong": [*PERFECT, PERFECT[0] | {"bbox": [300, 300, 20, 20], "score": 0.95}],
    "nothing": [],
}
AT_HALF = 51 / 101


@pytest.fixture
def written(tmp_path):
    def write(name, content):
        file = tmp_path / f"{name}.json"
        file.write_text(content if isinstance(content, str) else json.dumps(content))
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
        ("nothing", [0, 0, 0], [0, 0, 0]),
    ],
)
def test_precision_of_boxes_reckoned_by_hand(precisions, label, cat, dog):
    row = precisions[label]
    assert [row.mean, row.ap50, row.ap75] == pytest.approx(list(np.mean([cat, dog], axis=0)), abs=1e-9)
    assert row.categories == pytest.approx({"cat": cat[1], "dog": dog[1]}, abs=1e-9)


def test_nothing_is_printed_and_the_order_is_kept(written, capfd):
    pytest.importorskip("pycocotools")
    rows = mean_average_precision(written("truth", TRUTH), {"b": written("b", PERFECT), "a": written("a", [])})
    assert list(rows) == ["b", "a"]
    assert capfd.readouterr() == ("", "")


def test_tables():
    rows = {
        "JPEG": Precision(mean=0.25, ap50=0.5, ap75=0.125, categories={"cat": 0.4, "dog|wolf": 0.6}),
        "original": Precision(mean=0.5, ap50=0.75, ap75=0.5, categories={"cat": 0.7, "dog|wolf": 0.6}),
    }
    assert format_table(rows).splitlines() == [
        "| % | mAP@[.5:.95] | AP50 | AP75 |",
        "| --- | ---: | ---: | ---: |",
        "| JPEG | 25.0 (-25.0) | 50.0 (-25.0) | 12.5 (-37.5) |",
        "| original | 50.0 | 75.0 | 50.0 |",
    ]
    assert format_categories(rows).splitlines() == [
        "| AP50, % | JPEG | original |",
        "| --- | ---: | ---: |",
        "| cat | 40.0 (-30.0) | 70.0 |",
        "| dog\\|wolf | 60.0 (+0.0) | 60.0 |",
    ]
    assert format_table({"JPEG": rows["JPEG"]}).splitlines()[2] == "| JPEG | 25.0 | 50.0 | 12.5 |"


def changed(**fields):
    return [PERFECT[0], {name: value for name, value in (PERFECT[1] | fields).items() if value is not None}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[{", "not JSON"),
        ({"boxes": []}, "not COCO results"),
        ([1], "not COCO results"),
        (changed(image_id=9), r"\[1\]: image_id 9 is not in"),
        (changed(image_id=None), "image_id None"),
        (changed(image_id=[1]), r"image_id \[1\]"),
        (changed(category_id=4), r"\[1\]: category_id 4 is not in"),
        (changed(bbox=[1, 2, 3]), r"\[1\]: bbox must be"),
        (changed(bbox=[1, 2, -3, 4]), "bbox must be"),
        (changed(bbox=[1, 2, float("nan"), 4]), "bbox must be"),
        (changed(bbox=None), "bbox must be"),
        (changed(score=None), r"\[1\]: no score"),
        (changed(score="high"), r"\[1\]: no score"),
    ],
)
def test_unfit_results_are_named(written, content, message):
    pytest.importorskip("pycocotools")
    with pytest.raises(TfarError, match=f"bad.json: .*{message}") as caught:
        mean_average_precision(
            written("truth", TRUTH), {"JPEG": written("good", PERFECT), "mine": written("bad", content)}
        )
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not JSON"),
        ([], "not COCO annotations"),
        (TRUTH | {"annotations": []}, "not COCO annotations"),
        ({name: TRUTH[name] for name in ("images", "annotations")}, "not COCO annotations"),
        (TRUTH | {"images": TRUTH["images"] * 2}, "images: every one needs"),
        (TRUTH | {"images": [{"id": "a"}]}, "images: every one needs"),
        (TRUTH | {"categories": [{"id": 3}, {"id": 5}]}, "categories: every one needs a name"),
        (TRUTH | {"images": TRUTH["images"][:1]}, r"annotations\[1\]: image_id 2"),
        (TRUTH | {"annotations": [TRUTH["annotations"][0] | {"bbox": []}]}, r"annotations\[0\]: bbox must be"),
    ],
)
def test_unfit_annotations_are_named(written, content, message):
    pytest.importorskip("pycocotools")
    with pytest.raises(TfarError, match=f"truth.json: .*{message}"):
        mean_average_precision(written("truth", content), {"JPEG": written("jpeg", PERFECT)})


def test_missing_files_are_named(written, tmp_path):
    pytest.importorskip("pycocotools")
    for truth, found in [("absent", "found"), ("truth", "absent")]:
        written("truth", TRUTH), written("found", PERFECT)
        with pytest.raises(TfarError, match="absent.json: cannot be read"):
            mean_average_precision(tmp_path / f"{truth}.json", {"JPEG": tmp_path / f"{found}.json"})


def test_missing_pycocotools_says_what_to_install(written, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(TfarError, match=r'pip install "tfar\[detection\]"'):
        mean_average_precision(written("truth", TRUTH), {"JPEG": written("jpeg", PERFECT)})


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("detect_objects", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def options(folder, *versions, model=None):
    return SimpleNamespace(
        annotations=folder / "truth.json",
        output=folder / "found",
        model=model,
        versions=[f"{label}={folder / label}" for label in versions],
    )


def test_a_real_face_is_found_in_the_original_and_in_its_jpeg(script, tmp_path):
    pytest.importorskip("pycocotools")
    truth = {
        "images": [{"id": 4, "file_name": "astronaut.tif"}],
        "categories": [{"id": 1, "name": "face"}],
        "annotations": [{"id": 1, "image_id": 4, "category_id": 1, "bbox": [108, 62, 100, 112]}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    for label, extension, keywords in [("original", "png", {}), ("jpeg", "jpg", {"quality": 20})]:
        (tmp_path / label).mkdir()
        Image.fromarray(data.astronaut()[:256, 64:320]).save(tmp_path / label / f"astronaut.{extension}", **keywords)
    script.run(options(tmp_path, "original", "jpeg"))
    rows = mean_average_precision(
        tmp_path / "truth.json", {label: tmp_path / "found" / f"{label}.json" for label in ("original", "jpeg")}
    )
    assert rows["original"].categories == {"face": pytest.approx(1)}
    assert rows["jpeg"].categories == {"face": pytest.approx(1, abs=0.5)}


class Session:
    """Stands in for a YOLO network of two classes on 320x320 pixels; its boxes are centre and size."""

    def __init__(self, file, providers):
        self.boxes = {
            (160, 80, 40, 20): (0.9, 0.1),
            (161, 80, 40, 20): (0.8, 0.1),
            (162, 80, 40, 20): (0.1, 0.7),
            (100, 80, 10, 10): (0.0, 0.0),
        }

    def get_inputs(self):
        return [SimpleNamespace(name="images", shape=[1, 3, 320, 320])]

    def get_outputs(self):
        return [SimpleNamespace(shape=[1, 6, 4])]

    def run(self, _, inputs):
        image = inputs["images"]
        assert image.shape == (1, 3, 320, 320) and image.dtype == np.float32
        np.testing.assert_allclose(image[0, :, :160, :].mean(axis=(1, 2)), [1, 0, 0], atol=1e-6)  # the red image
        np.testing.assert_allclose(image[0, :, 160:, :], 114 / 255, atol=1e-6)  # below it, the filling
        return [np.float32([[*box, *scores] for box, scores in self.boxes.items()]).T[None]]


def test_boxes_of_a_yolo_network(script, tmp_path, monkeypatch):
    monkeypatch.setitem(
        sys.modules, "onnxruntime", SimpleNamespace(InferenceSession=Session, get_available_providers=list)
    )
    truth = TRUTH | {"images": TRUTH["images"][:1], "categories": TRUTH["categories"][1::-1]}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "original").mkdir()
    Image.new("RGB", (640, 320), "red").save(tmp_path / "original" / "a.png")
    script.run(options(tmp_path, "original", model="yolo.onnx"))
    found = json.loads((tmp_path / "found" / "original.json").read_text())
    assert found == [  # twice as large as in the network; the second of the first class overlaps the first
        {"image_id": 1, "category_id": 3, "score": pytest.approx(0.9), "bbox": pytest.approx([280, 140, 80, 40])},
        {"image_id": 1, "category_id": 5, "score": pytest.approx(0.7), "bbox": pytest.approx([284, 140, 80, 40])},
    ]


def test_script_refuses_other_categories_and_missing_images(script, tmp_path):
    (tmp_path / "truth.json").write_text(json.dumps(TRUTH))
    with pytest.raises(TfarError, match="knows 1 classes, the annotations 3 categories"):
        script.run(options(tmp_path, "original"))
    (tmp_path / "truth.json").write_text(json.dumps(TRUTH | {"categories": TRUTH["categories"][:1]}))
    (tmp_path / "original").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "original" / "b.png")
    with pytest.raises(TfarError, match="original: no image a"):
        script.run(options(tmp_path, "original"))
