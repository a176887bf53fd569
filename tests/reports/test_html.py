import numpy as np
import pytest
from helpers import decode

from tfar.pixels import as_rgb
from tfar.reports.html import data_uri, write_html


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (1, 1, 3)])
def test_pictures_are_lossless(shape):
    image = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    np.testing.assert_array_equal(decode(data_uri(image)), as_rgb(image))


@pytest.mark.parametrize("shape", [(1, 16384), (16384, 1, 3)])
def test_what_is_too_long_for_webp_is_png(shape):
    image = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    np.testing.assert_array_equal(decode(data_uri(image), "png"), image)


def test_values_are_escaped_and_scripts_are_named_by_their_digests(tmp_path):
    write_html(tmp_path / "new" / "a.html", "base.html", scripts=["alert(1 < 2)"], title="""</title>&"'""")
    page = (tmp_path / "new" / "a.html").read_text(encoding="utf-8")
    assert "<title>&lt;/title&gt;&amp;&#34;&#39;</title>" in page
    assert "<script>alert(1 < 2)</script>" in page
    assert "script-src 'sha256-" in page and page.count("sha256-") == 1
