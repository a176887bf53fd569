import io
import logging
import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from tfar.evaluation import protocols
from tfar.evaluation.benchmark import evaluate, format_table
from tfar.evaluation.lpips import Lpips

IMAGES = [("astronaut", data.astronaut()[:120, :90]), ("coffee", data.coffee()[50:150, 200:333])]


def flatten(image):
    return np.full_like(image, 128)


@pytest.mark.parametrize("protocol", [protocols.gray, protocols.color])
def test_rows_are_means_over_the_images(protocol):
    results = evaluate({"flat": flatten}, IMAGES, protocol=protocol, quality=10)
    trials = [protocol(image, 10) for _, image in IMAGES]
    assert list(results) == ["JPEG", "flat"]
    for row, restore in (("JPEG", np.copy), ("flat", flatten)):
        first, second = (protocols.score(trial.original, restore(trial.jpeg)) for trial in trials)
        assert first != second
        assert results[row] == pytest.approx({name: (first[name] + second[name]) / 2 for name in first})


def test_restorers_see_the_jpeg():
    seen = []
    evaluate({"spy": lambda image: seen.append(image) or image}, IMAGES, protocol=protocols.color, quality=20)
    for image, (_, original) in zip(seen, IMAGES, strict=True):
        np.testing.assert_array_equal(image, protocols.color(original, 20).jpeg)


def test_images_may_be_an_iterator():
    assert evaluate({}, iter(IMAGES), protocol=protocols.gray, quality=10) == evaluate(
        {}, IMAGES, protocol=protocols.gray, quality=10
    )


def test_lpips_is_taken_on_original_and_restored():
    def mean_difference(original, restored):
        return float(np.mean(original) - np.mean(restored))

    results = evaluate({"flat": flatten}, IMAGES, protocol=protocols.color, quality=10, lpips=mean_difference)
    assert results["flat"]["lpips"] == pytest.approx(np.mean([image.mean() - 128 for _, image in IMAGES]))
    assert list(results["JPEG"]) == ["psnr_rgb", "psnr", "psnr_b", "ssim", "ssim_gaussian", "lpips"]


def test_exact_images_are_left_out_of_the_mean_and_logged(caplog):
    flat = np.full((32, 32), 128, np.uint8)
    with caplog.at_level(logging.INFO):
        results = evaluate({}, [IMAGES[0], ("flat", flat)], protocol=protocols.gray, quality=10)
    alone = evaluate({}, IMAGES[:1], protocol=protocols.gray, quality=10)
    assert results["JPEG"]["psnr"] == alone["JPEG"]["psnr"]
    assert results["JPEG"]["ssim"] == pytest.approx((alone["JPEG"]["ssim"] + 1) / 2)
    assert "JPEG: psnr is infinite for 1 of 2 images" in caplog.messages


def test_mean_is_infinite_when_all_images_are_exact():
    flat = np.full((32, 32), 128, np.uint8)
    assert evaluate({}, [("flat", flat)], protocol=protocols.gray, quality=10)["JPEG"]["psnr"] == math.inf


@pytest.mark.parametrize("restore", [lambda image: image[1:], lambda image: image / 255])
def test_restorer_that_changes_shape_or_dtype_is_named(restore):
    with pytest.raises(ValueError, match="mine returned .* for astronaut"):
        evaluate({"mine": restore}, IMAGES, protocol=protocols.gray, quality=10)


def test_reserved_row_and_missing_images_are_refused():
    with pytest.raises(ValueError, match="JPEG"):
        evaluate({"JPEG": np.copy}, IMAGES, protocol=protocols.gray, quality=10)
    with pytest.raises(ValueError, match="no images"):
        evaluate({}, [], protocol=protocols.gray, quality=10)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("stream", "shown"), [(Terminal(), True), (io.StringIO(), False)])
def test_progress_is_shown_on_terminals_only(monkeypatch, stream, shown):
    monkeypatch.setattr(sys, "stderr", stream)
    evaluate({}, IMAGES, protocol=protocols.gray, quality=10)
    assert ("2: coffee" in stream.getvalue()) is shown
    assert bool(stream.getvalue()) is shown


def test_table():
    results = {
        "gray QF10": {
            "JPEG": {"psnr": 27.7698, "psnr_b": 25.3325, "ssim": 0.79054, "ssim_gaussian": 0.773},
            "mine": {"psnr": 29.0, "psnr_b": math.inf, "ssim": 0.8, "ssim_gaussian": 0.81},
        },
        "color QF10": {"JPEG": {"psnr_rgb": 25.6925, "lpips": 0.30133}},
    }
    assert format_table(results).splitlines() == [
        "|  | gray QF10: PSNR / PSNR-B / SSIM / SSIM Gaussian | color QF10: PSNR RGB / LPIPS |",
        "| --- | ---: | ---: |",
        "| JPEG | 27.77 / 25.33 / 0.791 / 0.773 | 25.69 / 0.301 |",
        "| mine | 29.00 / inf / 0.800 / 0.810 | - |",
    ]


def development_file(variable, relative):
    """A development file below the folder named by an environment variable; skips the test where it is absent."""
    path = Path(os.environ.get(variable, ""), relative)
    if not os.environ.get(variable) or not path.exists():
        pytest.skip(f"{variable} names no folder with {relative}")
    return path


@pytest.fixture(scope="module")
def live1():
    folder = development_file("TFAR_DATA", "test/live1")
    images = [(path.stem, np.asarray(Image.open(path).convert("RGB"))) for path in sorted(folder.glob("*.png"))]
    assert len(images) == 29
    return images


@pytest.mark.parametrize(
    ("quality", "expected"),
    [
        (10, {"psnr": 27.77, "psnr_b": 25.33, "ssim": 0.791, "ssim_gaussian": 0.773}),
        (20, {"psnr": 30.07, "psnr_b": 27.57}),
        (30, {"psnr": 31.41, "psnr_b": 28.92}),
        (40, {"psnr": 32.35, "psnr_b": 29.96}),
    ],
)
def test_published_gray_rows_of_live1(live1, quality, expected):
    scores = evaluate({}, live1, protocol=protocols.gray, quality=quality)["JPEG"]
    for metric, value in expected.items():
        assert scores[metric] == pytest.approx(value, abs=0.0006 if "ssim" in metric else 0.01), metric


@pytest.mark.parametrize(
    ("quality", "psnr_rgb", "psnr", "lpips"), [(10, 25.69, 28.36, 0.301), (40, 30.28, 32.93, 0.101)]
)
def test_color_rows_of_live1(live1, quality, psnr_rgb, psnr, lpips):
    distance = Lpips(development_file("TFAR_WEIGHTS", "lpips_alex.npz"))
    scores = evaluate({}, live1, protocol=protocols.color, quality=quality, lpips=distance)["JPEG"]
    assert scores["psnr_rgb"] == pytest.approx(psnr_rgb, abs=0.01)
    assert scores["psnr"] == pytest.approx(psnr, abs=0.01)
    assert scores["lpips"] == pytest.approx(lpips, abs=0.002)
