import numpy as np
import pytest

from tfar.data.drawn import MARGIN, drawn_picture
from tfar.data.patches import Patches, validation_batch
from tfar.data.sources import SourceImage
from tfar.recipes import Data

PHOTO = np.random.default_rng(0).integers(100, 140, (64, 64, 3), dtype=np.uint8)  # has no black, white or flat part
IMAGES = [SourceImage("photo", PHOTO.shape[:2], lambda: PHOTO)]


def originals(**options):
    _, original = Patches(IMAGES, Data(patch=32, batch=64, **options), seed=3, channels=3).batch(0)
    return original


def is_drawn(patch):
    return patch.max() - patch.min() > 60 or len(np.unique(patch)) < 8


def test_pictures_are_drawn_by_the_generator_alone():
    first, again, other = (drawn_picture(np.random.default_rng(seed), 96) for seed in (1, 1, 2))
    assert first.shape == (96 + MARGIN, 96 + MARGIN, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_pictures_have_flat_parts_and_sharp_edges():
    for seed in range(20):
        steps = np.abs(np.diff(drawn_picture(np.random.default_rng(seed), 96).astype(int), axis=1)).max(axis=-1)
        assert (steps == 0).mean() > 0.3
        assert (steps > 20).mean() > 0.005


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_their_share_of_the_patches(share):
    found = np.mean([is_drawn(patch) for patch in originals(drawn=share)])
    assert found == pytest.approx(share, abs=0.15 * (share > 0))  # a few cut nothing but a plain part


def test_held_out_patches_are_of_photographs():
    _, original = validation_batch(IMAGES, Data(patch=32, drawn=1.0))
    assert not any(is_drawn(patch) for patch in original)
