import numpy as np
import pytest
from helpers import perturb
from skimage import data

from tfar.models import main_output
from tfar.models.one_to_many import proposal_network
from tfar.restoration.restorer import Restorer, layer_restorers

PHOTO = data.astronaut()[:40, :33]


@pytest.fixture(scope="module")
def noise_model():
    return perturb(proposal_network(filters=4, branch_blocks=1, blocks=1, norm="none", residual=True), 3)


def test_the_main_output_is_the_restored_image(fused_model, single_model, noise_model):
    models = (fused_model, single_model, noise_model)
    assert [main_output(model) for model in models] == ["fused", "image", "image"]


def test_restorers_have_the_names_of_their_rows(fused_model, single_model):
    assert list(layer_restorers(single_model)) == ["restored"]
    layers = layer_restorers(fused_model)
    assert list(layers) == ["L_B (base)", "L_T (texture)", "fused"]
    for restore, layer in zip(layers.values(), ("base", "texture", "fused")):
        np.testing.assert_array_equal(restore(PHOTO), Restorer(fused_model, layer)(PHOTO))
