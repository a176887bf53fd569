import importlib.util
import re
import signal

import pandas
import pytest
from helpers import files_below
from PIL import Image
from skimage import data

from tfar import cli
from tfar.commands import batch

PHOTO = data.astronaut()


def save_photos(folder, *names):
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(PHOTO[i * 8 : i * 8 + 40, :48]).save(path, quality=20)


def options(*arguments):
    return cli._parser().parse_args(["batch", "in", "out", *arguments])


def test_a_folder_on_this_machine(run, tmp_path):
    pytest.importorskip("ray", reason="needs Ray")
    save_photos(tmp_path / "in", "a.jpg", "sub/b.jpg", "sub/b.webp")
    (tmp_path / "in" / "bad.jpg").write_bytes(b"no")
    (tmp_path / "in" / "notes.txt").write_text("no image")
    code, out, err = run("batch", tmp_path / "in", tmp_path / "out", "--workers", 1, "--report", tmp_path / "report")
    lines = ["1 failed, 3 restored", "passed over: 1 no image", f"report: {tmp_path}/report"]
    assert (code, out) == (2, lines), err
    assert f"tfar: {tmp_path}/in/bad.jpg: not a readable image (unknown format)" in err
    assert files_below(tmp_path / "out") == ["a.png", "sub/b.jpg.png", "sub/b.webp.png"]
    rows = pandas.read_parquet(tmp_path / "report").set_index("path")
    assert rows.status.value_counts().to_dict() == {"restored": 3, "failed": 1}
    assert rows.loc[f"{tmp_path}/in/a.jpg"].quality == 20


def test_mistakes_are_told_before_anything_is_started(run, tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="needs Ray")
    monkeypatch.setattr("ray.init", lambda *_, **__: pytest.fail("started"))
    save_photos(tmp_path / "in", "a.jpg")
    (tmp_path / "in" / "000000.parquet").write_bytes(b"a list of photographs")
    for arguments, message in (
        ([tmp_path / "in", tmp_path / "out", "--preset", "absent"], "no preset or folder 'absent'"),
        ([tmp_path / "none", tmp_path / "out"], f"{tmp_path}/none: no such folder"),
        ([tmp_path / "in", tmp_path / "in"], "the target must be another folder"),
        ([tmp_path / "in", "ftp://host/out"], "ftp://host/out: expected a path or one of s3://"),
        ([tmp_path / "in", tmp_path / "out", "--report", tmp_path / "in"], "in/000000.parquet: is not of a report"),
    ):
        code, out, err = run("batch", *arguments)
        assert (code, out) == (2, []) and message in err[-1], err
    assert files_below(tmp_path) == ["in/000000.parquet", "in/a.jpg"]


@pytest.mark.parametrize(
    ("address", "attempts", "place"), [((), 3, "this machine"), (("--address", "host:1"), 1, "host:1")]
)
def test_ray_that_does_not_start(refused, tmp_path, monkeypatch, address, attempts, place):
    pytest.importorskip("ray", reason="needs Ray")
    tried = []

    def init(**how):
        tried.append(how["address"])
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Exception("The current node timed out\nduring startup")  # as Ray does

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray.init", init)
    save_photos(tmp_path / "in", "a.jpg")
    line = refused("batch", tmp_path / "in", tmp_path / "out", *address)
    assert line == f"tfar: {place}: Ray cannot be started or reached: The current node timed out"
    assert len(tried) == attempts and signal.getsignal(signal.SIGTERM) == signal.default_int_handler  # of tfar.cli


def test_a_second_start_of_ray_may_succeed_and_sigterm_stays_as_it_was(monkeypatch):
    pytest.importorskip("ray", reason="needs Ray")
    from tfar.batch import cluster

    results = iter([RuntimeError("no port"), None])
    before = signal.getsignal(signal.SIGTERM)

    def init(**_):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if error := next(results):
            raise error

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray.init", init)
    with cluster._ray(cluster.Machines(workers=1)):
        assert not list(results) and signal.getsignal(signal.SIGTERM) == before


def test_without_ray(run, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert run("batch", "in", "out") == (2, [], ['tfar: batch needs Ray, run: pip install "tfar[cluster]"'])


def test_what_workers_are_told(tmp_path, monkeypatch, fused_file):
    pytest.importorskip("ray", reason="needs Ray")
    settings = batch._settings(options("--gpus", "1", "--strip", "--format", "webp", "--seed", "3"))
    assert settings.preset == "general" and settings.dials["engine"] == "keras" and settings.dials["seed"] == 3
    assert settings.options["form"] == "WEBP" and settings.options["strip"]
    monkeypatch.chdir(fused_file.parent)
    settings = batch._settings(options("--preset", fused_file.name, "--format", "same"))
    assert settings.preset == str(fused_file) and settings.options["form"] is None and settings.dials["engine"] is None


def test_help_of_the_command(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit):
        cli.main(["batch", "--help"])
    assert re.search(r"--workers N +default", capsys.readouterr().out)
