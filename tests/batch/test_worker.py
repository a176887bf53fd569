import errno
import os
import shutil
import zlib

import numpy as np
import pyarrow as pa
import pytest
from helpers import files_below
from PIL import Image
from skimage import data

from tfar.batch import plan
from tfar.batch.ledger import Ledger
from tfar.batch.places import Place
from tfar.batch.worker import SCRATCH, Settings, Worker
from tfar.restoration.restorer import Restorer

PHOTO = data.astronaut()[:40, :48]
DIALS = {
    "layer": None,
    "texture": 1.0,
    "strength": 1.0,
    "ensemble": False,
    "engine": "keras",
    "exact": False,
    "seed": 0,
}
OPTIONS = {"depth": 8, "consistency": False, "form": "PNG", "strip": False}


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "in" / "photo.jpg"
    path.parent.mkdir()
    Image.fromarray(PHOTO).save(path, quality=20)
    return path


@pytest.fixture
def settings(fused_file):
    return Settings(str(fused_file), DIALS, OPTIONS)


@pytest.fixture
def work(settings, tmp_path):
    """Do rows of a plan with one worker, in this process: rows of the report."""

    def do(*rows, book=None, settings=settings):
        worker = Worker(settings, Place(str(tmp_path / "out")), book or Ledger(3))
        given = [dict(zip(("source", "target", "error"), (*map(str, row), "")[:3])) for row in rows]
        return worker(pa.Table.from_pylist(given, plan.SCHEMA)).to_pylist()

    return do


def test_a_row_for_each_picture(work, photo, tmp_path, fused_file):
    (tmp_path / "in" / "bad.jpg").write_bytes(b"no")
    bad, absent = tmp_path / "in" / "bad.jpg", tmp_path / "in" / "absent.jpg"
    rows = work((photo, "sub/photo.png"), (bad, "bad.png"), (absent, "absent.png"), ("x", "", "x: leaves the folder"))
    assert [row["status"] for row in rows] == ["restored", "failed", "failed", "failed"]
    first = rows[0]
    assert first["seconds"] > 0 and first["cpu_seconds"] > first["network_cpu_seconds"] > 0
    assert first["target_bytes"] == (tmp_path / "out" / "sub" / "photo.png").stat().st_size
    assert rows[1]["network_cpu_seconds"] == 0
    assert {
        key: first[key] for key in ("path", "target", "bytes", "width", "height", "quality", "preset", "attempts")
    } == {
        "path": str(photo),
        "target": f"{tmp_path}/out/sub/photo.png",
        "bytes": photo.stat().st_size,
        "width": 48,
        "height": 40,
        "quality": 20,
        "preset": str(fused_file),
        "attempts": 1,
    }
    assert [row["error"] for row in rows] == [
        None,
        f"{bad}: not a readable image (unknown format)",
        f"{absent}: no such file",
        "x: leaves the folder",
    ]
    assert files_below(tmp_path / "out") == ["sub/photo.png"]
    with Image.open(photo) as jpeg, Image.open(tmp_path / "out" / "sub" / "photo.png") as restored:
        expected = Restorer(fused_file, engine="keras")(np.asarray(jpeg))
        np.testing.assert_array_equal(np.asarray(restored), expected)


def test_what_is_there_stays(work, photo, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "photo.png").write_text("mine")
    [row] = work((photo, "photo.png"))
    assert (row["status"], row["notes"]) == ("skipped", "exists")
    assert (tmp_path / "out" / "photo.png").read_text() == "mine"


def test_a_link_in_the_target_does_not_lead_out(work, photo, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "out" / "photo.png").symlink_to(tmp_path / "elsewhere" / "photo.png")
    for target in ("sub/photo.png", "photo.png"):
        [row] = work((photo, target))
        assert row["status"] == "failed" and "leads out" in row["error"]
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_a_dead_worker_wrote_is_restored_and_what_it_left_is_removed(work, photo, tmp_path):
    book = Ledger(2)
    out = tmp_path / "out"
    shutil.copytree(photo.parent, out)
    (out / "photo.jpg").rename(out / "photo.png")
    book.begin(str(photo), f"{out}/photo.png")
    own = f"{zlib.crc32(b'photo.png'):08x}-photo.png"
    (out / f".part-123-{own}").write_text("half")
    (out / ".part-123-00000000-other.png").write_text("of another one")
    [row] = work((photo, "photo.png"), book=book)
    assert (row["status"], row["attempts"]) == ("restored", 2)
    assert files_below(out) == [".part-123-00000000-other.png", "photo.png"]
    again = Ledger(0)
    assert work((photo, "photo.png"), book=again)[0]["status"] == "quarantined"


def test_what_killed_workers_left_of_files_from_a_store_is_removed(work, photo, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    dead = next(number for number in range(4_000_000, 9_000_000) if not os.path.exists(f"/proc/{number}"))
    for name in (f"{SCRATCH}{dead}-abc", f"{SCRATCH}{os.getpid()}-abc", "other"):
        (tmp_path / "tmp" / name).mkdir(parents=True)
    work((photo, "photo.png"))
    assert sorted(path.name for path in (tmp_path / "tmp").iterdir()) == ["other", f"{SCRATCH}{os.getpid()}-abc"]


def test_a_full_disk_and_a_preset_that_cannot_be_loaded_stop_the_run(work, photo, settings, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    book = Ledger(3)
    monkeypatch.setattr("tfar.images.write.encode", full)
    [row] = work((photo, "photo.png"), book=book)
    assert row["status"] == "stopped" and "No space left" in row["error"]
    assert book.begin(str(photo), f"{tmp_path}/out/photo.png") == 2  # not done

    absent = Settings(str(tmp_path / "absent.keras"), DIALS, OPTIONS)
    [row] = work((photo, "photo.png"), settings=absent)
    assert row["status"] == "stopped" and "absent.keras" in row["error"]
    single = Settings(settings.preset, DIALS | {"strength": 2.0}, OPTIONS)
    assert work((photo, "photo.png"), settings=single)[0]["error"] == "strength must be from 0 to 1, got 2.0"


def test_no_error_leaves_the_worker(work, photo, monkeypatch):
    monkeypatch.setattr(Restorer, "__call__", lambda *_, **__: 1 / 0)
    [row] = work((photo, "photo.png"))
    assert (row["status"], row["error"]) == ("failed", f"{photo}: ZeroDivisionError: division by zero")
