import dataclasses
import io

import numpy as np
import pytest
from PIL import Image
from skimage import data

from tfar import jpeg, pixels
from tfar.evaluation import protocols
from tfar.evaluation.benchmark import FULL_REFERENCE
from tfar.metrics import fidelity

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


@pytest.mark.parametrize("image", IMAGES)
def test_color_444_keeps_the_chroma(image):
    trial = FULL_REFERENCE["color-444"](image, 30)
    with Image.open(io.BytesIO(trial.file)) as file:
        assert {layer[1:3] for layer in file.layer} == {(1, 1)}
    np.testing.assert_array_equal(trial.jpeg, jpeg.compress(image, 30, subsampling="4:4:4"))


def test_color_repeats_a_gray_image():
    image = data.camera()[:64, :80]
    trial = protocols.color(image, 30)
    np.testing.assert_array_equal(trial.original, np.stack([image] * 3, axis=-1))
    assert trial.jpeg.shape == (64, 80, 3)


@pytest.mark.parametrize("protocol", [protocols.gray, protocols.color])
def test_quality_is_passed_on(protocol):
    coarse, fine = (protocol(IMAGES[0], quality) for quality in (10, 40))
    assert fidelity.psnr(coarse.original, coarse.jpeg) + 3 < fidelity.psnr(fine.original, fine.jpeg)


def test_trial_is_frozen():
    trial = protocols.gray(IMAGES[0], 10)
    with pytest.raises(dataclasses.FrozenInstanceError):
        trial.jpeg = trial.original


@pytest.mark.parametrize("protocol", [protocols.gray, protocols.color, protocols.double])
def test_bits_per_pixel_are_those_of_the_file(protocol):
    trial = protocol(IMAGES[0], 10)
    assert trial.bpp == 8 * len(trial.file) / (trial.jpeg.shape[0] * trial.jpeg.shape[1])
    np.testing.assert_array_equal(jpeg.decode(trial.file), trial.jpeg)


def test_double_codes_twice_on_shifted_grids():
    image = IMAGES[0]
    luma = pixels.studio_luma(image)
    trial = protocols.double(image, 20)
    np.testing.assert_array_equal(trial.original, luma[4:, 4:])
    np.testing.assert_array_equal(trial.jpeg, jpeg.compress(jpeg.compress(luma, 20)[4:, 4:], 20))
    once = fidelity.psnr(trial.original, jpeg.compress(luma, 20)[4:, 4:])
    assert fidelity.psnr(trial.original, trial.jpeg) < once


def test_double_needs_more_than_the_shift():
    with pytest.raises(ValueError, match="5x5"):
        protocols.double(np.zeros((4, 9), np.uint8), 10)


def test_real_has_the_limit_of_other_files_not_pillows(monkeypatch):
    file = jpeg.encode(data.astronaut()[:64, :80], 10)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    trial = protocols.real(file)
    assert trial.jpeg.shape == (64, 80, 3) and jpeg.file_luma_table(file) is not None
    monkeypatch.setattr(protocols, "MAX_MEGAPIXELS", 0.005)
    with pytest.raises(ValueError, match="0 megapixels, the limit is 0.005"):
        protocols.real(file)


def test_real_takes_the_file_as_it_is():
    file = jpeg.encode(IMAGES[1], 35)
    trial = protocols.real(file)
    assert trial.original is None and trial.file == file
    np.testing.assert_array_equal(trial.jpeg, jpeg.decode(file))
    png = io.BytesIO()
    Image.fromarray(IMAGES[1]).save(png, "PNG")
    with pytest.raises(ValueError, match="expected a JPEG file, got PNG"):
        protocols.real(png.getvalue())
    with pytest.raises(ValueError, match="^not a readable image"):
        protocols.real(file[:1])


@pytest.mark.parametrize(
    ("shape", "rows", "columns"), [((10, 7, 3), slice(3, 7), slice(1, 5)), ((3, 8), slice(0, 3), slice(2, 6))]
)
def test_the_middle_of_an_image(shape, rows, columns):
    image = np.arange(np.prod(shape)).reshape(shape)
    np.testing.assert_array_equal(protocols.middle(image, 4), image[rows, columns])
