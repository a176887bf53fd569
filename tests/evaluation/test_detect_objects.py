"""scripts/detect_objects.py, which makes the versions of photographs and has a detector look at them."""

import importlib.util
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import ROOT
from PIL import Image
from skimage import data

from tfar import cli, jpeg
from tfar.errors import TfarError
from tfar.evaluation.detections import mean_average_precision


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("detect_objects", ROOT / "scripts" / "detect_objects.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def photos(tmp_path):
    """A folder with two photographs, a face and a cat."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(data.astronaut()[:256, 64:320]).save(folder / "astronaut.png")
    Image.fromarray(data.chelsea()[:128, :128]).save(folder / "cat.png")
    return folder


def run(script, *arguments):
    script.run(script.arguments().parse_args([str(argument) for argument in arguments]))


def read(folder):
    return {file.stem: json.loads(file.read_text()) for file in folder.glob("*.json")}


def test_versions_are_made_and_scored(script, photos, tmp_path, monkeypatch, fused_file, capsys):
    """The detector is a stand-in that tells the mean of what it was shown."""
    seen = {}

    def find(image):
        assert image.dtype == np.uint8 and image.ndim == 3
        seen.setdefault(image.shape[0], []).append(image)
        return [("thing", float(image.mean()), [1.0, 2.0, 30.0, 40.0])]

    monkeypatch.setattr(script, "face_detector", lambda: find)
    others = tmp_path / "others"
    others.mkdir()
    for name in ("astronaut", "cat", "spare"):
        Image.new("RGB", (32, 64)).save(others / f"{name}.jpg")
    found = tmp_path / "found"
    arguments = ("--quality", 10, 40, "--preset", fused_file, "--folder", f"AR-CNN@20={others}")
    run(script, photos, found, *arguments)
    results = read(found)
    layers = [f"{fused_file.parent.name} {layer}" for layer in ("base", "texture", "fused")]
    labels = ["original", *(f"{name}@{quality}" for quality in (10, 40) for name in ["JPEG", *layers]), "AR-CNN@20"]
    assert sorted(results) == sorted(labels)
    for boxes in results.values():
        assert [(box["image_id"], box["category_id"], box["bbox"]) for box in boxes] == [
            (name, "thing", [1, 2, 30, 40]) for name in ("astronaut", "cat")
        ]
    original, coded = seen[256][:2]
    np.testing.assert_array_equal(original, data.astronaut()[:256, 64:320])
    np.testing.assert_array_equal(coded, jpeg.decode(jpeg.encode(original, 10, subsampling="4:2:0")))
    scores = {label: boxes[0]["score"] for label, boxes in results.items()}
    assert len({*scores.values()}) == len(labels) and scores["AR-CNN@20"] == 0
    assert scores["JPEG@10"] == pytest.approx(coded.mean())

    capsys.readouterr()
    assert cli.main(["evaluate", "--detections", str(found), "--threshold", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| mAP, % | QF 10 | QF 20 | QF 40 |"
    assert "**QF 20, 2 objects**" in lines


def test_a_real_face_is_found_in_the_original_and_in_its_jpeg(script, photos, tmp_path):
    pytest.importorskip("mtcnn", reason="needs mtcnn")
    run(script, photos, tmp_path / "found", "--quality", 20)
    truth = {
        "images": [{"id": 4, "file_name": "astronaut.tif"}, {"id": 5, "file_name": "cat.tif"}],
        "categories": [{"id": 1, "name": "face"}],
        "annotations": [{"id": 1, "image_id": 4, "category_id": 1, "bbox": [118, 74, 76, 104]}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    files = {label: tmp_path / "found" / f"{label}.json" for label in ("original", "JPEG@20")}
    rows = mean_average_precision(tmp_path / "truth.json", files)
    assert [row.categories["face"] for row in rows.values()] == pytest.approx([1, 1])
    assert mean_average_precision(None, files)["JPEG@20"].mean == 1


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

    def get_modelmeta(self):
        return SimpleNamespace(custom_metadata_map={"names": "{0: 'dog', 1: 'cat'}"})

    def run(self, _, inputs):
        image = inputs["images"]
        assert image.shape == (1, 3, 320, 320) and image.dtype == np.float32
        np.testing.assert_allclose(image[0, :, :160, :].mean(axis=(1, 2)), [1, 0, 0], atol=1e-6)  # the red image
        np.testing.assert_allclose(image[0, :, 160:, :], 114 / 255, atol=1e-6)  # below it, the filling
        return [np.float32([[*box, *scores] for box, scores in self.boxes.items()]).T[None]]


def test_boxes_of_a_yolo_network(script, monkeypatch):
    monkeypatch.setitem(
        sys.modules, "onnxruntime", SimpleNamespace(InferenceSession=Session, get_available_providers=list)
    )
    red = np.asarray(Image.new("RGB", (640, 320), "red"))
    dog = ("dog", pytest.approx(0.9), pytest.approx([280, 140, 80, 40]))  # twice as large as in the network
    cat = (pytest.approx(0.7), pytest.approx([284, 140, 80, 40]))  # the other dog overlaps the first
    assert script.yolo("yolo.onnx")(red) == [dog, ("cat", *cat)]
    assert script.yolo("yolo.onnx", ["", "tiger"])(red) == [("tiger", *cat)]
    with pytest.raises(TfarError, match="yolo.onnx: the network knows 2 classes, and 3 names are given"):
        script.yolo("yolo.onnx", ["a", "b", "c"])


def test_a_yolo_network_that_cannot_be_run_is_named(script, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    (tmp_path / "broken.onnx").write_bytes(b"nothing of the kind")
    for name in ("absent.onnx", "broken.onnx"):
        with pytest.raises(TfarError, match=f"^{tmp_path}/{name}: no network that ONNX Runtime can run (.*)$"):
            script.yolo(str(tmp_path / name))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(TfarError, match="pip install onnxruntime"):
        script.yolo("yolo.onnx")


def test_only_annotated_images_are_looked_at_and_missing_ones_named(script, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "face_detector", lambda: lambda image: [("face", 1.0, [0, 0, 8, 8])])
    truth = tmp_path / "annotations"
    truth.mkdir()
    (truth / "cat.xml").write_text("<annotation></annotation>")
    run(script, photos, tmp_path / "found", "--quality", 10, "--annotations", truth)
    assert [box["image_id"] for box in read(tmp_path / "found")["original"]] == ["cat"]
    run(script, photos, tmp_path / "first", "--quality", 10, "--limit", 1)
    assert [box["image_id"] for box in read(tmp_path / "first")["original"]] == ["astronaut"]
    with pytest.raises(TfarError, match="mine@10: no image (astronaut|cat)"):
        others = tmp_path / "others"
        others.mkdir()
        Image.new("RGB", (8, 8)).save(others / "dog.png")
        run(script, photos, tmp_path / "third", "--folder", f"mine@10={others}")
    with pytest.raises(TfarError, match="a name is given twice: mine, mine"):
        run(script, photos, tmp_path / "third", "--folder", f"mine={others}", f"mine={photos}")
    Image.new("RGB", (8, 8)).save(photos / "cat.jpg")
    with pytest.raises(TfarError, match="photos: two images are called cat"):
        run(script, photos, tmp_path / "third")
    (photos / "cat.jpg").unlink()
    (truth / "owl.xml").write_text("<annotation></annotation>")
    with pytest.raises(TfarError, match="photos: no image owl"):
        run(script, photos, tmp_path / "third", "--annotations", truth)


def test_results_of_two_runs_are_not_mixed_nor_doubled(script, photos, tmp_path, monkeypatch, fused_file):
    monkeypatch.setattr(script, "face_detector", lambda: lambda image: [("face", 1.0, [0, 0, 8, 8])])
    found = tmp_path / "found"
    found.mkdir()
    run(script, photos, found, "--quality", 10, 10)
    assert {label: len(boxes) for label, boxes in read(found).items()} == {"original": 2, "JPEG@10": 2}
    with pytest.raises(TfarError, match="found: holds results already"):
        run(script, photos, found, "--quality", 20)
    assert len(read(found)) == 2
    arguments = (photos, tmp_path / "other", "--quality", 20, "--preset", f"mine={fused_file}")
    with pytest.raises(TfarError, match="two models have the same name: mine base, .*, mine base"):
        run(script, *arguments, f"mine={fused_file}")
    for label in ("original", "JPEG@20", "mine base@20"):
        with pytest.raises(TfarError, match=f"--folder {label}: results of this label are made here"):
            run(script, *arguments, "--folder", f"{label}={photos}")
    assert not (tmp_path / "other").exists()


def test_missing_mtcnn_says_what_to_install(script, monkeypatch):
    monkeypatch.setitem(sys.modules, "mtcnn", None)
    with pytest.raises(TfarError, match=r'pip install "tfar\[detection\]"'):
        script.face_detector()
