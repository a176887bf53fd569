from types import SimpleNamespace

import benchmark_speed
import numpy as np
import pytest
from PIL import Image

from tfar.errors import TfarError


def test_one_image_is_not_enough_where_the_first_is_not_counted(tmp_path):
    for name in "ab":
        Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / f"{name}.png")
    with pytest.raises(TfarError, match="at least two images"):
        benchmark_speed.run(SimpleNamespace(folder=tmp_path, limit=1))
