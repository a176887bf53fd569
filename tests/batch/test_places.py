from pathlib import PurePosixPath

import pytest

from tfar.batch.places import Place, check_links, inside, place
from tfar.errors import ImageError, TfarError


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a.jpg", "a.jpg"),
        ("trip/./b c.jpg", "trip/b c.jpg"),
        ("/etc/a.jpg", "etc/a.jpg"),
        ("///a.jpg", "a.jpg"),
        ("s3://bucket/a.jpg", "bucket/a.jpg"),
        ("data:a.jpg", "data:a.jpg"),
        ("s3:///../a.jpg", None),
        ("..", None),
        ("../a.jpg", None),
        ("a/../../b.jpg", None),
        ("/..", None),
        ("a/..", None),
        ("", None),
        ("/", None),
        ("a\0.jpg", None),
        (".tfar/report/a.jpg", None),
    ],
)
def test_no_path_leaves_the_folder(text, path):
    if path is None:
        with pytest.raises(ImageError):
            inside(text)
    else:
        assert inside(text) == PurePosixPath(path)


def test_links_do_not_lead_out(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "real", outside):
        folder.mkdir(parents=True)
    (root / "out").symlink_to(outside)
    (root / "in").symlink_to(root / "real")
    (root / "a.png").symlink_to(outside / "a.png")
    for name in ("in/a.png", "real/new/a.png", "b.png"):
        check_links(root, root / name)
    for name in ("out/a.png", "out/new/a.png", "a.png"):
        with pytest.raises(ImageError, match="link"):
            check_links(root, root / name)
    (tmp_path / "root-2").symlink_to(root)  # the root itself may be one
    check_links(tmp_path / "root-2", tmp_path / "root-2" / "b.png")


def test_a_place_is_absolute_and_holds_small_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = place("out/")
    assert found == Place(str(tmp_path / "out")) and found.local and not found.is_folder()
    assert found.read("a/b") is None
    (found / "a").write("b", b"text")
    assert found.read("a/b") == b"text" and found.is_folder()
    (found / "a").remove()
    (found / "a").remove()
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("url", ["ftp://host/a", "reference://a", "memory://a"])
def test_only_stores_that_are_known_to_write_whole_objects(url):
    with pytest.raises(TfarError, match="s3://, s3a://, gs://, gcs://"):
        place(url)
