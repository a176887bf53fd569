"""What scripts/pack_for_gpu.py refuses; tests/training/test_captured.py trains what it packs."""

import argparse
import shutil

import numpy as np
import pack_for_gpu
import pytest
from helpers import files_below
from PIL import Image

from tfar.errors import TfarError


@pytest.fixture
def pack(tmp_path):
    """Pack two photographs of some kilobytes with other options than these."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(photos / name)

    def pack(*assignments, **options):
        given = {"out": tmp_path / "pack", "recipe": "region-aware:demo.base", "data": str(photos), "initial": None}
        given |= {"assignments": ["data.patch=32", *assignments], "megabytes": 60, "no_wheels": True}
        pack_for_gpu.run(argparse.Namespace(**given | options))

    return pack


def test_a_training_without_held_out_photographs_is_refused(pack, tmp_path):
    with pytest.raises(TfarError, match="data.validation is 0"):
        pack("data.validation=0")
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_photographs_of_the_same_folder_and_name_are_all_packed(pack, tmp_path):
    for folder in ("one", "other"):
        shutil.copytree(tmp_path / "photos", tmp_path / "photos" / folder / "2024", ignore=shutil.ignore_patterns("o*"))
    pack("data.validation=0.3")
    parts = [files_below(tmp_path / "pack" / "images" / part) for part in ("training", "held-out")]
    assert [len(names) for names in parts] == [4, 2]


def test_a_folder_that_is_too_small_leaves_nothing(pack, tmp_path):
    with pytest.raises(TfarError, match="0 photographs to train on and 0 held out fit into 0 MB; raise --megabytes"):
        pack(megabytes=0)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
    pack()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pack", "photos"]
