import collections
import os

import pandas
import pytest
from helpers import save_image

from tfar.batch.listing import Entry, entries
from tfar.batch.places import place
from tfar.errors import TfarError


@pytest.fixture
def photos(tmp_path, noise):
    folder = tmp_path / "photos"
    for name in ("a.jpg", "trip/b.jpg", "trip/done/old.png", ".hidden.jpg", ".cache/c.jpg"):
        save_image(folder / name, noise(8, 8))
    save_image(folder / "a.jpg", noise(8, 8)).rename(folder / "content tells")
    save_image(folder / "a.jpg", noise(8, 8))
    (folder / "notes.txt").write_text("no image")
    (folder / "link").symlink_to(folder / "trip")
    return folder


def listed(source, target, root=None):
    others = collections.Counter()
    return sorted(entries(str(source), place(str(target)), root, others), key=lambda entry: entry.source), others


def test_a_folder(photos, tmp_path):
    found, others = listed(photos, tmp_path / "out")
    names = ["a.jpg", "content tells", "trip/b.jpg", "trip/done/old.png"]
    assert found == [Entry(f"{photos}/{name}", name) for name in names]
    assert others == {"hidden": 2, "no image": 1, "a link to a folder": 1}


def test_the_target_in_the_source_is_passed_over(photos):
    found, others = listed(photos, photos / "trip" / "done")
    assert [entry.relative for entry in found] == ["a.jpg", "content tells", "trip/b.jpg"]
    assert others["the target"] == 1
    (photos / "results").symlink_to("trip/done")
    for target in (photos / "results", photos / "trip" / ".." / "trip" / "done"):
        found, others = listed(photos, target)
        assert [entry.relative for entry in found] == ["a.jpg", "content tells", "trip/b.jpg"]
        assert others["the target"] == 1
    for target in (photos, photos / "link" / "..", photos / "trip" / ".."):
        with pytest.raises(TfarError, match="another folder"):
            listed(photos, target)


def test_a_folder_that_cannot_be_read_is_counted(photos, tmp_path, monkeypatch):
    def scandir(path, real=os.scandir):
        if str(path).endswith("trip"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr("os.scandir", scandir)
    found, others = listed(photos, tmp_path / "out")
    assert [entry.relative for entry in found] == ["a.jpg", "content tells"]
    assert others["unreadable folder"] == 1


def manifest(path, paths):
    table = pandas.DataFrame({"other": range(len(paths)), "path": paths})
    table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path)
    return path


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_manifest(tmp_path, kind):
    paths = ["a.jpg", "/data/b.jpg", "s3://bucket/c.jpg", "../d.jpg", "/data/../../e.jpg", "007"]
    found, _ = listed(manifest(tmp_path / f"list.{kind}", paths), tmp_path / "out")
    assert [(entry.source, entry.relative) for entry in found if not entry.error] == [
        ("/data/b.jpg", "data/b.jpg"),
        (f"{tmp_path}/007", "007"),
        (f"{tmp_path}/a.jpg", "a.jpg"),
        ("s3://bucket/c.jpg", "bucket/c.jpg"),
    ]
    bad = [(entry.source, entry.relative, entry.error) for entry in found if entry.error]
    assert bad == [
        ("/data/../../e.jpg", "", "/data/../../e.jpg: leaves the folder by '..'"),
        (f"{tmp_path}/../d.jpg", "", "../d.jpg: leaves the folder by '..'"),
    ]


def test_paths_of_a_manifest_start_at_its_root(tmp_path):
    file = manifest(
        tmp_path / "list.csv", ["a.jpg", "/data/2026/b.jpg", "/data/../b.jpg", "/database/c.jpg", "s3://x/d"]
    )
    found, _ = listed(file, tmp_path / "out", root="/data/")
    assert [(entry.source, entry.relative, bool(entry.error)) for entry in found] == [
        ("/data/../b.jpg", "", True),
        ("/data/2026/b.jpg", "2026/b.jpg", False),
        ("/data/a.jpg", "a.jpg", False),
        ("/database/c.jpg", "", True),
        ("s3://x/d", "", True),
    ]


def test_what_is_no_path_is_an_error_of_its_row(tmp_path):
    found, _ = listed(manifest(tmp_path / "list.parquet", ["a.jpg", None, ""]), tmp_path / "out")
    assert [bool(entry.error) for entry in found] == [True, False, True]


def test_names_that_are_not_utf_8(tmp_path, noise):
    save_image(tmp_path / "photos" / "a.jpg", noise(8, 8)).rename(tmp_path / "photos" / "\udcff.jpg")
    [entry], _ = listed(tmp_path / "photos", tmp_path / "out")
    assert entry.source == f"{tmp_path}/photos/\\udcff.jpg" and "not UTF-8" in entry.error


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("list.csv", b"", "no manifest with a column 'path'"),
        ("list.csv", b"file\na.jpg\n", "no manifest with a column 'path'"),
        ("list.parquet", b"no parquet", "no manifest with a column 'path'"),
        ("list.parquet", None, "no such file"),
        ("photos", None, "no such folder"),
    ],
)
def test_sources_that_are_none(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TfarError, match=f"{tmp_path}/{name}: {message}"):
        listed(tmp_path / name, tmp_path / "out")
    with pytest.raises(TfarError, match="--root is of manifests"):
        listed(tmp_path, tmp_path / "out", root="/data")
