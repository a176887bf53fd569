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
    key = tmp_path / "study.key.json"
    assert "JPEG" in key.read_text() and f"{worse}" not in page.read_text()
    (worse / "photo.png").rename(worse / "other.png")
    assert "no image photo" in refused("study", page, "--original", photo.parent, "--candidate", f"JPEG={worse}")
    assert "--key" in refused("study", "--score", tmp_path / "votes.csv")
    assert "votes.csv" in refused("study", "--score", tmp_path / "votes.csv", "--key", key)
    assert "PAGE" in refused("study")
