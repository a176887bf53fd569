import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from helpers import development_files
from PIL import Image
from skimage import data

from tfar.errors import ImageError, TfarError
from tfar.evaluation import benchmark, protocols
from tfar.evaluation.benchmark import Cache, Failure, evaluate
from tfar.evaluation.contestants import Contestant
from tfar.evaluation.results import means
from tfar.metrics import catalogue
from tfar.metrics.catalogue import choose
from tfar.metrics.lpips import Lpips

PHOTOS = {"a.png": data.astronaut()[:64, :80], "b.png": data.coffee()[100:180, 200:264]}


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "photos"
    path.mkdir()
    for name, image in PHOTOS.items():
        Image.fromarray(image).save(path / name)
    return path


class Counting:
    """A contestant that inverts images and counts how often it is asked."""

    def __init__(self, name="inverse", digest="1"):
        self.calls = 0
        self.contestant = Contestant((name,), digest, self.restore)
        self.name = name

    def restore(self, image):
        self.calls += 1
        return {self.name: 255 - image}


def run(contestants, folder, **options):
    given = {"names": ["gray"], "qualities": [10], "metrics": choose(["psnr", "ssim"]), **options}
    return evaluate([c.contestant for c in contestants], [folder], **given)


def test_rows_are_the_scores_of_every_image_model_protocol_and_quality(folder):
    rows, failures = run([Counting()], folder, names=["gray", "color"], qualities=[10, 30])
    assert failures == []
    keys = [(row.protocol, row.quality, row.model, row.image) for row in rows]
    assert keys == [
        (protocol, quality, model, image)
        for protocol in ("gray", "color")
        for quality in (10, 30)
        for model in ("JPEG", "inverse")
        for image in PHOTOS
    ]
    assert {row.dataset for row in rows} == {"photos"}
    for row in rows:
        trial = getattr(protocols, row.protocol)(PHOTOS[row.image], row.quality)
        restored = trial.jpeg if row.model == "JPEG" else 255 - trial.jpeg
        assert row.scores == catalogue.score(choose(["psnr", "ssim"]), trial.original, restored)
        assert row.bpp == trial.bpp


def test_a_dataset_has_the_name_that_its_folder_is_given_by(folder, tmp_path, monkeypatch):
    (tmp_path / "LIVE1").symlink_to(folder)
    monkeypatch.chdir(folder)
    for given, name in ((tmp_path / "LIVE1", "LIVE1"), (Path("."), "photos"), (Path("../LIVE1/"), "LIVE1")):
        rows, _ = run([Counting()], given)
        assert {row.dataset for row in rows} == {name}


def test_scores_come_from_the_cache_the_second_time(folder, tmp_path):
    cache, model = Cache(tmp_path / "cache"), Counting()
    first, _ = run([model], folder, cache=cache)
    assert model.calls == 2
    second, _ = run([model], folder, cache=cache)
    assert model.calls == 2 and all(row.seconds > 0 for row in first)
    assert second == [dataclasses.replace(row, seconds=None) for row in first]
    fewer, _ = run([model], folder, cache=cache, metrics=choose(["ssim"]))
    assert model.calls == 2 and list(fewer[0].scores) == ["ssim"]


def test_another_model_metric_quality_or_image_is_computed_anew(folder, tmp_path):
    cache, model = Cache(tmp_path / "cache"), Counting()
    run([model], folder, cache=cache)
    run([model], folder, cache=cache, metrics=choose(["psnr", "psnr_b"]))
    assert model.calls == 4
    run([model], folder, cache=cache, qualities=[11])
    assert model.calls == 6
    other = Counting(digest="2")
    run([other], folder, cache=cache)
    assert other.calls == 2
    Image.fromarray(255 - PHOTOS["a.png"]).save(folder / "a.png")
    run([model], folder, cache=cache)
    assert model.calls == 7


def test_scores_of_another_program_are_computed_anew(folder, tmp_path, monkeypatch):
    cache, model = Cache(tmp_path / "cache"), Counting()
    benchmark._program.cache_clear()
    run([model], folder, cache=cache)
    for calls, (where, name) in enumerate([(benchmark.metadata, "version"), (benchmark, "sha256")], start=2):
        monkeypatch.setattr(where, name, lambda *_: "another")
        benchmark._program.cache_clear()
        run([model], folder, cache=cache)
        assert model.calls == 2 * calls, name
    monkeypatch.undo()
    benchmark._program.cache_clear()
    run([model], folder, cache=cache)
    assert model.calls == 6


def test_a_metric_of_other_weights_is_computed_anew_and_the_others_are_not(folder, tmp_path):
    cache, model = Cache(tmp_path / "cache"), Counting()

    class Distance:
        def __init__(self, digest, value):
            self.digest, self.value = digest, value

        def __call__(self, original, restored):
            return self.value

    def found(*names, **given):
        rows, _ = run([model], folder, cache=cache, metrics=choose(names, given))
        return [row.scores for row in rows]

    assert found("psnr", "lpips", lpips=Distance("1", 0.1))[0]["lpips"] == 0.1
    assert found("lpips", lpips=Distance("1", 0.2)) == 4 * [{"lpips": 0.1}] and model.calls == 2
    assert found("lpips", lpips=Distance("2", 0.2)) == 4 * [{"lpips": 0.2}] and model.calls == 4
    assert all({*scores} == {"psnr", "lpips"} for scores in found("psnr", "lpips", lpips=Distance("2", 0.3)))
    assert model.calls == 4


def test_a_damaged_cache_entry_is_computed_anew(folder, tmp_path):
    cache, model = Cache(tmp_path / "cache"), Counting()
    first, _ = run([model], folder, cache=cache)
    for file in (tmp_path / "cache").rglob("*.json"):
        file.write_text("{")
    assert [row.scores for row in run([model], folder, cache=cache)[0]] == [row.scores for row in first]


def test_an_image_that_fails_is_named_and_the_others_are_scored(folder):
    (folder / "broken.png").write_bytes(b"no image")
    Image.fromarray(PHOTOS["a.png"][:9, :9]).save(folder / "small.png")
    rows, failures = run([Counting()], folder, metrics=choose(["psnr_b"]))
    assert {row.image for row in rows} == set(PHOTOS)
    problems = {Path(failure.image.removesuffix(" (gray)")).name: failure.problem for failure in failures}
    assert problems.keys() == {"broken.png", "small.png"}
    assert "not a readable image" in problems["broken.png"] and "16x16" in problems["small.png"]


def test_a_model_that_changes_the_shape_is_a_failure_of_the_image(folder):
    cropping = Contestant(("cropping",), "", lambda image: {"cropping": image[1:]})
    rows, failures = evaluate([cropping], [folder], names=["gray"], qualities=[10], metrics=choose(["psnr"]))
    assert rows == [] and len(failures) == 2 and "shape" in failures[0].problem


def test_limit_takes_the_first_images_of_each_folder(folder):
    rows, _ = run([], folder, limit=1)
    assert [row.image for row in rows] == ["a.png"]


def test_images_of_subfolders_keep_their_place(folder):
    (folder / "sub").mkdir()
    Image.fromarray(PHOTOS["b.png"]).save(folder / "sub" / "a.png")
    rows, _ = run([], folder)
    assert {row.image for row in rows} == {"a.png", "b.png", "sub/a.png"}


def test_real_files_are_scored_without_an_original(folder):
    for name, image in PHOTOS.items():
        Image.fromarray(image).save(folder / f"{Path(name).stem}.jpg", quality=10)
    rows, failures = run([Counting()], folder, names=["real"])
    assert {Path(failure.image).name for failure in failures} == {"a.png (real)", "b.png (real)"}
    shares = {row.model: row.scores["outside"] for row in rows}
    assert shares["JPEG"] == 0 and shares["inverse"] > 0.01
    assert {row.quality for row in rows} == {benchmark.AS_FOUND}


def test_real_files_without_luma_have_no_share_outside(folder):
    Image.fromarray(PHOTOS["a.png"]).save(folder / "a.jpg", keep_rgb=True)
    Image.fromarray(PHOTOS["b.png"]).save(folder / "b.jpg")
    rows, _ = run([Counting()], folder, names=["real"])
    assert [(row.image, [*row.scores]) for row in rows if row.model == "inverse"] == [
        ("a.jpg", []),
        ("b.jpg", ["outside"]),
    ]


def test_two_models_or_folders_of_one_name_and_a_missing_folder_are_refused(folder, tmp_path):
    with pytest.raises(TfarError, match="same name: inverse, inverse"):
        run([Counting(), Counting()], folder)
    with pytest.raises(TfarError, match="two folders have the same name"):
        evaluate([], [folder, folder], names=["gray"], qualities=[10], metrics=choose(["psnr"]))
    with pytest.raises(ImageError, match="absent: no such folder"):
        run([], tmp_path / "absent")


def test_exact_restorations_are_counted_and_kept_out_of_the_mean(folder):
    flat = np.full((64, 64), 100, np.uint8)
    Image.fromarray(flat).save(folder / "flat.png")
    rows, _ = run([], folder, qualities=[95])
    [mean] = means(rows)
    finite = [row.scores["psnr"] for row in rows if row.image != "flat.png"]
    assert mean.count == 3 and mean.infinite == {"psnr": 1}
    assert mean.scores["psnr"] == pytest.approx(np.mean(finite))


def test_without_room_for_a_cache_scores_are_computed(folder, tmp_path):
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="scores are not kept: .*; XDG_CACHE_HOME names another folder"):
        rows, failures = run([Counting()], folder, cache=Cache(tmp_path / "file"))
    assert (len(rows), failures) == (4, [])


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, TfarError])
def test_what_a_model_cannot_restore_does_not_keep_the_others_from_it(folder, error):
    def restore(image):
        if image.shape == (64, 80):
            raise error("of another size\nin detail")
        return {"model": image}

    options = {"names": ["gray"], "qualities": [10], "metrics": choose(["psnr"])}
    rows, failures = evaluate([Contestant(("model",), "1", restore)], [folder], **options)
    assert {row.image for row in rows} == {"b.png"}
    assert failures == [Failure(f"{folder / 'a.png'} (gray)", "of another size")]


def test_infinite_scores_survive_the_cache(tmp_path):
    cache = Cache(tmp_path)
    cache.put("key", {"scores": [{"psnr": float("inf")}]})
    assert cache.get("key") == {"scores": [{"psnr": float("inf")}]}
    assert json.loads((tmp_path / "ke" / "key.json").read_text())
    assert Cache(None).get("key") is None


@pytest.mark.parametrize(
    ("quality", "expected"),
    [
        (10, {"psnr": 27.77, "psnr_b": 25.33, "ssim": 0.791, "ssim_gaussian": 0.773}),
        (20, {"psnr": 30.07, "psnr_b": 27.57}),
        (30, {"psnr": 31.41, "psnr_b": 28.92}),
        (40, {"psnr": 32.35, "psnr_b": 29.96}),
    ],
)
def test_published_gray_rows_of_live1(quality, expected):
    (folder,) = development_files("TFAR_DATA", "test/live1")
    rows, _ = evaluate([], [folder], names=["gray"], qualities=[quality], metrics=choose(expected))
    [mean] = means(rows)
    assert mean.count == 29
    for metric, value in expected.items():
        assert mean.scores[metric] == pytest.approx(value, abs=0.0006 if "ssim" in metric else 0.01), metric


@pytest.mark.parametrize(
    ("quality", "psnr_rgb", "psnr", "lpips"), [(10, 25.69, 28.36, 0.301), (40, 30.28, 32.93, 0.101)]
)
def test_color_rows_of_live1(quality, psnr_rgb, psnr, lpips):
    (folder,) = development_files("TFAR_DATA", "test/live1")
    given = {"lpips": Lpips(*development_files("TFAR_WEIGHTS", "lpips_alex.npz"))}
    chosen = choose(["psnr_rgb", "psnr", "lpips"], given)
    [mean] = means(evaluate([], [folder], names=["color"], qualities=[quality], metrics=chosen)[0])
    assert mean.scores["psnr_rgb"] == pytest.approx(psnr_rgb, abs=0.01)
    assert mean.scores["psnr"] == pytest.approx(psnr, abs=0.01)
    assert mean.scores["lpips"] == pytest.approx(lpips, abs=0.002)
