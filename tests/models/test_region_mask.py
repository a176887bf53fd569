import numpy as np
import pytest
from helpers import random_batch
from keras import ops
from skimage import data

from tfar import pixels
from tfar.models.region_mask import DamageShare, OrientationDiversityMask

POINTS = ((2.0, 0.25), (20.0, 1.0), (30.0, 0.5))


def batch(height, width, channels=3):
    return np.random.default_rng(7).uniform(-1, 1, (2, height, width, channels)).astype("float32")


def reference_diversity(luma, floor=5.0):
    """Orientation diversity of an image in 0-255 by angles and histograms, one pixel after the other."""
    height, width = luma.shape
    padded = np.pad(luma.astype(np.float64), 1, mode="symmetric")
    across = sum(padded[i : i + height, 2:] - padded[i : i + height, :width] for i in range(3)) / 3
    down = sum(padded[2:, i : i + width] - padded[:height, i : i + width] for i in range(3)) / 3
    turn = np.degrees(OrientationDiversityMask.TOLERANCE)
    angle = (np.degrees(np.arctan2(down, across)) + turn) % 180
    bins = np.floor(angle / 12 + 0.5).astype(int) % 15
    invalid = np.hypot(across, down) < floor * (1 - 1e-9)
    bins[invalid] = 15
    diversity = np.ones((height, width))
    for y, x in zip(*np.nonzero(~invalid)):
        window = bins[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
        diversity[y, x] = np.count_nonzero(np.bincount(window.ravel(), minlength=16))
    return diversity


def diversity(luma, **options):
    """What the layer gives for gray images ``(B, H, W)`` in 0-255."""
    image = np.float32(luma)[..., None] / 127.5 - 1
    return ops.convert_to_numpy(OrientationDiversityMask(**options).diversity(image))[..., 0]


@pytest.mark.parametrize(
    "pair",
    [
        (data.camera()[100:160, 150:230], data.coins()[:60, :80]),
        (data.moon()[200:241, 200:233], data.camera()[300:341, 300:333]),
        np.random.default_rng(0).uniform(0, 255, (2, 30, 41)),
        np.random.default_rng(1).integers(0, 256, (2, 25, 32)),
        np.random.default_rng(2).uniform(100, 112, (2, 30, 30)),
        np.random.default_rng(3).integers(0, 256, (2, 1, 7)),
        np.random.default_rng(4).integers(0, 256, (2, 2, 1)),
    ],
    ids=["photographs", "more photographs", "noise", "whole numbers", "faint noise", "one row", "one column"],
)
def test_diversity_against_angles_and_histograms(pair):
    expected = np.stack([reference_diversity(luma) for luma in pair])
    np.testing.assert_array_equal(diversity(np.stack(pair)), expected)


@pytest.mark.parametrize("floor", [3.0, 12.0])  # below, rounding errors of the luma reach the limits of the bins
def test_gradient_floor(floor):
    pair = np.stack([data.camera()[100:140, 150:190], data.coins()[:40, :40]])
    expected = np.stack([reference_diversity(luma, floor) for luma in pair])
    assert (expected != np.stack([reference_diversity(luma) for luma in pair])).any()
    np.testing.assert_array_equal(diversity(pair, gradient_floor=floor), expected)


def test_flat_areas_have_the_diversity_of_one():
    np.testing.assert_array_equal(diversity(np.stack([np.full((5, 6), 0), np.full((5, 6), 200)])), 1)


@pytest.mark.parametrize("values", [(0, 255), (20, 117), (200.5, 31.7)])
@pytest.mark.parametrize("turn", [lambda x: x, np.transpose], ids=["vertical", "horizontal"])
def test_straight_edges_have_two_bins_at_the_edge(values, turn):
    image = np.full((8, 8), values[0], np.float64)
    image[:, 4:] = values[1]
    found = diversity(np.stack([turn(image), turn(image)[::-1, ::-1]]))
    expected = turn(np.repeat(np.float64([[1, 1, 1, 2, 2, 1, 1, 1]]), 8, axis=0))
    np.testing.assert_array_equal(found, np.stack([expected, expected]))


@pytest.mark.parametrize("slope", [9.7, -9.7])
def test_ramps_in_any_direction_have_one_bin(slope):
    y, x = np.mgrid[:9, :9]
    ramps = np.stack([128 + slope * (x * np.cos(t) + y * np.sin(t)) for t in np.radians([0, 33, 45, 90, 123, 160])])
    np.testing.assert_array_equal(diversity(ramps)[:, 2:-2, 2:-2], 1)


def test_diagonal_edge_is_no_texture_and_noise_is():
    diagonal = 255.0 * np.tri(20)
    noise = np.random.default_rng(0).uniform(0, 255, (20, 20))
    edge, texture = diversity(np.stack([diagonal, noise]))
    assert edge[3:-3, 3:-3].max() <= 3
    assert texture.mean() > 6


def test_mask_is_where_diversity_exceeds_the_threshold():
    image = batch(12, 15)
    found = ops.convert_to_numpy(OrientationDiversityMask().diversity(image))
    for threshold in (3, 5, 7):
        mask = ops.convert_to_numpy(OrientationDiversityMask(threshold=threshold)(image))
        assert mask.dtype == np.float32
        np.testing.assert_array_equal(mask, found > threshold)
        assert 0 < mask.mean() < 1


@pytest.mark.parametrize("side", [2, 3, 5])
def test_majority_is_taken_over_the_pixels_of_the_window_inside_the_image(side):
    image = batch(9, 11)
    mask = ops.convert_to_numpy(OrientationDiversityMask(threshold=6)(image))[..., 0]
    expected = np.zeros_like(mask)
    before = (side - 1) // 2
    for y, x in np.ndindex(9, 11):
        top, left = y - before, x - before
        window = mask[:, max(top, 0) : top + side, max(left, 0) : left + side]
        expected[:, y, x] = window.mean(axis=(1, 2)) > 0.5
    assert (expected != mask).any()
    found = OrientationDiversityMask(threshold=6, majority=side)(image)
    np.testing.assert_array_equal(ops.convert_to_numpy(found)[..., 0], expected)


@pytest.mark.parametrize("majority", [1, 3])
def test_a_feathered_mask_is_the_mean_over_the_window_inside_the_image(majority):
    image = batch(9, 11)
    mask = ops.convert_to_numpy(OrientationDiversityMask(threshold=6, majority=majority)(image))[..., 0]
    expected = np.zeros_like(mask)
    for y, x in np.ndindex(9, 11):
        expected[:, y, x] = mask[:, max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].mean(axis=(1, 2))
    found = OrientationDiversityMask(threshold=6, majority=majority, feather=5)(image)
    np.testing.assert_allclose(ops.convert_to_numpy(found)[..., 0], expected, atol=1e-6)
    assert len(np.unique(expected)) > 5


def test_outside_texture_a_mask_is_lifted_and_keeps_its_order():
    image = batch(9, 11)
    plain, lifted = (OrientationDiversityMask(threshold=6, feather=5, outside=o)(image) for o in (0.0, 0.4))
    np.testing.assert_allclose(lifted, 0.4 + 0.6 * ops.convert_to_numpy(plain), atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_share_of_texture_follows_the_mean_damage_of_the_window_inside_the_image(channels):
    jpeg, other = random_batch(25, 61, channels)[:, None]
    base = jpeg + (other - jpeg) * np.linspace(-0.3, 0.6, 61, dtype=np.float32).clip(0)[:, None]
    found = ops.convert_to_numpy(DamageShare(POINTS)(jpeg, base))
    change = np.float64(abs(base - jpeg)).mean(axis=-1)[0] * 127.5
    damage = [[change[max(y - 8, 0) : y + 9, max(x - 8, 0) : x + 9].mean() for x in range(61)] for y in range(25)]
    np.testing.assert_allclose(found[0, ..., 0], np.interp(damage, *zip(*POINTS)), atol=1e-4)
    np.testing.assert_allclose((found.min(), found.max(), found[0, 12, -1, 0]), (0.25, 1.0, 0.5), atol=0.01)


def test_mask_of_color_is_that_of_its_luma():
    color = batch(14, 13)
    layer = OrientationDiversityMask()
    np.testing.assert_array_equal(layer(color), layer(color @ np.float32([[0.299], [0.587], [0.114]])))
    assert (ops.convert_to_numpy(layer(color)) != ops.convert_to_numpy(layer(color[..., :1]))).any()


def test_mask_sees_the_image_that_will_be_written():
    image = 1.5 * batch(12, 12)
    layer = OrientationDiversityMask()
    np.testing.assert_array_equal(layer(image), layer(np.clip(image, -1, 1)))
    assert (ops.convert_to_numpy(layer(image)) != ops.convert_to_numpy(layer(image / 1.5))).any()


def test_photograph_has_texture_and_smooth_regions():
    mask = ops.convert_to_numpy(OrientationDiversityMask()(pixels.to_float(data.astronaut()[None, :256, :256])))
    assert 0.05 < mask.mean() < 0.5
