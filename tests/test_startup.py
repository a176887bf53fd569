"""Help, lists and mistakes are answered without waiting for Keras."""

import json
import os
import subprocess
import sys

import pytest
from PIL import Image

from tfar import backend

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


def test_threads_that_start_at_the_same_time_leave_stderr_as_it_was():
    before = os.fstat(2)
    first, second = backend.starting(), backend.starting()
    with first:
        second.__enter__()
    assert os.path.samestat(os.fstat(2), os.stat(os.devnull))
    second.__exit__(None, None, None)
    assert os.path.samestat(os.fstat(2), before)


def test_a_stderr_that_is_closed_in_python(monkeypatch):
    with open(os.devnull, "w") as closed:
        monkeypatch.setattr("sys.stderr", closed)
    before = os.fstat(2)
    for _ in range(2):
        with backend.starting():
            pass
    assert os.path.samestat(os.fstat(2), before)


QUIETLY = """
from tfar import backend
with backend.starting():
    print("started")
"""
WITH_BARS = """
import os
from tfar import cli, terminal
def run(_):
    terminal.print_error("not seen")
    with terminal.bar(1, "started"):
        print("started" if os.path.samestat(os.fstat(2), os.stat(os.devnull)) else "stderr is another file")
cli.exit_code(run, None)
"""


@pytest.mark.parametrize("code", [QUIETLY, WITH_BARS], ids=["quietly", "with bars"])
def test_a_program_whose_stderr_is_closed_starts(code):
    done = subprocess.run(["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, code], stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (0, b"started\n")
