import io

import numpy as np
import pytest
from PIL import Image
from scipy import fft
from skimage import data

from tfar import jpeg, quantization
from tfar.quantization import known_luma_tables, luma_table, nearest_quality

COLOR, GRAY = data.astronaut()[:33, :41], data.camera()[:33, :41]


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


@pytest.mark.parametrize("tables", quantization.TABLES)
@pytest.mark.parametrize("quality", [1, 10, 50, 75, 96, 100])
def test_the_quantization_tables_are_those_of_the_file(quality, tables):
    luma, chroma = quantization.quantization_tables(quality, tables)
    found = Image.open(io.BytesIO(jpeg.encode(COLOR, quality, tables=tables))).quantization
    assert found[0] == luma.ravel().tolist() and found.get(1, found[0]) == chroma.ravel().tolist()
    assert Image.open(io.BytesIO(jpeg.encode(GRAY, quality, tables=tables))).quantization[0] == luma.ravel().tolist()
    np.testing.assert_array_equal(luma_table(quality, tables), luma)


def test_the_tables_of_mozjpeg_are_scaled_as_those_of_libjpeg():
    luma, chroma = quantization.quantization_tables(75, "mozjpeg")
    assert luma[0].tolist() == [8, 8, 8, 9, 13, 19, 28, 43] and luma[7, 7] == 209
    np.testing.assert_array_equal(luma, chroma)


def test_the_tables_of_photoshop_are_those_nearest_to_the_quality():
    means = [luma_table(quality, "photoshop").mean() for quality in range(1, 101)]
    assert means == sorted(means, reverse=True) and len(set(means)) > 6
    for quality in (80, 90):
        assert 0.6 < luma_table(quality, "photoshop").mean() / luma_table(quality).mean() < 1.6


def test_other_tables_are_refused():
    with pytest.raises(ValueError, match="tables must be one of standard, mozjpeg, photoshop, got 'jpegli'"):
        luma_table(50, "jpegli")


def test_the_scale_of_the_tables_and_its_inverse():
    assert [quantization.table_scale(quality) for quality in (5, 10, 50, 75)] == pytest.approx([10, 5, 1, 0.5])
    for quality in (1, 30, 49, 50, 51, 80, 99):
        scaled = quantization.STANDARD_LUMA_TABLE[0, 0] * quantization.table_scale(quality)
        assert luma_table(quality)[0, 0] == pytest.approx(min(max(scaled, 1), 255), abs=0.5 + 1e-9)
        assert quantization.quality_of_scale(quantization.table_scale(quality)) == pytest.approx(quality)


@pytest.mark.parametrize("image", [COLOR, GRAY], ids=["color", "gray"])
def test_the_luma_table_is_the_one_that_pillow_writes(image):
    for quality in range(1, 101):
        file = io.BytesIO()
        Image.fromarray(image[:8, :8]).save(file, "JPEG", quality=quality)
        table = luma_table(quality)
        assert (table.shape, table.dtype) == ((8, 8), np.uint8)
        assert table.ravel().tolist() == list(Image.open(file).quantization[0]), quality


def test_horizontal_frequencies_run_to_the_right_of_a_luma_table():
    # The table of quality 50 is Table K.1 of ITU-T T.81.
    table = luma_table(50)
    assert table[0].tolist() == [16, 11, 10, 16, 24, 40, 51, 61]
    assert table[:, 0].tolist() == [16, 12, 14, 14, 18, 24, 49, 72]
