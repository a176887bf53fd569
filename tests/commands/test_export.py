import numpy as np
from PIL import Image
from skimage import data

PHOTO = data.astronaut()[:40, :33]


def test_export_into_the_place_of_a_file(refused, photo, fused_file):
    assert f"{photo}: " in refused("export", photo, "--preset", fused_file)
    np.testing.assert_array_equal(np.asarray(Image.open(photo)), PHOTO)
