import dataclasses
import logging
import math

import numpy as np
import pytest
from skimage import data

from tfar import jpeg, pixels
from tfar.errors import TfarError
from tfar.metrics import catalogue, fidelity, structure

COLOR_IMAGES = [data.astronaut()[:120, :90], data.coffee()[50:150, 200:333]]


def split_columns(height, width, column, *, left=100, right=116):
    """A flat image that steps from ``left`` to ``right`` at ``column``."""
    image = np.full((height, width), left, np.uint8)
    image[:, column:] = right
    return image


@pytest.mark.parametrize("original", [data.camera()[:180, :301], data.coins()[:180, :180]])
def test_views_are_scored_as_copies_are(original):
    restored = jpeg.compress(original, 10)
    for metric in (fidelity.psnr, fidelity.psnr_b, fidelity.e_psnr, structure.ssim, structure.ms_ssim):
        copies = original.T.copy(), restored.T.copy()
        assert metric(original.T, restored.T) == pytest.approx(metric(*copies), abs=1e-12)


WITHOUT_WEIGHTS = [name for name, metric in catalogue.METRICS.items() if metric.function]


def test_metrics_are_chosen_in_the_order_of_their_names():
    chosen = catalogue.choose(["ssim", "psnr"])
    assert list(chosen) == ["ssim", "psnr"]
    assert chosen["psnr"] == catalogue.METRICS["psnr"]
    assert WITHOUT_WEIGHTS == ["psnr_rgb", "psnr", "psnr_b", "e_psnr", "ssim", "ssim_gaussian", "ms_ssim", "flip"]


def test_given_functions_replace_those_of_metrics_that_need_weights():
    def distance(original, restored):
        return 0.25

    chosen = catalogue.choose(["lpips"], {"lpips": distance, "lpips_vgg": None})
    assert chosen == {"lpips": dataclasses.replace(catalogue.METRICS["lpips"], function=distance)}
    assert catalogue.score(chosen, COLOR_IMAGES[0], COLOR_IMAGES[0]) == {"lpips": 0.25}
    assert catalogue.METRICS["lpips"].function is None


def test_the_version_of_a_metric_is_the_digest_of_its_weights():
    def distance(original, restored):
        return 0.25

    distance.digest = "0a1b"
    chosen = catalogue.choose(["psnr", "lpips"], {"lpips": distance})
    assert {name: metric.version for name, metric in chosen.items()} == {"psnr": "", "lpips": "0a1b"}


def test_unknown_metrics_and_missing_weights_are_refused():
    with pytest.raises(TfarError, match="unknown metric 'psnrb'; known: psnr_rgb, psnr, psnr_b, "):
        catalogue.choose(["psnr", "psnrb"])
    with pytest.raises(TfarError, match="lpips_vgg needs weights"):
        catalogue.choose(["lpips_vgg"], {"lpips": fidelity.psnr})


def test_table_entries_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        catalogue.METRICS["psnr"].decimals = 3


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_table_says_how_small_an_image_may_be_and_which_way_is_better(name):
    if name == "flip":
        pytest.importorskip("flip_evaluator")
    metric = catalogue.METRICS[name]
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
    scores = catalogue.score(catalogue.choose(names, {"lpips": spy}), original, restored)
    assert list(scores) == names
    assert scores == {
        "psnr_rgb": fidelity.psnr(original, restored),
        "psnr": fidelity.psnr(*luma),
        "e_psnr": fidelity.e_psnr(*luma),
        "ssim": structure.ssim(*luma, "uniform"),
        "ssim_gaussian": structure.ssim(*luma, "gaussian"),
        "ms_ssim": structure.ms_ssim(*luma),
        "lpips": 0.5,
    }


def test_scores_leave_out_what_an_image_does_not_have(caplog):
    caplog.set_level(logging.INFO, "tfar")
    flat = np.full((16, 16), 90, np.uint8)
    assert catalogue.score(catalogue.choose(["psnr_rgb", "e_psnr", "psnr"]), flat, flat) == {"psnr": math.inf}
    assert "E-PSNR left out" in caplog.text
    with pytest.raises(ValueError, match="176x176"):
        catalogue.score(catalogue.choose(["psnr", "ms_ssim"]), flat, flat)
    with pytest.raises(ValueError, match="shape"):
        catalogue.score({}, flat, flat[1:])


@pytest.mark.parametrize("metric", [fidelity.psnr, fidelity.psnr_b, fidelity.e_psnr, structure.ssim, structure.ms_ssim])
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


@pytest.mark.parametrize("metric", [fidelity.psnr_b, fidelity.e_psnr, structure.ssim, structure.ms_ssim])
def test_gray_metrics_refuse_color(metric):
    with pytest.raises(ValueError, match=r"\(H, W\), got"):
        metric(COLOR_IMAGES[0], COLOR_IMAGES[0])


@pytest.mark.parametrize(
    ("metric", "options", "smallest"),
    [
        (fidelity.psnr_b, {}, 16),
        (fidelity.e_psnr, {}, 3),
        (structure.ssim, {}, 8),
        (structure.ssim, {"window": "gaussian"}, 11),
        (structure.ms_ssim, {}, 176),
    ],
)
def test_smallest_image(metric, options, smallest):
    image = split_columns(smallest, smallest + 3, 2, right=250)
    metric(image, image, **options)
    with pytest.raises(ValueError, match=f"at least {smallest}x{smallest}"):
        metric(image[1:], image[1:], **options)
