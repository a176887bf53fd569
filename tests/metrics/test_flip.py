import math
import sys

import numpy as np
import pytest
from skimage import color, data

from tfar import jpeg, pixels
from tfar.errors import TfarError
from tfar.evaluation import protocols
from tfar.metrics import flip

COLOR_IMAGES = [data.astronaut()[:120, :90], data.coffee()[50:150, 200:333]]


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
    [((100, 100, 100), (150, 150, 150)), ((200, 180, 150), (150, 150, 150)), ((255, 0, 0), (0, 0, 255))],
)
def test_flip_agrees_with_its_definition_on_flat_images(first, second):
    pytest.importorskip("flip_evaluator")
    original, restored = (np.full((24, 32, 3), rgb, np.uint8) for rgb in (first, second))
    assert flip.flip(original, restored) == pytest.approx(flip_of_colors(first, second), abs=1e-4)


def test_flip_grows_with_the_damage():
    pytest.importorskip("flip_evaluator")
    original = data.astronaut()[:64, :80]
    small, large = (jpeg.compress(original, quality) for quality in (80, 5))
    assert flip.flip(original, original) == 0
    assert 0 < flip.flip(original, small) < flip.flip(original, large) < 1


def test_flip_repeats_gray_images():
    pytest.importorskip("flip_evaluator")
    original, restored = data.camera()[:64, :80], jpeg.compress(data.camera()[:64, :80], 10)
    repeated = [pixels.as_rgb(image) for image in (original, restored)]
    assert flip.flip(original, restored) == flip.flip(*repeated) > 0


def test_flip_names_the_package_that_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "flip_evaluator", None)
    with pytest.raises(TfarError, match=r'pip install "tfar\[perceptual\]"'):
        flip.flip(COLOR_IMAGES[0], COLOR_IMAGES[0])


@pytest.mark.slow
@pytest.mark.parametrize(("quality", "expected"), [(10, 0.169), (40, 0.083)])
def test_flip_of_live1(live1, quality, expected):
    pytest.importorskip("flip_evaluator")
    trials = [protocols.color(image, quality) for image in live1]
    mean = np.mean([flip.flip(trial.original, trial.jpeg) for trial in trials])
    assert mean == pytest.approx(expected, abs=0.0006)
