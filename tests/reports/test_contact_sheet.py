import numpy as np
import pytest
from skimage import data

from tfar.reports.contact_sheet import LABEL_HEIGHT, side_by_side

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
