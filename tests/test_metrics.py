import dataclasses
import logging
import math
import sys
import warnings

import numpy as np
import pytest
from conftest import development_files
import tensorflow as tf
from PIL import Image
from scipy import ndimage
from skimage import color, data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from tfar import jpeg, pixels
from tfar.errors import TfarError
from tfar.evaluation import metrics, protocols

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


@pytest.mark.parametrize("original", GRAY_IMAGES)
@pytest.mark.parametrize("quality", [5, 40])
def test_gaussian_ssim_agrees_with_scikit_image(original, quality):
    restored = jpeg.compress(original, quality)
    expected = structural_similarity(
        original, restored, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    assert metrics.ssim(original, restored, "gaussian") == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("original", GRAY_IMAGES)
@pytest.mark.parametrize("quality", [5, 40])
def test_uniform_ssim_agrees_with_scipys_filter(original, quality):
    restored = jpeg.compress(original, quality)
    x, y = original.astype(np.float64), restored.astype(np.float64)
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = (
        ndimage.uniform_filter(image, 8)[4:-3, 4:-3] for image in (x, y, x * x, y * y, x * y))
    c1, c2 = 2.55**2, 7.65**2
    expected = np.mean((2 * mean_x * mean_y + c1) * (2 * (mean_xy - mean_x * mean_y) + c2) / (
        (mean_x**2 + mean_y**2 + c1) * (mean_xx - mean_x**2 + mean_yy - mean_y**2 + c2)))
    assert metrics.ssim(original, restored) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "original", [data.camera()[:200, :301], data.coins()[:177, :176], data.moon()[100:301, 100:279]])
@pytest.mark.parametrize("quality", [2, 30])
def test_ms_ssim_agrees_with_tensorflow(original, quality):
    restored = jpeg.compress(original, quality)
    expected = float(tf.image.ssim_multiscale(original[..., None], restored[..., None], max_val=255))
    assert expected < 0.999
    assert metrics.ms_ssim(original, restored) == pytest.approx(expected, abs=2e-5)


def test_ms_ssim_of_flat_images_is_the_luminance_term_of_the_coarsest_scale():
    original, restored = np.full((176, 180), 100, np.uint8), np.full((176, 180), 150, np.uint8)
    c1 = 2.55**2
    expected = ((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)) ** 0.1333
    assert metrics.ms_ssim(original, restored) == pytest.approx(expected, abs=1e-9)
    assert metrics.ms_ssim(original, original) == pytest.approx(1.0, abs=1e-12)


def test_ms_ssim_of_opposite_structure_is_zero():
    original = np.random.default_rng(0).integers(0, 256, (176, 176), dtype=np.uint8)
    assert metrics.ssim(original, 255 - original) < 0
    assert metrics.ms_ssim(original, 255 - original) == 0


def test_e_psnr_counts_the_edge_pixels_only():
    # A step of 82 has a Sobel magnitude of 4 * 82 = 328, one of 81 has 324; both columns at the step are edges.
    original = split_columns(20, 24, 10, right=182)
    restored = original.copy()
    restored[3, 9] += 9
    restored[:, :9] += 50
    restored[:, 11:] += 60
    edge_pixels = 2 * 18
    assert metrics.e_psnr(original, restored) == pytest.approx(10 * math.log10(255**2 / (81 / edge_pixels)))
    assert metrics.e_psnr(original.T, restored.T) == metrics.e_psnr(original, restored)
    with pytest.raises(metrics.Undefined, match="no edge"):
        metrics.e_psnr(split_columns(20, 24, 10, right=181), restored)


def test_e_psnr_leaves_the_border_out():
    original = split_columns(20, 24, 10, right=255)
    restored = original.copy()
    restored[[0, -1]] = 0
    assert metrics.e_psnr(original, restored) == math.inf


@pytest.mark.parametrize("original", GRAY_IMAGES)
def test_e_psnr_agrees_with_scipys_sobel_filter(original):
    restored = jpeg.compress(original, 10)
    x = original.astype(np.float64)
    edges = np.zeros(original.shape, bool)
    edges[1:-1, 1:-1] = (np.hypot(ndimage.sobel(x, 0), ndimage.sobel(x, 1)) > 325)[1:-1, 1:-1]
    assert 10 < edges.sum() < edges.size / 4
    error = np.mean((x - restored)[edges] ** 2)
    assert metrics.e_psnr(original, restored) == pytest.approx(10 * math.log10(255**2 / error))


@pytest.mark.parametrize("original", [data.camera()[:180, :301], data.coins()[:180, :180]])
def test_views_are_scored_as_copies_are(original):
    restored = jpeg.compress(original, 10)
    for metric in (metrics.psnr, metrics.psnr_b, metrics.e_psnr, metrics.ssim, metrics.ms_ssim):
        copies = original.T.copy(), restored.T.copy()
        assert metric(original.T, restored.T) == pytest.approx(metric(*copies), abs=1e-12)


def flip_of_colors(first, second):
    """FLIP of two flat images by the paper: HyAB distance of Hunt-adjusted Lab colours, mapped in two linear pieces."""

    def distance(*pair):
        lab = [color.rgb2lab(np.uint8(rgb).reshape(1, 1, 3))[0, 0] for rgb in pair]
        lightness, a, b = np.subtract(*([L, 0.01 * L * a, 0.01 * L * b] for L, a, b in lab))
        return (abs(lightness) + math.hypot(a, b)) ** 0.7

    error, largest = distance(first, second), distance((0, 255, 0), (0, 0, 255))
    bend = 0.4 * largest
    return 0.95 * error / bend if error < bend else 0.95 + 0.05 * (error - bend) / (largest - bend)


@pytest.mark.parametrize(
    ("first", "second"),
    [((100, 100, 100), (150, 150, 150)), ((200, 180, 150), (150, 150, 150)), ((255, 0, 0), (0, 0, 255))])
def test_flip_agrees_with_its_definition_on_flat_images(first, second):
    pytest.importorskip("flip_evaluator")
    original, restored = (np.full((24, 32, 3), rgb, np.uint8) for rgb in (first, second))
    assert metrics.flip(original, restored) == pytest.approx(flip_of_colors(first, second), abs=1e-4)


def test_flip_grows_with_the_damage():
    pytest.importorskip("flip_evaluator")
    original = data.astronaut()[:64, :80]
    small, large = (jpeg.compress(original, quality) for quality in (80, 5))
    assert metrics.flip(original, original) == 0
    assert 0 < metrics.flip(original, small) < metrics.flip(original, large) < 1


def test_flip_repeats_gray_images():
    pytest.importorskip("flip_evaluator")
    original, restored = data.camera()[:64, :80], jpeg.compress(data.camera()[:64, :80], 10)
    repeated = [pixels.as_rgb(image) for image in (original, restored)]
    assert metrics.flip(original, restored) == metrics.flip(*repeated) > 0


def test_flip_names_the_package_that_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "flip_evaluator", None)
    with pytest.raises(TfarError, match=r'pip install "tfar\[perceptual\]"'):
        metrics.flip(COLOR_IMAGES[0], COLOR_IMAGES[0])


WITHOUT_WEIGHTS = [name for name, metric in metrics.METRICS.items() if metric.function]


def test_metrics_are_chosen_in_the_order_of_their_names():
    chosen = metrics.choose(["ssim", "psnr"])
    assert list(chosen) == ["ssim", "psnr"]
    assert chosen["psnr"] == metrics.METRICS["psnr"]
    assert WITHOUT_WEIGHTS == [
        "psnr_rgb", "psnr", "psnr_b", "e_psnr", "ssim", "ssim_gaussian", "ms_ssim", "flip"]


def test_given_functions_replace_those_of_metrics_that_need_weights():
    def distance(original, restored):
        return 0.25

    chosen = metrics.choose(["lpips"], {"lpips": distance, "lpips_vgg": None})
    assert chosen == {"lpips": dataclasses.replace(metrics.METRICS["lpips"], function=distance)}
    assert metrics.score(chosen, COLOR_IMAGES[0], COLOR_IMAGES[0]) == {"lpips": 0.25}
    assert metrics.METRICS["lpips"].function is None


def test_unknown_metrics_and_missing_weights_are_refused():
    with pytest.raises(TfarError, match="unknown metric 'psnrb'; known: psnr_rgb, psnr, psnr_b, "):
        metrics.choose(["psnr", "psnrb"])
    with pytest.raises(TfarError, match="lpips_vgg needs weights"):
        metrics.choose(["lpips_vgg"], {"lpips": metrics.psnr})


def test_table_entries_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        metrics.METRICS["psnr"].decimals = 3


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_table_says_how_small_an_image_may_be_and_which_way_is_better(name):
    if name == "flip":
        pytest.importorskip("flip_evaluator")
    metric = metrics.METRICS[name]
    image = np.zeros((metric.smallest, metric.smallest + 1), np.uint8)
    image[:, metric.smallest // 2 :] = 255
    metric.function(image, image)
    with pytest.raises(ValueError, match=f"at least {metric.smallest}x{metric.smallest}"):
        metric.function(image[1:], image[1:])
    original = data.camera()[100:300, 100:300]
    coarse, fine = (metric.function(original, jpeg.compress(original, quality)) for quality in (5, 50))
    assert (fine > coarse) == metric.higher_is_better


def test_scores_are_taken_on_luma_and_on_rgb():
    original = data.astronaut()[:180, :200]
    restored = jpeg.compress(original, 10)
    luma = pixels.studio_luma(original), pixels.studio_luma(restored)

    def spy(*pair):
        assert pair[0] is original and pair[1] is restored
        return 0.5

    names = ["e_psnr", "lpips", "psnr_rgb", "ms_ssim", "psnr", "ssim_gaussian", "ssim"]
    scores = metrics.score(metrics.choose(names, {"lpips": spy}), original, restored)
    assert list(scores) == names
    assert scores == {
        "psnr_rgb": metrics.psnr(original, restored),
        "psnr": metrics.psnr(*luma),
        "e_psnr": metrics.e_psnr(*luma),
        "ssim": metrics.ssim(*luma, "uniform"),
        "ssim_gaussian": metrics.ssim(*luma, "gaussian"),
        "ms_ssim": metrics.ms_ssim(*luma),
        "lpips": 0.5,
    }


def test_scores_leave_out_what_an_image_does_not_have(caplog):
    caplog.set_level(logging.INFO, "tfar")
    flat = np.full((16, 16), 90, np.uint8)
    assert metrics.score(metrics.choose(["psnr_rgb", "e_psnr", "psnr"]), flat, flat) == {"psnr": math.inf}
    assert "E-PSNR left out" in caplog.text
    with pytest.raises(ValueError, match="176x176"):
        metrics.score(metrics.choose(["psnr", "ms_ssim"]), flat, flat)
    with pytest.raises(ValueError, match="shape"):
        metrics.score({}, flat, flat[1:])


@pytest.mark.parametrize("metric", [metrics.psnr, metrics.psnr_b, metrics.e_psnr, metrics.ssim, metrics.ms_ssim])
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


@pytest.mark.parametrize("metric", [metrics.psnr_b, metrics.e_psnr, metrics.ssim, metrics.ms_ssim])
def test_gray_metrics_refuse_color(metric):
    with pytest.raises(ValueError, match=r"\(H, W\), got"):
        metric(COLOR_IMAGES[0], COLOR_IMAGES[0])


@pytest.mark.parametrize(
    ("metric", "options", "smallest"),
    [(metrics.psnr_b, {}, 16), (metrics.e_psnr, {}, 3), (metrics.ssim, {}, 8),
     (metrics.ssim, {"window": "gaussian"}, 11), (metrics.ms_ssim, {}, 176)],
)
def test_smallest_image(metric, options, smallest):
    image = split_columns(smallest, smallest + 3, 2, right=250)
    metric(image, image, **options)
    with pytest.raises(ValueError, match=f"at least {smallest}x{smallest}"):
        metric(image[1:], image[1:], **options)


def test_unknown_window_is_refused():
    with pytest.raises(ValueError, match="triangle"):
        metrics.ssim(GRAY_IMAGES[0], GRAY_IMAGES[0], "triangle")


@pytest.fixture(scope="module")
def live1():
    (folder,) = development_files("TFAR_DATA", "test/live1")
    images = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.glob("*.png"))]
    assert len(images) == 29
    return images


def test_e_psnr_of_live1_is_the_published_one(live1):
    trials = [protocols.gray(image, 10) for image in live1]
    mean = np.mean([metrics.e_psnr(trial.original, trial.jpeg) for trial in trials])
    assert mean == pytest.approx(21.25, abs=0.005)


@pytest.mark.slow
@pytest.mark.parametrize(("quality", "expected"), [(10, 0.169), (40, 0.083)])
def test_flip_of_live1(live1, quality, expected):
    pytest.importorskip("flip_evaluator")
    trials = [protocols.color(image, quality) for image in live1]
    mean = np.mean([metrics.flip(trial.original, trial.jpeg) for trial in trials])
    assert mean == pytest.approx(expected, abs=0.0006)
