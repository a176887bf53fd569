import numpy as np

from tfar.data.calibration import calibration_patches
from tfar.jpeg import block_dct
from tfar.pixels import as_luma


def test_patches_are_jpegs_of_all_photographs_on_their_grid():
    patches = calibration_patches((10, 12))
    assert (patches.shape, patches.dtype) == ((36, 64, 64, 3), np.uint8)
    assert len({patch.tobytes() for patch in patches}) == 36
    np.testing.assert_array_equal(patches, calibration_patches((10, 12)))
    blocks = np.asarray(block_dct(as_luma(patches)))
    off = np.asarray(block_dct(as_luma(patches[:, 4:-4, 4:-4])))
    on_grid, off_grid = (np.mean(abs(found[..., 4:, 4:]) < 1) for found in (blocks, off))
    assert on_grid > 0.9 > off_grid + 0.1


def test_the_qualities_are_those_asked_for():
    low, high, every = (calibration_patches(range) for range in ((5, 5), (90, 90), None))
    detail = [abs(np.diff(np.float32(patches), axis=1)).mean() for patches in (low, every, high)]
    assert detail == sorted(detail)
