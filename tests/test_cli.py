import io
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import TINY, perturb
from PIL import Image
from skimage import data

import tfar.jobs
from tfar import cli, jpeg, recipes
from tfar.evaluation.report import LABEL_HEIGHT
from tfar.models import SYSTEMS
from tfar.models.one_to_many import proposal_network
from tfar.models.region_aware import edge_cnn
from tfar.restoration.consistency import share_outside_interval
from tfar.restoration.restorer import Restorer
from tfar.training.region_aware import RegionAwareRun
from tfar.training.runs import Run

PHOTO = data.astronaut()[:40, :33]


@pytest.fixture(scope="module")
def single_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("single") / "single.keras"
    perturb(edge_cnn(**TINY), 1).save(path)
    return path


@pytest.fixture(scope="module")
def luma_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("luma") / "luma.keras"
    perturb(edge_cnn(**TINY, channels=1), 1).save(path)
    return path


@pytest.fixture(scope="module")
def noise_model():
    return perturb(proposal_network(filters=4, branch_blocks=1, blocks=1, norm="none", residual=True), 3)


@pytest.fixture(scope="module")
def noise_file(noise_model, tmp_path_factory):
    """A network that takes noise."""
    path = tmp_path_factory.mktemp("noise") / "noise.keras"
    noise_model.save(path)
    return path


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "in" / "photo.png"
    path.parent.mkdir()
    Image.fromarray(PHOTO).save(path)
    return path


@pytest.fixture
def run(capfd):
    """Run a command line; returns the exit code and the lines on stdout and stderr."""
    def run(*arguments):
        capfd.readouterr()
        code = cli.main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return code, out.splitlines(), err.splitlines()

    return run


@pytest.fixture
def refused(run):
    """Run a command line that must end with the code 2 and one line on stderr; returns that line."""
    def refused(*arguments):
        code, out, err = run(*arguments)
        assert (code, out, len(err)) == (2, [], 1), (code, out, err)
        assert err[0].startswith("tfar: ")
        return err[0]

    return refused


def test_restore_a_file(run, photo, fused_file, fused_model, tmp_path):
    for layer in ("fused", "base", "texture"):
        target = tmp_path / f"{layer}.png"
        code, out, err = run("restore", photo, target, "--preset", fused_file, "--layer", layer)
        assert (code, out, err) == (0, [f"{photo} -> {target}"], [])
        np.testing.assert_allclose(np.float32(Image.open(target)), Restorer(fused_model, layer)(PHOTO), atol=1)


def test_restore_a_folder(run, photo, fused_file, fused_model, tmp_path):
    gray = photo.parent / "sub" / "gray.jpg"
    gray.parent.mkdir()
    Image.fromarray(PHOTO[..., 0]).save(gray)
    target = tmp_path / "out"
    code, out, err = run("restore", photo.parent, target, "--preset", fused_file)
    assert (code, err) == (0, [])
    assert out == [f"{photo} -> {target}/photo.png", f"{gray} -> {target}/sub/gray.png"]
    with Image.open(gray) as jpeg, Image.open(target / "sub" / "gray.png") as restored:
        np.testing.assert_allclose(np.float32(restored), Restorer(fused_model)(np.asarray(jpeg)), atol=1)


def test_bad_files_of_a_folder_are_named_and_the_others_restored(run, photo, fused_file, tmp_path):
    (photo.parent / "empty.jpg").write_bytes(b"")
    (photo.parent / "text.jpg").write_text("no\nimage")
    code, out, err = run("restore", photo.parent, tmp_path / "out", "--preset", fused_file)
    assert code == 2
    assert out == [f"{photo} -> {tmp_path}/out/photo.png"]
    assert [line.split(":")[1].strip() for line in err] == [f"{photo.parent}/empty.jpg", f"{photo.parent}/text.jpg"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["photo.png"]


def test_restore_a_color_image_with_a_luma_network(run, photo, luma_file, tmp_path):
    assert run("restore", photo, tmp_path / "out.png", "--preset", luma_file)[0] == 0
    change = np.int16(Image.open(tmp_path / "out.png")) - PHOTO
    assert np.abs(change).max() > 1
    assert np.median(np.ptp(change, axis=-1)) <= 1


# Candidates of a one-to-many network.

def read(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_candidates_of_a_png(run, photo, noise_file, noise_model, tmp_path):
    target = tmp_path / "new" / "photo.png"
    code, out, err = run("restore", photo, target, "--preset", noise_file, "--candidates", 2)
    files = [target.with_name(f"photo-{label}.png") for label in (1, 2, "candidates")]
    assert (code, out, err) == (0, [f"{photo} -> {file}" for file in files], [])
    assert sorted(target.parent.iterdir()) == files
    first, second, sheet = map(read, files)
    for seed, candidate in enumerate((first, second)):
        np.testing.assert_allclose(np.float32(candidate), Restorer(noise_model, seed=seed)(PHOTO), atol=1)
    assert (first != second).any()

    height, width = 40 + LABEL_HEIGHT, 33
    assert sheet.shape == (2 * height, 2 * width, 3)
    for row, column, expected in ((0, 0, PHOTO), (0, 1, first), (1, 0, second)):
        cell = sheet[row * height : (row + 1) * height, column * width : (column + 1) * width]
        np.testing.assert_array_equal(cell[LABEL_HEIGHT:], expected)


def test_candidates_go_on_from_the_seed(run, photo, noise_file, tmp_path):
    for name, arguments in (("a", ["--candidates", 3, "--seed", 4]), ("b", ["--candidates", 1, "--seed", 6]),
                            ("c", ["--seed", 5]), ("d", [])):
        assert run("restore", photo, tmp_path / f"{name}.png", "--preset", noise_file, *arguments)[0] == 0
    np.testing.assert_array_equal(read(tmp_path / "a-3.png"), read(tmp_path / "b-1.png"))
    np.testing.assert_array_equal(read(tmp_path / "a-2.png"), read(tmp_path / "c.png"))
    assert (read(tmp_path / "c.png") != read(tmp_path / "d.png")).any()
    assert not (tmp_path / "c-1.png").exists()


@pytest.mark.parametrize("image", [PHOTO, PHOTO[..., 0]], ids=["color", "gray"])
@pytest.mark.parametrize("extension", ["png", "webp"])
def test_candidates_of_a_jpeg_come_with_the_share_outside_its_intervals(run, noise_file, tmp_path, image, extension):
    source = tmp_path / "photo.jpg"
    Image.fromarray(image).save(source, quality=35)
    code, out, err = run(
        "restore", source, tmp_path / f"out.{extension}", "--preset", noise_file, "--candidates", 2)
    assert (code, err) == (0, [])
    shares = []
    for number, line in enumerate(out[:2], start=1):
        file = tmp_path / f"out-{number}.{extension}"
        start, note = line.split("  (")
        assert start == f"{source} -> {file}"
        share, text = note.split("% ")
        assert text == "of the DCT coefficients outside the JPEG's interval)"
        given, restored = (Image.open(path).convert("RGB") for path in (source, file))
        expected = share_outside_interval(np.asarray(given), np.asarray(restored), jpeg.luma_table(35))
        assert 0.001 < expected < 1
        assert float(share) == pytest.approx(100 * expected, abs=0.051)
        shares.append(share)
    assert shares[0] != shares[1]
    assert out[2:] == [f"{source} -> {tmp_path}/out-candidates.{extension}"]


def test_a_jpeg_without_a_whole_block_has_no_such_share(run, noise_file, tmp_path):
    source = tmp_path / "photo.jpg"
    Image.fromarray(PHOTO[:7, :30]).save(source)
    code, out, _ = run("restore", source, tmp_path / "out.png", "--preset", noise_file, "--candidates", 1)
    assert (code, out[0]) == (0, f"{source} -> {tmp_path}/out-1.png")


def test_candidates_of_a_folder(run, refused, photo, noise_file, tmp_path):
    coded = photo.parent / "sub" / "coded.jpg"
    coded.parent.mkdir()
    Image.fromarray(PHOTO[..., 0]).save(coded)
    (photo.parent / "text.jpg").write_text("no image")
    target = tmp_path / "out"
    code, out, err = run("restore", photo.parent, target, "--preset", noise_file, "--candidates", 1)
    assert code == 2 and len(err) == 1 and "text.jpg" in err[0]
    assert [line.split("  (")[0] for line in out] == [
        f"{photo} -> {target}/photo-1.png", f"{photo} -> {target}/photo-candidates.png",
        f"{coded} -> {target}/sub/coded-1.png", f"{coded} -> {target}/sub/coded-candidates.png"]
    assert ["  (" in line for line in out] == [False, False, True, False]

    Image.fromarray(PHOTO).save(photo.with_name("photo-1.png"))
    before = photo.with_name("photo-1.png").read_bytes()
    line = refused("restore", photo.parent, photo.parent, "--preset", noise_file, "--candidates", 1)
    assert "photo-1.png: is one of the inputs" in line
    assert photo.with_name("photo-1.png").read_bytes() == before


@pytest.mark.parametrize("arguments", [[], ["--layer", "base"]])
def test_networks_without_noise_have_no_candidates(refused, photo, fused_file, tmp_path, arguments):
    command = ["restore", photo, tmp_path / "out.png", "--preset", fused_file, "--candidates", 2, *arguments]
    assert "region_aware gives one restoration of an image" in refused(*command)
    assert list(tmp_path.iterdir()) == [photo.parent]


@pytest.mark.parametrize("arguments", [[], ["--candidates", 2]])
def test_networks_with_noise_have_no_layers(refused, photo, noise_file, tmp_path, arguments):
    command = ["restore", photo, tmp_path / "out.png", "--preset", noise_file, "--layer", "base", *arguments]
    assert "no layer 'base'" in refused(*command)


@pytest.mark.parametrize(("arguments", "message"), [
    (["--candidates", "0"], "from 1 up, got '0'"), (["--candidates", "-1"], "from 1 up, got '-1'"),
    (["--candidates", "two"], "from 1 up, got 'two'"), (["--candidates", "1.5"], "from 1 up, got '1.5'"),
    (["--seed", "-1"], "from 0 up, got '-1'"), (["--seed", "x"], "from 0 up, got 'x'")])
def test_numbers_of_candidates_and_seeds_that_cannot_be(capfd, tmp_path, arguments, message):
    with pytest.raises(SystemExit) as caught:
        cli.main(["restore", str(tmp_path / "in.png"), str(tmp_path / "out.png"), *arguments])
    assert caught.value.code == 2
    assert message in capfd.readouterr().err


# What cannot be restored.

def write_truncated_jpeg(path):
    buffer = io.BytesIO()
    Image.fromarray(PHOTO).save(buffer, "JPEG")
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])


@pytest.mark.parametrize(("write", "reason"), [
    (lambda path: path.write_bytes(b""), "not a readable image"),
    (lambda path: path.write_text("two\nlines"), "not a readable image"),
    (write_truncated_jpeg, "not a readable image"),
    (lambda path: None, "no such file"),
], ids=["empty", "text", "truncated", "missing"])
def test_unreadable_input(refused, fused_file, tmp_path, write, reason):
    write(tmp_path / "bad.jpg")
    line = refused("restore", tmp_path / "bad.jpg", tmp_path / "out.png", "--preset", fused_file)
    assert str(tmp_path / "bad.jpg") in line
    assert reason in line
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("target", ["out.gif", "in/photo.png/out.png"])
def test_unwritable_output(refused, photo, fused_file, tmp_path, target):
    assert target in refused("restore", photo, tmp_path / target, "--preset", fused_file)
    assert not (tmp_path / target).exists()


def test_unknown_preset(refused, photo, tmp_path):
    assert "'absent'" in refused("restore", photo, tmp_path / "out.png", "--preset", "absent")
    (tmp_path / "bad.keras").write_bytes(b"")
    assert "bad.keras" in refused("restore", photo, tmp_path / "out.png", "--preset", tmp_path / "bad.keras")
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("command", ["restore", "export"])
def test_layer_of_a_single_network(refused, photo, single_file, tmp_path, command):
    inputs = [photo] if command == "restore" else []
    line = refused(command, *inputs, tmp_path / "out.png", "--preset", single_file, "--layer", "base")
    assert "no layer 'base'" in line
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(("arguments", "named"), [
    (["--set", "base.data.patches=3"], "'base.data.patches'"),
    (["--set", "base.data.patch=many"], "base.data.patch"),
    (["--set", "base.data.patch"], "'base.data.patch'"),
    (["--set", "base.data.patch=0"], "data.patch"),
    (["--recipe", "huge"], "unknown recipe 'huge'; known: paper, general, gpu, cpu, demo"),
    (["--strategy", "several"], "'several'"),
])
def test_refused_trainings_leave_no_run(refused, tmp_path, arguments, named):
    assert named in refused("train", "region-aware", "--run", tmp_path / "run", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_resume_needs_a_run(refused, tmp_path):
    assert f"{tmp_path / 'absent'}: no recipe.json" in refused("train", "region-aware", "--resume", tmp_path / "absent")
    assert "--resume" in refused("train", "region-aware", "--resume", tmp_path, "--data", "demo")
    assert list(tmp_path.iterdir()) == []


def test_train_passes_its_arguments_to_the_job(run, tmp_path, monkeypatch):
    jobs = []
    monkeypatch.setattr(tfar.jobs, "training_job", lambda run, **options: jobs.append((run, options)))
    monkeypatch.chdir(tmp_path)
    changes = ["--data", "photos", "--precision", "float32", "--set", "base.data.patch=64", "mask.threshold=6"]
    command = ["train", "region-aware", "--recipe", "cpu", "--run", "mine", "--minutes", "2.5", *changes]
    assert run(*command) == (0, [], [])
    started, options = jobs[0]
    assert isinstance(started, RegionAwareRun) and str(started.folder) == "mine"
    assert options["minutes"] == 2.5
    assert {part.data.source for part in (started.recipe.base, started.recipe.texture)} == {"photos"}
    assert {part.precision for part in (started.recipe.base, started.recipe.texture)} == {"float32"}
    assert (started.recipe.base.data.patch, started.recipe.texture.data.patch) == (64, 96)
    assert (started.recipe.mask.threshold, started.recipe.base.generator.options["blocks"]) == (6, 6)

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "recipe.json").write_text(recipes.to_json(started.recipe))
    assert run("train", "region-aware", "--resume", "mine") == (0, [], [])
    assert jobs[1][0].recipe == started.recipe
    assert run("train", "region-aware") == (0, [], [])
    assert str(jobs[2][0].folder).startswith("runs/region-aware-demo-")


@pytest.mark.parametrize("system", [name for name in SYSTEMS if name != "region-aware"])
def test_train_passes_the_recipe_of_the_system_to_the_job(run, tmp_path, monkeypatch, system):
    jobs = []
    monkeypatch.setattr(tfar.jobs, "training_job", lambda run, **options: jobs.append((run, options)))
    monkeypatch.chdir(tmp_path)
    changes = ["--data", "photos", "--precision", "mixed_float16", "--set", "data.batch=7", "seed=5"]
    assert run("train", system, "--recipe", "cpu", "--minutes", "2.5", *changes) == (0, [], [])
    started, options = jobs[0]
    assert isinstance(started, Run)
    assert str(started.folder).startswith(f"runs/{system}-cpu-")
    assert options["minutes"] == 2.5
    assert started.recipe == recipes.override(SYSTEMS[system]["cpu"], [
        "data.source=photos", "precision=mixed_float16", "data.batch=7", "seed=5"])

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "recipe.json").write_text(recipes.to_json(started.recipe))
    assert run("train", system, "--resume", "mine") == (0, [], [])
    assert jobs[1][0].recipe == started.recipe
    assert run("train", system, "--run", "other") == (0, [], [])
    assert (str(jobs[2][0].folder), jobs[2][0].recipe) == ("other", SYSTEMS[system]["demo"])


def test_systems_and_recipes_that_are_not_there(refused, tmp_path):
    line = refused("train", "edge-gan", "--run", tmp_path / "run")
    assert line == f"tfar: unknown system 'edge-gan'; known: {', '.join(SYSTEMS)}"
    line = refused("train", "argan", "--recipe", "gpu", "--run", tmp_path / "run")
    assert line == "tfar: unknown recipe 'gpu'; known: paper, cpu, demo"
    assert "'base'" in refused("train", "argan", "--set", "base.data.patch=64", "--run", tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_system(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    assert set(SYSTEMS) <= set(re.findall(r"[a-z-]+", capsys.readouterr().out))


def test_evaluate_prints_a_table(run, photo, fused_file):
    code, out, err = run("evaluate", photo.parent, "--preset", fused_file, "--quality", 10, 30, "--protocol", "gray")
    assert (code, err) == (0, [])
    assert [line for line in out if line.startswith("**")] == [
        "**in, gray, QF 10, 1 image**", "**in, gray, QF 30, 1 image**"]
    assert [line.split("|")[1].strip() for line in out if line.startswith("|")] == 2 * [
        "", "---", "JPEG", "model base", "model texture", "model fused"]


def test_evaluate_prints_what_is_gained_over_the_jpeg(run, photo, fused_file):
    _, before, _ = run("evaluate", photo.parent, "--preset", fused_file, "--quality", 10, 30, "--protocol", "gray")
    code, out, err = run("evaluate", photo.parent, "--preset", fused_file, "--quality", 10, 30, "--protocol", "gray",
                         "--gain", "psnr_b")
    assert (code, err) == (0, []) and len(out) == len(before) + 8
    assert out[len(before) + 1 :][:3] == [
        "**in, gray: PSNR-B over the JPEG's, mean (worst image)**", "", "|  | QF 10 | QF 30 |"]
    assert [line.split("|")[1].strip() for line in out[-3:]] == ["model base", "model texture", "model fused"]


def test_evaluate_a_single_network(run, photo, luma_file):
    code, out, err = run("evaluate", photo.parent, "--preset", luma_file)
    assert (code, err) == (0, [])
    rows = [line.split("|")[1].strip() for line in out if line.startswith("|")]
    assert rows == 2 * ["", "---", "JPEG", luma_file.stem]
    assert "gray" in out[0] and any("color" in line for line in out)


def test_evaluate_writes_tables_and_a_report(run, photo, fused_file, luma_file, tmp_path):
    folder = tmp_path / "report"
    code, out, err = run("evaluate", photo.parent, "--preset", fused_file, luma_file, "--protocol", "gray", "color",
                         "--metrics", "psnr", "ssim", "--out", folder, "--no-cache", "--pictures", 2)
    assert code == 0 and err == []
    names = {path.name for path in folder.iterdir()}
    assert names >= {"results.csv", "summary.md", "summary.json", "tables.tex", "report.html"}
    assert {str(folder / name) for name in ("results.csv", "report.html")} <= set(out)
    assert (folder / "results.csv").read_text().count("\n") == 1 + 2 * 5
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png") > 8 and "mask of model fused" in page


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
    truth = write_json(tmp_path / "truth.json", {
        "images": [{"id": 1, "width": 64, "height": 64}], "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [8, 8, 24, 24], "area": 576, "iscrowd": 0}]})
    found = [{"image_id": 1, "category_id": 1, "bbox": [8, 8, 24, 24], "score": 0.9}]
    results = {"original": write_json(tmp_path / "a.json", found), "JPEG": write_json(tmp_path / "b.json", [])}
    named = [f"{label}={file}" for label, file in results.items()]
    code, out, err = run("evaluate", "--detections", *named, "--annotations", truth)
    assert (code, err) == (0, [])
    assert any(line.startswith("| original") and "100.0" in line for line in out)
    assert any(line.startswith("| JPEG") and "0.0" in line for line in out)
    assert "--annotations" in refused("evaluate", "--detections", *named)
    assert "NAME=PATH" in refused("evaluate", "--detections", results["JPEG"], "--annotations", truth)


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


def test_evaluate_refuses(refused, photo, fused_file, tmp_path, capfd):
    assert "absent: no such folder" in refused("evaluate", tmp_path / "absent", "--preset", fused_file)
    assert "needs a folder" in refused("evaluate", "--preset", fused_file)
    assert "unknown metric 'psmr'" in refused("evaluate", photo.parent, "--preset", fused_file, "--metrics", "psmr")
    evaluate = ("evaluate", photo.parent, "--preset", fused_file)
    assert "--gain ssim is not among the metrics: psnr" in refused(*evaluate, "--metrics", "psnr", "--gain", "ssim")
    assert "lpips needs weights" in refused(*evaluate, "--metrics", "lpips")
    assert "lpips_alex.npz" in refused(*evaluate, "--weights", tmp_path)
    assert "dists.npz" in refused(*evaluate, "--weights", tmp_path, "--metrics", "psnr", "dists")
    with pytest.raises(SystemExit) as caught:
        cli.main(["evaluate", str(photo.parent), "--quality", "0"])
    assert caught.value.code == 2
    assert "quality factor from 1 to 100, got '0'" in capfd.readouterr().err


def test_export_into_the_place_of_a_file(refused, photo, fused_file):
    assert f"{photo}: " in refused("export", photo, "--preset", fused_file)
    np.testing.assert_array_equal(np.asarray(Image.open(photo)), PHOTO)


def test_presets_lists_names_and_shows_cards(run, refused, tmp_path, monkeypatch):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.keras").write_bytes(b"")
    (tmp_path / "two" / "README.md").write_text("# The second\n")
    monkeypatch.setattr("tfar.presets.presets_folder", lambda: tmp_path)
    assert run("presets") == (0, ["one", "two"], [])
    assert run("presets", "two")[1][0] == "# The second"
    assert "one/README.md" in refused("presets", "one")
    assert "'three'" in refused("presets", "three")


def test_warnings_are_one_line_each(capsys):
    def warn(options):
        import warnings
        warnings.warn("skipped a.jpg: not a readable image")
        return 0

    assert cli.exit_code(warn, None) == 0
    assert capsys.readouterr().err == "tfar: warning: skipped a.jpg: not a readable image\n"


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"tfar {tfar.__version__}\n"


def test_help_does_not_wait_for_keras():
    code = "import sys, tfar.cli; sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_process_prints_one_line_for_a_text_file(tmp_path, fused_file):
    (tmp_path / "text.jpg").write_text("no image")
    command = [sys.executable, "-c", "import sys; from tfar.cli import main; sys.exit(main())", "restore",
               str(tmp_path / "text.jpg"), str(tmp_path / "out.png"), "--preset", str(fused_file)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [f"tfar: {tmp_path}/text.jpg: not a readable image (unknown format)"]
    assert not (tmp_path / "out.png").exists()
