import hashlib
import os
import shutil
import sys

import numpy as np
import pytest
from helpers import warned
from PIL import Image

from tfar import jpeg
from tfar.data import sources
from tfar.data.patches import Patches
from tfar.errors import ImageError
from tfar.recipes import Data

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (40, 50, 3), dtype=np.uint8)
GRAY = RNG.integers(0, 256, (40, 50), dtype=np.uint8)


def save(path, image, **options):
    Image.fromarray(image).save(path, **options)
    return path


def names(images):
    return [image.name.split("/")[-1] for image in images]


def many(count, prefix="photo"):
    return [sources.SourceImage(f"{prefix}{i}.png", (40, 50), lambda: COLOR) for i in range(count)]


def broken_files(folder):
    """Files that are no images, by what is wrong with them."""
    whole = jpeg.encode(RNG.integers(0, 256, (90, 90, 3), dtype=np.uint8), 90)
    (folder / "zero.png").write_bytes(b"")
    (folder / "text.jpg").write_text("not an image")
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    return folder


def test_a_folder_gives_its_images_with_their_sizes(tmp_path):
    save(tmp_path / "color.png", COLOR)
    save(tmp_path / "gray.png", GRAY[:33])
    training, held_out = sources.load_split(str(tmp_path), 0.0, 16)
    assert held_out == []
    images = dict(zip(names(training), training))
    assert {name: image.size for name, image in images.items()} == {"color.png": (40, 50), "gray.png": (33, 50)}
    np.testing.assert_array_equal(images["color.png"].load(), COLOR)
    np.testing.assert_array_equal(images["gray.png"].load(), GRAY[:33])


def test_files_that_are_no_images_are_skipped_with_a_warning_each(tmp_path):
    save(broken_files(tmp_path) / "good.png", COLOR)
    (training, _), messages = warned(sources.load_split, str(tmp_path), 0.0, 16)
    assert sorted(names(training)) == ["good.png", "truncated.jpg"]  # a truncated file shows when it is decoded
    assert len(messages) == 2
    for name in ("zero.png", "text.jpg"):
        assert sum(str(tmp_path / name) in message for message in messages) == 1


def test_images_smaller_than_a_patch_are_skipped_with_one_warning(tmp_path):
    for name, height, width in (("fits.png", 32, 33), ("low.png", 31, 50), ("narrow.png", 40, 31)):
        save(tmp_path / name, COLOR[:height, :width])
    (training, held_out), [message] = warned(sources.load_split, str(tmp_path), 0.5, 32)
    assert (names(training), held_out) == (["fits.png"], [])
    small = f"{tmp_path}/low.png (50x31), {tmp_path}/narrow.png (31x40)"
    assert message == f"skipped {small}: 2 of 3 images are smaller than the 32x32 patch"


def test_the_split_is_the_same_for_every_size_of_patches(tmp_path):
    for i in range(20):
        save(tmp_path / f"{i}.png", COLOR[: 20 if i % 3 else 40])
    held_out = set(names(sources.load_split(str(tmp_path), 0.3, 16)[1]))
    (training, large), _ = warned(sources.load_split, str(tmp_path), 0.3, 32)
    assert set(names(large)) == held_out & {f"{i}.png" for i in range(0, 20, 3)}
    assert not held_out & set(names(training)) and large


@pytest.mark.parametrize("large", [1, 2, 5])
def test_of_what_is_large_enough_some_are_held_out_and_some_are_not(tmp_path, large):
    for name in "abcdefgh":
        save(tmp_path / f"{name}.png", COLOR[:20])
    (training, held_out), _ = warned(sources.load_split, str(tmp_path), 0.25, 16)
    for name in names(training)[:large]:
        save(tmp_path / name, COLOR)
    (training, held_out), _ = warned(sources.load_split, str(tmp_path), 0.25, 32)
    assert (len(training), len(held_out)) == {1: (1, 0), 2: (1, 1), 5: (4, 1)}[large]


def test_of_many_small_images_the_first_are_named(tmp_path):
    for name in "abcdef":
        save(tmp_path / f"{name}.png", COLOR[:20])
    save(tmp_path / "fits.png", COLOR)
    _, [message] = warned(sources.load_split, str(tmp_path), 0.0, 32)
    assert "c.png (50x20) and 3 more: 6 of 7 images" in message and "d.png" not in message


@pytest.mark.filterwarnings("ignore:skipped")
@pytest.mark.parametrize("broken", [True, False])
def test_nothing_left_to_train_on_is_an_error(tmp_path, broken):
    if broken:
        (tmp_path / "zero.png").touch()
    else:
        save(tmp_path / "small.png", COLOR)
    with pytest.raises(ImageError, match=f"{tmp_path}: no usable image of at least 64x64 pixels"):
        sources.load_split(str(tmp_path), 0.1, 64)


@pytest.mark.parametrize(
    "count, validation, held_out",
    [(20, 0.25, 5), (20, 0.0, 0), (20, 0.01, 1), (20, 0.99, 19), (2, 0.1, 1), (2, 0.9, 1), (1, 0.5, 0), (1, 0.9, 0)],
)
def test_split_holds_out_a_share_of_the_files(count, validation, held_out):
    training, validated = sources.split(many(count), validation)
    assert (len(training), len(validated)) == (count - held_out, held_out)
    assert sorted(names(training + validated)) == sorted(names(many(count)))


def test_split_depends_on_the_names_only():
    images = many(30)
    moved = [sources.SourceImage(f"/elsewhere/{image.name}", (9, 9), image.load) for image in reversed(images)]
    first, second = sources.split(images, 0.2), sources.split(moved, 0.2)
    assert [names(part) for part in first] == [names(part) for part in second]


def test_names_that_are_not_utf8_have_their_place_and_the_others_keep_theirs():
    images = [sources.SourceImage(name, (40, 50), lambda: COLOR) for name in ("a", "é", os.fsdecode(b"\xe9"), "b")]
    expected = sorted((b"a", "é".encode(), b"\xe9", b"b"), key=lambda name: hashlib.sha256(name).digest())
    assert [os.fsencode(image.name) for image in sources.split(images, 0.0)[0]] == expected


def test_split_does_not_follow_the_order_of_the_names():
    ordered = sorted(names(many(30)))
    held_out = sorted(names(sources.split(many(30), 0.2)[1]))
    assert held_out not in (ordered[:6], ordered[-6:], ordered[::5])


def test_more_files_change_the_split_no_more_than_they_must():
    before = set(names(sources.split(many(40), 0.2)[1]))
    # As many held-out files as before: a new file can only take the place of another.
    for extra in many(20, prefix="new"):
        after = set(names(sources.split(many(40) + [extra], 8 / 41)[1]))
        assert after - before <= {extra.name} and len(before - after) <= 1
    # The same share of more files: of the old ones, those that stay held out are the first by hash.
    _, held_out = sources.split(many(40) + many(40, prefix="new"), 0.2)
    ordered = names(sources.split(many(40), 39 / 40)[1])
    kept = [name for name in names(held_out) if name.startswith("photo")]
    assert kept == ordered[: len(kept)] and len(before & set(kept)) == min(8, len(kept))


def test_a_split_folder_is_disjoint_and_the_same_every_time(tmp_path):
    for i in range(12):
        save(tmp_path / f"{i}.png", COLOR[:16, :16])
    training, held_out = ([image.name for image in part] for part in sources.load_split(str(tmp_path), 0.3, 16))
    assert (len(training), len(held_out)) == (8, 4)
    assert not set(training) & set(held_out)
    again = [[image.name for image in part] for part in sources.load_split(str(tmp_path), 0.3, 16)]
    assert again == [training, held_out]


def test_a_copied_folder_has_the_same_split(tmp_path):
    for i in range(12):
        (tmp_path / "one").mkdir(exist_ok=True)
        save(tmp_path / "one" / f"{i}.png", COLOR[:16, :16])
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    splits = [sources.load_split(str(tmp_path / name), 0.3, 16) for name in ("one", "two")]
    assert [names(part) for part in splits[0]] == [names(part) for part in splits[1]]


def test_the_demo_set_has_a_fixed_split_of_readable_photographs():
    training, held_out = sources.load_split("demo", 0.5, 224)
    assert tuple(names(training)) == sources.DEMO_TRAINING and len(training) == 9
    assert tuple(names(held_out)) == sources.DEMO_HELD_OUT and len(held_out) == 3
    images = [image.load() for image in training + held_out]
    assert [image.shape[:2] for image in images] == [image.size for image in training + held_out]
    assert {image.ndim for image in images} == {2, 3}
    assert min(image.std() for image in images) > 10


def test_demo_images_smaller_than_a_patch_are_skipped():
    (training, held_out), messages = warned(sources.load_split, "demo", 0.1, 501)
    assert all(min(image.size) >= 501 for image in training + held_out) and training
    assert len(messages) == 1 and "coffee.png (600x400)" in messages[0]


def test_tfds_without_the_package_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ImageError, match="tfds:div2k: not installed, run: pip install 'tfar\\[tfds\\]'"):
        sources.load_split("tfds:div2k", 0.1, 16)


def prepare_tiny_dataset(folder, kind="array_record"):
    """A dataset ``tiny`` of five images of different heights, two of them too low; returns the images."""
    import tensorflow as tf

    tfds = pytest.importorskip("tensorflow_datasets", reason="needs tensorflow-datasets")
    images = [COLOR[: 14 + i, :30] for i in range(5)]
    dataset = tf.data.Dataset.from_generator(
        lambda: ({"image": image} for image in images),
        output_signature={"image": tf.TensorSpec((None, 30, 3), tf.uint8)},
    )
    tfds.disable_progress_bar()
    tfds.dataset_builders.store_as_tfds_dataset(
        name="tiny",
        version="1.0.0",
        data_dir=folder,
        file_format=kind,
        features=tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(None, None, 3))}),
        split_datasets={"train": dataset},
    )
    return images


def test_images_of_tfds_are_read_from_the_disk_one_by_one(tmp_path, monkeypatch):
    images = prepare_tiny_dataset(tmp_path)
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", str(tmp_path))
    decoded = []
    whole = sources._decoded
    monkeypatch.setattr(sources, "_decoded", lambda *given: decoded.append(given[1]) or whole(*given))
    (training, held_out), messages = warned(sources.load_split, "tfds:tiny", 0.34, 16)
    assert decoded == []
    found = training + held_out
    assert (len(training), len(held_out), sum(": 2 of 5 images are" in message for message in messages)) == (2, 1, 1)
    assert sorted(image.size for image in found) == [(16, 30), (17, 30), (18, 30)]
    for image in found:
        np.testing.assert_array_equal(image.load(), images[image.size[0] - 14])
        assert not any(isinstance(part, np.ndarray) for part in image.load.args)
    assert len(decoded) == 3
    assert all(image.name.startswith("tfds:tiny/0000000") for image in found)
    batch = Patches(training, Data(patch=16, batch=3), seed=0).batch(0)
    assert batch[1].shape == (3, 16, 16, 3)


def test_a_tfds_dataset_without_random_access_is_refused(tmp_path, monkeypatch):
    prepare_tiny_dataset(tmp_path, "tfrecord")
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", str(tmp_path))
    with pytest.raises(ImageError, match="^tfds:tinny: no such dataset$"):
        sources.load_split("tfds:tinny", 0.1, 16)
    with pytest.raises(ImageError, match="tfds:tiny: no random access .*tfrecord.*; remove a copy"):
        sources.load_split("tfds:tiny", 0.1, 16)
