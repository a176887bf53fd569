import dataclasses
import itertools

import numpy as np
import pytest
from helpers import NOISE_GENERATOR, perturb
from PIL import Image
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from tfar import jpeg
from tfar.evaluation import protocols
from tfar.evaluation.candidates import mean_scores, score_candidates, score_folder
from tfar.metrics.catalogue import choose
from tfar.models.one_to_many import proposal_network
from tfar.reports import tables
from tfar.restoration.restorer import candidate_restorers

PHOTOS = [data.astronaut()[:64, :80], data.coffee()[100:172, 200:264]]


def distance(original, restored):
    """A metric of which less is better, and which tells the two arguments apart."""
    return float(np.mean(abs(np.float64(original) - restored)) + np.mean(original) / 1e4)


METRICS = choose(["psnr", "lpips"], {"lpips": distance})
OFFSETS = (5, -3, 0, 12)
RESTORERS = [lambda image, d=d: np.uint8(np.clip(np.int16(image) + d, 0, 255)) for d in OFFSETS]


@pytest.fixture(scope="module")
def trial():
    return protocols.gray(PHOTOS[0], 10)


def test_mean_best_and_worst_are_those_of_the_candidates(trial):
    found = score_candidates(trial, RESTORERS, METRICS)
    images = [restore(trial.jpeg) for restore in RESTORERS]
    psnr = [peak_signal_noise_ratio(trial.original, image) for image in images]
    distances = [distance(trial.original, image) for image in images]
    assert found.mean == pytest.approx({"psnr": np.mean(psnr), "lpips": np.mean(distances)})
    assert found.best == pytest.approx({"psnr": max(psnr), "lpips": min(distances)})
    assert found.worst == pytest.approx({"psnr": min(psnr), "lpips": max(distances)})
    assert found.jpeg == pytest.approx({"psnr": psnr[2], "lpips": distances[2]})


def test_candidates_are_as_far_apart_as_their_pairs(trial):
    found = score_candidates(trial, RESTORERS, METRICS)
    images = [restore(trial.jpeg) for restore in RESTORERS]
    pairs = list(itertools.combinations(images, 2))
    assert found.apart == pytest.approx(np.mean([np.mean(abs(np.float64(a) - b)) for a, b in pairs]))
    assert found.apart_by == pytest.approx({"lpips": np.mean([distance(a, b) for a, b in pairs])})
    same = score_candidates(trial, [RESTORERS[0]] * 3, METRICS)
    assert same.apart == 0


def test_one_candidate_is_none_to_compare(trial):
    with pytest.raises(ValueError, match="at least two restorers are needed, got 1"):
        score_candidates(trial, RESTORERS[:1], METRICS)


def test_the_share_outside_is_that_of_the_coefficients_with_that_of_the_original_beside_it():
    trial = protocols.gray(PHOTOS[0], 90)
    found = score_candidates(trial, RESTORERS, METRICS)
    table = jpeg.file_luma_table(trial.file)

    def share(image):
        coded, other = (np.float32(array[None, ..., None]) / 127.5 - 1 for array in (trial.jpeg, image))
        return np.mean(np.asarray(jpeg.interval_excess(coded, other, table[None])) > 0)

    assert found.outside == pytest.approx(np.mean([share(restore(trial.jpeg)) for restore in RESTORERS]))
    assert found.original_outside == pytest.approx(share(trial.original))
    assert 0 < found.original_outside < found.outside
    other = score_candidates(protocols.other_codec("webp", PHOTOS[0], 20), RESTORERS, METRICS)
    assert other.outside is None and other.original_outside is None


def test_means_are_over_the_images_where_a_score_is_finite(trial):
    other = protocols.gray(PHOTOS[1], 20)
    each = [score_candidates(t, RESTORERS, METRICS) for t in (trial, other)]
    found = mean_scores(each)
    for table in ("jpeg", "mean", "best", "worst", "apart_by"):
        expected = {name: np.mean([getattr(e, table)[name] for e in each]) for name in getattr(each[0], table)}
        assert getattr(found, table) == pytest.approx(expected)
    assert found.outside == pytest.approx(np.mean([e.outside for e in each]))
    exact = score_candidates(protocols.Trial(trial.jpeg, trial.jpeg, trial.file), RESTORERS, METRICS)
    assert exact.best["psnr"] == np.inf
    assert mean_scores([each[0], exact]).best["psnr"] == each[0].best["psnr"]


def test_a_folder_is_restored_with_the_seeds_from_0_on(tmp_path):
    for number, photo in enumerate(PHOTOS):
        Image.fromarray(photo).save(tmp_path / f"{number}.png")
    model = perturb(proposal_network(**NOISE_GENERATOR), 1)
    restorers = candidate_restorers(model, range(2))
    assert [restorer.seed for restorer in restorers] == [0, 1]
    found, failures = score_folder({"mine": restorers}, tmp_path, "color", 10, METRICS)
    assert not failures
    each = [score_candidates(protocols.color(photo, 10), restorers, METRICS) for photo in PHOTOS]
    assert found == {"mine": mean_scores(each)}
    assert found["mine"].apart > 0.5
    unknown = {"mine": dataclasses.replace(found["mine"], outside=None, original_outside=None)}
    assert {line.split(" | ")[-1] for line in tables.candidates(unknown).splitlines()[2:]} == {" |"}
    lines = tables.candidates(found).splitlines()
    headings = ["PSNR", "PSNR best", "PSNR worst", "LPIPS", "LPIPS best", "LPIPS worst"]
    assert lines[0] == f"|  | {' | '.join(headings)} | apart (levels) | apart (LPIPS) | outside |"
    assert lines[2].startswith("| JPEG | ") and lines[2].endswith(" |  |  |  |  | 0.00% |")
    assert lines[3].startswith("| original |  |") and lines[3].endswith(f"| {found['mine'].original_outside:.2%} |")
    assert lines[4].split(" | ")[1:4] == [f"{getattr(found['mine'], t)['psnr']:.2f}" for t in ("mean", "best", "worst")]


def test_an_image_that_cannot_be_scored_is_named_and_the_others_count(tmp_path):
    Image.fromarray(PHOTOS[0]).save(tmp_path / "a.png")
    Image.fromarray(PHOTOS[0][:7, :7]).save(tmp_path / "small.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    metrics = choose(["ssim_gaussian"])
    models = {"mine": RESTORERS, "other": RESTORERS[1:]}
    found, failures = score_folder(models, tmp_path, "gray", 10, metrics)
    alone = protocols.gray(PHOTOS[0], 10)
    assert found == {name: mean_scores([score_candidates(alone, r, metrics)]) for name, r in models.items()}
    assert [failure.image for failure in failures] == [f"{tmp_path / name}.png (gray)" for name in ("bad", "small")]
    assert failures[0].problem == "not a readable image (unknown format)"
    (tmp_path / "a.png").unlink()
    assert score_folder(models, tmp_path, "gray", 10, metrics) == ({}, failures)


def test_a_model_of_one_candidate_is_none_to_compare(tmp_path):
    Image.fromarray(PHOTOS[0]).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="at least two restorers are needed: mine"):
        score_folder({"mine": RESTORERS[:1]}, tmp_path, "gray", 10, METRICS)
