import hashlib
import os
import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tfar.errors import TfarError
from tfar.storage import cache_folder, remove_parts, save_weights, sha256, write_atomically, write_text


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


def test_names_that_are_no_text_are_escaped(tmp_path):
    write_text(tmp_path / "new" / "list.txt", f"{os.fsdecode(b'caf' + bytes([0xE9]))}, é\r\n\n")
    assert (tmp_path / "new" / "list.txt").read_bytes() == "caf\\udce9, é\r\n\n".encode()


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("scores") == tmp_path / "tfar" / "scores"


def test_without_a_home_the_cache_needs_a_name(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(TfarError, match="no home folder for the cache; name a folder in XDG_CACHE_HOME"):
        cache_folder("scores")


def test_the_digest_is_that_of_all_files_in_their_order(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(name * 300_000)
    expected = hashlib.sha256(b"a" * 300_000 + b"b" * 300_000).hexdigest()
    assert sha256(tmp_path / "a", str(tmp_path / "b")) == expected != sha256(tmp_path / "b", tmp_path / "a")


def test_writes_a_file_and_makes_its_folders(tmp_path):
    write_atomically(tmp_path / "deep" / "down" / "a.txt", lambda part: part.write_text("new"))
    assert (tmp_path / "deep" / "down" / "a.txt").read_text() == "new"
    assert names(tmp_path / "deep" / "down") == ["a.txt"]


def test_threads_write_the_same_file(tmp_path):
    path, start = tmp_path / "a.txt", threading.Barrier(4)

    def write(number):
        start.wait()
        for _ in range(300):
            write_atomically(path, lambda part: part.write_text(str(number)))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(4)))
    assert path.read_text() in "0123"
    assert list(tmp_path.iterdir()) == [path]


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


def test_replaces_no_folder_with_a_file(tmp_path):
    old_folder(tmp_path / "model")
    (tmp_path / "link").symlink_to(tmp_path / "model")
    for name in ("model", "link"):
        with pytest.raises(IsADirectoryError) as error:
            write_atomically(tmp_path / name, lambda part: part.write_text("new"))
        assert error.value.filename == str(tmp_path / name)
    assert names(tmp_path / "link") == ["kept"]
    assert names(tmp_path) == ["link", "model"]


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
    remove_parts(tmp_path, "[model]")
    assert names(tmp_path) == [mine.name.replace("[model]", "other"), "[model]"]


@pytest.mark.parametrize("network", ["single_model", "fused_model"])
def test_the_room_that_is_claimed_for_weights_suffices(tmp_path, monkeypatch, request, network):
    network = request.getfixturevalue(network)
    claimed = []
    monkeypatch.setattr(os, "posix_fallocate", lambda descriptor, start, length: claimed.append(length))
    save_weights(network, tmp_path / "a.weights.h5")
    size = (tmp_path / "a.weights.h5").stat().st_size
    parameters = 4 * network.count_params()
    assert parameters < size <= claimed[0] < parameters + 9000 * (len(network.weights) + 1)


def test_weights_for_which_there_is_no_room_are_not_begun(tmp_path, single_model):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            save_weights(single_model, tmp_path / "a.weights.h5")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "a.weights.h5").stat().st_size <= 8000


def test_leftovers_are_removed_and_nothing_else(tmp_path):
    for name in (".part-1-0-a.txt", ".old-2-0-a.txt", "part-a.txt", ".parts"):
        old_file(tmp_path / name)
    old_folder(tmp_path / ".part-3-0-model")
    remove_parts(tmp_path)
    assert names(tmp_path) == [".parts", "part-a.txt"]
    remove_parts(tmp_path / "absent")
