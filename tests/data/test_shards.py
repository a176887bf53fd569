import io
import os
import resource
import subprocess
import sys
import warnings

import numpy as np
import pytest
import tensorflow as tf
from helpers import files_below, warned
from PIL import Image

from tfar.data import shards as module
from tfar.data.patches import Patches
from tfar.data.shards import Shards, pack
from tfar.data.sources import load_split, photographs_to_pack
from tfar.errors import ImageError, ShardError, TfarError
from tfar.images.read import read_image
from tfar.recipes import Data

COUNT = 11
SHARDS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs in all formats, in subfolders, one of them sideways, some of the same name, and a broken file."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(COUNT):
        place = root / f"part{i % 2}"
        place.mkdir(exist_ok=True)
        image = Image.fromarray(rng.integers(0, 256, (40 + i, 60 - i, 3), dtype=np.uint8))
        exif = Image.Exif()
        if i == 4:
            exif[0x0112] = 6
        image.save(place / f"{i // 2}.{('jpg', 'png', 'webp')[i % 3]}", exif=exif)
    (root / "broken.png").write_bytes(b"")
    return root


@pytest.fixture(scope="module")
def packed(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("packed") / "shards"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pack(out, photographs_to_pack(folder), SHARDS)
    return out


@pytest.fixture
def copy(packed, tmp_path):
    """A copy of the shards, to be harmed."""
    for name in files_below(packed):
        (tmp_path / name).write_bytes((packed / name).read_bytes())
    return tmp_path


def spoil(file, at):
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def test_shards_are_records_that_any_reader_reads(packed, folder):
    assert files_below(packed) == ["index.npy", *(f"photos-0000{i}-of-00003.tfrecord" for i in range(SHARDS))]
    kinds = {"image/encoded": tf.string, "image/filename": tf.string, "image/height": tf.int64, "image/width": tf.int64}
    features = {name: tf.io.FixedLenFeature([], kind) for name, kind in kinds.items()}
    found, each = {}, []
    for file in sorted(packed.glob("*.tfrecord")):
        records = list(tf.data.TFRecordDataset(str(file)))
        each.append(len(records))
        for record in records:
            values = {key: v.numpy() for key, v in tf.io.parse_single_example(record, features).items()}
            size = read_image(values["image/encoded"]).shape[:2]
            assert size == (values["image/height"], values["image/width"])
            found[values["image/encoded"]] = values["image/filename"].decode()
    assert found == {file.read_bytes(): file.name for file in folder.glob("part*/*")}
    assert each == [3, 4, 4]


@pytest.mark.parametrize("validation", [0.0, 0.25])
def test_shards_are_split_as_the_folder_is(packed, folder, validation):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = load_split(str(folder), validation, 16)
    found = load_split(f"shards:{packed}", validation, 16)
    assert [len(part) for part in found] == [COUNT - round(validation * COUNT), round(validation * COUNT)]
    for part, other in zip(found, expected):
        assert [image.size for image in part] == [image.size for image in other]
        assert len({image.name for image in part}) == len(part)
        for image, alike in zip(part, other):
            np.testing.assert_array_equal(image.load(), alike.load())
            assert image.load().shape[:2] == image.size


@pytest.mark.filterwarnings("ignore:skipped")
@pytest.mark.parametrize("together", [1, 3])
def test_the_patches_of_shards_are_those_of_the_folder(packed, folder, together):
    data = Data(patch=16, batch=7, quality=(5, 60), patches_per_image=together, aligned=0.5)
    one, other = (
        Patches(load_split(source, 0.2, 16)[0], data, seed=3).batch(5) for source in (f"shards:{packed}", str(folder))
    )
    np.testing.assert_array_equal(one[1], other[1])
    np.testing.assert_array_equal(one[0]["jpeg"], other[0]["jpeg"])


def test_small_photographs_are_left_out_with_one_warning(packed):
    (training, held_out), messages = warned(load_split, f"shards:{packed}", 0.25, 48)
    assert sorted(min(image.size) for image in [*training, *held_out]) == [48, 49, 50]
    assert messages == [f"skipped in {packed}: 8 of 11 photographs are smaller than the 48x48 patch"]
    assert [image.size for image in training[1:]] == [image.size for image in training][1:]
    with (
        pytest.raises(ImageError, match=f"shards:{packed}: no usable image of at least 99x99"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        load_split(f"shards:{packed}", 0.25, 99)


def test_no_more_shards_than_photographs_and_256_mb_in_each_unless_told(folder, tmp_path, monkeypatch):
    photographs = [(path, (1, 1)) for path in sorted(folder.glob("part*/*"))]
    pack(tmp_path / "many", photographs, 99)
    assert Shards(tmp_path / "many").count == COUNT
    pack(tmp_path / "one", photographs)
    assert Shards(tmp_path / "one").count == 1
    monkeypatch.setattr(module, "SHARD_BYTES", sum(path.stat().st_size for path, _ in photographs) / 2.5)
    pack(tmp_path / "three", photographs)
    assert Shards(tmp_path / "three").count == 3


def test_a_changed_byte_of_a_photograph_is_named_with_its_shard(copy):
    shards = Shards(copy)
    row = shards.rows[5]
    spoil(shards.shard(1), int(row["start"]) + 10)
    again = Shards(copy)
    assert [again.read(i) == shards.read(i) for i in range(COUNT) if i != 5] == [True] * (COUNT - 1)
    with pytest.raises(ShardError, match="photos-00001-of-00003.tfrecord: photograph 5: corrupt at byte") as caught:
        again.read(5)
    assert "\n" not in str(caught.value)


def test_a_corrupt_shard_ends_the_training_data_and_is_not_skipped(copy):
    shards = Shards(copy)
    for row in shards.rows:
        spoil(shards.shard(row["shard"]), int(row["start"]))
    patches = Patches(load_split(f"shards:{copy}", 0.0, 16)[0], Data(patch=16, batch=2))
    with pytest.raises(ShardError, match="tfrecord: photograph .*: corrupt"):
        patches.batch(0)


def test_a_photograph_that_cannot_be_decoded_is_skipped_by_its_name(tmp_path):
    Image.new("RGB", (50, 50)).save(tmp_path / "good.png")
    file = io.BytesIO()
    Image.effect_noise((90, 90), 50).save(file, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(file.getvalue()[:-800])
    pack(tmp_path / "shards", photographs_to_pack(tmp_path), 1)
    patches = Patches(load_split(f"shards:{tmp_path / 'shards'}", 0.0, 16)[0], Data(patch=16, batch=8))
    batch, [message] = warned(patches.batch, 0)
    assert not batch[1].any()
    assert "skipped " in message and "photos-00000-of-00001.tfrecord: photograph" in message and "cut short" in message


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / "index.npy").unlink(), "no index.npy, so no shards; tfar pack"),
        (lambda folder: (folder / "index.npy").write_bytes(b"no index"), "index.npy: not an index of shards"),
        (lambda folder: np.save(folder / "index.npy", np.zeros(3)), "index.npy: not an index of shards$"),
        (lambda folder: np.save(folder / "index.npy", np.array([{}])), "index.npy: not an index of shards"),
        (lambda folder: (folder / "photos-00002-of-00003.tfrecord").unlink(), "photos-00002-.*: no such shard"),
        (lambda folder: os.truncate(folder / "photos-00001-of-00003.tfrecord", 9000), "photos-00001-.*: cut short"),
    ],
)
def test_what_is_wrong_with_a_folder_of_shards_is_said_at_once(copy, harm, message):
    harm(copy)
    with pytest.raises(ShardError, match=f"{copy}.*{message}") as caught:
        load_split(f"shards:{copy}", 0.1, 16)
    assert "\n" not in str(caught.value)


def test_the_index_is_not_read_as_a_whole(tmp_path):
    """A sparse file of a hundred million rows, of which a process holds less than a tenth."""
    count = 100_000_000
    np.lib.format.open_memmap(tmp_path / "index.npy", mode="w+", dtype=module.ROW, shape=(count,)).flush()
    (tmp_path / "photos-00000-of-00001.tfrecord").touch()
    code = (
        "import pathlib, sys; from tfar.data.shards import Shards; from tfar.data.sources import ShardImages\n"
        "shards = Shards(sys.argv[1]); images = ShardImages(shards, range(len(shards)))[1000:]\n"
        "print(len(images), images[-1].name)\n"
        "print(pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    length, *name, kilobytes = done.stdout.split()
    assert int(length) == count - 1000 and name[-1] == str(count - 1)
    assert int(kilobytes) * 1024 < module.ROW.itemsize * count / 10


def test_a_full_disk_is_said_in_one_line_and_leaves_nothing(folder, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9000, hard))
    try:
        with pytest.raises((TfarError, OSError)) as caught:
            pack(tmp_path / "out" / "shards", [(path, (1, 1)) for path in sorted(folder.glob("part*/*"))], 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert isinstance(caught.value, TfarError) and "\n" not in str(caught.value)
    assert f"{tmp_path / 'out' / 'shards'}: cannot be written (" in str(caught.value)
    assert files_below(tmp_path / "out") == []
