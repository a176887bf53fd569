import math
import warnings

import numpy as np
import pytest
from scipy import ndimage
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from tfar import jpeg
from tfar.evaluation import protocols
from tfar.metrics import fidelity

GRAY_IMAGES = [data.camera()[:200, :301], data.coins()[:64, :64]]
COLOR_IMAGES = [data.astronaut()[:120, :90], data.coffee()[50:150, 200:333]]


def split_columns(height, width, column, *, left=100, right=116):
    """A flat image that steps from ``left`` to ``right`` at ``column``."""
    image = np.full((height, width), left, np.uint8)
    image[:, column:] = right
    return image


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3)])
def test_psnr_of_a_constant_difference(shape):
    original = np.full(shape, 100, np.uint8)
    assert fidelity.psnr(original, original + 5) == pytest.approx(10 * math.log10(255**2 / 25))
    assert fidelity.psnr(original + 5, original) == pytest.approx(34.1514, abs=1e-4)


def test_psnr_takes_one_mean_over_all_channels():
    original = np.zeros((2, 2, 3), np.uint8)
    restored = original.copy()
    restored[..., 1] = 255
    assert fidelity.psnr(original, restored) == pytest.approx(10 * math.log10(3))


@pytest.mark.parametrize("original", GRAY_IMAGES + COLOR_IMAGES)
@pytest.mark.parametrize("quality", [5, 40])
def test_psnr_agrees_with_scikit_image(original, quality):
    restored = jpeg.compress(original, quality)
    assert fidelity.psnr(original, restored) == pytest.approx(peak_signal_noise_ratio(original, restored), abs=1e-9)


def test_psnr_of_identical_images_is_infinite_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fidelity.psnr(COLOR_IMAGES[0], COLOR_IMAGES[0]) == math.inf


@pytest.mark.parametrize("turn", [False, True])
def test_psnr_b_adds_the_blocking_effect_factor(turn):
    # 32x16 pixels, a step of 16 on the only vertical boundary: 32 of the 32 * 1 + 16 * 3 = 80 boundary pairs
    # differ by 16, no other pair does; eta = log2(8) / log2(16).
    restored = split_columns(32, 16, 8)
    original = restored + 2
    bef = 0.75 * 32 * 256 / 80
    if turn:
        original, restored = original.T, restored.T
    assert fidelity.psnr_b(original, restored) == pytest.approx(10 * math.log10(255**2 / (4 + bef)))


def test_psnr_b_subtracts_the_other_differences():
    # 16x16: 32 boundary pairs, 16 of them differ by 16; 2 * 16 * 15 - 32 = 448 others, 16 of them differ by 6.
    restored = split_columns(16, 16, 8)
    restored[:, 12:] += 6
    bef = 0.75 * (16 * 256 / 32 - 16 * 36 / 448)
    assert fidelity.psnr_b(restored + 1, restored) == pytest.approx(10 * math.log10(255**2 / (1 + bef)))


def test_psnr_b_counts_boundaries_by_the_papers_formula_at_any_size():
    # 16x20: 16 * (20 / 8 - 1) + 20 * (16 / 8 - 1) = 44 boundary pairs.
    restored = split_columns(16, 20, 16)
    bef = 0.75 * 16 * 256 / 44
    assert fidelity.psnr_b(restored + 1, restored) == pytest.approx(10 * math.log10(255**2 / (1 + bef)))


def test_psnr_b_equals_psnr_without_blocking():
    restored = split_columns(32, 32, 12)
    original = restored + 3
    assert fidelity.psnr_b(original, restored) == fidelity.psnr(original, restored)


def test_psnr_b_measures_blocking_of_the_restored_image_only():
    blocky, flat = split_columns(32, 32, 8), np.full((32, 32), 108, np.uint8)
    assert fidelity.psnr_b(blocky, flat) == fidelity.psnr(blocky, flat)
    assert fidelity.psnr_b(flat, blocky) < fidelity.psnr(flat, blocky)


def test_psnr_b_of_identical_images():
    flat, blocky = np.full((16, 16), 7, np.uint8), split_columns(16, 16, 8)
    assert fidelity.psnr_b(flat, flat) == math.inf
    assert fidelity.psnr_b(blocky, blocky) == pytest.approx(10 * math.log10(255**2 / (0.75 * 128)))


def test_e_psnr_counts_the_edge_pixels_only():
    # A step of 82 has a Sobel magnitude of 4 * 82 = 328, one of 81 has 324; both columns at the step are edges.
    original = split_columns(20, 24, 10, right=182)
    restored = original.copy()
    restored[3, 9] += 9
    restored[:, :9] += 50
    restored[:, 11:] += 60
    edge_pixels = 2 * 18
    assert fidelity.e_psnr(original, restored) == pytest.approx(10 * math.log10(255**2 / (81 / edge_pixels)))
    assert fidelity.e_psnr(original.T, restored.T) == fidelity.e_psnr(original, restored)
    with pytest.raises(fidelity.Undefined, match="no edge"):
        fidelity.e_psnr(split_columns(20, 24, 10, right=181), restored)


def test_e_psnr_leaves_the_border_out():
    original = split_columns(20, 24, 10, right=255)
    restored = original.copy()
    restored[[0, -1]] = 0
    assert fidelity.e_psnr(original, restored) == math.inf


@pytest.mark.parametrize("original", GRAY_IMAGES)
def test_e_psnr_agrees_with_scipys_sobel_filter(original):
    restored = jpeg.compress(original, 10)
    x = original.astype(np.float64)
    edges = np.zeros(original.shape, bool)
    edges[1:-1, 1:-1] = (np.hypot(ndimage.sobel(x, 0), ndimage.sobel(x, 1)) > 325)[1:-1, 1:-1]
    assert 10 < edges.sum() < edges.size / 4
    error = np.mean((x - restored)[edges] ** 2)
    assert fidelity.e_psnr(original, restored) == pytest.approx(10 * math.log10(255**2 / error))


def test_e_psnr_of_live1_is_the_published_one(live1):
    trials = [protocols.gray(image, 10) for image in live1]
    mean = np.mean([fidelity.e_psnr(trial.original, trial.jpeg) for trial in trials])
    assert mean == pytest.approx(21.25, abs=0.005)
