import warnings

import numpy as np
import pytest
from helpers import files_below, save_image
from PIL import Image
from skimage import data

from tfar.errors import ImageError
from tfar.images.read import read_image
from tfar.restoration.files import plan, restore_files

COLOR = data.astronaut()[:33, :41]
GRAY = data.camera()[:33, :41]


def invert(image):
    return [255 - image]


def test_plan_of_a_file(tmp_path):
    source = save_image(tmp_path / "photo.jpg", COLOR)
    (tmp_path / "out").mkdir()
    assert plan(source, tmp_path / "x" / "new.tif") == [(source, [tmp_path / "x" / "new.tif"])]
    assert plan(str(source), str(tmp_path / "out")) == [(source, [tmp_path / "out" / "photo.png"])]


def test_a_file_is_never_restored_over_itself(tmp_path, monkeypatch):
    source = save_image(tmp_path / "photo.png", COLOR)
    (tmp_path / "link.png").symlink_to(source)
    monkeypatch.chdir(tmp_path)
    for target in (source, tmp_path, "photo.png", ".", "link.png"):
        with pytest.raises(ImageError, match="is one of the inputs; choose another output"):
            plan("photo.png", target)


def test_plan_of_the_candidates_of_a_file(tmp_path):
    source = save_image(tmp_path / "photo.jpg", COLOR)
    [(given, targets)] = plan(source, tmp_path / "x" / "new.v2.tif", candidates=2)
    assert given == source
    assert [target.name for target in targets] == ["new.v2-1.tif", "new.v2-2.tif", "new.v2-candidates.tif"]
    assert {target.parent for target in targets} == {tmp_path / "x"}
    [(_, targets)] = plan(source, tmp_path, candidates=1)
    assert targets == [tmp_path / "photo-1.png", tmp_path / "photo-candidates.png"]
    [(_, targets)] = plan(source, tmp_path, candidates=11)
    assert [target.stem for target in targets[8:]] == ["photo-9", "photo-10", "photo-11", "photo-candidates"]


def test_plan_of_a_folder_keeps_the_tree(tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    files = [save_image(source / name, COLOR) for name in ("a.jpg", "sub/a.jpg", "sub/deep/b.PNG")]
    (source / "notes.txt").write_text("no image")
    assert plan(source, target) == [
        (files[0], [target / "a.png"]),
        (files[1], [target / "sub/a.png"]),
        (files[2], [target / "sub/deep/b.png"]),
    ]
    assert plan(source, target, candidates=1)[1] == (
        files[1],
        [target / "sub/a-1.png", target / "sub/a-candidates.png"],
    )
    assert not target.exists()


def test_plan_never_writes_two_images_to_one_file(tmp_path):
    source = tmp_path / "in"
    for name in ("a.jpg", "a.png", "a.jpg.jpg", "b.jpg", "sub/a.jpg"):
        save_image(source / name, COLOR)
    targets = {
        str(file.relative_to(source)): str(target.relative_to(tmp_path)) for file, [target] in plan(source, tmp_path)
    }
    assert targets == {
        "a.jpg": "a.jpg.png",
        "a.png": "a.png.png",
        "a.jpg.jpg": "a.jpg.jpg.png",
        "b.jpg": "b.png",
        "sub/a.jpg": "sub/a.png",
    }
    (source / "a-1.jpg").write_bytes((source / "a.jpg").read_bytes())
    names = [target for _, targets in plan(source, tmp_path, candidates=12) for target in targets]
    assert len(set(names)) == len(names) == 6 * 13


def test_plan_refuses(tmp_path):
    source = save_image(tmp_path / "in" / "photo.jpg", COLOR)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="absent.jpg: no such file or folder"):
        plan(tmp_path / "absent.jpg", tmp_path / "out.png")
    with pytest.raises(ImageError, match="out.gif: cannot write this format"):
        plan(source, tmp_path / "out.gif")
    with pytest.raises(ImageError, match="photo.jpg: the input is a folder, so the output must be one"):
        plan(tmp_path / "in", source)
    with pytest.raises(ImageError, match="empty: no image files"):
        plan(tmp_path / "empty", tmp_path / "out")


def test_folder_is_restored_past_its_bad_files(tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    save_image(source / "1.png", COLOR)
    (source / "2.jpg").write_text("no image")
    (source / "3.jpg").write_bytes(b"")
    save_image(source / "sub" / "4.png", GRAY)
    results = list(restore_files(plan(source, target), invert))
    assert [source.name for source, _ in results] == ["1.png", "2.jpg", "3.jpg", "4.png"]
    assert [error and str(error).split(": ")[0] for _, error in results] == [
        None,
        str(source / "2.jpg"),
        str(source / "3.jpg"),
        None,
    ]
    assert files_below(target) == ["1.png", "sub/4.png"]
    np.testing.assert_array_equal(read_image(target / "1.png"), 255 - COLOR)
    np.testing.assert_array_equal(read_image(target / "sub" / "4.png"), 255 - GRAY)


def test_files_that_cannot_be_written_do_not_stop_the_others(tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    save_image(source / "sub" / "1.png", COLOR)
    save_image(source / "2.png", COLOR)
    target.mkdir()
    (target / "sub").write_text("in the way")
    errors = {source.name: error for source, error in restore_files(plan(source, target), invert)}
    assert errors["2.png"] is None
    assert str(target / "sub" / "1.png") in str(errors["1.png"])
    assert files_below(target) == ["2.png", "sub"]


def test_image_that_the_network_refuses_is_named(tmp_path):
    def refuse(image):
        raise ImageError("this network restores other images")

    source = save_image(tmp_path / "photo.png", COLOR)
    [(_, error)] = restore_files([(source, [tmp_path / "out.png"])], refuse)
    assert str(error) == f"{source}: this network restores other images"
    assert not (tmp_path / "out.png").exists()


def test_every_image_of_a_restoration_is_written_to_its_file(tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    save_image(source / "a.png", COLOR)
    save_image(source / "b.png", GRAY)
    results = list(restore_files(plan(source, target, candidates=2), lambda image: [image, 255 - image, image // 2]))
    assert results == [(source / "a.png", None), (source / "b.png", None)]
    assert files_below(target) == [f"{name}-{label}.png" for name in "ab" for label in (1, 2, "candidates")]
    for name, image in (("a", COLOR), ("b", GRAY)):
        for label, expected in ((1, image), (2, 255 - image), ("candidates", image // 2)):
            np.testing.assert_array_equal(read_image(target / f"{name}-{label}.png"), expected)


def test_a_restoration_gives_an_image_for_each_file(tmp_path):
    planned = plan(save_image(tmp_path / "photo.png", COLOR), tmp_path / "out.png", candidates=2)
    with pytest.raises(ValueError, match="shorter"):
        list(restore_files(planned, invert))


def test_no_warnings_on_the_way(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        source = save_image(tmp_path / "photo.png", COLOR)
        [(_, error)] = restore_files(plan(source, tmp_path / "out.jpg"), invert)
    assert error is None


def test_a_folder_is_not_restored_over_its_own_files(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "b.jpg")
    with pytest.raises(ImageError, match="a.png: is one of the inputs"):
        plan(tmp_path, tmp_path)
    (tmp_path / "a.png").unlink()
    assert plan(tmp_path, tmp_path) == [(tmp_path / "b.jpg", [tmp_path / "b.png"])]


@pytest.mark.parametrize("name", ["a-1.png", "a-3.png", "a-candidates.png"])
def test_candidates_are_not_written_over_an_input(tmp_path, name):
    for file in ("a.jpg", name):
        Image.new("RGB", (8, 8)).save(tmp_path / file)
    with pytest.raises(ImageError, match=f"{name}: is one of the inputs"):
        plan(tmp_path, tmp_path, candidates=3)
    with pytest.raises(ImageError, match=f"{name}: is one of the inputs"):
        plan(tmp_path / name, tmp_path / "a.png", candidates=3)
    assert len(plan(tmp_path, tmp_path / "out", candidates=3)) == 2
    assert len(plan(tmp_path / name, tmp_path, candidates=3)) == 1
