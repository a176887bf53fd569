import dataclasses
import math

import numpy as np
import pytest
from skimage import data

from tfar import jpeg, pixels
from tfar.evaluation import metrics, protocols

IMAGES = [data.astronaut()[:120, :90], data.coffee()[50:150, 200:333]]


@pytest.mark.parametrize("image", IMAGES)
def test_gray_codes_and_scores_studio_luma(image):
    trial = protocols.gray(image, 10)
    red, green, blue = np.moveaxis(image / 255.0, -1, 0)
    luma = np.round(16 + 65.481 * red + 128.553 * green + 24.966 * blue)
    assert trial.original.dtype == trial.jpeg.dtype == np.uint8
    np.testing.assert_array_equal(trial.original, luma)
    np.testing.assert_array_equal(trial.jpeg, jpeg.compress(trial.original, 10))


def test_gray_takes_a_gray_image_as_luma():
    image = data.camera()[:64, :80]
    np.testing.assert_array_equal(protocols.gray(image, 10).original, image)


@pytest.mark.parametrize("image", IMAGES)
def test_color_halves_the_chroma(image):
    trial = protocols.color(image, 30)
    np.testing.assert_array_equal(trial.original, image)
    np.testing.assert_array_equal(trial.jpeg, jpeg.compress(image, 30, "4:2:0"))
    assert (trial.jpeg != jpeg.compress(image, 30, "4:4:4")).any()


def test_color_repeats_a_gray_image():
    image = data.camera()[:64, :80]
    trial = protocols.color(image, 30)
    np.testing.assert_array_equal(trial.original, np.stack([image] * 3, axis=-1))
    assert trial.jpeg.shape == (64, 80, 3)


@pytest.mark.parametrize("protocol", [protocols.gray, protocols.color])
def test_quality_is_passed_on(protocol):
    coarse, fine = (protocol(IMAGES[0], quality) for quality in (10, 40))
    assert metrics.psnr(coarse.original, coarse.jpeg) + 3 < metrics.psnr(fine.original, fine.jpeg)


def test_trial_is_frozen():
    trial = protocols.gray(IMAGES[0], 10)
    with pytest.raises(dataclasses.FrozenInstanceError):
        trial.jpeg = trial.original


def test_score_of_a_gray_image():
    trial = protocols.gray(IMAGES[0], 10)
    assert protocols.score(trial.original, trial.jpeg) == {
        "psnr": metrics.psnr(trial.original, trial.jpeg),
        "psnr_b": metrics.psnr_b(trial.original, trial.jpeg),
        "ssim": metrics.ssim(trial.original, trial.jpeg, "uniform"),
        "ssim_gaussian": metrics.ssim(trial.original, trial.jpeg, "gaussian"),
    }


def test_score_of_a_color_image_is_taken_on_rgb_and_on_luma():
    trial = protocols.color(IMAGES[1], 10)
    luma = pixels.studio_luma(trial.original), pixels.studio_luma(trial.jpeg)
    assert protocols.score(trial.original, trial.jpeg) == {
        "psnr_rgb": metrics.psnr(trial.original, trial.jpeg),
        "psnr": metrics.psnr(*luma),
        "psnr_b": metrics.psnr_b(*luma),
        "ssim": metrics.ssim(*luma, "uniform"),
        "ssim_gaussian": metrics.ssim(*luma, "gaussian"),
    }


def test_score_of_known_differences():
    # Red is 20 too high everywhere: the RGB error is 20^2 / 3, that of luma round(20 * 0.299 * 219 / 255) = 5 squared.
    original = np.full((16, 24, 3), 100, np.uint8)
    restored = original + np.array([20, 0, 0], np.uint8)
    scores = protocols.score(original, restored)
    assert scores["psnr_rgb"] == pytest.approx(10 * math.log10(255**2 / (400 / 3)))
    assert scores["psnr"] == scores["psnr_b"] == pytest.approx(10 * math.log10(255**2 / 25))


def test_score_of_different_shapes_is_refused():
    with pytest.raises(ValueError, match="shape"):
        protocols.score(np.zeros((16, 16), np.uint8), np.zeros((16, 16, 3), np.uint8))
