import collections
import io
import itertools
import warnings
import weakref

import keras
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image
from scipy import fft

from tfar import jpeg, pixels, quantization
from tfar.data import patches as module
from tfar.data.patches import PatchDataset, Patches, draw_noise, tf_dataset, validation_batch
from tfar.data.sources import SourceImage, load_split
from tfar.errors import ImageError, ShardError
from tfar.quantization import TABLES
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


def make(*images, seed=0, channels=3, noise=False, **data):
    return Patches(sources(*images), Data(**{"augment": False, **data}), seed=seed, channels=channels, noise=noise)


def pairs(patches, batches=1):
    """JPEG and original patches, two by two."""
    drawn = [patches.batch(index) for index in range(batches)]
    return [pair for x, original in drawn for pair in zip(x["jpeg"], original)]


def arrays(batch):
    """The arrays of a batch by name."""
    x, original = batch
    return {**x, "original": original}


def assert_equal_batches(first, second):
    first, second = arrays(first), arrays(second)
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)


def places(patch, image):
    """Rows and columns at which an image holds a patch."""
    side = len(patch)
    start = sliding_window_view(image[..., 0], (1, side))[: len(image) - side + 1] == patch[:1, :, 0]
    return [
        (y, x) for y, x in np.argwhere(start.all(axis=(-1, -2))) if (image[y : y + side, x : x + side] == patch).all()
    ]


def place(patch, image):
    """Row and column of the only place where a patch was cut from an image."""
    (found,) = places(patch, image)
    return found


def is_gray(patch):
    return (patch == patch[..., :1]).all()


def turned(image):
    """The image after each of the eight flips and quarter turns."""
    return [np.rot90(flipped, turns) for flipped in (image, image[:, ::-1]) for turns in range(4)]


# Coding a window gives what coding the whole image gives.


@pytest.mark.parametrize("subsampling", jpeg.SUBSAMPLINGS)
@pytest.mark.parametrize(
    "height, width, patch", [(131, 97, 16), (83, 155, 33), (65, 66, 48), (17, 96, 17), (98, 50, 1)]
)
@pytest.mark.parametrize("quality", [3, 10, 60, 98])
def test_a_color_patch_is_cut_from_the_jpeg_of_the_whole_image(subsampling, height, width, patch, quality):
    image = photo(height, width)
    whole = jpeg.compress(image, quality, subsampling)
    patches = make(image, quality=(quality, quality), subsampling={subsampling: 1.0}, patch=patch, batch=24)
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
    patches = make(image, aligned=1.0, patch=24, batch=32)
    rows, columns = zip(*(place(original, image) for _, original in pairs(patches, 4)))
    assert set(rows) == set(range(0, 48, 8)) and set(columns) == set(range(0, 67, 8))


# What a batch is.


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_is_what_is_known_of_the_jpegs_and_the_originals(channels, noise):
    patches = make(photo(60, 70), photo(64, 50, 1), channels=channels, batch=6, patch=21, gray=0.5, noise=noise)
    assert patches.shape == (6, 21, 21, channels)
    expected = {
        "jpeg": (patches.shape, "uint8"),
        "table": ((6, 8, 8), "uint8"),
        "offset": ((6, 2), "uint8"),
        "original": (patches.shape, "uint8"),
    } | ({"noise": ((6, 11, 11, 1), "float32")} if noise else {})
    assert {name: (array.shape, array.dtype) for name, array in arrays(patches.batch(0)).items()} == expected


def test_the_seed_and_the_number_of_a_batch_decide_it():
    data = {"batch": 6, "patch": 20, "quality": (5, 40), "gray": 0.5, "aligned": 0.5, "augment": True, "noise": True}
    images = [photo(60, 70), photo(64, 50, 1), photo(90, 80, seed=1)]
    first, second = make(*images, **data), make(*images, **data)
    second.batch(7)
    for index in (3, 0, 3):
        assert_equal_batches(first.batch(index), second.batch(index))
    for other in (first.batch(1), make(*images, seed=1, **data).batch(0)):
        for name, array in arrays(first.batch(0)).items():
            assert (array != arrays(other)[name]).any(), name


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
        quality
        for compressed, _ in pairs(make(image, quality=(low, high), patch=32, batch=200))
        for quality, array in coded.items()
        if (array == compressed).all()
    )
    assert counts.total() == 200
    assert set(counts) == set(range(low, high + 1))
    assert min(counts.values()) > 100 / len(counts)


@pytest.mark.parametrize("file_channels, channels", [(3, 3), (3, 1), (1, 3)])
@pytest.mark.parametrize("subsampling", ["4:2:0", "4:2:2"])
def test_photographs_are_turned_before_they_are_coded(file_channels, channels, subsampling):
    image = photo(24, 24, file_channels)
    if channels == 1 or file_channels == 1:
        image = np.repeat(pixels.studio_luma(image)[..., None], channels, axis=-1)
    coded = [
        jpeg.compress(
            np.ascontiguousarray(view if channels == file_channels == 3 else view[..., 0]), 10, subsampling
        ).reshape(24, 24, -1)
        for view in turned(image)
    ]
    patches = make(
        photo(24, 24, file_channels),
        patch=24,
        batch=80,
        augment=True,
        channels=channels,
        subsampling={subsampling: 1.0},
    )
    turns = collections.Counter()
    for compressed, original in pairs(patches):
        (turn,) = (i for i, candidate in enumerate(turned(image)) if (candidate == original).all())
        np.testing.assert_array_equal(compressed, np.broadcast_to(coded[turn], compressed.shape))
        turns[turn] += 1
    assert len(turns) == 8


def test_without_augmentation_nothing_is_turned():
    image = photo(24, 24)
    assert all((original == image).all() for _, original in pairs(make(image, patch=24, batch=40)))


@pytest.mark.parametrize(
    "batch, per_image, groups", [(6, 3, [3, 3]), (7, 3, [3, 3, 1]), (4, 9, [4]), (3, 1, [1, 1, 1])]
)
def test_patches_per_image_come_from_one_image_in_a_row(batch, per_image, groups):
    patches = make(
        *(np.full((20, 20), level, np.uint8) for level in range(200)), batch=batch, patch=8, patches_per_image=per_image
    )
    levels = patches.batch(0)[1][:, 0, 0, 0].tolist()
    assert [len(list(group)) for _, group in itertools.groupby(levels)] == groups


@pytest.mark.parametrize("together", [1, 3, 9])
def test_a_part_of_a_batch_is_that_part_of_the_whole(together):
    patches = make(
        *(photo(40, 50, seed=i) for i in range(5)),
        batch=8,
        patch=16,
        quality=(5, 60),
        noise=True,
        patches_per_image=together,
        augment=True,
    )
    whole = arrays(patches.batch(4))
    for part in (range(8), range(3), range(3, 7), range(7, 8)):
        found = arrays(patches.batch(4, part))
        assert found.keys() == whole.keys()
        for name, array in found.items():
            np.testing.assert_array_equal(array, whole[name][part.start : part.stop], err_msg=name)


def test_a_part_of_the_batches_reads_its_part_of_the_images():
    seen = []
    for part in (range(2), range(2, 4)):
        folder = CountingFolder(40)
        patches = Patches(folder.images, Data(patch=16, batch=4), seed=0)
        for index in range(60):
            patches.batch(index, part)
        seen.append(set(folder.loads))
    assert max(seen[0]) < 20 <= min(seen[1]) and min(map(len, seen)) > 15


@pytest.mark.parametrize(("count", "together"), [(1, 1), (3, 1), (7, 1), (16, 1), (20, 1), (16, 5)])
def test_images_are_drawn_equally_often_whatever_their_number(count, together):
    images = [np.full((20, 20), level, np.uint8) for level in range(count)]
    patches = make(*images, batch=16, patch=8, patches_per_image=together)
    levels = np.concatenate([patches.batch(index)[1][:, 0, 0, 0] for index in range(100 * together)])
    np.testing.assert_allclose(np.bincount(levels, minlength=count) * count / len(levels), 1, atol=0.3)


def test_every_image_is_drawn():
    patches = make(*(np.full((20, 20), level, np.uint8) for level in range(10)), batch=200, patch=8)
    counts = np.bincount(patches.batch(0)[1][:, 0, 0, 0], minlength=10)
    assert counts.min() >= 8


# What is known of a JPEG: its grid, its table, and the noise that goes with it.


@pytest.mark.parametrize("share, low, high", [(0.0, 0.0, 0.05), (0.5, 0.42, 0.6), (1.0, 1.0, 1.0)])
def test_a_share_of_the_patches_is_aligned(share, low, high):
    image = photo(71, 90)
    on_grid = [
        not np.any(place(original, image) % np.int64(8))
        for _, original in pairs(make(image, aligned=share, patch=24, batch=300))
    ]
    assert low <= np.mean(on_grid) <= high


@pytest.mark.parametrize("patch", [16, 21])
def test_the_offset_says_where_in_its_block_the_upper_left_pixel_lies(patch):
    image = photo(71, 90)
    x, originals = make(image, patch=patch, batch=160, augment=True).batch(0)
    turns = collections.Counter()
    for original, offset in zip(originals, x["offset"]):
        [(turn, y, left)] = [(i, *found) for i, view in enumerate(turned(image)) for found in places(original, view)]
        assert offset.tolist() == [y % 8, left % 8]
        turns[turn] += 1
    assert len(turns) == 8


def distance_from_multiples(luma, table):
    """How far the DCT coefficients of the 8x8 blocks of a patch are from multiples of a table, at most."""
    rows, columns = (side // 8 for side in luma.shape)
    blocks = np.reshape(luma[: 8 * rows, : 8 * columns], (rows, 8, columns, 8)).astype(float) - 128
    coefficients = fft.dctn(blocks, axes=(1, 3), norm="ortho").swapaxes(1, 2)
    return np.abs(coefficients - np.round(coefficients / table) * table).max()


@pytest.mark.parametrize("channels", [1, 3])
def test_the_coefficients_of_a_jpeg_are_multiples_of_its_table_on_the_grid_of_its_offset(channels):
    image = np.uint8(64 + photo(120, 131) / 2)  # in the middle of the range, so that nothing is clipped
    data = {"patch": 33, "batch": 80, "quality": (8, 30), "gray": 1.0, "aligned": 0.5, "augment": True}
    x, _ = make(image, channels=channels, **data).batch(0)
    on_grid = [jpeg[-top % 8 :, -left % 8 :, 0] for jpeg, (top, left) in zip(x["jpeg"], x["offset"].astype(int))]
    assert len(np.unique(x["offset"], axis=0)) > 15 and len(np.unique(x["table"], axis=0)) > 15
    # A flat block is off by up to half a level, and its coefficient by eight times that; the smallest step is 17.
    rounding = 4.01
    assert max(map(distance_from_multiples, on_grid, x["table"])) < rounding
    assert np.mean([d > rounding for d in map(distance_from_multiples, on_grid, x["table"].swapaxes(1, 2))]) > 0.9


@pytest.mark.parametrize("tables", TABLES)
def test_the_table_is_that_of_the_file(tables):
    image = photo(24, 24)
    x, _ = make(image, patch=24, batch=20, quality=(37, 37), tables={tables: 1.0}, augment=True).batch(0)
    file = Image.open(io.BytesIO(jpeg.encode(image, 37, tables=tables)))
    np.testing.assert_array_equal(x["table"], [np.reshape(file.quantization[0], (8, 8))] * 20)


# What a JPEG may have been before, and how it may have been coded.


def test_the_log_uniform_law_draws_the_factor_of_the_tables():
    x, _ = make(photo(32, 32), patch=8, batch=3000, quality=(5, 95), quality_law="log-uniform").batch(0)
    mean = {quantization.luma_table(quality).tobytes(): quality for quality in range(5, 96)}
    qualities = np.array([mean[table.tobytes()] for table in x["table"]])
    assert (qualities.min(), qualities.max()) == (5, 95)
    # From quality 5 to 95 the factor goes from 10 to 0.1; at 10.5 it is 4.76, at 50.5 0.99, at 75.5 0.49.
    for low, high, share in ((5, 10, 0.161), (11, 50, 0.341), (51, 75, 0.153), (76, 95, 0.345)):
        assert np.mean((qualities >= low) & (qualities <= high)) == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize(
    "option, shares",
    [
        ("subsampling", {"4:2:0": 3.0, "4:2:2": 2.0, "4:4:4": 1.0}),
        ("tables", {"standard": 3.0, "mozjpeg": 2.0, "photoshop": 1.0}),
    ],
)
def test_encoders_have_their_shares(option, shares):
    image = photo(32, 32)
    coded = {name: jpeg.compress(image, 20, **{option: name}).tobytes() for name in shares}
    drawn = pairs(make(image, patch=32, batch=600, quality=(20, 20), **{option: shares}))
    for name, share in shares.items():
        assert np.mean([p.tobytes() == coded[name] for p, _ in drawn]) == pytest.approx(share / 6, abs=0.06)


def twice_coded(image, patch, earlier, later, shift):
    """All patches of an image that was coded, cropped and coded again, by the original's pixels."""
    whole = jpeg.compress(jpeg.compress(image, earlier)[shift[0] :, shift[1] :], later)
    original = image[shift[0] :, shift[1] :]
    rows, columns = (side - patch + 1 for side in whole.shape[:2])
    return {
        original[y : y + patch, x : x + patch].tobytes(): whole[y : y + patch, x : x + patch].tobytes()
        for y in range(rows)
        for x in range(columns)
    }


def test_a_double_jpeg_is_the_crop_of_a_jpeg_coded_again():
    image = photo(67, 90)
    drawn = pairs(make(image, double=1.0, patch=32, batch=40, quality=(20, 21)))
    known = {
        (earlier, later, shift): twice_coded(image, 32, earlier, later, shift)
        for earlier, later in ((20, 20), (20, 21), (21, 21))
        for shift in [(0, 0), *itertools.product(range(1, 16), repeat=2)]
    }
    found = collections.Counter()
    for compressed, original in drawn:
        matches = [key for key, patches in known.items() if patches.get(original.tobytes()) == compressed.tobytes()]
        assert matches
        found.update(matches)
    assert {(earlier, later) for earlier, later, _ in found} == {(20, 20), (20, 21), (21, 21)}
    shifted = sum(count for (*_, shift), count in found.items() if shift != (0, 0))
    assert 8 < shifted < 32
    assert len({shift for *_, shift in found}) > 8


def test_a_share_of_the_jpegs_was_a_jpeg_before():
    image = photo(32, 32)
    once = {jpeg.compress(image, quality).tobytes() for quality in range(20, 91)}
    drawn = pairs(make(image, double=0.4, patch=32, batch=300, quality=(20, 90)))
    assert np.mean([compressed.tobytes() not in once for compressed, _ in drawn]) == pytest.approx(0.4, abs=0.08)
    assert all((original == image).all() for _, original in drawn)  # too small to be cut, so never shifted


@pytest.mark.parametrize("height, width, shape", [(8, 12, (4, 6)), (7, 5, (4, 3)), (1, 1, (1, 1)), (2, 3, (1, 2))])
def test_noise_is_half_as_large_as_the_images_rounded_up(height, width, shape):
    drawn = draw_noise(np.random.default_rng(3), 2, height, width)
    assert (drawn.shape, drawn.dtype) == ((2, *shape, 1), np.float32)
    np.testing.assert_array_equal(drawn, draw_noise(np.random.default_rng(3), 2, height, width))


def test_noise_is_standard_normal():
    drawn = draw_noise(np.random.default_rng(0), 4, 200, 200)
    assert drawn.mean() == pytest.approx(0, abs=0.02) and drawn.std() == pytest.approx(1, abs=0.02)
    assert np.mean(np.abs(drawn) < 1) == pytest.approx(0.683, abs=0.01)


def test_the_noise_of_a_batch_leaves_its_patches_as_they_are():
    data = {"batch": 5, "patch": 20, "quality": (5, 40), "aligned": 0.5, "augment": True}
    x, original = make(photo(60, 70), noise=True, **data).batch(3)
    noise = x.pop("noise")
    assert_equal_batches((x, original), make(photo(60, 70), **data).batch(3))
    assert len({image.tobytes() for image in noise}) == 5


# The two pipelines.


def test_both_pipelines_give_the_batches_in_order():
    patches = make(
        photo(60, 70), photo(64, 50, 1), batch=3, patch=16, quality=(5, 40), gray=0.5, augment=True, noise=True
    )
    twin = PatchDataset(patches, 2, 4)
    batches = list(tf_dataset(patches, 2, 6))
    assert len(twin) == len(batches) == 4
    for index, batch in enumerate(batches):
        expected = patches.batch(2 + index)
        assert_equal_batches(batch, expected)
        assert_equal_batches(twin[index], expected)
        assert {name: array.dtype for name, array in arrays(batch).items()} == {
            name: array.dtype for name, array in arrays(expected).items()
        }


def test_the_tf_pipeline_gives_parts_of_batches_one_after_the_other():
    patches = make(photo(60, 70), batch=5, patch=16)
    parts = [range(2, 4), range(4, 5)]
    elements = list(tf_dataset(patches, 3, 5, parts))
    assert len(elements) == 4
    for element, (index, part) in zip(elements, itertools.product((3, 4), parts)):
        assert_equal_batches(element, patches.batch(index, part))
    assert tf_dataset(patches, 3, 5, parts).element_spec[1].shape.as_list() == [None, 16, 16, 3]


def test_what_ends_a_batch_is_kept_where_tf_data_hides_it():
    def fail():
        raise ShardError("photos-00001: corrupt")

    patches = make(photo(60, 70), batch=2, patch=16)
    dataset = iter(tf_dataset(patches, 0, 9))
    patches.images = [SourceImage("b.png", (60, 70), fail)]
    with pytest.raises(Exception, match="corrupt"):
        list(dataset)
    assert isinstance(patches.failure, ShardError)


def test_the_tf_pipeline_knows_its_shapes():
    dataset = tf_dataset(make(photo(60, 70), batch=3, patch=16, noise=True), 0, 2)
    specs = {name: (spec.shape.as_list(), spec.dtype.name) for name, spec in arrays(dataset.element_spec).items()}
    assert specs == {
        "jpeg": ([3, 16, 16, 3], "uint8"),
        "original": ([3, 16, 16, 3], "uint8"),
        "table": ([3, 8, 8], "uint8"),
        "offset": ([3, 2], "uint8"),
        "noise": ([3, 8, 8, 1], "float32"),
    }


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
    assert folder.loads == dict.fromkeys(range(5), 1)


def test_the_image_used_last_is_forgotten_last(monkeypatch):
    cache = module._PixelCache(20_000)
    folder = CountingFolder(3)
    for i in (0, 1, 0, 2, 0, 1):
        cache.get(folder.images[i])
    assert folder.loads == {0: 1, 1: 2, 2: 1}


# Validation.


def test_the_validation_batch_is_fixed_whatever_the_training_draws():
    images = sources(photo(60, 70), photo(64, 50, 1))
    first = validation_batch(images, Data(patch=24, batch=3, quality=(5, 40), patches_per_image=4), noise=True)
    second = validation_batch(images, Data(patch=24, batch=9, quality=(5, 40), augment=False), noise=True)
    assert_equal_batches(first, second)


@pytest.mark.parametrize("images, count", [(1, 16), (4, 16), (5, 20), (64, 256), (70, 256)])
def test_there_are_four_validation_patches_per_image_within_bounds(images, count):
    batch = arrays(validation_batch(sources(*[photo(20, 20)] * images), Data(patch=16), noise=True))
    assert batch["jpeg"].shape == batch["original"].shape == (count, 16, 16, 3)
    assert {name: len(array) for name, array in batch.items()} == dict.fromkeys(batch, count)
    assert "noise" not in validation_batch(sources(photo(20, 20)), Data(patch=16))[0]


@pytest.mark.parametrize("channels", [1, 3])
def test_validation_patches_are_not_turned(channels):
    image = photo(24, 24)
    expected = image if channels == 3 else pixels.studio_luma(image)[..., None]
    x, original = validation_batch(sources(image), Data(patch=24, augment=True), channels=channels)
    coded = jpeg.compress(expected.squeeze(), 10).reshape(expected.shape)
    np.testing.assert_array_equal(original, np.stack([expected] * 16))
    np.testing.assert_array_equal(x["jpeg"], np.stack([coded] * 16))
    np.testing.assert_array_equal(x["offset"], np.zeros((16, 2)))
