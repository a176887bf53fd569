import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfar.data.sources import load_split


def test_a_folder_is_packed_and_can_be_trained_on(run, refused, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(5):
        Image.fromarray(np.full((20, 20, 3), i, np.uint8)).save(folder / os.fsdecode(b"%d\xe9.png" % i))
    (folder / "empty.jpg").touch()
    out = tmp_path / "shards"
    code, [line], [problem] = run("pack", folder, out, "--shards", 2)
    assert (code, line) == (0, f"5 photographs in 2 shards; train on them with --data shards:{out}")
    assert problem.startswith(f"tfar: warning: skipped {folder / 'empty.jpg'}: ")
    training, held_out = load_split(f"shards:{out}", 0.2, 16)
    assert sorted(image.load()[0, 0, 0] for image in [*training, *held_out]) == [0, 1, 2, 3, 4]

    assert refused("pack", folder, out) == f"tfar: {out}: is there already; --overwrite replaces it"
    assert run("pack", folder, out, "--overwrite")[:2] == (
        0,
        [f"5 photographs in 1 shards; train on them with --data shards:{out}"],
    )


@pytest.mark.parametrize("out", ["photos", "photos/2024", "."])
def test_photographs_are_not_replaced_by_their_shards(refused, tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    photo = Path("photos", "2024", "a.png")
    photo.parent.mkdir(parents=True)
    Image.new("RGB", (20, 20)).save(photo)
    Path("link").symlink_to("photos")
    line = refused("pack", "link", out, "--overwrite")
    assert line == f"tfar: {out}: holds photographs that are to be packed; choose another folder"
    assert photo.exists()


def test_nothing_to_pack_is_said(refused, tmp_path):
    assert refused("pack", tmp_path / "absent", tmp_path / "out") == f"tfar: {tmp_path / 'absent'}: no such folder"
    assert refused("pack", tmp_path, tmp_path / "out") == f"tfar: {tmp_path}: no image files"
    assert not (tmp_path / "out").exists()
