"""Runs that are killed, and runs beside each other: every file is there once and whole in the end."""

import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers import files_below
from PIL import Image
from skimage import data

from tfar.images.read import read_pictures

COUNT = 60
CODE = "from tfar.cli import main; raise SystemExit(main())"


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(COUNT):
        Image.fromarray(np.roll(data.astronaut()[:200, :240], i, axis=1)).save(folder / f"{i:02}.jpg", quality=40)
    return folder


def start(photos, out, fused_file):
    command = [sys.executable, "-c", CODE, "restore", photos, out, "--skip-existing", "--preset", fused_file]
    command += ["--engine", "keras", "--jobs", 2]
    return subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def check(out):
    visible = [name for name in files_below(out) if not name.startswith(".part-")]
    assert visible == [f"{i:02}.png" for i in range(COUNT)]
    for name in visible:
        [picture] = read_pictures(out / name)
        assert picture.pixels.shape == (200, 240, 3) and picture.metadata.note


@pytest.mark.slow
def test_killed_at_random_moments(photos, fused_file, tmp_path):
    rng, out = random.Random(0), tmp_path / "out"
    for _ in range(20):
        process = start(photos, out, fused_file)
        before = len(files_below(out)) if out.is_dir() else 0
        while process.poll() is None and (not out.is_dir() or len(files_below(out)) <= before):
            time.sleep(0.002)
        time.sleep(rng.random() / 20)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        for name in files_below(out):
            if not name.startswith(".part-"):
                assert read_pictures(out / name)[0].pixels.shape == (200, 240, 3)
    process = start(photos, out, fused_file)
    printed, problems = process.communicate()
    assert (process.returncode, problems) == (0, "")
    assert printed.count("skipped, exists") > 0
    check(out)


@pytest.mark.slow
def test_two_runs_into_one_folder(photos, fused_file, tmp_path):
    processes = [start(photos, tmp_path / "out", fused_file) for _ in range(2)]
    for process in processes:
        _, problems = process.communicate()
        assert (process.returncode, problems) == (0, "")
    assert files_below(tmp_path / "out") == [f"{i:02}.png" for i in range(COUNT)]
    check(tmp_path / "out")
