import math

import numpy as np
import pytest
from conftest import TINY, perturb
from PIL import Image
from skimage import data

from tfar import jpeg, jobs
from tfar.errors import TfarError
from tfar.evaluation.report import LABEL_HEIGHT
from tfar.models.one_to_many import proposal_network
from tfar.models.region_aware import edge_cnn
from tfar.restoration.files import write_image
from tfar.restoration.restorer import Restorer

PHOTO = data.astronaut()[:40, :33]


@pytest.fixture(scope="module")
def single_model():
    return perturb(edge_cnn(**TINY), 1)


@pytest.fixture(scope="module")
def noise_model():
    return perturb(proposal_network(filters=4, branch_blocks=1, blocks=1, norm="none", residual=True), 3)


def cells(picture, columns):
    """The images of a picture of 40x33 images without their labels, row by row."""
    rows = np.split(picture, len(picture) // (40 + LABEL_HEIGHT))
    return [cell[LABEL_HEIGHT:] for row in rows for cell in np.split(row, columns, axis=1)]


def test_the_main_output_is_the_restored_image(fused_model, single_model, noise_model):
    models = (fused_model, single_model, noise_model)
    assert [jobs.main_output(model) for model in models] == ["fused", "image", "image"]


def test_restorers_have_the_names_of_their_rows(fused_model, single_model):
    assert list(jobs.layer_restorers(single_model)) == ["restored"]
    layers = jobs.layer_restorers(fused_model)
    assert list(layers) == ["L_B (base)", "L_T (texture)", "fused"]
    for restore, layer in zip(layers.values(), ("base", "texture", "fused")):
        np.testing.assert_array_equal(restore(PHOTO), Restorer(fused_model, layer)(PHOTO))


@pytest.mark.parametrize("count", [1, 3, 4, 8])
@pytest.mark.parametrize("image", [PHOTO, PHOTO[..., 0]], ids=["color", "gray"])
def test_candidates_are_those_of_consecutive_seeds_and_a_sheet_of_all(noise_model, image, count):
    *restored, sheet = jobs.candidates(noise_model, count, 7)(image)
    assert len(restored) == count
    for number, candidate in enumerate(restored):
        np.testing.assert_array_equal(candidate, Restorer(noise_model, seed=7 + number)(image))
    columns = math.isqrt(count) + 1  # of a sheet that is about as high as wide
    shown = cells(sheet, columns)
    assert sheet.shape[1] == columns * 33 and 0 <= len(shown) - (count + 1) < columns
    for cell, expected in zip(shown, [image, *restored]):
        np.testing.assert_array_equal(cell, expected if expected.ndim == 3 else np.stack([expected] * 3, axis=-1))


def test_one_restoration_is_no_candidate(fused_model, single_model):
    for model in (fused_model, single_model):
        with pytest.raises(TfarError, match=f"{model.name} gives one restoration of an image"):
            jobs.candidates(model, 2, 0)


@pytest.mark.parametrize("image", [PHOTO, PHOTO[..., 0]], ids=["color", "gray"])
@pytest.mark.parametrize("extension", ["png", "webp", "tif", "bmp"])
def test_consistency_of_files(tmp_path, image, extension):
    Image.fromarray(image).save(tmp_path / "photo.jpg", quality=20)
    target = tmp_path / f"restored.{extension}"
    coded = jpeg.compress(image, 20)
    for restored, low, high in ((coded, 0, 0), (255 - coded, 0.02, 1)):
        write_image(target, restored)
        share = jobs.consistency(tmp_path / "photo.jpg", target)
        assert low <= share <= high


def test_consistency_needs_a_jpeg_with_a_whole_block(tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    assert jobs.consistency(tmp_path / "photo.png", tmp_path / "photo.png") is None
    for size, known in (((7, 30), False), ((30, 7), False), ((8, 8), True)):
        Image.fromarray(PHOTO[: size[0], : size[1]]).save(tmp_path / "photo.jpg")
        assert (jobs.consistency(tmp_path / "photo.jpg", tmp_path / "photo.jpg") == 0) == known
        assert (jobs.consistency(tmp_path / "photo.jpg", tmp_path / "photo.jpg") is None) == (not known)


def test_comparison_of_a_single_network_and_of_a_fused_one(single_model, fused_model):
    coded = jpeg.compress(PHOTO, 10)
    shown = cells(jobs.comparison(single_model, PHOTO, 10), 3)
    for cell, expected in zip(shown, (PHOTO, coded, Restorer(single_model)(coded)), strict=True):
        np.testing.assert_array_equal(cell, expected)
    layers = [Restorer(fused_model, layer)(coded) for layer in ("base", "texture", "fused")]
    original, given, base, texture, mask, fused = cells(jobs.comparison(fused_model, PHOTO, 10), 3)
    for cell, expected in zip((original, given, base, texture, fused), (PHOTO, coded, *layers)):
        np.testing.assert_array_equal(cell, expected)
    assert set(np.unique(mask)) <= {0, 255}


def test_scores_of_a_single_network_have_one_row_beside_the_jpeg(single_model):
    rows = jobs.score_layers(single_model, [("a", PHOTO), ("b", 255 - PHOTO)], qualities=[10, 30], names=("color",))
    assert [(row.protocol, row.quality, row.model, row.image) for row in rows] == [
        ("color", quality, model, image) for quality in (10, 30) for image in "ab" for model in ("JPEG", "restored")]
