import io
import subprocess
import sys

import numpy as np
import pytest
from conftest import TINY, perturb
from PIL import Image
from skimage import data

import tfar.jobs
from tfar import cli, recipes
from tfar.models.region_aware import edge_cnn
from tfar.restoration.restorer import Restorer

PHOTO = data.astronaut()[:40, :33]


@pytest.fixture(scope="module")
def single_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("single") / "single.keras"
    perturb(edge_cnn(**TINY), 1).save(path)
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
    (["--recipe", "huge"], "unknown recipe 'huge'; known: paper, gpu, cpu, demo"),
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
    monkeypatch.setattr(tfar.jobs, "region_aware_job", lambda run, **options: jobs.append((run, options)))
    monkeypatch.chdir(tmp_path)
    changes = ["--data", "photos", "--precision", "float32", "--set", "base.data.patch=64", "mask.threshold=6"]
    command = ["train", "region-aware", "--recipe", "cpu", "--run", "mine", "--minutes", "2.5", *changes]
    assert run(*command) == (0, [], [])
    started, options = jobs[0]
    assert str(started.folder) == "mine"
    assert options["minutes"] == 2.5
    assert {part.data.source for part in (started.recipe.base, started.recipe.texture)} == {"photos"}
    assert {part.precision for part in (started.recipe.base, started.recipe.texture)} == {"float32"}
    assert (started.recipe.base.data.patch, started.recipe.texture.data.patch) == (64, 96)
    assert (started.recipe.mask.threshold, started.recipe.base.generator.options["blocks"]) == (6, 8)

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "recipe.json").write_text(recipes.to_json(started.recipe))
    assert run("train", "region-aware", "--resume", "mine") == (0, [], [])
    assert jobs[1][0].recipe == started.recipe
    assert run("train", "region-aware") == (0, [], [])
    assert str(jobs[2][0].folder).startswith("runs/region-aware-demo-")


def test_evaluate_prints_a_table(run, photo, fused_file):
    code, out, err = run("evaluate", photo.parent, "--preset", fused_file, "--quality", 10, 30, "--protocol", "gray")
    assert (code, err) == (0, [])
    assert out[0] == f"{fused_file}, means over 1 images of in"
    assert [line.split("|")[1].strip() for line in out[2:]] == [
        "", "---", "JPEG", "L_B (base)", "L_T (texture)", "fused"]
    assert "gray QF10" in out[2] and "gray QF30" in out[2] and "color" not in out[2]


def test_evaluate_refuses(refused, photo, fused_file, tmp_path, capfd):
    assert "absent: no such folder" in refused("evaluate", tmp_path / "absent", "--preset", fused_file)
    assert "lpips.npz" in refused("evaluate", photo.parent, "--preset", fused_file, "--lpips", tmp_path / "lpips.npz")
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
