import json
import os

import pytest
from helpers import save_image
from skimage import data

from tfar import cli

PHOTO = data.astronaut()[:40, :33]


def test_evaluate_prints_a_table(run, photo, fused_file):
    code, out, err = run("evaluate", photo.parent, "--preset", fused_file, "--quality", 10, 30, "--protocol", "gray")
    assert (code, err) == (0, [])
    assert [line for line in out if line.startswith("**")] == [
        "**in, gray, QF 10, 1 image**",
        "**in, gray, QF 30, 1 image**",
    ]
    assert [line.split("|")[1].strip() for line in out if line.startswith("|")] == 2 * [
        "",
        "---",
        "JPEG",
        "mine base",
        "mine texture",
        "mine fused",
    ]


def test_evaluate_prints_what_is_gained_over_the_jpeg(run, photo, fused_file):
    _, before, _ = run("evaluate", photo.parent, "--preset", fused_file, "--quality", 10, 30, "--protocol", "gray")
    code, out, err = run(
        "evaluate", photo.parent, "--preset", fused_file, "--quality", 10, 30, "--protocol", "gray", "--gain", "psnr_b"
    )
    assert (code, err) == (0, []) and len(out) == len(before) + 8
    assert out[len(before) + 1 :][:3] == [
        "**in, gray: PSNR-B over the JPEG's, mean (worst image)**",
        "",
        "|  | QF 10 | QF 30 |",
    ]
    assert [line.split("|")[1].strip() for line in out[-3:]] == ["mine base", "mine texture", "mine fused"]


def test_scores_are_kept_and_not_the_times(run, photo, luma_file, tmp_path):
    command = ("evaluate", photo.parent, "--preset", luma_file, "--protocol", "gray", "--out", tmp_path / "out")
    _, first, _ = run(*command)
    assert len(list((tmp_path / "cache" / "scores").rglob("*.json"))) == 2
    _, second, _ = run(*command)
    assert first[2].endswith("| s/image |") and second[2] == first[2].removesuffix(" s/image |")
    assert second[5] == first[5][: len(second[5])]


def test_evaluate_a_single_network(run, photo, luma_file):
    code, out, err = run("evaluate", photo.parent, "--preset", luma_file)
    assert (code, err) == (0, [])
    rows = [line.split("|")[1].strip() for line in out if line.startswith("|")]
    assert rows == 2 * ["", "---", "JPEG", luma_file.stem]
    assert "gray" in out[0] and any("color" in line for line in out)


def test_evaluate_writes_tables_and_a_report(run, photo, fused_file, luma_file, tmp_path):
    folder = tmp_path / "report"
    code, out, err = run(
        "evaluate",
        photo.parent,
        "--preset",
        fused_file,
        luma_file,
        "--protocol",
        "gray",
        "color",
        "--metrics",
        "psnr",
        "ssim",
        "--out",
        folder,
        "--no-cache",
        "--pictures",
        2,
    )
    assert code == 0 and err == []
    names = {path.name for path in folder.iterdir()}
    assert names >= {"results.csv", "summary.md", "summary.json", "tables.tex", "report.html"}
    assert {str(folder / name) for name in ("results.csv", "report.html")} <= set(out)
    assert (folder / "results.csv").read_text().count("\n") == 1 + 2 * 5
    page = (folder / "report.html").read_text()
    assert page.count("data:image/webp") > 8 and "mask of mine fused" in page


def test_a_report_on_a_folder_that_is_a_link_has_its_pictures(run, photo, luma_file, tmp_path):
    (tmp_path / "LIVE1").symlink_to(photo.parent)
    command = ("evaluate", tmp_path / "LIVE1", "--preset", luma_file, "--protocol", "gray", "--metrics", "psnr")
    code, out, err = run(*command, "--out", tmp_path / "report")
    assert (code, err, out[0]) == (0, [], "**LIVE1, gray, QF 10, 1 image**")
    assert "photo.png, the original" in (tmp_path / "report" / "report.html").read_text()


def test_names_that_are_no_text_are_in_the_report(run, luma_file, tmp_path):
    folder = tmp_path / os.fsdecode(b"men\xfa")
    save_image(folder / os.fsdecode(b"caf\xe9.png"), PHOTO)
    command = ("evaluate", folder, "--preset", f"{folder.name}={luma_file}", "--protocol", "gray", "--metrics", "psnr")
    code, out, err = run(*command, "--out", tmp_path / "report")
    assert (code, err, out[0]) == (0, [], r"**men\udcfa, gray, QF 10, 1 image**")
    assert r"men\udcfa,caf\udce9.png,gray,10,JPEG" in (tmp_path / "report" / "results.csv").read_text()
    assert r"caf\udce9.png, the original" in (tmp_path / "report" / "report.html").read_text()


def test_out_is_not_among_the_originals_and_can_be_made(refused, photo, luma_file, tmp_path):
    (tmp_path / "link").symlink_to(photo.parent)
    command = ("evaluate", photo.parent, "--preset", luma_file, "--out")
    for out in (photo.parent, photo.parent / "report", tmp_path / "link" / "report"):
        assert refused(*command, out) == f"tfar: --out {out} lies in {photo.parent}, of which all images are scored"
    (tmp_path / "file").touch()
    assert f"{tmp_path / 'file'} is no folder" in refused(*command, tmp_path / "file")
    assert f"{tmp_path / 'file'} is no folder" in refused("evaluate", "--detections", "a=b", "--out", tmp_path / "file")


def test_evaluate_goes_on_after_a_bad_image_and_says_so(run, photo, fused_file):
    (photo.parent / "bad.png").write_bytes(b"no image")
    code, out, err = run("evaluate", photo.parent, "--preset", fused_file, "--protocol", "gray")
    assert code == 2
    assert any("JPEG" in line for line in out)
    assert len(err) == 1 and "bad.png" in err[0] and "not a readable image" in err[0]


def write_json(path, content):
    path.write_text(json.dumps(content))
    return path


def test_evaluate_detections(run, refused, tmp_path):
    truth = write_json(
        tmp_path / "truth.json",
        {
            "images": [{"id": 1, "width": 64, "height": 64}],
            "categories": [{"id": 1, "name": "cat"}],
            "annotations": [
                {"id": 1, "image_id": 1, "category_id": 1, "bbox": [8, 8, 24, 24], "area": 576, "iscrowd": 0}
            ],
        },
    )
    found = [{"image_id": 1, "category_id": 1, "bbox": [8, 8, 24, 24], "score": 0.9}]
    results = {"original": write_json(tmp_path / "a.json", found), "JPEG": write_json(tmp_path / "b.json", [])}
    named = [f"{label}={file}" for label, file in results.items()]
    code, out, err = run("evaluate", "--detections", *named, "--annotations", truth)
    assert (code, err) == (0, [])
    assert out[:5] == [
        "**1 object**",
        "",
        "| % | original | JPEG |",
        "| --- | ---: | ---: |",
        "| mAP@[.5:.95] | 100.0 | 0.0 (-100.0) |",
    ]
    assert "NAME=PATH" in refused("evaluate", "--detections", results["JPEG"], "--annotations", truth)


def test_evaluate_detections_by_voc_and_without_annotations(run, refused, tmp_path):
    (tmp_path / "voc").mkdir()
    (tmp_path / "voc" / "1.xml").write_text(
        "<annotation><object><name>cat</name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>32</xmax><ymax>32</ymax>"
        "</bndbox></object></annotation>"
    )
    found = tmp_path / "found"
    found.mkdir()
    right = {"image_id": "1", "category_id": "cat", "bbox": [8, 8, 24, 24], "score": 0.4}
    for label, boxes in {
        "original": [right],
        "JPEG@10": [right | {"bbox": [40, 8, 24, 24]}],
        "mine@10": [right, right | {"bbox": [40, 8, 24, 24], "score": 0.5}],
    }.items():
        write_json(found / f"{label}.json", boxes)
    line = "| mAP | 100.0 | 0.0 (-100.0) | 50.0 (-50.0) |"
    code, out, err = run("evaluate", "--detections", found, "--annotations", tmp_path / "voc")
    assert (code, err) == (0, []) and out[0] == "**QF 10, 1 object**" and out[-1] == line
    assert "there is no object to be found" in refused("evaluate", "--detections", found)
    code, out, err = run("evaluate", "--detections", found, "--threshold", 0.4, "--out", tmp_path / "out")
    assert (code, err) == (0, []) and line in out
    assert out[-3:-1] == [str(tmp_path / "out" / name) for name in ("detections.md", "detections.json")]
    assert "no results of a detector" in refused("evaluate", "--detections", tmp_path / "voc")
    again = f"JPEG@10={found / 'mine@10.json'}"
    assert "results are given twice: JPEG@10" in refused("evaluate", "--detections", found, again)
    assert "originals are needed" in refused("evaluate", "--detections", f"a={found / 'JPEG@10.json'}")


def test_evaluate_refuses(refused, photo, fused_file, tmp_path, capfd):
    assert "absent: no such folder" in refused("evaluate", tmp_path / "absent", "--preset", fused_file)
    assert "needs a folder" in refused("evaluate", "--preset", fused_file)
    assert "unknown metric 'psmr'" in refused("evaluate", photo.parent, "--preset", fused_file, "--metrics", "psmr")
    evaluate = ("evaluate", photo.parent, "--preset", fused_file)
    assert "--gain ssim is not among the metrics: psnr" in refused(*evaluate, "--metrics", "psnr", "--gain", "ssim")
    assert "--gain needs originals" in refused(*evaluate, "--protocol", "real", "--gain", "psnr")
    assert "lpips needs weights" in refused(*evaluate, "--metrics", "lpips")
    assert "lpips_alex.npz" in refused(*evaluate, "--weights", tmp_path)
    assert "dists.npz" in refused(*evaluate, "--weights", tmp_path, "--metrics", "psnr", "dists")
    with pytest.raises(SystemExit) as caught:
        cli.main(["evaluate", str(photo.parent), "--quality", "0"])
    assert caught.value.code == 2
    assert "quality factor from 1 to 100, got '0'" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("mode", "given", "named"),
    [
        (["--detections", "found"], ["--gain", "psnr"], "--gain"),
        (["--detections", "found"], ["photos"], "FOLDER"),
        (["--detections", "found"], ["--preset", "tiny"], "--preset"),
        (["--detections", "found"], ["--no-cache"], "--no-cache"),
        (["--detections", "found"], ["--candidates", "2"], "--candidates"),
        (["--candidates", "2"], ["--gain", "psnr"], "--gain"),
        (["--candidates", "2"], ["--out", "scores"], "--out"),
        (["--candidates", "2"], ["--no-cache"], "--no-cache"),
        (["--candidates", "2"], ["--pictures", "3"], "--pictures"),
        (["--candidates", "2"], ["--annotations", "truth.json"], "--annotations"),
    ],
)
def test_what_a_mode_has_no_use_for_is_refused(refused, mode, given, named):
    assert refused("evaluate", *given, *mode) == f"tfar: {named} cannot be used with {mode[0]}"


def test_annotations_and_threshold_are_of_detections(refused, photo):
    for option in (("--annotations", "truth.json"), ("--threshold", 0.4)):
        assert f"{option[0]} cannot be used without --detections" in refused("evaluate", photo.parent, *option)


def test_models_are_called_what_they_are_given_as(run, refused, photo, fused_file, luma_file, tmp_path):
    other = tmp_path / "a=b.keras"
    other.write_bytes(luma_file.read_bytes())
    evaluate = ("evaluate", photo.parent, "--protocol", "gray", "--metrics", "psnr", "--preset")
    code, out, err = run(*evaluate, f"mine={luma_file}", luma_file, f"x={fused_file}", other, f"y={other}")
    assert (code, err) == (0, [])
    names = ["JPEG", "mine", "luma", "x base", "x texture", "x fused", "a=b", "y"]
    assert [line.split("|")[1].strip() for line in out[4:]] == names
    assert "same name: luma, luma; NAME=PATH gives" in refused(*evaluate, luma_file, luma_file)
    assert "expected NAME=PATH" in refused(*evaluate, "=tiny")
    assert refused(*evaluate, "x/lr=1/best.keras") == "tfar: x/lr=1/best.keras: no such file"


def test_candidates_of_models_are_called_what_they_are_given_as(run, refused, photo, noise_file):
    evaluate = ("evaluate", photo.parent, "--protocol", "gray", "--candidates", 2, "--preset")
    code, out, err = run(*evaluate, noise_file, f"mine={noise_file}")
    assert (code, err) == (0, [])
    assert [line.split("|")[1].strip() for line in out[4:]] == ["JPEG", "original", "noise", "mine"]
    assert "same name: noise, noise; NAME=PATH gives" in refused(*evaluate, noise_file, noise_file)


def test_what_is_given_twice_is_scored_once(run, photo, luma_file):
    arguments = ("--quality", 30, 10, 30, "--protocol", "gray", "gray", "--metrics", "psnr")
    _, out, _ = run("evaluate", photo.parent, "--preset", luma_file, *arguments)
    assert [line for line in out if line.startswith("**")] == [
        "**in, gray, QF 30, 1 image**",
        "**in, gray, QF 10, 1 image**",
    ]


def test_evaluate_prints_the_mean_best_and_worst_of_several_candidates(run, photo):
    arguments = ("evaluate", photo.parent, "--preset", "one-to-many-q10", "--candidates", 2, "--protocol", "gray")
    code, out, err = run(*arguments)
    assert (code, err) == (0, [])
    assert out[0] == "**in, gray, QF 10, 2 candidates**"
    assert out[2] == "|  | PSNR | PSNR best | PSNR worst | apart (levels) | outside |"
    mean, best, worst = map(float, out[-1].split(" | ")[1:4])
    assert [line.split("|")[1].strip() for line in out[4:]] == ["JPEG", "original", "one-to-many-q10"]
    assert worst <= mean <= best


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "argan-q10-40", "--candidates", 2], "gives one restoration of an image"),
        (["--preset", "one-to-many-q10", "--candidates", 2, "--protocol", "real"], "--candidates needs originals"),
        (["--preset", "one-to-many-q10", "--candidates", 1], "at least two candidates are needed, got 1"),
    ],
)
def test_candidates_that_cannot_be_scored_are_refused(refused, photo, arguments, message):
    assert message in refused("evaluate", photo.parent, *arguments)


def test_an_image_without_candidates_is_named(run, photo, noise_file):
    command = ("evaluate", photo.parent, "--preset", noise_file, "--candidates", 2, "--protocol", "gray")
    (photo.parent / "bad.png").write_bytes(b"no image")
    code, out, err = run(*command)
    assert (code, out[0]) == (2, "**in, gray, QF 10, 2 candidates**")
    assert err == [f"tfar: {photo.parent / 'bad.png'} (gray): not a readable image (unknown format)"]
    photo.unlink()
    assert run(*command) == (2, [], err)
