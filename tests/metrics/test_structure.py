import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage
from skimage import data
from skimage.metrics import structural_similarity

from tfar import jpeg
from tfar.metrics import structure

GRAY_IMAGES = [data.camera()[:200, :301], data.coins()[:64, :64]]


@pytest.mark.parametrize("window", ["uniform", "gaussian"])
def test_ssim_of_flat_images_is_the_luminance_term(window):
    original, restored = np.full((16, 20), 100, np.uint8), np.full((16, 20), 150, np.uint8)
    c1 = 2.55**2
    expected = (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)
    assert structure.ssim(original, restored, window) == pytest.approx(expected, abs=1e-9)
    assert structure.ssim(original, original, window) == pytest.approx(1.0, abs=1e-12)


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
    uniform, gaussian = structure.ssim(original, restored, "uniform"), structure.ssim(original, restored, "gaussian")
    assert uniform == pytest.approx(ssim_of_every_window(original, restored, box), abs=1e-9)
    assert gaussian == pytest.approx(ssim_of_every_window(original, restored, bell), abs=1e-9)
    assert structure.ssim(original, restored) == uniform != gaussian


@pytest.mark.parametrize("original", GRAY_IMAGES)
@pytest.mark.parametrize("quality", [5, 40])
def test_gaussian_ssim_agrees_with_scikit_image(original, quality):
    restored = jpeg.compress(original, quality)
    expected = structural_similarity(
        original, restored, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert structure.ssim(original, restored, "gaussian") == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("original", GRAY_IMAGES)
@pytest.mark.parametrize("quality", [5, 40])
def test_uniform_ssim_agrees_with_scipys_filter(original, quality):
    restored = jpeg.compress(original, quality)
    x, y = original.astype(np.float64), restored.astype(np.float64)
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = (
        ndimage.uniform_filter(image, 8)[4:-3, 4:-3] for image in (x, y, x * x, y * y, x * y)
    )
    c1, c2 = 2.55**2, 7.65**2
    expected = np.mean(
        (2 * mean_x * mean_y + c1)
        * (2 * (mean_xy - mean_x * mean_y) + c2)
        / ((mean_x**2 + mean_y**2 + c1) * (mean_xx - mean_x**2 + mean_yy - mean_y**2 + c2))
    )
    assert structure.ssim(original, restored) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "original", [data.camera()[:200, :301], data.coins()[:177, :176], data.moon()[100:301, 100:279]]
)
@pytest.mark.parametrize("quality", [2, 30])
def test_ms_ssim_agrees_with_tensorflow(original, quality):
    restored = jpeg.compress(original, quality)
    expected = float(tf.image.ssim_multiscale(original[..., None], restored[..., None], max_val=255))
    assert expected < 0.999
    assert structure.ms_ssim(original, restored) == pytest.approx(expected, abs=2e-5)


def test_ms_ssim_of_flat_images_is_the_luminance_term_of_the_coarsest_scale():
    original, restored = np.full((176, 180), 100, np.uint8), np.full((176, 180), 150, np.uint8)
    c1 = 2.55**2
    expected = ((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)) ** 0.1333
    assert structure.ms_ssim(original, restored) == pytest.approx(expected, abs=1e-9)
    assert structure.ms_ssim(original, original) == pytest.approx(1.0, abs=1e-12)


def test_ms_ssim_of_opposite_structure_is_zero():
    original = np.random.default_rng(0).integers(0, 256, (176, 176), dtype=np.uint8)
    assert structure.ssim(original, 255 - original) < 0
    assert structure.ms_ssim(original, 255 - original) == 0


def test_unknown_window_is_refused():
    with pytest.raises(ValueError, match="triangle"):
        structure.ssim(GRAY_IMAGES[0], GRAY_IMAGES[0], "triangle")
