import numpy as np
import pytest
from skimage import data

from tfar import presets
from tfar.evaluation.apps import as_dejpeg
from tfar.evaluation.contestants import contestant
from tfar.export.app import export_app
from tfar.jpeg import compress
from tfar.metrics.fidelity import psnr
from tfar.models import main_output
from tfar.restoration.restorer import Restorer


@pytest.mark.parametrize("size", [(40, 40), (20, 33), (41, 40), (97, 150)], ids=str)
def test_a_network_that_changes_nothing_gives_the_image(noise, size):
    image = noise(*size)
    np.testing.assert_array_equal(as_dejpeg(lambda tile, _: tile + 0.5 / 255, image, 40, overlap=5), image)


def test_parts_are_of_nearly_equal_size_with_pixels_around_them_and_repeated_borders(noise):
    image, seen = noise(25, 77), []

    def run(tile, strength):
        seen.append(np.uint8(np.round(255 * tile)))
        return np.full_like(tile, strength)

    restored = as_dejpeg(run, image, 40, strength=0.2, overlap=5)
    assert (restored == 51).all()
    assert len(seen) == 3 and {tile.shape for tile in seen} == {(40, 40, 3)}
    starts, widths = (
        (0, 20, 46),
        (30, 36, 31),
    )  # of 25, 26 and 26 columns, the last two with 5 before, two with 5 behind
    for tile, start, width in zip(seen, starts, widths):
        np.testing.assert_array_equal(tile[:25, :width], image[:, start : start + width])
        np.testing.assert_array_equal(tile[25:, :width], np.repeat(tile[24:25, :width], 15, axis=0))
        np.testing.assert_array_equal(tile[:, width:], np.repeat(tile[:, width - 1 : width], 40 - width, axis=1))


def test_parts_that_are_larger_than_the_network_takes_are_refused(noise):
    with pytest.raises(ValueError, match="cuts parts of 48x32 pixels, and the network takes 40x40"):
        as_dejpeg(lambda tile, _: tile, noise(64, 64), 40)


def test_fractions_of_levels_are_cut_off(noise):
    image = np.maximum(noise(8, 8), 1)
    np.testing.assert_array_equal(as_dejpeg(lambda tile, _: tile - 0.1 / 255, image, 8), image - 1)


def test_the_default_preset_loses_little_in_the_app(tmp_path):
    """Tiles of 128 pixels at odd offsets against the whole image on its grid."""
    model = presets.load()
    export_app(model, tmp_path / "app.tflite", output=main_output(model), tile=128)
    original = data.chelsea()[20:235, 40:331]
    jpeg = compress(original, 20)
    restored = contestant(str(tmp_path / "app.tflite")).restore(jpeg)["app.tflite"]
    scores = [psnr(original, image) for image in (jpeg, restored, Restorer(model)(jpeg))]
    assert scores[2] > scores[0] + 0.3
    assert scores[2] - scores[1] <= 0.1
