import numpy as np
import pytest
from helpers import save_image
from PIL import Image
from skimage import data

import tfar
from tfar import jpeg
from tfar.reports import contact_sheet
from tfar.reports.contact_sheet import LABEL_HEIGHT
from tfar.restoration.restorer import Restorer

PHOTO = data.astronaut()[:40, :33]


def read(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize("file", ["single_file", "luma_file", "noise_file"])
def test_compare_a_single_network(run, photo, request, tmp_path, file):
    path, target = request.getfixturevalue(file), tmp_path / "new" / "picture.png"
    assert run("compare", photo, target, "--preset", path, "--quality", 15) == (0, [str(target)], [])
    picture = read(target)
    assert picture.shape == (40 + LABEL_HEIGHT, 3 * 33, 3)
    original, coded, restored = np.split(picture[LABEL_HEIGHT:], 3, axis=1)
    np.testing.assert_array_equal(original, PHOTO)
    np.testing.assert_array_equal(coded, jpeg.compress(PHOTO, 15))
    expected = Restorer(tfar.load(path))(coded)
    np.testing.assert_allclose(np.float32(restored), expected, atol=1)
    assert np.abs(np.int16(restored) - coded).max() > 1


def test_compare_refuses(refused, photo, single_file, tmp_path):
    assert "absent.png: no such file" in refused("compare", tmp_path / "absent.png", tmp_path / "out.png")
    assert "out.gif" in refused("compare", photo, tmp_path / "out.gif", "--preset", single_file)


def test_compare_neither_replaces_the_original_nor_computes_what_cannot_be_written(
    run, refused, photo, single_file, tmp_path, monkeypatch
):
    def computed(*_):
        raise AssertionError("something was computed")

    monkeypatch.setattr(contact_sheet, "comparison", computed)
    before = photo.read_bytes()
    (tmp_path / "link.png").symlink_to(photo)
    (tmp_path / "other_name.png").hardlink_to(photo)
    for name in (photo, tmp_path / "link.png", tmp_path / "other_name.png", photo.parent / ".." / "in" / "photo.png"):
        problem = "is a link" if name.is_symlink() else "is the original"
        assert problem in refused("compare", photo, name, "--preset", single_file)
        assert "is the original" in refused("compare", name, photo, "--preset", single_file)
    assert photo.read_bytes() == before
    assert "out.gif: cannot write this format" in refused("compare", photo, tmp_path / "out.gif")
    assert "photo.png is no folder" in refused("compare", photo, photo / "out.png")


def test_compare_replaces_a_picture_only_when_told_to(run, refused, photo, single_file, tmp_path):
    target = save_image(tmp_path / "picture.png", PHOTO)
    before = target.read_bytes()
    problem = f"tfar: {target}: is there already; --overwrite replaces it"
    assert refused("compare", photo, target, "--preset", single_file) == problem
    assert target.read_bytes() == before
    assert run("compare", photo, target, "--preset", single_file, "--overwrite") == (0, [str(target)], [])
    assert read(target).shape == (40 + LABEL_HEIGHT, 3 * 33, 3)
