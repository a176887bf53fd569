import csv
import json
import math

import pytest

from tfar.evaluation import published
from tfar.evaluation.results import Row, gains, means, write_csv
from tfar.reports import tables


def row(model, image, psnr, **changes):
    values = {"dataset": "LIVE1", "protocol": "gray", "quality": 10, "bpp": 0.25, "seconds": 2.0, **changes}
    return Row(model=model, image=image, scores={"psnr": psnr, "ssim": 0.8125}, **values)


ROWS = [
    row("JPEG", "a.png", 27.0),
    row("JPEG", "b_2.png", 28.0),
    row("mine_1", "a.png", 29.0),
    row("mine_1", "b_2.png", math.inf),
]


def test_markdown_has_measured_and_published_lines_and_notes():
    lines = tables.markdown(means(ROWS)).splitlines()
    assert lines[0] == "**LIVE1, gray, QF 10, 2 images**"
    assert lines[2] == "|  | PSNR | SSIM | bpp | s/image |"
    assert lines[4] == "| JPEG | 27.50 | 0.812 | 0.250 |  |"
    assert lines[5] == "| mine_1 | 29.00 | 0.812 | 0.250 | 2.00 |"
    assert "| AR-CNN (published, repositories) | 28.96 |  |  |  |" in lines
    assert "| AR-CNN (published, Galteri et al.) | 29.13 | 0.823 |  |  |" in lines
    assert "| L4 (published, EP-GAN paper) | 29.08 | 0.824 |  |  |" in lines
    assert "mine_1: PSNR infinite for 1 of 2 images, not in the mean" in lines
    assert "Galteri et al.: starts from another JPEG, PSNR 27.77 (here 27.50), SSIM 0.791 (here 0.812)" in lines[-3:]


def test_the_times_are_left_out_where_none_was_measured():
    untimed = [row(one.model, one.image, one.scores["psnr"], seconds=None) for one in ROWS]
    lines = tables.markdown(means(untimed)).splitlines()
    assert lines[2] == "|  | PSNR | SSIM | bpp |" and lines[5] == "| mine_1 | 29.00 | 0.812 | 0.250 |"
    assert "| AR-CNN (published, repositories) | 28.96 |  |  |" in lines
    assert "s/image" not in tables.latex(means(untimed)) and means(untimed)[0].seconds is None
    assert "s/image" not in tables.markdown(means(ROWS[:2]))  # nothing was restored
    [_, partly] = means([*untimed[:3], ROWS[3]])
    assert partly.seconds == 2.0 and "| mine_1 | 29.00 | 0.812 | 0.250 | 2.00 |" in tables.markdown([partly])
    [untimed_line, timed_line] = tables.markdown([means(untimed)[1], partly], quote=False).splitlines()[4:6]
    assert untimed_line == "| mine_1 | 29.00 | 0.812 | 0.250 |  |" and timed_line.endswith(" 2.00 |")


def test_a_paper_that_starts_from_the_same_jpeg_has_no_note():
    measured = means([row("JPEG", "a.png", 27.58, dataset="BSDS500-val")])
    measured[0].scores["ssim"] = 0.769
    notes = tables.other_bases(measured, tables.beside(measured))
    assert notes == [
        f"{paper}: starts from another JPEG, PSNR 27.61 (here 27.58), SSIM 0.777 (here 0.769)"
        for paper in ("EP-GAN paper", "region-aware paper")
    ]
    assert tables.other_bases(measured[1:], tables.beside(measured)) == []


def test_gains_are_differences_from_the_jpeg_of_the_same_image():
    rows = [
        *ROWS,
        row("JPEG", "a.png", 30.0, quality=20),
        row("mine_1", "a.png", 29.5, quality=20),
        row("other", "b_2.png", 28.5),
        row("JPEG", "a.png", 40.0, protocol="color"),
        row("mine_1", "a.png", 39.0, protocol="color"),
        row("other", "a.png", 28.0),
    ]
    assert tables.gains(gains(rows, "psnr")).split("\n") == [
        "**LIVE1, gray: PSNR over the JPEG's, mean (worst image)**",
        "",
        "|  | QF 10 | QF 20 |",
        "| --- | ---: | ---: |",
        "| mine_1 | +2.00 (+2.00) | -0.50 (-0.50) |",  # the infinite one is left out
        "| other | +0.75 (+0.50) |  |",
        "",
        "**LIVE1, color: PSNR over the JPEG's, mean (worst image)**",
        "",
        "|  | QF 10 |",
        "| --- | ---: |",
        "| mine_1 | -1.00 (-1.00) |",
    ]


def test_a_smaller_distance_is_a_gain():
    rows = [
        Row(
            dataset="x",
            image=image,
            protocol="gray",
            quality=10,
            model=model,
            bpp=1,
            seconds=0,
            scores={"lpips": value},
        )
        for model, image, value in (("JPEG", "a", 0.3), ("JPEG", "b", 0.2), ("mine", "a", 0.1), ("mine", "b", 0.25))
    ]
    table = tables.gains(gains(rows, "lpips"))
    assert "**x, gray: LPIPS below the JPEG's, mean (worst image)**" in table
    assert "| mine | +0.075 (-0.050) |" in table


def test_an_image_that_is_exact_before_and_after_gains_nothing():
    exact = [row(model, "a.png", math.inf) for model in ("JPEG", "mine")]
    assert [(gain.mean, gain.worst) for gain in gains(exact, "psnr")] == [(0, 0)]


def test_latex_escapes_and_separates_the_published_lines():
    text = " ".join(tables.latex(means(ROWS)).split())
    assert r"\begin{tabular}{lrrrr}" in text and r"mine\_1 & 29.00 & 0.812 & 0.250 & 2.00 \\" in text
    assert text.count(r"\midrule") == 2 and text.index("mine") < text.index("AR-CNN")


def test_what_is_no_longer_exact_is_the_worst():
    rows = [
        row("JPEG", "a.png", math.inf),
        row("JPEG", "b.png", 30.0),
        row("m", "a.png", 20.0),
        row("m", "b.png", 31.0),
    ]
    assert [(gain.mean, gain.worst) for gain in gains(rows, "psnr")] == [(1, -math.inf)]
    assert tables.gains(gains(rows, "psnr")).endswith("| m | +1.00 (-∞) |")
    exact = gains([row("JPEG", "b.png", 30.0), row("m", "b.png", math.inf)], "psnr")
    assert tables.gains(exact).endswith("| m | +∞ (+∞) |")


def test_an_infinite_mean_is_shown_and_is_valid_json():
    measured = means([row("JPEG", "a.png", math.inf)])
    assert "∞" in tables.markdown(measured) and r"$\infty$" in tables.latex(measured)
    content = json.loads(tables.to_json(measured), parse_constant=pytest.fail)
    assert content["means"][0]["scores"]["psnr"] == "inf" and content["means"][0]["infinite"] == {"psnr": 1}


@pytest.mark.parametrize("changes", [{"dataset": "mine"}, {"protocol": "color"}, {"quality": 15}])
def test_published_results_stand_beside_their_own_measurement_only(changes):
    assert tables.beside(means([row("JPEG", "a.png", 27.0, **changes)])) == []


@pytest.mark.parametrize("folder", ["live1", "LIVE1", "bsds500_val", "BSDS500-val", "classic5"])
def test_datasets_are_known_by_the_names_of_their_folders(folder):
    assert tables.beside(means([row("JPEG", "a.png", 27.0, dataset=folder)]))


def test_published_results_have_numbers_and_sources():
    lines = published.scores()
    assert {
        "AR-CNN",
        "DnCNN-3",
        "L4",
        "L8",
        "CAS-CNN",
        "RNAN",
        "DRUNet",
        "QGAC",
        "FBCNN",
        "SwinIR",
        "ART+",
        "EP-GAN",
        "Galteri GAN",
        "Region-aware fused",
    } <= {line["method"] for line in lines}
    for line in lines:
        assert line["source"] and line["quality"] in (5, 10, 20, 30, 40) and 25 < line["psnr"] < 36
    keys = [(line["method"], line["dataset"], line["quality"], published.paper(line)) for line in lines]
    assert len(set(keys)) == len(keys)


def test_csv_has_a_line_per_row_and_empty_cells_for_missing_scores(tmp_path):
    other = Row(
        dataset="x",
        image="c.jpg",
        protocol="real",
        quality=0,
        model="JPEG",
        bpp=1.0,
        seconds=None,
        scores={"outside": 0.5},
    )
    write_csv([*ROWS, other], tmp_path / "out" / "results.csv")
    with open(tmp_path / "out" / "results.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["image"] for line in lines] == ["a.png", "b_2.png", "a.png", "b_2.png", "c.jpg"]
    assert [line["seconds"] for line in lines] == ["2.0"] * 4 + [""]
    assert lines[3]["psnr"] == "inf" and lines[4]["psnr"] == "" and lines[4]["outside"] == "0.5"
