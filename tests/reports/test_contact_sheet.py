import numpy as np
import pytest
from helpers import cells
from skimage import data

from tfar import jpeg
from tfar.reports.contact_sheet import LABEL_HEIGHT, comparison, side_by_side
from tfar.restoration.restorer import Restorer

COLOR = data.astronaut()[:40, :50]
GRAY = data.camera()[:40, :50]


def cell(picture, row, column):
    """Label and image of a cell of a picture of 40x50 images."""
    top, left = row * (40 + LABEL_HEIGHT), column * 50
    return np.split(picture[top : top + 40 + LABEL_HEIGHT, left : left + 50], [LABEL_HEIGHT])


def test_one_row_by_default():
    picture = side_by_side({"color": COLOR, "gray": GRAY, "inverse": 255 - COLOR})
    assert picture.dtype == np.uint8
    assert picture.shape == (40 + LABEL_HEIGHT, 150, 3)
    np.testing.assert_array_equal(cell(picture, 0, 0)[1], COLOR)
    np.testing.assert_array_equal(cell(picture, 0, 1)[1], np.stack([GRAY] * 3, axis=-1))
    np.testing.assert_array_equal(cell(picture, 0, 2)[1], 255 - COLOR)


def test_rows_of_columns_with_an_empty_rest():
    picture = side_by_side({"a": COLOR, "b": GRAY, "c": 255 - GRAY}, columns=2)
    assert picture.shape == (2 * (40 + LABEL_HEIGHT), 100, 3)
    np.testing.assert_array_equal(cell(picture, 1, 0)[1][..., 1], 255 - GRAY)
    assert (picture[40 + LABEL_HEIGHT :, 50:] == 255).all()


def test_labels_stand_above_their_images():
    picture = side_by_side({"JPEG": COLOR, "": GRAY})
    assert cell(picture, 0, 0)[0].min() < 100
    assert cell(picture, 0, 1)[0].min() == 255


@pytest.mark.parametrize("images", [{}, {"a": COLOR, "b": GRAY[:-1]}])
def test_images_of_different_sizes_and_none_are_refused(images):
    with pytest.raises(ValueError, match="images of one size"):
        side_by_side(images)


PHOTO = data.astronaut()[:40, :33]


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
