from types import SimpleNamespace

import compare_recipes
import pytest
from compare_recipes import contestant, step_seconds
from helpers import noise_recipe, plain_recipe

from tfar.errors import TfarError


@pytest.mark.parametrize("recipe", [plain_recipe(), noise_recipe()], ids=["plain", "noise"])
def test_the_time_of_a_step_is_measured_whatever_the_network_takes(recipe):
    assert step_seconds(recipe) > 0


def test_a_folder_of_photographs_may_be_called_by_a_number():
    _, recipe = contestant("argan:demo", SimpleNamespace(data="2024", precision=None))
    assert recipe.data.source == "2024"


def test_two_contestants_of_one_name_are_refused():
    arguments = SimpleNamespace(data="demo", precision=None, recipes=["a=argan:demo", "a=argan:cpu"])
    with pytest.raises(TfarError, match="a name is given twice: a, a"):
        compare_recipes.run(arguments)
