import numpy as np
import pytest
from helpers import TINY, perturb
from skimage import data

from tfar import jpeg
from tfar.models.region_aware import edge_cnn
from tfar.reports.contact_sheet import LABEL_HEIGHT, comparison
from tfar.restoration.restorer import Restorer

PHOTO = data.astronaut()[:40, :33]


@pytest.fixture(scope="module")
def single_model():
    return perturb(edge_cnn(**TINY), 1)


def cells(picture, columns):
    """The images of a picture of 40x33 images without their labels, row by row."""
    rows = np.split(picture, len(picture) // (40 + LABEL_HEIGHT))
    return [cell[LABEL_HEIGHT:] for row in rows for cell in np.split(row, columns, axis=1)]


def test_comparison_of_a_single_network_and_of_a_fused_one(single_model, fused_model):
    coded = jpeg.compress(PHOTO, 10)
    shown = cells(comparison(single_model, PHOTO, 10), 3)
    for cell, expected in zip(shown, (PHOTO, coded, Restorer(single_model)(coded)), strict=True):
        np.testing.assert_array_equal(cell, expected)
    layers = [Restorer(fused_model, layer)(coded) for layer in ("base", "texture", "fused")]
    original, given, base, texture, mask, fused = cells(comparison(fused_model, PHOTO, 10), 3)
    for cell, expected in zip((original, given, base, texture, fused), (PHOTO, coded, *layers)):
        np.testing.assert_array_equal(cell, expected)
    assert set(np.unique(mask)) <= {0, 255}
