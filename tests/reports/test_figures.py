import dataclasses
import math
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from tfar.errors import TfarError
from tfar.evaluation.results import Row
from tfar.metrics.catalogue import Metric, metric_of
from tfar.reports import figures
from tfar.reports.figures import KINDS, Series, plots, write_figures

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
    assert plot_of("psnr-bpp").x.label == "coded size (bits per pixel)"
    assert metric_of("unheard") == Metric(heading="unheard", function=None, takes="either", higher_is_better=None)


@needs_matplotlib
@pytest.mark.parametrize("values", [(30.0,), (0.0,), (-2.0, -2.0), (27.77, 27.77 + 1e-13)])
def test_one_value_has_an_axis_too(tmp_path, values, recwarn):
    rows = [row(f"m{i}", 10, value) for i, value in enumerate(values)]
    assert len(write_figures(tmp_path, plots(rows))) == 2
    assert not [warning for warning in recwarn if "matplotlib" in str(warning.filename)]


def test_ticks_are_the_qualities_where_they_can_be_read():
    def ticks(name, *qualities):
        return plot_of(name, [row("JPEG", quality, 30.0) for quality in qualities]).ticks

    assert ticks("psnr-quality", 10, 20, 90) == [10, 20, 90]
    assert ticks("psnr-quality", 10, 11, 90) is ticks("psnr-quality", *range(10, 100, 10)) is None
    assert ticks("psnr-bpp", 10, 20, 90) is None


def test_points_say_their_values():
    def said(name):
        plot = plot_of(name)
        return [f"{series.model}, {point.quality}: {plot.describe(point)}" for series, point in plot.points]

    assert said("psnr-quality")[:2] == ["JPEG, 10: PSNR 27.50 dB", "JPEG, 20: PSNR 30.00 dB"]
    assert said("psnr-bpp")[3] == "net, 20: PSNR 31.00 dB at size 0.400 bpp"
    assert said("psnr-lpips")[3] == "net, 20: PSNR 31.00 dB at LPIPS 0.150"


def test_topmost_points_bear_the_quality_where_the_axes_do_not():
    def tagged(name):
        return {(series.model, point.quality) for series, point in plot_of(name).tagged}

    assert tagged("psnr-quality") == set()
    assert tagged("psnr-bpp") == tagged("psnr-lpips") == {("net", 10), ("net", 20)}
    assert tagged("lpips-bpp") == {("JPEG", 10), ("JPEG", 20)}
    assert plot_of("psnr-bpp", protocol="color").tagged == set()
    assert plot_of("psnr-bpp", protocol="color").caption.endswith("QF 10")


@needs_matplotlib
def test_png_files(tmp_path):
    files = write_figures(tmp_path / "new", plots(ROWS))
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
    file = write_figures(tmp_path, plots(rows))[0]
    with Image.open(file) as image:
        dark = np.asarray(image.convert("L")) < 128
        assert image.height > 1.3 * round(figures.PAPER_INCHES[1] * figures.PAPER_DPI)
    assert not dark[:, :5].any() and not dark[:, -5:].any()


def test_no_other_series_has_the_color_of_the_jpeg_or_looks_like_another():
    looks = [(series.color, series.marker) for series in (Series("", number, ()) for number in range(40))]
    assert len(set(looks)) == 40
    assert [number for number, (color, _) in enumerate(looks) if color == 0] == [0]


@needs_matplotlib
def test_no_rows_give_no_files(tmp_path):
    assert write_figures(tmp_path, plots([])) == []


@needs_matplotlib
def test_names_that_no_file_may_have_or_that_look_like_formulas(tmp_path, recwarn):
    rows = [dataclasses.replace(row("_$x^", 10, 30.0), dataset=dataset) for dataset in ("a/b", "a\\b", "../$c_$")]
    names = [file.name for file in write_figures(tmp_path, plots(rows))]
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
        write_figures(tmp_path, plots(ROWS))


def test_the_module_does_not_need_matplotlib():
    code = "import sys; sys.modules['matplotlib'] = None; import tfar.reports.figures"
    subprocess.run([sys.executable, "-c", code], check=True)
