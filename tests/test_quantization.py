import numpy as np
import pytest
from scipy import fft

from tfar import quantization
from tfar.quantization import known_luma_tables, luma_table, nearest_quality


def test_the_basis_is_that_of_scipy():
    np.testing.assert_allclose(quantization.dct_basis(), fft.dct(np.eye(8), axis=0, norm="ortho"), atol=1e-6)


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 75, 100])
def test_a_standard_table_has_its_quality(quality):
    assert nearest_quality(luma_table(quality)) == nearest_quality(luma_table(quality).T) == quality


def test_unknown_steps_are_left_out():
    table = luma_table(70).copy()
    table[2:, 3:] = 0
    assert nearest_quality(table) == 70
    assert nearest_quality(np.zeros((8, 8), int)) == 100


def test_other_tables_have_the_quality_of_a_standard_one_as_strong():
    changed = luma_table(60).copy()
    changed[7, 7] += 1
    assert nearest_quality(changed) == 60
    for tables in ("mozjpeg", "photoshop"):
        found = [nearest_quality(table) for table in known_luma_tables(tables)]
        assert found[0] < 50 and found[-1] > 95
        if tables == "mozjpeg":
            assert found == sorted(found) and found[50] in range(40, 52)


def test_known_tables_are_those_of_all_qualities_once():
    standard = {table.tobytes() for table in known_luma_tables("standard")}
    assert standard == {luma_table(quality).tobytes() for quality in range(1, 101)}
    assert len(standard) == len(known_luma_tables("standard"))
    assert len(known_luma_tables("photoshop")) >= 7
