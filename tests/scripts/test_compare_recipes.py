import pytest
from compare_recipes import step_seconds
from helpers import noise_recipe, plain_recipe


@pytest.mark.parametrize("recipe", [plain_recipe(), noise_recipe()], ids=["plain", "noise"])
def test_the_time_of_a_step_is_measured_whatever_the_network_takes(recipe):
    assert step_seconds(recipe) > 0
