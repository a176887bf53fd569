import dataclasses
import math
import subprocess
import sys
from importlib.util import find_spec
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from tfar.errors import TfarError
from tfar.evaluation.results import Row
from tfar.metrics.catalogue import Metric, metric_of
from tfar.reports import figures
from tfar.reports.figures import KINDS, plots, svg, tags, ticks, write_figures

needs_matplotlib = pytest.mark.skipif(find_spec("matplotlib") is None, reason="needs matplotlib")


def row(model, quality, psnr, *, image="a.png", protocol="gray", **scores):
    return Row(
        dataset="set",
        image=image,
        protocol=protocol,
        quality=quality,
        model=model,
        bpp=quality / 50,
        seconds=0.1,
        scores={"psnr": psnr} | scores,
    )


ROWS = [
    row("JPEG", 20, 30.0, lpips=0.2),
    row("JPEG", 10, 28.0, lpips=0.3),
    row("JPEG", 10, 27.0, image="b.png", lpips=0.1),
    row("net", 20, 31.0, lpips=0.15),
    row("net", 10, 29.0, lpips=0.25),
    row("net", 10, math.inf, image="b.png", lpips=0.0),
    row("JPEG", 10, 26.0, protocol="color"),
    row("other", 10, math.inf, protocol="color"),
]


def plot_of(name, rows=ROWS, protocol="gray"):
    return next(plot for plot in plots(rows) if (plot.name, plot.protocol) == (name, protocol))


def coordinates(plot):
    return {series.model: [(point.x, point.y) for point in series.points] for series in plot.series}


def test_points_are_means_by_rising_quality():
    assert coordinates(plot_of("psnr-quality")) == {"JPEG": [(10, 27.5), (20, 30.0)], "net": [(10, 29.0), (20, 31.0)]}
    assert coordinates(plot_of("psnr-bpp"))["JPEG"] == [(0.2, 27.5), (0.4, 30.0)]
    assert coordinates(plot_of("lpips-bpp"))["net"] == [(0.2, 0.125), (0.4, 0.15)]
    assert coordinates(plot_of("psnr-lpips"))["net"] == [(0.125, 29.0), (0.15, 31.0)]


def test_plots_of_every_dataset_and_protocol_that_has_finite_points():
    assert [(plot.protocol, plot.name) for plot in plots(ROWS)] == [
        *(("gray", name) for name in KINDS),
        ("color", "psnr-quality"),
        ("color", "psnr-bpp"),
    ]
    assert coordinates(plot_of("psnr-quality", protocol="color")) == {"JPEG": [(10, 26.0)]}
    assert plots([row("JPEG", 10, math.inf), row("net", 10, math.nan)]) == plots([]) == []


def test_a_model_has_the_same_number_in_all_plots():
    rows = [row("b", 10, 29.0), row("JPEG", 10, 28.0), row("a", 10, 30.0), row("a", 10, 30.0, protocol="color")]
    numbers = [{series.model: series.number for series in plot.series} for plot in plots(rows)]
    assert numbers == [{"b": 1, "JPEG": 0, "a": 2}] * 2 + [{"a": 2}] * 2


def test_axes_name_units_and_direction():
    plane = plot_of("psnr-lpips")
    assert (plane.x.label, plane.y.label) == ("LPIPS (lower is better)", "PSNR (dB, higher is better)")
    assert plot_of("psnr-bpp").x.label == "JPEG size (bits per pixel)"
    assert metric_of("unheard") == Metric(heading="unheard", function=None, takes="either", higher_is_better=None)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (27.1, 31.9, [28, 29, 30, 31]),
        (0.11, 0.33, [0.15, 0.2, 0.25, 0.3]),
        (-1, 1, [-1, -0.5, 0, 0.5, 1]),
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (0, 1e-4, [0, 2e-5, 4e-5, 6e-5, 8e-5, 1e-4]),
    ],
)
def test_ticks_are_round_numbers_within(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("values", [(30.0,), (0.0,), (-2.0, -2.0), (27.77, 27.77 + 1e-13)])
def test_one_value_has_an_axis_too(values):
    rows = [row("JPEG", 10, value, image=str(i), protocol=str(i)) for i, value in enumerate(values)]
    rows = [dataclasses.replace(one, protocol="gray", model=f"m{i}") for i, one in enumerate(rows)]
    plot = plot_of("psnr-quality", rows)
    low, high = plot.y_bounds
    assert low < min(values) <= max(values) < high
    assert len(ticks(low, high)) >= 2
    ElementTree.fromstring(svg(plot))


def test_svg_has_a_focusable_described_point_per_mean():
    root = ElementTree.fromstring(svg(plot_of("psnr-bpp")))
    points = [element for element in root.iter("g") if element.get("class") == "point"]
    assert [point.get("aria-label") for point in points] == [
        "JPEG, QF 10: PSNR 27.50 dB at size 0.200 bpp",
        "JPEG, QF 20: PSNR 30.00 dB at size 0.400 bpp",
        "net, QF 10: PSNR 29.00 dB at size 0.200 bpp",
        "net, QF 20: PSNR 31.00 dB at size 0.400 bpp",
    ]
    for point in points:
        assert (point.get("tabindex"), point.get("role")) == ("0", "img")
        assert point.findtext("title") == point.get("aria-label")
    texts = [element.text for element in root.iter("text")]
    assert {"JPEG size (bits per pixel)", "PSNR (dB, higher is better)"} <= set(texts)
    assert root.get("aria-label") == "Rate and distortion: set, gray"


def test_svg_points_lie_where_their_values_are():
    root = ElementTree.fromstring(svg(plot_of("psnr-quality")))
    line = next(root.iter("polyline")).get("points").split()
    (x10, y10), (x20, y20) = ([float(value) for value in pair.split(",")] for pair in line)
    assert figures.LEFT < x10 < x20 < figures.WIDTH - figures.RIGHT
    assert figures.TOP < y20 < y10 < figures.HEIGHT - figures.BOTTOM


def test_svg_escapes_names():
    name = """<b>&"'"""
    root = ElementTree.fromstring(svg(plot_of("psnr-quality", [row(name, 10, 30.0)])))
    assert root.find(".//g[@class='point']").get("aria-label") == f"{name}, QF 10: PSNR 30.00 dB"


def test_tags_say_the_quality_where_the_axes_do_not():
    def tagged(name):
        return [(tag.series.model, tag.point.quality) for tag in tags(plot_of(name))]

    assert tagged("psnr-quality") == []
    assert tagged("psnr-bpp") == [("net", 10), ("net", 20)]
    assert tagged("psnr-lpips") == [("JPEG", 10), ("JPEG", 20), ("net", 10), ("net", 20)]
    assert tags(plot_of("psnr-bpp", protocol="color")) == []
    assert figures.caption(plot_of("psnr-bpp", protocol="color")).endswith("QF 10")


def test_tags_of_crowded_points_do_not_overlap():
    rows = [row(f"net{i}", quality, 30 + 0.01 * i, lpips=0.1 + 0.001 * i) for i in range(6) for quality in (10, 20)]
    rows += [row("far", 10, 20.0, lpips=0.9)]
    found = tags(plot_of("psnr-lpips", rows))
    assert 2 <= len(found) < 13


@needs_matplotlib
def test_png_files(tmp_path):
    files = write_figures(tmp_path / "new", ROWS)
    assert [file.name for file in files] == [
        "set-gray-psnr-quality.png",
        "set-gray-psnr-bpp.png",
        "set-gray-lpips-bpp.png",
        "set-gray-psnr-lpips.png",
        "set-color-psnr-quality.png",
        "set-color-psnr-bpp.png",
    ]
    assert sorted(files) == sorted((tmp_path / "new").iterdir())
    for file in files:
        with Image.open(file) as image:
            assert image.format == "PNG"
            width, height = (round(side * figures.PAPER_DPI) for side in figures.PAPER_INCHES)
            assert image.width == width and height < image.height < 1.3 * height
            assert np.ptp(np.asarray(image.convert("L"))) > 200


@needs_matplotlib
def test_a_legend_of_many_long_names_is_not_cut_off(tmp_path):
    rows = [row(f"a network with a long name {i}", 10, 30.0 + i) for i in range(9)]
    file = write_figures(tmp_path, rows)[0]
    with Image.open(file) as image:
        dark = np.asarray(image.convert("L")) < 128
        assert image.height > 1.3 * round(figures.PAPER_INCHES[1] * figures.PAPER_DPI)
    assert not dark[:, :5].any() and not dark[:, -5:].any()


def test_no_other_series_has_the_color_of_the_jpeg_or_looks_like_another():
    looks = [(figures.series_class(number), figures.marker(number)) for number in range(40)]
    assert len(set(looks)) == 40
    assert [number for number, (color, _) in enumerate(looks) if color == "s0"] == [0]


@needs_matplotlib
def test_no_rows_give_no_files(tmp_path):
    assert write_figures(tmp_path, []) == []


@needs_matplotlib
def test_names_that_no_file_may_have_or_that_look_like_formulas(tmp_path, recwarn):
    rows = [dataclasses.replace(row("_$x^", 10, 30.0), dataset=dataset) for dataset in ("a/b", "a\\b", "../$c_$")]
    names = [file.name for file in write_figures(tmp_path, rows)]
    assert names == [
        "a_b-gray-psnr-quality.png",
        "a_b-gray-psnr-bpp.png",
        "a_b-gray-psnr-quality-2.png",
        "a_b-gray-psnr-bpp-2.png",
        "_c__-gray-psnr-quality.png",
        "_c__-gray-psnr-bpp.png",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert not [warning for warning in recwarn if "matplotlib" in str(warning.filename)]


def test_without_matplotlib_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(TfarError, match=r'pip install "tfar\[report\]"'):
        write_figures(tmp_path, ROWS)


def test_the_module_does_not_need_matplotlib():
    code = "import sys; sys.modules['matplotlib'] = None; import tfar.reports.figures"
    subprocess.run([sys.executable, "-c", code], check=True)
