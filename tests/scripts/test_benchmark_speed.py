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


def test_a_process_that_was_killed_is_told(monkeypatch, tmp_path):
    killed = subprocess.CompletedProcess([], -9, "", "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: killed)
    with pytest.raises(TfarError, match="tiny, keras: exit code -9"):
        benchmark_speed.measured("tiny", "keras", 1, tmp_path / "images.npz")
