import subprocess
from types import SimpleNamespace

import benchmark_speed
import numpy as np
import pytest
from PIL import Image

from tfar.errors import TfarError


def test_one_image_is_not_enough_where_the_first_is_not_counted(tmp_path):
    for name in "ab":
        Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / f"{name}.png")
    with pytest.raises(TfarError, match="at least two images"):
        benchmark_speed.run(SimpleNamespace(folder=tmp_path, limit=1))


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        ("tiny", ("tiny", "")),
        ("general base", ("general", "base")),
        ("my runs/a fused", ("my runs/a", "fused")),
        ("my runs/a", ("my runs/a", "")),
    ],
)
def test_rows_name_a_preset_and_a_layer(row, parts):
    assert benchmark_speed.named(row) == parts


def test_networks_of_one_name_have_files_of_their_own(tmp_path):
    files = []
    for number, folder in enumerate(("first", "second")):
        (tmp_path / folder / "base").mkdir(parents=True)
        model = tmp_path / folder / "base" / "model.keras"
        model.write_bytes(bytes([number]))
        files.append(benchmark_speed.onnx_file(tmp_path / "images.npz", str(model.parent)))
    assert files[0] != files[1] and {file.parent for file in files} == {tmp_path}


def test_rows_go_into_a_folder_that_is_made(tmp_path, monkeypatch, capsys):
    for name in "ab":
        Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / f"{name}.png")
    monkeypatch.delenv("TFAR_WEIGHTS", raising=False)
    monkeypatch.setattr(benchmark_speed, "convolution_rate", lambda: 1e9)
    options = {"folder": tmp_path, "limit": 2, "size": 16, "quality": 10, "preset": ["tiny"], "engine": []}
    assert benchmark_speed.run(SimpleNamespace(**options, csv=tmp_path / "new" / "rows.csv")) == 0
    lines = (tmp_path / "new" / "rows.csv").read_text().splitlines()
    assert lines[0].startswith("preset,engine,threads") and lines[1].startswith("tiny")


def test_a_process_that_was_killed_is_told(monkeypatch, tmp_path):
    killed = subprocess.CompletedProcess([], -9, "", "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: killed)
    with pytest.raises(TfarError, match="tiny, keras: exit code -9"):
        benchmark_speed.measured("tiny", "keras", 1, tmp_path / "images.npz")
