import keras
import numpy as np
import pytest
from helpers import SCALES, perturb, random_batch
from skimage import data

from tfar.errors import TfarError
from tfar.export.mobile_gpu import mobile_gpu_form
from tfar.models.argan import unet_generator
from tfar.models.galteri import galteri_generator
from tfar.models.region_aware import edge_cnn, region_aware, texture_generator
from tfar.models.region_mask import OrientationDiversityMask
from tfar.recipes import Mask

NETWORKS = {
    "scales": lambda: edge_cnn(**SCALES),
    "tanh and norms": lambda: edge_cnn(filters=8, blocks=2, head=8),
    "leaky": lambda: galteri_generator(filters=4, blocks=2),
    "transposed": lambda: unet_generator(filters=4, depth=3, norm="none", residual=True, blocks=1),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_form_gives_what_the_network_gives(name):
    network = perturb(NETWORKS[name](), 1)
    form = mobile_gpu_form(network, 24)
    given = random_batch(24, 24, channels=network.input_shape[-1])
    expected, found = network(given), form(given)
    assert expected.keys() == found.keys()
    for output in expected:
        np.testing.assert_allclose(found[output], expected[output], atol=2e-5)
    assert np.max(abs(expected["image"] - given)) > 0.1


def masks(options, images):
    image = keras.Input(images.shape[1:])
    network = keras.Model(image, {"mask": OrientationDiversityMask(**options, name="mask")(image)})
    return [np.asarray(model(images)["mask"]) for model in (network, mobile_gpu_form(network, images.shape[1]))]


@pytest.mark.parametrize("options", [{}, {"threshold": 4, "feather": 5, "outside": 0.5}, {"majority": 3}], ids=str)
def test_the_mask_without_comparisons_is_the_mask(options):
    photo = np.float32(data.astronaut()[None, 100:228, 180:308]) / 127.5 - 1
    expected, found = masks(options, photo)
    assert 0.1 < expected.mean() < 0.9
    assert np.mean(abs(expected - found) > 1e-3) < 1e-4


def test_the_mask_of_flat_parts_and_of_values_beyond_the_range():
    image = np.zeros((1, 24, 24, 3), np.float32)
    image[:, :, 8:] = 0.2
    image[:, :12, 16:] = 1.5  # as white as 1.0
    image[:, 12:, 16:] = (1.0, -1.5, 3.0)
    expected, found = masks({"threshold": 1}, image)
    np.testing.assert_array_equal(found, expected)
    assert 0 < expected.mean() < 0.9


def test_the_form_takes_as_much_texture():
    parts = [perturb(make(**SCALES), seed) for seed, make in enumerate((edge_cnn, texture_generator))]
    network = region_aware(*parts, Mask(outside=0.5, damage=((0.0, 0.2), (2.0, 1.0), (30.0, 0.5))))
    form = mobile_gpu_form(network, 32)
    photo = np.float32(data.astronaut()[None, 100:132, 180:212]) / 127.5 - 1
    expected = np.asarray(network(photo)["mask"])
    np.testing.assert_allclose(form(photo)["mask"], expected, atol=1e-3)
    assert len(np.unique(expected)) > 100


def test_a_tile_that_the_network_would_have_to_extend():
    with pytest.raises(TfarError, match="multiples of 8 pixels, not of 20"):
        mobile_gpu_form(edge_cnn(**SCALES), 20)
