import math
import warnings

import numpy as np
import pytest
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from tfar import jpeg
from tfar.evaluation import metrics

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
    assert metrics.psnr(original, original + 5) == pytest.approx(10 * math.log10(255**2 / 25))
    assert metrics.psnr(original + 5, original) == pytest.approx(34.1514, abs=1e-4)


def test_psnr_takes_one_mean_over_all_channels():
    original = np.zeros((2, 2, 3), np.uint8)
    restored = original.copy()
    restored[..., 1] = 255
    assert metrics.psnr(original, restored) == pytest.approx(10 * math.log10(3))


@pytest.mark.parametrize("original", GRAY_IMAGES + COLOR_IMAGES)
@pytest.mark.parametrize("quality", [5, 40])
def test_psnr_agrees_with_scikit_image(original, quality):
    restored = jpeg.compress(original, quality)
    assert metrics.psnr(original, restored) == pytest.approx(peak_signal_noise_ratio(original, restored), abs=1e-9)


def test_psnr_of_identical_images_is_infinite_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert metrics.psnr(COLOR_IMAGES[0], COLOR_IMAGES[0]) == math.inf


@pytest.mark.parametrize("turn", [False, True])
def test_psnr_b_adds_the_blocking_effect_factor(turn):
    # 32x16 pixels, a step of 16 on the only vertical boundary: 32 of the 32 * 1 + 16 * 3 = 80 boundary pairs
    # differ by 16, no other pair does; eta = log2(8) / log2(16).
    restored = split_columns(32, 16, 8)
    original = restored + 2
    bef = 0.75 * 32 * 256 / 80
    if turn:
        original, restored = original.T, restored.T
    assert metrics.psnr_b(original, restored) == pytest.approx(10 * math.log10(255**2 / (4 + bef)))


def test_psnr_b_subtracts_the_other_differences():
    # 16x16: 32 boundary pairs, 16 of them differ by 16; 2 * 16 * 15 - 32 = 448 others, 16 of them differ by 6.
    restored = split_columns(16, 16, 8)
    restored[:, 12:] += 6
    bef = 0.75 * (16 * 256 / 32 - 16 * 36 / 448)
    assert metrics.psnr_b(restored + 1, restored) == pytest.approx(10 * math.log10(255**2 / (1 + bef)))


def test_psnr_b_counts_boundaries_by_the_papers_formula_at_any_size():
    # 16x20: 16 * (20 / 8 - 1) + 20 * (16 / 8 - 1) = 44 boundary pairs.
    restored = split_columns(16, 20, 16)
    bef = 0.75 * 16 * 256 / 44
    assert metrics.psnr_b(restored + 1, restored) == pytest.approx(10 * math.log10(255**2 / (1 + bef)))


def test_psnr_b_equals_psnr_without_blocking():
    restored = split_columns(32, 32, 12)
    original = restored + 3
    assert metrics.psnr_b(original, restored) == metrics.psnr(original, restored)


def test_psnr_b_measures_blocking_of_the_restored_image_only():
    blocky, flat = split_columns(32, 32, 8), np.full((32, 32), 108, np.uint8)
    assert metrics.psnr_b(blocky, flat) == metrics.psnr(blocky, flat)
    assert metrics.psnr_b(flat, blocky) < metrics.psnr(flat, blocky)


def test_psnr_b_of_identical_images():
    flat, blocky = np.full((16, 16), 7, np.uint8), split_columns(16, 16, 8)
    assert metrics.psnr_b(flat, flat) == math.inf
    assert metrics.psnr_b(blocky, blocky) == pytest.approx(10 * math.log10(255**2 / (0.75 * 128)))


@pytest.mark.parametrize("window", ["uniform", "gaussian"])
def test_ssim_of_flat_images_is_the_luminance_term(window):
    original, restored = np.full((16, 20), 100, np.uint8), np.full((16, 20), 150, np.uint8)
    c1 = 2.55**2
    expected = (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)
    assert metrics.ssim(original, restored, window) == pytest.approx(expected, abs=1e-9)
    assert metrics.ssim(original, original, window) == pytest.approx(1.0, abs=1e-12)


def ssim_of_every_window(original, restored, weights):
    """SSIM by its definition: one window after the other."""
    size = len(weights)
    c1, c2 = 2.55**2, 7.65**2
    scores = []
    for top in range(original.shape[0] - size + 1):
        for left in range(original.shape[1] - size + 1):
            x, y = (np.float64(image[top : top + size, left : left + size]) for image in (original, restored))
            mean_x, mean_y = (weights * x).sum(), (weights * y).sum()
            variance_x, variance_y = (weights * (x - mean_x) ** 2).sum(), (weights * (y - mean_y) ** 2).sum()
            covariance = (weights * (x - mean_x) * (y - mean_y)).sum()
            scores.append(
                (2 * mean_x * mean_y + c1)
                * (2 * covariance + c2)
                / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))
            )
    return np.mean(scores)


@pytest.mark.parametrize("original", GRAY_IMAGES)
def test_ssim_agrees_with_its_definition(original):
    original = original[:30, :41]
    restored = jpeg.compress(original, 10)
    box = np.full((8, 8), 1 / 64)
    bell = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    bell = np.outer(bell, bell) / bell.sum() ** 2
    uniform, gaussian = metrics.ssim(original, restored, "uniform"), metrics.ssim(original, restored, "gaussian")
    assert uniform == pytest.approx(ssim_of_every_window(original, restored, box), abs=1e-9)
    assert gaussian == pytest.approx(ssim_of_every_window(original, restored, bell), abs=1e-9)
    assert metrics.ssim(original, restored) == uniform != gaussian


@pytest.mark.parametrize("metric", [metrics.psnr, metrics.psnr_b, metrics.ssim])
@pytest.mark.parametrize(
    ("original", "restored", "message"),
    [
        (np.zeros((16, 16), np.uint8), np.zeros((16, 17), np.uint8), "shape"),
        (np.zeros((16, 16), np.uint8), np.zeros((16, 16), np.float32), "uint8"),
        (np.zeros((16, 16), np.int16), np.zeros((16, 16), np.uint8), "uint8"),
        (np.zeros((16, 16, 4), np.uint8), np.zeros((16, 16, 4), np.uint8), r"\(H, W"),
        (np.zeros((0, 16), np.uint8), np.zeros((0, 16), np.uint8), "at least"),
    ],
)
def test_unfit_images_are_refused(metric, original, restored, message):
    with pytest.raises(ValueError, match=message):
        metric(original, restored)


@pytest.mark.parametrize("metric", [metrics.psnr_b, metrics.ssim])
def test_gray_metrics_refuse_color(metric):
    with pytest.raises(ValueError, match=r"\(H, W\), got"):
        metric(COLOR_IMAGES[0], COLOR_IMAGES[0])


@pytest.mark.parametrize(
    ("metric", "options", "smallest"),
    [(metrics.psnr_b, {}, 16), (metrics.ssim, {}, 8), (metrics.ssim, {"window": "gaussian"}, 11)],
)
def test_smallest_image(metric, options, smallest):
    image = np.zeros((smallest, smallest + 3), np.uint8)
    metric(image, image, **options)
    with pytest.raises(ValueError, match=f"at least {smallest}x{smallest}"):
        metric(image[1:], image[1:], **options)


def test_unknown_window_is_refused():
    with pytest.raises(ValueError, match="triangle"):
        metrics.ssim(GRAY_IMAGES[0], GRAY_IMAGES[0], "triangle")
