from functools import partial
from types import SimpleNamespace

import pytest
from helpers import files_below, plain_recipe, save_image, warned
from skimage import data

from tfar import cli, recipes
from tfar.commands import train
from tfar.export import saved_model, tflite
from tfar.models import SYSTEMS, build
from tfar.recipes import Data
from tfar.training import distribution
from tfar.training.region_aware import RegionAwareRun
from tfar.training.runs import Run


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--set", "base.data.patches=3"], "'base.data.patches'"),
        (["--set", "base.data.patch=many"], "base.data.patch"),
        (["--set", "base.data.patch"], "'base.data.patch'"),
        (["--set", "base.data.patch=0"], "data.patch"),
        (["--recipe", "huge"], "unknown recipe 'huge'; known: paper, general, tiny, gpu, cpu, demo"),
        (["--strategy", "several"], "'several'"),
    ],
)
def test_refused_trainings_leave_no_run(refused, tmp_path, arguments, named):
    assert named in refused("train", "region-aware", "--run", tmp_path / "run", *arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("minutes", ["nan", "inf", "0", "-1", "soon"])
def test_minutes_are_a_finite_number_above_0(minutes, capsys):
    with pytest.raises(SystemExit):
        cli._parser().parse_args(["train", "argan", "--minutes", minutes])
    assert f"--minutes: expected a finite number above 0, got '{minutes}'" in capsys.readouterr().err


def test_several_workers_need_one_folder(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(distribution, "worker_count", lambda strategy: 2)
    monkeypatch.setattr(train, "training_job", lambda run, **options: None)
    assert refused("train", "argan") == "tfar: several workers need --run with a folder that all of them share"
    assert cli.main(["train", "argan", "--run", "mine"]) == 0


def test_resume_needs_a_run(refused, tmp_path):
    assert f"{tmp_path / 'absent'}: no recipe.json" in refused("train", "region-aware", "--resume", tmp_path / "absent")
    assert "--resume" in refused("train", "region-aware", "--resume", tmp_path, "--data", "demo")
    assert list(tmp_path.iterdir()) == []


def test_train_passes_its_arguments_to_the_job(run, tmp_path, monkeypatch):
    jobs = []
    monkeypatch.setattr(train, "training_job", lambda run, **options: jobs.append((run, options)))
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
    monkeypatch.setattr(train, "training_job", lambda run, **options: jobs.append((run, options)))
    monkeypatch.chdir(tmp_path)
    changes = ["--data", "photos", "--precision", "mixed_float16", "--set", "data.batch=7", "seed=5"]
    assert run("train", system, "--recipe", "cpu", "--minutes", "2.5", *changes) == (0, [], [])
    started, options = jobs[0]
    assert isinstance(started, Run)
    assert str(started.folder).startswith(f"runs/{system}-cpu-")
    assert options["minutes"] == 2.5
    assert started.recipe == recipes.override(
        SYSTEMS[system]["cpu"], ["data.source=photos", "precision=mixed_float16", "data.batch=7", "seed=5"]
    )

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


def test_one_network_of_the_region_aware_system_is_trained_alone(run, tmp_path, monkeypatch, fused_file):
    jobs = []
    monkeypatch.setattr(train, "training_job", lambda run, **options: jobs.append((run, options)))
    monkeypatch.chdir(tmp_path)
    command = ["train", "region-aware.texture", "--recipe", "general", "--data", "photos", "--initial", fused_file]
    assert run(*command, "--set", "data.patch=64") == (0, [], [])
    [(started, options)] = jobs
    changes = ["data.source=photos", "data.patch=64"]
    assert started.recipe == recipes.override(SYSTEMS["region-aware"]["general"].texture, changes)
    assert options["initial"].name == "region_aware"


def test_the_recipe_is_shown_as_json(run, tmp_path, monkeypatch):
    code, out, err = run(
        "train", "argan", "--recipe", "cpu", "--show-recipe", "--set", "data.batch=5", "--run", tmp_path / "run"
    )
    assert (code, err) == (0, []) and not (tmp_path / "run").exists()
    expected = recipes.override(SYSTEMS["argan"]["cpu"], ["data.batch=5"])
    assert recipes.from_json(recipes.Recipe, "\n".join(out)) == expected
    assert run("train", "region-aware", "--show-recipe")[1][1] == '  "base": {'
    monkeypatch.setenv("TF_CONFIG", "of no cluster")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.json").write_text(recipes.to_json(expected))
    assert run("train", "argan", "--resume", tmp_path / "run", "--show-recipe") == (0, out, [])


def test_a_folder_of_photographs_may_be_called_by_a_number(run):
    out = run("train", "argan", "--show-recipe", "--data", "2024")[1]
    assert recipes.from_json(recipes.Recipe, "\n".join(out)).data.source == "2024"


@pytest.mark.parametrize("usable", [True, False])
def test_held_out_photographs_that_cannot_be_scored_do_not_end_the_job(tmp_path, monkeypatch, capsys, usable):
    """Two are held out, e.jpg and then a.jpg: of the first only the header can be read."""
    exported = []
    monkeypatch.setattr(saved_model, "export_saved_model", lambda model, folder, **_: exported.append(folder.name))
    monkeypatch.setattr(tflite, "export_tflite", lambda folder, file: exported.append(file.name))
    for name, height in (("c", 90), ("e", 90), ("a", 90 if usable else 9)):
        save_image(tmp_path / f"{name}.jpg", data.astronaut()[:height, :90])
    broken = tmp_path / "e.jpg"
    broken.write_bytes(broken.read_bytes()[:1000])
    recipe = plain_recipe(data=Data(source=str(tmp_path), patch=8, validation=0.7))
    run = SimpleNamespace(
        folder=tmp_path / "run", data=recipe.data, train=lambda **_: True, network=lambda: build(recipe.generator)
    )
    _, said = warned(partial(train.training_job, run, strategy=distribution.choose_strategy("one"), test_images=1))
    small = f"skipped {tmp_path}/a.jpg: an image of at least 16x16 pixels is needed, got (9, 90)"
    assert [text for text in said if text.startswith("skipped")] == [
        f"skipped {broken}: cut short, its data end early",
        *[small][usable:],
    ]
    assert exported == ["saved_model", "model.tflite"]
    assert ("No held-out image can be scored" in capsys.readouterr().out) != usable
    assert files_below(run.folder) == ["comparison.png", "metrics.json", "model.keras"][0 if usable else 2 :]


WHOLE = SYSTEMS["region-aware"]["demo"]
RUNS = {
    "whole": (WHOLE, ["region-aware"]),
    "base": (WHOLE.base, ["region-aware", "region-aware.base", "ep-gan"]),
    "texture": (WHOLE.texture, ["region-aware", "region-aware.texture", "v-gan"]),
    "argan": (SYSTEMS["argan"]["demo"], ["argan"]),
    "galteri": (SYSTEMS["galteri-gan"]["cpu"], ["galteri-mse", "galteri-gan"]),
}


@pytest.mark.parametrize("kind", RUNS)
def test_a_run_is_resumed_by_the_name_of_what_it_trains(run, refused, tmp_path, monkeypatch, kind):
    jobs = []
    monkeypatch.setattr(train, "training_job", lambda run, **options: jobs.append(run.recipe))
    recipe, names = RUNS[kind]
    (tmp_path / "recipe.json").write_text(recipes.to_json(recipe))
    every = {name for _, some in RUNS.values() for name in some}
    for name in every & {*names}:
        assert run("train", name, "--resume", tmp_path) == (0, [], [])
    assert jobs == [recipe] * len(names)
    for name in every - {*names}:
        line = refused("train", name, "--resume", tmp_path)
        assert line.startswith(f"tfar: {tmp_path}: trains ") and line.endswith(f", not {name}")


def test_a_run_keeps_its_recipe(refused, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "training_job", lambda run, **options: pytest.fail("trained"))
    (tmp_path / "recipe.json").write_text(recipes.to_json(SYSTEMS["argan"]["cpu"]))
    assert "so no --set, --recipe" in refused("train", "argan", "--resume", tmp_path, "--recipe", "demo")
    assert "unknown system 'edge-gan'" in refused("train", "edge-gan", "--resume", tmp_path)


def test_initial_is_for_a_new_run(refused, tmp_path):
    assert "no --set" in refused("train", "argan", "--resume", tmp_path, "--initial", "region-aware-q10")
    assert "'absent'" in refused("train", "argan", "--initial", "absent", "--run", tmp_path / "run")
    assert not (tmp_path / "run").exists()
