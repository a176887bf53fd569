import io

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from tfar.images.turns import as_stored, upright

COLOR = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


@pytest.mark.parametrize("picture", [COLOR, COLOR[..., 0]], ids=["color", "gray"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_pillow_turns_them_and_back(picture, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(buffer)))
    np.testing.assert_array_equal(upright(picture, orientation), expected)
    np.testing.assert_array_equal(as_stored(expected, orientation), picture)
