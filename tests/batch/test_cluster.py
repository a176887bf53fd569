"""Ray is started once, with three processors: two for workers, one for reading plans."""

import contextlib
import dataclasses
import os
import random
import signal
import sys
import threading
import time

import numpy as np
import pandas
import psutil
import pyarrow as pa
import pytest
from helpers import files_below
from PIL import Image
from skimage import data

from tfar import cli, presets
from tfar.batch.places import Place
from tfar.batch.report import SCHEMA
from tfar.batch.worker import Settings
from tfar.errors import TfarError

ray = pytest.importorskip("ray", reason="needs Ray")
from tfar.batch import cluster  # noqa: E402

# 25 s alone; beside other tests Ray's first node twice did not start within its 30 s
pytestmark = pytest.mark.slow

PHOTO = data.astronaut()
DIALS = {
    "layer": None,
    "texture": 1.0,
    "strength": 1.0,
    "ensemble": False,
    "engine": "litert",
    "exact": True,
    "seed": 0,
}
OPTIONS = {"depth": 8, "form": "PNG"}
SETTINGS = Settings(presets.DEFAULT, DIALS, OPTIONS)
ONE, TWO = cluster.Machines(workers=1), cluster.Machines(workers=2)
STORE = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}


class Deadly(Settings):
    """Its workers die of pictures of 33 columns, and take their time for others."""

    def file_restorer(self):
        restorer = super().file_restorer()

        def restore(image, found, progress):
            time.sleep(0.05)
            if image.shape[1] == 33:
                os.kill(os.getpid(), signal.SIGKILL)
            return restorer.restore(image, found, progress)

        return dataclasses.replace(restorer, restore=restore)


@pytest.fixture(scope="module")
def store():
    """A server that speaks S3."""
    moto = pytest.importorskip("moto.server", reason="needs moto")
    server = moto.ThreadedMotoServer(port=0)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture(scope="module")
def started(store):
    before = dict(os.environ)
    os.environ.update(STORE | {"AWS_ENDPOINT_URL": store})
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init("local", num_cpus=3, include_dashboard=False, log_to_driver=False, object_store_memory=cluster.STORE)
    yield
    ray.shutdown()
    os.environ.clear()
    os.environ.update(before)


def save_photos(folder, count, bad=()):
    """Small JPEGs ``p0.jpg`` ...; those of ``bad`` are damaged."""
    folder.mkdir(parents=True)
    for number in range(count):
        path = folder / f"p{number}.jpg"
        top, left = divmod(number * 13, 400)
        Image.fromarray(PHOTO[top : top + 40, left : left + 48]).save(path, quality=20)
        if number in bad:
            path.write_bytes(path.read_bytes()[: 200 + number])
    return folder


def report_of(batch):
    return pandas.read_parquet(batch.report.url).set_index("path")


def test_a_bucket_and_a_manifest_that_would_leave_it(started, store, tmp_path):
    import s3fs

    fs = s3fs.S3FileSystem()
    fs.mkdir("bucket")
    photos = save_photos(tmp_path / "photos", 4, bad=[3])
    fs.put(f"{photos}/", "bucket/photos/", recursive=True)
    outside = save_photos(tmp_path / "outside", 1) / "p0.jpg"
    paths = [f"photos/p{number}.jpg" for number in range(4)]
    paths += ["../p0.jpg", f"/../{outside}", str(outside), "s3://bucket/photos/../x.jpg", "s3://bucket/photos/p0.jpg"]
    fs.pipe_file("bucket/list.csv", "\n".join(["path", *paths]).encode())
    before, here = set(fs.find("bucket")), files_below(tmp_path)

    arguments = ["batch", "s3://bucket/list.csv", "s3://bucket/out/", "--workers", "1"]
    assert cli.main(arguments) == 2
    made = sorted(set(fs.find("bucket")) - before)
    pictures = [name for name in made if "/.tfar/" not in name]
    below = "/".join(outside.parts[1:-1])
    assert pictures == sorted(
        [f"bucket/out/photos/p{number}.png" for number in range(3)]
        + [f"bucket/out/{below}/p0.png", "bucket/out/bucket/photos/p0.png"]
    )
    assert files_below(tmp_path) == here
    for name in pictures:
        with fs.open(name) as file, Image.open(file) as restored:
            assert restored.size == (48, 40)
    times = {name: fs.info(name)["LastModified"] for name in pictures}
    assert cli.main([*arguments, "--quiet"]) == 2
    assert {name: fs.info(name)["LastModified"] for name in pictures} == times


def test_a_picture_that_kills_its_workers_is_quarantined(started, tmp_path):
    photos = save_photos(tmp_path / "photos", 12, bad=[5])
    (photos / "p7.jpg").unlink()
    Image.fromarray(PHOTO[:40, :33]).save(photos / "deadly.jpg", quality=20)
    target = Place(str(tmp_path / "out"))
    deadly = Deadly(presets.DEFAULT, DIALS, OPTIONS)
    batch = cluster.restore_all(str(photos), target, deadly, TWO, attempts=2)
    assert batch.counts == {"restored": 10, "failed": 1, "quarantined": 1}
    rows = report_of(batch)
    assert len(rows) == 12
    row = rows.loc[f"{photos}/deadly.jpg"]
    assert (row.status, row.attempts, row.error) == (
        "quarantined",
        2,
        f"{photos}/deadly.jpg: it killed its worker 2 times",
    )
    good = [f"p{number}.png" for number in range(12) if number not in (5, 7)]
    assert [name for name in files_below(tmp_path / "out") if not name.startswith(".tfar")] == sorted(good)

    again = cluster.restore_all(str(photos), target, deadly, ONE)
    assert again.counts == {"skipped": 10, "failed": 1, "quarantined": 1}
    assert cluster.Quarantine(target).sources == {f"{photos}/deadly.jpg"}
    assert cluster.Quarantine(target, forgive=True).sources == cluster.Quarantine(target).sources == set()


@pytest.mark.parametrize("text", ['["a.jpg",', "3"])
def test_a_damaged_list_of_quarantined_pictures_is_named(tmp_path, text):
    (tmp_path / ".tfar").mkdir()
    (tmp_path / ".tfar" / "quarantined.json").write_text(text)
    with pytest.raises(TfarError, match=r"quarantined.json: not a list of pictures; mend or remove it"):
        cluster.Quarantine(Place(str(tmp_path)))


def test_a_run_that_was_interrupted_goes_on(started, tmp_path, monkeypatch):
    photos = save_photos(tmp_path / "photos", 20)
    target = Place(str(tmp_path / "out"))

    def stop(count):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cluster, "bar", lambda *_: contextlib.nullcontext(stop))
        with pytest.raises(KeyboardInterrupt):
            cluster.restore_all(str(photos), target, Deadly(presets.DEFAULT, DIALS, OPTIONS), TWO)
    there = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.png")}
    assert 8 <= len(there) <= 20
    batch = cluster.restore_all(str(photos), target, SETTINGS, ONE)
    assert batch.counts["skipped"] >= len(there) and batch.counts.total() == 20
    assert {path: path.stat().st_mtime_ns for path in there} == there
    assert len(list((tmp_path / "out").glob("*.png"))) == 20
    assert not list((tmp_path / "out" / ".tfar").glob("*/plan"))


@pytest.mark.parametrize(("count", "kills"), [(24, 1), (200, 5)], ids=["few", "many"])
def test_workers_that_are_killed_at_random_lose_nothing(started, tmp_path, count, kills):
    bad = range(5, count, 20)  # 5%
    photos = save_photos(tmp_path / "photos", count, bad=bad)
    ended, killed = threading.Event(), []

    def kill():
        chosen = random.Random(count)
        while len(killed) < kills and not ended.wait(chosen.uniform(0.2, 1.0)):
            workers = worker_processes()
            if workers and any((tmp_path / "out").glob("*.png")):
                killed.append(chosen.choice(workers))
                os.kill(killed[-1], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        batch = cluster.restore_all(
            str(photos), Place(str(tmp_path / "out")), Deadly(presets.DEFAULT, DIALS, OPTIONS), TWO
        )
    finally:
        ended.set()
        killer.join()
    assert len(killed) == kills
    rows = report_of(batch)
    assert len(rows) == count and rows.index.is_unique
    assert batch.counts == {"restored": count - len(bad), "failed": len(bad)}
    assert sorted(rows.index[rows.status == "failed"]) == sorted(f"{photos}/p{number}.jpg" for number in bad)
    good = sorted(f"p{number}.png" for number in range(count) if number not in bad)
    written = [name for name in files_below(tmp_path / "out") if not name.startswith(".tfar")]
    assert written == good  # nothing half done either
    for name in good:
        with Image.open(tmp_path / "out" / name) as restored:
            assert np.asarray(restored).shape == (40, 48, 3)


def worker_processes():
    """Processes of the workers of this Ray, which this process has started."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it ends meanwhile
            if " ".join(process.cmdline()).startswith("ray::MapWorker"):
                found.append(process.pid)
    return found


def test_a_worker_that_cannot_go_on_ends_the_run(started, tmp_path, monkeypatch):
    photos = save_photos(tmp_path / "photos", 2)
    rows = [{"path": "a", "status": "restored"}, {"path": "b", "status": "stopped", "error": "the disk is full"}]
    monkeypatch.setattr(cluster, "_restored", lambda *_: [pa.Table.from_pylist(rows, SCHEMA)])
    with pytest.raises(TfarError, match="the disk is full"):
        cluster.restore_all(str(photos), Place(str(tmp_path / "out")), SETTINGS, TWO)
    [report] = (tmp_path / "out" / ".tfar").glob("*/report")
    assert list(pandas.read_parquet(report).status) == ["restored", "stopped"]


def test_workers_that_do_not_fit_are_refused(started, tmp_path):
    photos = save_photos(tmp_path / "photos", 1)
    for machines, what in (
        (cluster.Machines(workers=3), "3 workers of 1 processors do not fit: Ray has 2"),
        (cluster.Machines(workers=1, gpus=1), "1 workers of 1 GPUs do not fit: Ray has 0"),
    ):
        with pytest.raises(TfarError, match=what):
            cluster.restore_all(str(photos), Place(str(tmp_path / "out")), SETTINGS, machines)


def test_a_source_without_pictures(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(TfarError, match="no image files"):
        cluster.restore_all(str(tmp_path / "photos"), Place(str(tmp_path / "out")), SETTINGS, TWO)
    assert not (tmp_path / "out").exists()
