import csv
import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
from helpers import GENERATOR, ROOT, SCALES, TINY, adversarial_recipe, noise_recipe, perturb, plain_recipe
from PIL import Image

from tfar import presets
from tfar.errors import CheckpointError, NonFiniteLoss, RecipeError
from tfar.models import build
from tfar.models.galteri import galteri_generator
from tfar.models.region_aware import RECIPES, THREE_SCALES, edge_cnn, region_aware, texture_generator
from tfar.recipes import Data, Features, Network, Optimizer, Phase, override, to_json
from tfar.storage import load_weights, write_text
from tfar.training.callbacks import StopOnNonFinite
from tfar.training.distribution import choose_strategy
from tfar.training.region_aware import RegionAwareRun, open_run
from tfar.training.runs import Run, copy_matching_weights
from tfar.training.trainer import build_discriminator


def epochs_in_log(run):
    with open(run.folder / "log.csv", newline="") as file:
        return [int(row["epoch"]) for row in csv.DictReader(file)]


def final_weights(run, name="generator"):
    network = build_discriminator(run.recipe, 3) if name == "discriminator" else build(run.recipe.generator)
    load_weights(network, run.checkpoint(run.recipe.epochs) / f"{name}.weights.h5")
    return network.get_weights()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """An adversarial run trained in one go."""
    run = Run(tmp_path_factory.mktemp("run") / "whole", adversarial_recipe())
    assert run.train(verbose=0)
    return run


def test_a_run_folder_holds_recipe_checkpoints_logs_and_best_weights(finished):
    assert json.loads((finished.folder / "recipe.json").read_text())["generator"]["builder"] == "texture_generator"
    names = {path.name for path in finished.checkpoint(2).iterdir()}
    assert names == {
        "generator.weights.h5",
        "averaged_generator.weights.h5",
        "discriminator.weights.h5",
        "generator_optimizer.npz",
        "discriminator_optimizer.npz",
        "state.json",
    }
    assert epochs_in_log(finished) == [1, 2]
    assert list((finished.folder / "tensorboard").glob("events.*"))
    assert (finished.folder / "best.weights.h5").exists()


def test_tensorboard_log_has_scalars_and_sample_images(finished):
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    file = next((finished.folder / "tensorboard").glob("events.*"))
    values = [value for event in EventFileLoader(str(file)).Load() for value in event.summary.value]
    tags = [value.tag for value in values]
    assert tags.count("val_psnr") == 2
    assert tags.count("jpeg | restored | original") == 2


def test_interrupted_and_resumed_run_ends_with_the_same_weights(finished, tmp_path):
    first = Run(tmp_path / "run", adversarial_recipe())
    assert not first.train(minutes=0, verbose=0)  # stops after the first epoch
    assert first.latest_epoch() == 1
    assert Run(tmp_path / "run").train(verbose=0)
    for whole, resumed in zip(final_weights(finished), final_weights(first)):
        np.testing.assert_allclose(resumed, whole, atol=1e-5)


def test_a_run_of_a_network_that_takes_noise_is_drawn_and_resumed_like_the_others(tmp_path):
    whole, halves = Run(tmp_path / "whole", noise_recipe()), Run(tmp_path / "halves", noise_recipe())
    assert whole.train(verbose=0)
    assert not halves.train(minutes=0, verbose=0)
    assert halves.train(verbose=0)
    for a, b in zip(final_weights(whole), final_weights(halves)):
        np.testing.assert_allclose(b, a, atol=1e-5)
    with open(whole.folder / "log.csv", newline="") as file:
        _, last = csv.DictReader(file)
    assert {"loss", "mse", "jpeg", "ssim", "saturating", "discriminator", "val_jpeg", "val_ssim"} <= last.keys()
    assert all(np.isfinite(float(value)) for value in last.values())
    assert [tensor.name for tensor in whole.network().inputs] == ["jpeg", "noise"]
    assert whole.data == noise_recipe().data


def test_sample_images_of_a_luma_run_stand_in_the_log(tmp_path):
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    generator = Network(builder="edge_cnn", options={**GENERATOR, "channels": 1})
    run = Run(tmp_path, plain_recipe(generator=generator, steps_per_epoch=1))
    assert not run.train(minutes=0, verbose=0)
    assert run.network().inputs[0].shape[-1] == 1
    [file] = (tmp_path / "tensorboard").glob("events.*")
    values = [value for event in EventFileLoader(str(file)).Load() for value in event.summary.value]
    [sample] = [value for value in values if value.tag == "jpeg | restored | original"]
    image = Image.open(io.BytesIO(sample.tensor.string_val[2]))  # after its width and height
    assert (image.size, image.mode) == ((3 * 32, 4 * 32), "L")


def test_resuming_in_the_middle_of_a_phase_keeps_the_optimizer(tmp_path):
    recipe = plain_recipe(optimizer=Optimizer(average=0.9))
    whole = Run(tmp_path / "whole", recipe)
    whole.train(verbose=0)
    halves = Run(tmp_path / "halves", recipe)
    halves.train(minutes=0, verbose=0)
    halves.train(verbose=0)
    for a, b in zip(final_weights(whole), final_weights(halves)):
        np.testing.assert_allclose(b, a, atol=1e-5)
    assert epochs_in_log(halves) == [1, 2]


def test_resuming_in_the_middle_of_an_adversarial_phase_keeps_all_networks_and_optimizers(tmp_path):
    phase = Phase(epochs=2, terms={"mse": 1.0, "adversarial": 1e-2}, learning_rate=1e-3)
    discriminator = Network(builder="srgan_discriminator", options={"filters": 4, "norm": "none"})
    recipe = adversarial_recipe(phases=(phase,), discriminator=discriminator, data=Data(patch=32, batch=4))
    whole, halves = Run(tmp_path / "whole", recipe), Run(tmp_path / "halves", recipe)
    assert whole.train(verbose=0)
    assert not halves.train(minutes=0, verbose=0)
    assert halves.train(verbose=0)
    for name in ("generator", "averaged_generator", "discriminator"):
        for a, b in zip(final_weights(whole, name), final_weights(halves, name), strict=True):
            np.testing.assert_allclose(b, a, atol=1e-5, err_msg=name)


def test_moments_are_kept_where_the_rate_alone_changes(tmp_path):
    phase = Phase(epochs=1, terms={"mse": 1.0, "adversarial": 1e-2}, learning_rate=1e-3)
    slow = dataclasses.replace(phase, learning_rate=1e-12, discriminator_rate=1e-11)
    recipe = adversarial_recipe(phases=(phase, slow), data=Data(patch=32, batch=4), optimizer=Optimizer())
    run = Run(tmp_path, recipe)
    assert run.train(verbose=0)
    for name in ("generator", "discriminator"):
        first, last = (dict(np.load(run.checkpoint(epoch) / f"{name}_optimizer.npz")) for epoch in (1, 2))
        steps, rates = [s["0"] for s in (first, last)], [float(s["1"]) for s in (first, last)]
        assert steps == [2, 4]
        assert rates == pytest.approx([1e-3, 1e-12 if name == "generator" else 1e-11])
    before = build(run.recipe.generator)
    load_weights(before, run.checkpoint(1) / "generator.weights.h5")
    kernels = [weight.shape for weight in before.weights if len(weight.shape) == 4]
    assert kernels
    for a, b in zip(before.get_weights(), final_weights(run)):
        if len(a.shape) == 4:
            np.testing.assert_allclose(b, a, atol=1e-8)


KILLED = """
import sys
from helpers import plain_recipe
from tfar.recipes import Phase
from tfar.training.runs import Run
Run(sys.argv[1], plain_recipe(phases=(Phase(epochs=40, terms={"mse": 1.0}),), steps_per_epoch=2)).train(verbose=0)
"""


def test_killed_at_a_random_step_it_goes_on_from_the_last_epoch(tmp_path):
    folder = tmp_path / "run"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], env=environment)
    deadline = time.monotonic() + 120
    while not list(folder.glob("checkpoints/0000*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(np.random.default_rng().uniform(0.0, 0.5))
    process.send_signal(signal.SIGKILL)
    process.wait()

    run = Run(folder)
    reached = run.latest_epoch()
    assert reached and reached < run.recipe.epochs, "the process was killed too early or too late for this test"
    assert run.train(verbose=0)
    assert run.latest_epoch() == 40
    assert epochs_in_log(run) == list(range(1, 41))
    assert len(list(folder.glob("checkpoints/0*"))) == 2


def test_only_the_newest_checkpoints_are_kept(tmp_path):
    run = Run(tmp_path, plain_recipe(steps_per_epoch=1, phases=(Phase(epochs=4, terms={"mse": 1.0}),)))
    run.train(verbose=0)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["000003", "000004"]


def test_best_weights_are_those_of_the_best_validation_epoch(tmp_path):
    recipe = plain_recipe(
        phases=(
            Phase(epochs=1, terms={"mse": 1.0}, learning_rate=1e-3),
            Phase(epochs=1, terms={"mse": 1.0}, learning_rate=1.0),
        )
    )  # the second one does harm
    run = Run(tmp_path, recipe)
    run.train(verbose=0)
    with open(run.folder / "log.csv", newline="") as file:
        first, second = (float(row["val_psnr"]) for row in csv.DictReader(file))
    assert first > second
    assert run.best_value() == pytest.approx(first)
    best, last = run.best_generator().get_weights(), final_weights(run)
    assert not all(np.array_equal(a, b) for a, b in zip(best, last))


def test_other_recipe_in_the_same_folder_is_refused(tmp_path):
    Run(tmp_path, plain_recipe(steps_per_epoch=1)).train(minutes=0, verbose=0)
    with pytest.raises(CheckpointError, match="another recipe"):
        Run(tmp_path, plain_recipe(seed=1))


def test_a_recipe_that_cannot_be_resumed_is_named_with_its_file(tmp_path):
    (tmp_path / "recipe.json").write_text(to_json(plain_recipe()).replace('"weight_decay": 0.0', '"weight_decay": 0.5'))
    with pytest.raises(RecipeError, match=f"^{tmp_path}/recipe.json: recipe.optimizer: weight_decay is of muon"):
        Run(tmp_path)


def test_a_region_aware_training_is_not_begun_over_another_run(tmp_path):
    recipe = RECIPES["demo"]
    (tmp_path / "recipe.json").write_text(to_json(plain_recipe()))
    with pytest.raises(CheckpointError, match="another recipe"):
        RegionAwareRun(tmp_path, recipe)
    (tmp_path / "recipe.json").write_text(to_json(recipe))
    assert RegionAwareRun(tmp_path, recipe).recipe == RegionAwareRun(tmp_path).recipe == recipe
    with pytest.raises(CheckpointError, match="another recipe"):
        RegionAwareRun(tmp_path, override(recipe, ["mask.threshold=6"]))


def test_a_texture_network_that_cannot_start_from_the_base_is_refused_before_the_base_is_trained(tmp_path):
    recipe = override(RECIPES["demo"], ["texture_from_base=true", "base.generator.options.activation=leaky_relu"])
    with pytest.raises(CheckpointError, match="are leaky_relu, those of the recipe relu"):
        RegionAwareRun(tmp_path / "run", recipe).train(verbose=0)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("decay", ["constant", "cosine"])
def test_a_rate_that_would_rise_to_the_end_of_its_phase_is_refused(tmp_path, decay):
    phases = tuple(Phase(epochs=2, terms={"mse": 1.0}, decay=decay, warmup=warmup) for warmup in (5, 6))
    Run(tmp_path, plain_recipe(phases=phases[:1])).check(choose_strategy("one"))
    with pytest.raises(RecipeError, match="^phases.1.warmup must be below the phase's 6 steps, got 6$"):
        Run(tmp_path, plain_recipe(phases=phases)).check(choose_strategy("one"))


def test_a_folder_holds_the_run_that_its_recipe_is_of(tmp_path):
    for name, recipe, kind in (("one", plain_recipe(), Run), ("both", RECIPES["demo"], RegionAwareRun)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.json").write_text(to_json(recipe))
        assert type(open_run(tmp_path / name)) is kind


def test_a_run_whose_time_is_over_in_the_last_epoch_is_finished(tmp_path):
    run = Run(tmp_path, plain_recipe(steps_per_epoch=1))
    assert [run.train(minutes=0, verbose=0) for _ in range(2)] == [False, True]


STORED = """{
"generator": {"builder": "edge_cnn", "options": {"filters": 32, "blocks": 6, "head": 32, "norm": "none",
  "residual": true, "stride": 2, "scales": 3, "expansion": 4}},
"discriminator": null, "features": null,
"data": {"source": "photos", "validation": 0.1, "quality": [5, 95], "quality_law": "log-uniform", "gray": 0.3,
  "subsampling": {"4:2:0": 0.7, "4:2:2": 0.1, "4:4:4": 0.2},
  "tables": {"standard": 0.8, "mozjpeg": 0.1, "photoshop": 0.1}, "double": 0.15, "patch": 96, "batch": 8,
  "patches_per_image": 1, "aligned": 0.7, "augment": true},
"optimizer": {"kind": "muon", "adam_ratio": 0.5, "beta_1": 0.9, "beta_2": 0.999, "clip_norm": null, "average": 0.999},
"phases": [
  {"epochs": 60, "terms": {"relative_mse": 1.0, "edge": 0.1}, "fading": [], "learning_rate": 0.002,
    "discriminator_rate": null, "decay": "constant", "warmup": 200},
  {"epochs": 15, "terms": {"relative_mse": 1.0, "edge": 0.1}, "fading": [], "learning_rate": 0.002,
    "discriminator_rate": null, "decay": "cosine", "warmup": 0}],
"steps_per_epoch": 500, "monitor": "psnr", "label_smoothing": 0.0, "precision": "float32", "seed": 0}"""


def test_a_run_of_the_first_version_is_still_that_of_its_recipe(tmp_path):
    (tmp_path / "recipe.json").write_text(STORED)
    run = Run(tmp_path)
    phase = {"terms": {"relative_mse": 1.0, "edge": 0.1}, "learning_rate": 2e-3}
    phases = [phase | {"epochs": 60, "warmup": 200}, phase | {"epochs": 15, "decay": "cosine"}]
    network = [f"generator.options={json.dumps(THREE_SCALES)}", "optimizer.weight_decay=0"]
    data = ["data.source=photos", "data.gray=0.3", "data.drawn=0", "data.aligned=0.7"]
    assert run.recipe == override(RECIPES["general"].base, [*network, *data, f"phases={json.dumps(phases)}"])
    same, of_preset = (
        override(run.recipe, [f"generator.options.blocks={blocks}"]) for blocks in ("[1,1,2,1,1]", "[2,1,2,1,2]")
    )
    assert shapes_of(build(run.recipe.generator)) == shapes_of(build(same.generator))
    assert shapes_of(build(of_preset.generator)) == shapes_of(presets.load("general").get_layer("edge_cnn"))


def shapes_of(network):
    """The layer, name and shape of each weight."""
    return [(weight.path.split("/")[-2:], weight.shape) for weight in network.weights]


def test_folder_without_recipe_cannot_be_resumed(tmp_path):
    with pytest.raises(CheckpointError, match="no recipe.json"):
        Run(tmp_path)


def test_checkpoint_of_another_architecture_is_refused_by_name(finished, tmp_path):
    other = build(plain_recipe().generator)
    path = finished.folder / "best.weights.h5"
    with pytest.raises(CheckpointError, match="best.weights.h5.*another architecture"):
        load_weights(other, path)
    with pytest.raises(CheckpointError, match="no such weights file"):
        load_weights(other, tmp_path / "none.weights.h5")


def test_non_finite_loss_stops_with_step_term_and_checkpoint(tmp_path):
    recipe = plain_recipe(
        phases=(
            Phase(epochs=1, terms={"mse": 1.0}),
            Phase(epochs=1, terms={"mse": 1.0, "edge": 1.0}, learning_rate=1e30),
        )
    )
    with pytest.raises(NonFiniteLoss, match=r"'(edge|mse)' became (nan|inf) in epoch 2, step [23]; .*000001"):
        Run(tmp_path, recipe).train(verbose=0)


def test_non_finite_check_names_the_step_of_the_bad_value(tmp_path):
    check = StopOnNonFinite(Run(tmp_path, plain_recipe()))
    check.on_epoch_begin(0)
    check.on_train_batch_end(0, {"mse": 0.1, "psnr": float("inf")})
    check.on_train_batch_end(1, {"mse": float("nan")})
    with pytest.raises(NonFiniteLoss, match="epoch 1, step 2; there is no checkpoint"):
        check.on_train_batch_end(2, {"mse": float("nan")})


def test_new_run_can_start_from_another_network(tmp_path):
    base = build(plain_recipe().generator)
    recipe = adversarial_recipe(phases=(Phase(epochs=1, terms={"mse": 1.0}, learning_rate=1e-12),), steps_per_epoch=1)
    run = Run(tmp_path, recipe)
    run.train(initial=base, verbose=0)
    trained = run.best_generator()
    np.testing.assert_allclose(
        trained.get_layer("block1_conv1").get_weights()[0], base.get_layer("block1_conv1").get_weights()[0], atol=1e-6
    )
    assert trained.get_layer("head1").get_weights()[0].shape != base.get_layer("head1").get_weights()[0].shape


@pytest.mark.parametrize("part", ["edge_cnn", "texture_generator"])
def test_new_run_starts_from_its_part_of_a_fused_network(part):
    fused = region_aware(perturb(edge_cnn(**TINY), 1), perturb(texture_generator(**TINY), 2))
    target = {"edge_cnn": edge_cnn, "texture_generator": texture_generator}[part](**TINY)
    copy_matching_weights(fused, target)
    for given, copied in zip(fused.get_layer(part).get_weights(), target.get_weights(), strict=True):
        np.testing.assert_array_equal(copied, given)


def test_a_deeper_network_starts_where_the_shallower_one_is():
    shallow = perturb(edge_cnn(**SCALES), 1)
    deep = edge_cnn(**{**SCALES, "blocks": 11})
    kept = copy_matching_weights(shallow, deep)
    assert len(kept) == 2 * 5 and all("block" in name for name in kept)
    jpeg = np.random.default_rng(0).uniform(-1, 1, (1, 24, 20, 3)).astype("float32")
    np.testing.assert_allclose(deep(jpeg)["image"], shallow(jpeg)["image"], atol=1e-6)


def test_a_recipe_is_read_where_another_encoding_is_usual(tmp_path):
    recipe = override(plain_recipe(), ["data.source=/fotos/\u00e9t\u00e9"])
    write_text(tmp_path / "recipe.json", to_json(recipe))
    code = "import sys; from tfar.training.runs import Run; print(ascii(Run(sys.argv[1]).recipe.data.source))"
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], env=os.environ | ascii_only, capture_output=True, text=True
    )
    assert done.stdout.strip() == ascii("/fotos/\u00e9t\u00e9"), done.stderr


def test_layers_that_find_no_place_are_named():
    deep, shallow = edge_cnn(**{**SCALES, "blocks": 7}), edge_cnn(**SCALES)
    with pytest.warns(UserWarning, match="lacks, .* without them: bottom_block3_conv1, bottom_block3_conv2; "):
        copy_matching_weights(deep, shallow)


@pytest.mark.parametrize("preset, part", [("general", "base"), ("general", "texture"), ("tiny", "base")])
def test_a_recipe_goes_on_from_the_preset_of_its_name(preset, part):
    recipe = getattr(RECIPES[preset], part)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert copy_matching_weights(presets.load(preset), build(recipe.generator)) == []


def test_a_network_of_other_units_is_refused():
    with pytest.raises(CheckpointError, match="units of edge_cnn are relu, .* generator.options.activation=relu"):
        copy_matching_weights(edge_cnn(**TINY), edge_cnn(**TINY, activation="leaky_relu"))


def test_a_network_of_which_nothing_can_be_taken_is_refused(tmp_path):
    run = Run(tmp_path / "run", plain_recipe())
    with pytest.raises(CheckpointError, match="no layer of galteri_generator .* of edge_cnn's"):
        run.train(initial=galteri_generator(filters=4, blocks=1), verbose=0)
    assert not (tmp_path / "run").exists()


def test_a_run_without_held_out_files_validates_on_the_training_files(tmp_path):
    run = Run(tmp_path, plain_recipe(data=Data(patch=32, batch=4, validation=0.0), steps_per_epoch=1))
    assert run.train(verbose=0)
    assert run.best_value() is not None


def test_feature_weights_that_cannot_be_had_end_a_training_before_it_begins(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise Exception("URL fetch failure")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", fail)
    recipe = adversarial_recipe(features=Features(network="vgg16", texture=("block1_conv1",)))
    with pytest.raises(CheckpointError, match="could not be downloaded"):
        Run(tmp_path / "run", recipe).train(verbose=0)
    assert not (tmp_path / "run").exists()
