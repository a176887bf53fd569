import collections
import itertools
import warnings
import weakref

import keras
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from tfar import jpeg, pixels
from tfar.data import patches as module
from tfar.data.patches import PatchDataset, Patches, tf_dataset, validation_pairs
from tfar.data.sources import SourceImage, load_split
from tfar.errors import ImageError
from tfar.recipes import Data


def photo(height, width, channels=3, seed=0):
    """A smooth image with noise, so that every frequency is there and no two places are alike."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [128 + 60 * np.sin(x / 9 + c) + 40 * np.cos(y / 7 - c) for c in range(channels)]
    noisy = np.stack(waves, axis=-1) + rng.normal(0, 25, (height, width, channels))
    image = np.uint8(np.clip(noisy, 0, 255))
    return image[..., 0] if channels == 1 else image


def sources(*images):
    return [SourceImage(f"{i}.png", image.shape[:2], lambda image=image: image) for i, image in enumerate(images)]


def make(*images, seed=0, channels=3, **data):
    return Patches(sources(*images), Data(**{"augment": False, **data}), seed=seed, channels=channels)


def pairs(patches, batches=1):
    return [pair for index in range(batches) for pair in zip(*patches.batch(index))]


def place(patch, image):
    """Row and column of the only place where a patch was cut from an image."""
    side = len(patch)
    start = sliding_window_view(image[..., 0], (1, side))[: len(image) - side + 1] == patch[:1, :, 0]
    found = [(y, x) for y, x in np.argwhere(start.all(axis=(-1, -2)))
             if (image[y : y + side, x : x + side] == patch).all()]
    assert len(found) == 1
    return found[0]


def is_gray(patch):
    return (patch == patch[..., :1]).all()


def turned(image):
    """The image after each of the eight flips and quarter turns."""
    return [np.rot90(flipped, turns) for flipped in (image, image[:, ::-1]) for turns in range(4)]


# Coding a window gives what coding the whole image gives.

@pytest.mark.parametrize("subsampling", jpeg.SUBSAMPLINGS)
@pytest.mark.parametrize("height, width, patch", [
    (131, 97, 16), (83, 155, 33), (65, 66, 48), (17, 96, 17), (98, 50, 1)])
@pytest.mark.parametrize("quality", [3, 10, 60, 98])
def test_a_color_patch_is_cut_from_the_jpeg_of_the_whole_image(subsampling, height, width, patch, quality):
    image = photo(height, width)
    whole = jpeg.compress(image, quality, subsampling)
    patches = make(image, quality=(quality, quality), subsampling=subsampling, patch=patch, batch=24)
    places = set()
    for compressed, original in pairs(patches):
        y, x = place(original, image)
        places.add((y, x))
        np.testing.assert_array_equal(compressed, whole[y : y + patch, x : x + patch])
    assert len(places) > 12


@pytest.mark.parametrize("height, width, patch", [(131, 97, 16), (83, 155, 33), (17, 96, 17)])
@pytest.mark.parametrize("quality", [3, 10, 60, 98])
@pytest.mark.parametrize("file_channels, channels", [(1, 3), (1, 1), (3, 3), (3, 1)])
def test_a_gray_patch_is_cut_from_the_jpeg_of_the_whole_luma(file_channels, channels, height, width, patch, quality):
    image = photo(height, width, file_channels)
    luma = pixels.studio_luma(image)
    whole = jpeg.compress(luma, quality)
    patches = make(image, quality=(quality, quality), patch=patch, batch=24, gray=1.0, channels=channels)
    for compressed, original in pairs(patches):
        y, x = place(original[..., :1], luma[..., None])
        expected = np.repeat(whole[y : y + patch, x : x + patch, None], channels, axis=-1)
        np.testing.assert_array_equal(compressed, expected)


def test_patches_reach_every_border():
    image = photo(40, 37)
    rows, columns = zip(*(place(original, image) for _, original in pairs(make(image, patch=33, batch=32), 4)))
    assert set(rows) == set(range(8)) and set(columns) == set(range(5))


def test_aligned_patches_start_on_the_grid_of_the_jpeg():
    image = photo(71, 90)
    patches = make(image, aligned=True, patch=24, batch=32)
    rows, columns = zip(*(place(original, image) for _, original in pairs(patches, 4)))
    assert set(rows) == set(range(0, 48, 8)) and set(columns) == set(range(0, 67, 8))


# What a batch is.

@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_is_two_uint8_arrays_of_the_shape(channels):
    patches = make(photo(60, 70), photo(64, 50, 1), channels=channels, batch=6, patch=20, gray=0.5)
    assert patches.shape == (6, 20, 20, channels)
    for array in patches.batch(0):
        assert (array.shape, array.dtype) == (patches.shape, np.uint8)


def test_the_seed_and_the_number_of_a_batch_decide_it():
    data = {"batch": 6, "patch": 20, "quality": (5, 40), "gray": 0.5, "augment": True}
    images = [photo(60, 70), photo(64, 50, 1), photo(90, 80, seed=1)]
    first, second = make(*images, **data), make(*images, **data)
    second.batch(7)
    for index in (3, 0, 3):
        for one, other in zip(first.batch(index), second.batch(index)):
            np.testing.assert_array_equal(one, other)
    assert (first.batch(0)[1] != first.batch(1)[1]).any()
    assert (first.batch(0)[1] != make(*images, seed=1, **data).batch(0)[1]).any()


@pytest.mark.parametrize("share, low, high", [(0.0, 0, 0), (0.3, 0.2, 0.4), (1.0, 1, 1)])
def test_a_share_of_the_color_patches_is_gray(share, low, high):
    drawn = pairs(make(photo(60, 70), gray=share, patch=8, batch=400))
    assert low <= np.mean([is_gray(original) for _, original in drawn]) <= high
    assert all(is_gray(compressed) for compressed, original in drawn if is_gray(original))


@pytest.mark.parametrize("low, high", [(8, 8), (8, 12), (90, 93)])
def test_the_quality_is_drawn_from_the_whole_range(low, high):
    image = photo(32, 32)
    coded = {quality: jpeg.compress(image, quality) for quality in range(low - 3, high + 4)}
    assert len({array.tobytes() for array in coded.values()}) == len(coded)
    counts = collections.Counter(
        quality for compressed, _ in pairs(make(image, quality=(low, high), patch=32, batch=200))
        for quality, array in coded.items() if (array == compressed).all())
    assert counts.total() == 200
    assert set(counts) == set(range(low, high + 1))
    assert min(counts.values()) > 100 / len(counts)


@pytest.mark.parametrize("file_channels, channels", [(3, 3), (3, 1), (1, 3)])
def test_augmentation_turns_jpeg_and_original_alike(file_channels, channels):
    image = photo(24, 24, file_channels)
    if channels == 1 or file_channels == 1:
        image = np.repeat(pixels.studio_luma(image)[..., None], channels, axis=-1)
    coded = jpeg.compress(image if channels == file_channels == 3 else image[..., 0], 10).reshape(24, 24, -1)
    patches = make(photo(24, 24, file_channels), patch=24, batch=80, augment=True, channels=channels)
    turns = collections.Counter()
    for compressed, original in pairs(patches):
        (turn,) = (i for i, candidate in enumerate(turned(image)) if (candidate == original).all())
        np.testing.assert_array_equal(compressed, np.broadcast_to(turned(coded)[turn], compressed.shape))
        turns[turn] += 1
    assert len(turns) == 8


def test_without_augmentation_nothing_is_turned():
    image = photo(24, 24)
    assert all((original == image).all() for _, original in pairs(make(image, patch=24, batch=40)))


@pytest.mark.parametrize("batch, per_image, groups", [
    (6, 3, [3, 3]), (7, 3, [3, 3, 1]), (4, 9, [4]), (3, 1, [1, 1, 1])])
def test_patches_per_image_come_from_one_image_in_a_row(batch, per_image, groups):
    patches = make(*(np.full((20, 20), level, np.uint8) for level in range(200)),
                   batch=batch, patch=8, patches_per_image=per_image)
    levels = patches.batch(0)[1][:, 0, 0, 0].tolist()
    assert [len(list(group)) for _, group in itertools.groupby(levels)] == groups


def test_every_image_is_drawn():
    patches = make(*(np.full((20, 20), level, np.uint8) for level in range(10)), batch=200, patch=8)
    counts = np.bincount(patches.batch(0)[1][:, 0, 0, 0], minlength=10)
    assert counts.min() >= 8


# The two pipelines.

def test_both_pipelines_give_the_batches_in_order():
    patches = make(photo(60, 70), photo(64, 50, 1), batch=3, patch=16, quality=(5, 40), gray=0.5, augment=True)
    twin = PatchDataset(patches, 2, 4)
    batches = list(tf_dataset(patches, 2, 6))
    assert len(twin) == len(batches) == 4
    for index, batch in enumerate(batches):
        for array, other, expected in zip(batch, twin[index], patches.batch(2 + index)):
            assert array.shape == patches.shape and array.dtype == "uint8"
            np.testing.assert_array_equal(array, expected)
            np.testing.assert_array_equal(other, expected)


def test_the_tf_pipeline_knows_its_shapes():
    dataset = tf_dataset(make(photo(60, 70), batch=3, patch=16), 0, 2)
    assert [(spec.shape.as_list(), spec.dtype.name) for spec in dataset.element_spec] == [([3, 16, 16, 3], "uint8")] * 2


class Listener(keras.Model):
    """A model that learns nothing and notes the originals it is given."""

    def __init__(self):
        super().__init__()
        self.built = True
        self.heard = []

    def train_step(self, batch):
        self.heard.append(np.array(batch[1]))
        return {"loss": 0.0}


@pytest.mark.parametrize("workers", [1, 3])
def test_fit_gets_the_same_batches_from_both_pipelines_also_when_resumed(workers):
    patches = make(photo(60, 70), batch=3, patch=16)
    expected = [patches.batch(index)[1] for index in range(2, 11)]

    def hear(data, **options):
        model = Listener()
        model.compile(run_eagerly=True)
        model.fit(data, epochs=3, shuffle=False, verbose=0, **options)
        return model.heard

    np.testing.assert_array_equal(hear(tf_dataset(patches, 2, 11), steps_per_epoch=3), expected)
    np.testing.assert_array_equal(hear(PatchDataset(patches, 2, 3, workers=workers)), expected)
    np.testing.assert_array_equal(hear(PatchDataset(patches, 5, 3, workers=workers), initial_epoch=1), expected[3:])


# Unreadable files and the cache.

def damaged_folder(folder, good):
    """A folder of ``good`` readable images and two truncated ones."""
    for i in range(good):
        Image.fromarray(photo(90, 90, seed=i)).save(folder / f"good{i}.png")
    for name in ("broken1.jpg", "broken2.jpg"):
        data = jpeg.encode(photo(90, 90), 90)
        (folder / name).write_bytes(data[: len(data) // 2])
    return load_split(str(folder), 0.0, 16)[0]


@pytest.mark.parametrize("capacity", [module.CACHE_BYTES, 30_000])
def test_an_unreadable_file_is_skipped_with_one_warning(tmp_path, monkeypatch, capacity):
    monkeypatch.setattr(module, "CACHE_BYTES", capacity)
    patches = Patches(damaged_folder(tmp_path, good=3), Data(patch=16, batch=20))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert all(patches.batch(index)[1].shape == (20, 16, 16, 3) for index in range(5))
    messages = sorted(str(warning.message) for warning in caught)
    assert len(messages) == 2
    assert f"{tmp_path}/broken1.jpg" in messages[0] and f"{tmp_path}/broken2.jpg" in messages[1]


@pytest.mark.filterwarnings("ignore:skipped")
def test_no_readable_image_is_an_error(tmp_path):
    patches = Patches(damaged_folder(tmp_path, good=0), Data(patch=16, batch=4))
    for index in (0, 1):
        with pytest.raises(ImageError, match="none of the training images can be read"):
            patches.batch(index)


class CountingFolder:
    """Images of 100 x 100 gray pixels, each load of which is a new array that is counted and watched."""

    def __init__(self, count):
        self.loads = collections.Counter()
        self.arrays = []
        self.images = [SourceImage(f"{i}.png", (100, 100), lambda i=i: self.load(i)) for i in range(count)]

    def load(self, i):
        self.loads[i] += 1
        array = np.full((100, 100), i, np.uint8)
        self.arrays.append(weakref.ref(array))
        return array

    def bytes_alive(self):
        return sum(array().nbytes for array in self.arrays if array() is not None)


def test_the_cache_stays_within_its_bytes(monkeypatch):
    monkeypatch.setattr(module, "CACHE_BYTES", 35_000)
    folder = CountingFolder(8)
    patches = Patches(folder.images, Data(patch=16, batch=6))
    for index in range(10):
        patches.batch(index)
        assert folder.bytes_alive() == 30_000
    assert folder.loads.total() < 60  # fewer loads than patches: the images that are kept are used


def test_an_image_that_fits_the_cache_is_read_once():
    folder = CountingFolder(5)
    patches = Patches(folder.images, Data(patch=16, batch=30))
    for index in range(4):
        patches.batch(index)
    assert folder.loads == {i: 1 for i in range(5)}


def test_the_image_used_last_is_forgotten_last(monkeypatch):
    cache = module._PixelCache(20_000)
    folder = CountingFolder(3)
    for i in (0, 1, 0, 2, 0, 1):
        cache.get(folder.images[i])
    assert folder.loads == {0: 1, 1: 2, 2: 1}


# Validation.

def test_validation_pairs_are_fixed_whatever_the_training_draws():
    images = sources(photo(60, 70), photo(64, 50, 1))
    first = validation_pairs(images, Data(patch=24, batch=3, quality=(5, 40), patches_per_image=4))
    second = validation_pairs(images, Data(patch=24, batch=9, quality=(5, 40), augment=False))
    for one, other in zip(first, second):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("images, count", [(1, 16), (4, 16), (5, 20), (64, 256), (70, 256)])
def test_there_are_four_validation_pairs_per_image_within_bounds(images, count):
    compressed, original = validation_pairs(sources(*[photo(20, 20)] * images), Data(patch=16))
    assert compressed.shape == original.shape == (count, 16, 16, 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_validation_pairs_are_not_turned(channels):
    image = photo(24, 24)
    expected = image if channels == 3 else pixels.studio_luma(image)[..., None]
    compressed, original = validation_pairs(sources(image), Data(patch=24, augment=True), channels=channels)
    coded = jpeg.compress(expected.squeeze(), 10).reshape(expected.shape)
    np.testing.assert_array_equal(original, np.stack([expected] * 16))
    np.testing.assert_array_equal(compressed, np.stack([coded] * 16))
