import json

import pytest
from helpers import save_image
from PIL import Image
from skimage import data

from tfar import jpeg

PHOTO = data.astronaut()[:40, :33]


def test_study_writes_a_page_and_scores_votes(run, refused, photo, tmp_path):
    worse = tmp_path / "worse"
    worse.mkdir()
    Image.fromarray(jpeg.compress(PHOTO, 10)).save(worse / "photo.png")
    page = tmp_path / "study.html"
    code, out, err = run("study", page, "--original", photo.parent, "--candidate", f"JPEG={worse}")
    assert (code, err) == (0, []) and out[0] == str(page)
    assert out[2] == "1 of 1 images; each has JPEG to be judged"
    key = tmp_path / "study.key.json"
    picture, study = next(iter(json.loads(key.read_text())["pictures"])), json.loads(key.read_text())["study"]
    votes = tmp_path / "ana.csv"
    votes.write_text(f"study,participant,picture,score\n{study},ana,{picture},40\n")
    code, out, err = run("study", "--score", votes, "--key", key, "--out", tmp_path / "out")
    assert (code, err, out[0]) == (0, [], "**1 participant, 1 image**")
    assert any(line.startswith("| JPEG | 40.00 | - | - | 100% (1 of 1) | ") for line in out)
    assert str(tmp_path / "out" / "opinions.md") in out
    assert f"{page}: is there already; --overwrite replaces it" in refused(
        "study", page, "--original", photo.parent, "--candidate", f"JPEG={worse}"
    )
    assert "a favourite can be chosen among two" in refused(
        "study", tmp_path / "new.html", "--original", photo.parent, "--candidate", f"JPEG={worse}", "--ask", "favourite"
    )
    assert "JPEG" in key.read_text() and f"{worse}" not in page.read_text()
    twice = ("--candidate", f"a={worse}", f"a={photo.parent}")
    assert "a name is given twice: a, a" in refused("study", "new.html", "--original", photo.parent, *twice)
    (worse / "photo.png").rename(worse / "other.png")
    assert "no image photo" in refused("study", "new.html", "--original", photo.parent, "--candidate", f"JPEG={worse}")
    assert "--key" in refused("study", "--score", tmp_path / "votes.csv")
    assert "votes.csv" in refused("study", "--score", tmp_path / "votes.csv", "--key", key)
    assert "PAGE" in refused("study")


def test_a_study_replaces_no_folder_and_page_and_key_where_it_is_told_to(run, refused, photo, tmp_path):
    arguments = ("--original", photo.parent, "--candidate", f"same={photo.parent}")
    assert "cannot be written (a folder" in refused("study", photo.parent, *arguments, "--overwrite")
    assert photo.exists()
    page, key = tmp_path / "study.html", tmp_path / "study.key.json"
    key.write_text("of an earlier page")
    assert f"{key}: is there already; --overwrite replaces it" in refused("study", page, *arguments)
    assert key.read_text() == "of an earlier page" and not page.exists()
    assert run("study", page, *arguments, "--overwrite")[0] == 0
    before = page.read_bytes()
    assert run("study", page, *arguments, "--seed", 1, "--overwrite")[0] == 0
    assert page.read_bytes() != before and json.loads(key.read_text())["seed"] == 1


def test_study_draws_images_at_random_and_says_so(run, photo, tmp_path):
    for folder in ("many", "worse"):
        for number in range(4):
            save_image(tmp_path / folder / f"{number}.png", PHOTO // (number + 1))
    page, folders = tmp_path / "study.html", ("--original", tmp_path / "many", "--candidate", f"a={tmp_path / 'worse'}")
    code, out, err = run("study", page, *folders, "--images", 2, "--seed", 5)
    assert (code, err) == (0, []) and out[2] == "2 of 4 images, drawn at random with seed 5; each has a to be judged"
    assert len(json.loads((tmp_path / "study.key.json").read_text())["pictures"]) == 2


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["page.html"], "PAGE"),
        (["--original", "photos"], "--original"),
        (["--candidate", "a=photos"], "--candidate"),
        (["--ask", "favourite"], "--ask"),
        (["--images", "3"], "--images"),
        (["--seed", "1"], "--seed"),
        (["--overwrite"], "--overwrite"),
    ],
)
def test_what_only_a_page_takes_is_refused_with_votes(refused, given, named):
    line = refused("study", *given, "--score", "votes.csv", "--key", "key.json")
    assert line == f"tfar: {named} cannot be used with --score"


def test_key_and_out_are_of_votes(refused):
    for option in ("--key", "--out"):
        line = refused("study", "page.html", "--original", "photos", "--candidate", "a=photos", option, "x")
        assert line == f"tfar: {option} cannot be used without --score"
