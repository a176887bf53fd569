import json

import numpy as np
import pytest
from PIL import Image
from skimage import data

from tfar import jpeg
from tfar.restoration.inspection import inspect

COLOR = data.astronaut()[:200, 60:260]


@pytest.fixture
def files(tmp_path):
    (tmp_path / "once.jpg").write_bytes(jpeg.encode(COLOR, 75))
    Image.fromarray(np.ascontiguousarray(jpeg.compress(COLOR, 20)[3:, 5:])).save(tmp_path / "was.png")
    Image.fromarray(COLOR).save(tmp_path / "original.png")
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    return tmp_path


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_row_for_each_file(run, files):
    names = [files / name for name in ("once.jpg", "was.png", "original.png")]
    code, out, err = run("inspect", *names)
    assert (code, err) == (0, [])
    heading, _, *rows = map(cells, out)
    table = [dict(zip(heading, row, strict=True)) for row in rows]
    assert [row["file"] for row in table] == [str(name) for name in names]
    assert [row["size"] for row in table] == ["200x200", "195x197", "200x200"]
    assert [row["quality"] for row in table] == ["75", "-", "-"]
    assert [row["tables"] for row in table] == ["standard", "-", "-"]
    assert [row["chroma"] for row in table] == ["4:2:0", "-", "-"]
    assert [row["earlier JPEG"] for row in table] == ["-", "20 (standard)", "-"]
    assert [row["grid"] for row in table] == ["(0, 0)", "(5, 3)", "-"]
    assert [row["what restore does"] for row in table] == [inspect(name).advice for name in names]
    assert table[0]["format"] == "JPEG (RGB 8 bit)"


def test_json(run, files):
    code, out, err = run("inspect", "--json", files / "once.jpg", files / "was.png")
    assert (code, err) == (0, [])
    found = json.loads("\n".join(out))
    assert [one.pop("file") for one in found] == [str(files / "once.jpg"), str(files / "was.png")]
    assert found == [inspect(files / name).as_dict() for name in ("once.jpg", "was.png")]


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_a_bad_file_does_not_keep_others_from_being_shown(run, files, option):
    code, out, err = run("inspect", *option, files / "bad.jpg", files / "absent.png", files / "once.jpg")
    assert code == 2 and len(err) == 2
    assert err[0].startswith(f"tfar: {files / 'bad.jpg'}: ") and err[1].startswith(f"tfar: {files / 'absent.png'}: ")
    assert "JPEG of quality 75" in "\n".join(out)


def test_bad_files_alone(run, files):
    assert run("inspect", files / "bad.jpg")[:2] == (2, [])
    assert run("inspect", "--json", files / "bad.jpg")[:2] == (2, ["[]"])


def test_a_turned_and_progressive_file(run, files):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(COLOR[:, :150]).save(files / "turned.jpg", progressive=True, exif=exif)
    _, out, _ = run("inspect", files / "turned.jpg")
    assert "| JPEG (RGB 8 bit, progressive, orientation 6) | 200x150 " in out[-1]
