"""Help, lists and mistakes are answered without waiting for Keras."""

import json
import subprocess
import sys

import pytest
from PIL import Image

HEAVY = "keras tensorflow scipy torch cv2 matplotlib"
CODE = """
import sys
from tfar.cli import main
try:
    code = main(sys.argv[2:])
except SystemExit as exit:
    code = exit.code
print("imported:", *[name for name in sys.argv[1].split() if name in sys.modules], file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["train", "--help"], 0),
        (["presets"], 0),
        (["restore"], 2),
        (["restore", "absent.jpg", "out.png"], 2),
        (["evaluate"], 2),
        (["study"], 2),
        (["inspect"], 2),
        (["inspect", "absent.jpg"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_nothing_heavy_is_imported(arguments, code):
    result = subprocess.run([sys.executable, "-c", CODE, HEAVY, *arguments], capture_output=True, text=True)
    assert result.returncode == code, result.stderr
    assert result.stderr.splitlines()[-1].strip() == "imported:"


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_pictures_are_inspected_without_anything_heavy(tmp_path, form, options):
    image = Image.effect_noise((300, 200), 40)
    image.save(tmp_path / "photo", form)
    result = subprocess.run(
        [sys.executable, "-c", CODE, HEAVY, "inspect", tmp_path / "photo", *options], capture_output=True, text=True
    )
    assert result.returncode == 0 and form in result.stdout
    assert result.stderr.strip() == "imported:"


def test_detections_are_scored_without_keras(tmp_path):
    box = {"image_id": "a", "category_id": "face", "bbox": [0, 0, 8, 8], "score": 0.9}
    (tmp_path / "original.json").write_text(json.dumps([box]))
    arguments = ["evaluate", "--detections", tmp_path]
    code = [sys.executable, "-c", CODE, "keras tensorflow torch matplotlib", *arguments]
    result = subprocess.run(code, capture_output=True, text=True)
    assert result.returncode == 0 and "| mAP | 100.0 |" in result.stdout
    assert result.stderr.strip() == "imported:"
