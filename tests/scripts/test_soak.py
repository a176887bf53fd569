import csv

import numpy as np
import psutil
import pytest
import random_photographs
import soak
from helpers import files_below
from PIL import Image
from soak import Row

from tfar.cli import exit_code
from tfar.errors import TfarError
from tfar.jpeg import decode


def rows(memory=(1.0,) * 10, speed=(2.0,) * 10, by="A"):
    """Two photographs in each tenth of ten minutes, of 0.1 and 0.3 megapixels."""
    return [
        Row(tenth + half / 2, by, size, size * speed[tenth], memory[tenth])
        for tenth in range(10)
        for half, size in enumerate((0.1, 0.3))
    ]


def test_tenths():
    memory, speed = soak.by_tenth(rows(memory=range(10), speed=range(10, 20)), 10)
    np.testing.assert_allclose(memory, range(10))
    np.testing.assert_allclose(speed, range(10, 20))
    with pytest.raises(TfarError, match="a tenth of the time was too short"):
        soak.by_tenth(rows()[:-2], 10)


@pytest.mark.parametrize(
    ("memory", "speed", "found"),
    [
        ([50, 60, *[100] * 7, 104], [9, 9, *[2.0] * 7, 2.19], []),
        ([*[100] * 9, 106], [2.0] * 10, ["A: memory differs by 6.0% after the warm-up"]),
        ([100] * 10, [*[2.0] * 9, 2.3], ["A: the last tenth took 15% longer than the third"]),
    ],
)
def test_faults(memory, speed, found):
    assert soak.faults("A", np.float64(memory), np.float64(speed)) == found


def test_every_photograph_is_restored_in_all_ways():
    given = {"first": [], "second": []}

    def way(by):
        def restore(content):
            given[by].append(content)
            return decode(content)

        return restore, psutil.Process()

    photos = random_photographs.jpegs("demo", (16, 32), seed=1)
    found = soak.soak({by: way(by) for by in given}, photos, minutes=0.01)
    assert given["first"][1:] == given["second"][1:] and len(found) == 2 * (len(given["first"]) - 1) > 0
    assert {row.by for row in found} == set(given)
    assert all(0 < row.megapixels <= 0.032**2 and row.memory_mb > 50 for row in found)
    with pytest.raises(TfarError, match="A: .* was restored as"):
        wrong = (lambda content: decode(content)[1:], psutil.Process())
        soak.soak({"A": wrong}, photos, minutes=0.01)


def test_rows_and_plot_are_written(tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    soak.write_rows(rows(), tmp_path / "soak.csv")
    found = list(csv.DictReader((tmp_path / "soak.csv").open()))
    assert len(found) == 20 and found[1] == {
        "minute": "0.5000",
        "by": "A",
        "megapixels": "0.3000",
        "cpu_seconds": "0.6000",
        "memory_mb": "1.0000",
    }
    soak.plot(rows() + rows(by="B"), 10, tmp_path / "soak.png")
    assert Image.open(tmp_path / "soak.png").size == (560, 400)


def test_random_photographs():
    photos = random_photographs.jpegs("demo", (16, 64), seed=1)
    found = [next(photos) for _ in range(60)]
    sizes = np.array([image.shape[:2] for image, _ in found])
    assert sizes.min() >= 16 and sizes.max() <= 64 and len(np.unique(sizes)) > 20
    assert {image.ndim for image, _ in found} == {2, 3}
    assert all(decode(content).shape == image.shape for image, content in found)
    again = random_photographs.jpegs("demo", (16, 64), seed=1)
    assert [next(again)[1] for _ in range(60)] == [content for _, content in found]
    other = random_photographs.jpegs("demo", (16, 64), seed=2)
    assert [next(other)[1] for _ in range(60)] != [content for _, content in found]


@pytest.mark.slow
def test_the_processes_of_a_soak(fused_file, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(soak, "faults", lambda *_: [])  # so short a time is all warm-up
    command = ["--preset", fused_file, "--minutes", "0.3", "--sides", "16", "48", "--output", tmp_path / "soak"]
    assert exit_code(soak.run, soak.arguments().parse_args(list(map(str, command)))) == 0
    assert files_below(tmp_path) == ["soak.csv", "soak.png"]
    assert len(capsys.readouterr().out.splitlines()) == 6


@pytest.mark.slow
def test_a_restorer_that_is_killed_ends_a_soak(fused_file, tmp_path, monkeypatch):
    pytest.importorskip("tensorflow_serving", reason="needs tensorflow-serving-api")
    monkeypatch.setattr(soak, "restore_apart", print)  # ends at once
    options = soak.arguments().parse_args(
        ["--preset", str(fused_file), "--minutes", "0.1", "--output", str(tmp_path / "soak")]
    )
    with pytest.raises(TfarError, match="the process of the Restorer has ended, exit code 0"):
        soak.run(options)
