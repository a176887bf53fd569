import os

import pytest

from tfar.storage import cache_folder, remove_parts, write_atomically


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write_folder(*files):
    def write(part):
        part.mkdir()
        for name in files:
            (part / name).write_text(f"new {name}")

    return write


def fail_half_way(part):
    part.write_text("half")
    raise RuntimeError("disk full")


def fail_in_a_folder(part):
    write_folder("a", "b")(part)
    raise RuntimeError("disk full")


def old_file(path):
    path.write_text("old")


def old_folder(path):
    path.mkdir()
    (path / "kept").write_text("old")


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("scores") == tmp_path / "tfar" / "scores"


def test_writes_a_file_and_makes_its_folders(tmp_path):
    write_atomically(tmp_path / "deep" / "down" / "a.txt", lambda part: part.write_text("new"))
    assert (tmp_path / "deep" / "down" / "a.txt").read_text() == "new"
    assert names(tmp_path / "deep" / "down") == ["a.txt"]


def test_takes_the_path_as_text(tmp_path):
    write_atomically(f"{tmp_path}/a.txt", lambda part: part.write_text("new"))
    assert (tmp_path / "a.txt").read_text() == "new"


def test_the_part_lies_beside_the_path_with_its_extension(tmp_path):
    parts = []
    write_atomically(tmp_path / "model.weights.h5", lambda part: parts.append(part) or part.write_text("new"))
    assert parts[0].parent == tmp_path
    assert parts[0].name != "model.weights.h5" and parts[0].name.endswith("model.weights.h5")


def test_nothing_is_there_before_the_writer_is_done(tmp_path):
    def write(part):
        part.write_text("new")
        assert not (tmp_path / "a.txt").exists()

    write_atomically(tmp_path / "a.txt", write)
    assert (tmp_path / "a.txt").exists()


@pytest.mark.parametrize("letter", ["a", "ä", "😀"])
def test_names_may_be_as_long_as_the_disk_allows(tmp_path, letter):
    path = tmp_path / (letter * (251 // len(letter.encode())) + ".txt")
    write_atomically(path, lambda part: part.write_text("new"))
    assert names(tmp_path) == [path.name]


def test_names_that_end_alike_have_parts_of_their_own(tmp_path):
    parts = []
    for letter in "ab":
        path = tmp_path / (letter + "x" * 60)
        write_atomically(path, lambda part: parts.append(part) or part.write_text("new"))
    assert parts[0] != parts[1]


def test_replaces_a_file(tmp_path):
    old_file(tmp_path / "a.txt")
    write_atomically(tmp_path / "a.txt", lambda part: part.write_text("new"))
    assert (tmp_path / "a.txt").read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


def test_replaces_a_folder_with_all_that_is_in_it(tmp_path):
    old_folder(tmp_path / "model")
    write_atomically(tmp_path / "model", write_folder("a", "b"))
    assert names(tmp_path / "model") == ["a", "b"]
    assert names(tmp_path) == ["model"]


def test_replaces_a_folder_with_a_file(tmp_path):
    old_folder(tmp_path / "model")
    write_atomically(tmp_path / "model", lambda part: part.write_text("new"))
    assert (tmp_path / "model").read_text() == "new"
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("write", [fail_half_way, fail_in_a_folder])
def test_a_writer_that_fails_leaves_nothing(tmp_path, write):
    with pytest.raises(RuntimeError, match="disk full"):
        write_atomically(tmp_path / "model", write)
    assert names(tmp_path) == []


@pytest.mark.parametrize("write", [fail_half_way, fail_in_a_folder])
def test_a_writer_that_fails_leaves_the_old_file(tmp_path, write):
    old_file(tmp_path / "model")
    with pytest.raises(RuntimeError, match="disk full"):
        write_atomically(tmp_path / "model", write)
    assert (tmp_path / "model").read_text() == "old"
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("write", [fail_half_way, fail_in_a_folder])
def test_a_writer_that_fails_leaves_the_old_folder(tmp_path, write):
    old_folder(tmp_path / "model")
    with pytest.raises(RuntimeError, match="disk full"):
        write_atomically(tmp_path / "model", write)
    assert names(tmp_path / "model") == ["kept"]
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("old", [old_file, old_folder])
def test_a_writer_that_writes_nothing_replaces_nothing(tmp_path, old):
    old(tmp_path / "model")
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "model", lambda part: None)
    assert names(tmp_path) == ["model"]
    if old is old_folder:
        assert names(tmp_path / "model") == ["kept"]


def test_what_a_killed_process_left_does_not_get_in(tmp_path):
    parts = []
    write_atomically(tmp_path / "model", lambda part: parts.append(part) or part.write_text("new"))
    assert f"-{os.getpid()}-" in parts[0].name
    [stale] = parts
    (tmp_path / "model").unlink()
    stale.mkdir()
    (stale / "half").write_text("half")
    write_atomically(tmp_path / "model", write_folder("a"))
    assert names(tmp_path / "model") == ["a"]
    assert names(tmp_path) == ["model"]


def test_what_killed_processes_left_of_a_file_is_removed(tmp_path):
    parts = []
    write_atomically(tmp_path / "[model]", lambda part: parts.append(part) or part.write_text("new"))
    [mine] = parts
    mine.with_name(mine.name.replace(str(os.getpid()), "1234")).write_text("half")
    mine.with_name(mine.name.replace("[model]", "other")).write_text("of another file")
    remove_parts(tmp_path / "[model]")
    assert names(tmp_path) == [mine.name.replace("[model]", "other"), "[model]"]
