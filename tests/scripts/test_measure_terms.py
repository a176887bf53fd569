import argparse

import measure_terms
import pytest

from tfar.errors import ImageError


def test_a_folder_of_photographs_may_be_called_by_a_number():
    options = argparse.Namespace(recipe="argan:demo", data="2024", assignments=["generator.options.filters=2"])
    options.initial, options.phase = None, 0
    with pytest.raises(ImageError, match="^2024: "):
        measure_terms.run(options)
