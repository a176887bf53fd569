import json
from importlib.util import find_spec

import pytest
from PIL import Image

from tfar.evaluation import published
from tfar.evaluation.boxes import VOC_CLASSES
from tfar.evaluation.detections import Precision
from tfar.reports.detections import detection_report, markdown, plots, to_json


def precision(cat, dog, objects=7):
    return Precision(means={"mAP": (cat + dog) / 2}, categories={"cat": cat, "dog|wolf": dog}, objects=objects)


SWEEP = {
    "general@40": precision(0.7, 0.6),
    "JPEG@10": precision(0.4, 0.2),
    "general@10": precision(0.6, 0.5),
    "JPEG@40": precision(0.6, 0.5),
    "original": precision(0.8, 0.6),
}


def test_one_quality_is_one_table_with_differences_to_the_original():
    rows = {"restored": precision(0.5, 0.6), "JPEG": precision(0.4, 0.6), "original": precision(0.7, 0.6)}
    assert markdown(rows).splitlines() == [
        "**7 objects**",
        "",
        "| % | original | JPEG | restored |",
        "| --- | ---: | ---: | ---: |",
        "| mAP | 65.0 | 50.0 (-15.0) | 55.0 (-10.0) |",
        "| cat | 70.0 | 40.0 (-30.0) | 50.0 (-20.0) |",
        "| dog\\|wolf | 60.0 | 60.0 (+0.0) | 60.0 (+0.0) |",
    ]
    assert markdown({"JPEG": precision(0.4, 0.6, objects=1)}).splitlines()[::4] == ["**1 object**", "| mAP | 50.0 |"]
    assert len(markdown({"original": rows["original"]}).splitlines()) == 7


def test_a_sweep_has_an_overview_and_a_table_for_each_quality():
    tables = [table.splitlines() for table in markdown(SWEEP).split("\n\n")]
    assert tables[0] == [
        "| mAP, % | QF 10 | QF 40 |",
        "| --- | ---: | ---: |",
        "| original | 70.0 | 70.0 |",
        "| JPEG | 30.0 (-40.0) | 55.0 (-15.0) |",
        "| general | 55.0 (-15.0) | 65.0 (-5.0) |",
    ]
    assert [table[0] for table in tables[1::2]] == ["**QF 10, 7 objects**", "**QF 40, 7 objects**"]
    assert tables[2][3] == "| cat | 80.0 | 40.0 (-40.0) | 60.0 (-20.0) |"
    assert tables[4][3] == "| cat | 80.0 | 60.0 (-20.0) | 70.0 (-10.0) |"


def test_a_single_category_is_not_said_twice():
    row = Precision(means={"mAP": 0.5}, categories={"face": 0.5}, objects=3)
    assert [line.split(" |")[0] for line in markdown({"JPEG@10": row}).splitlines()[2:]] == ["| %", "| ---", "| mAP"]
    assert [plot.caption for plot in plots({"JPEG@10": row, "JPEG@20": row})] == ["mAP against JPEG quality: face"]


def test_published_lines_stand_beside_what_was_measured_on_voc():
    row = Precision(means={"mAP": 0.5}, categories=dict.fromkeys(VOC_CLASSES, 0.5), objects=9)
    head, _, mean, *classes = markdown({"mine@20": row}, published.detections()).splitlines()[2:]
    assert head.startswith("| % | mine | JPEG (published) |") and head.endswith("| Original (published) |")
    assert mean.startswith("| mAP | 50.0 | 54.9 (-14.2) |") and mean.endswith("| 62.3 (-6.8) | 69.1 |")
    [cats] = [line for line in classes if line.startswith("| cat ")]
    assert cats.startswith("| cat | 50.0 | 55.9 (-29.9) |") and cats.endswith("| 72.5 (-13.3) | 85.8 |")
    assert "published" not in markdown({"mine@10": row}, published.detections())
    assert "published" not in markdown({"mine@20": precision(0.5, 0.5)}, published.detections())


def test_plots_of_the_mean_and_of_every_category():
    drawn = plots(SWEEP)
    assert [plot.caption for plot in drawn] == [
        "mAP against JPEG quality: all",
        "AP against JPEG quality: cat",
        "AP against JPEG quality: dog|wolf",
    ]
    found = [{one.model: [(p.x, round(p.y, 9)) for p in one.points] for one in plot.series} for plot in drawn]
    assert found[0] == {
        "JPEG": [(10, 30), (40, 55)],
        "original": [(10, 70), (40, 70)],
        "general": [(10, 55), (40, 65)],
    }
    assert found[1]["general"] == [(10, 60), (40, 70)] and found[2]["JPEG"] == [(10, 20), (40, 50)]
    assert [one.number for one in drawn[0].series] == [0, 1, 2]  # the JPEG has its own colour
    assert plots({"JPEG": precision(0.5, 0.5)}) == []


def test_json_has_every_version():
    entries = json.loads(to_json(SWEEP))
    assert entries[0] == {
        "method": "general",
        "quality": 40,
        "means": {"mAP": pytest.approx(0.65)},
        "categories": {"cat": 0.7, "dog|wolf": 0.6},
        "objects": 7,
    }
    assert [(entry["method"], entry["quality"]) for entry in entries[3:]] == [("JPEG", 40), ("original", None)]


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="needs matplotlib")
def test_report(tmp_path):
    files = detection_report(tmp_path / "new", SWEEP)
    assert [file.name for file in files] == [
        "detections.md",
        "detections.json",
        "all-precision-quality.png",
        "cat-precision-quality.png",
        "dog_wolf-precision-quality.png",
    ]
    assert files[0].read_text() == markdown(SWEEP) + "\n" and files[1].read_text() == to_json(SWEEP)
    for file in files[2:]:
        with Image.open(file) as image:
            assert image.format == "PNG"
