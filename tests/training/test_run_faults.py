"""Trainings that are killed, whose disk is full, whose losses explode, whose data are corrupt: nothing done is lost."""

import csv
import dataclasses
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers import files_below, plain_recipe
from keras import ops
from PIL import Image

from tfar.data.shards import Shards, pack
from tfar.errors import CheckpointError, NonFiniteLoss, ShardError
from tfar.recipes import Data, Optimizer, Phase
from tfar.training import runs
from tfar.training.callbacks import EpochLog
from tfar.training.runs import Run
from tfar.training.tensorboard import TensorBoardLog
from tfar.training.trainer import Trainer

EPOCHS = 60
KILLS = 20
BOUND = 3e-4
CODE = """
import sys
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
from tfar.training.runs import Run
Run(sys.argv[1]).train(verbose=0)
"""


def killable_recipe():
    """Steps so short that about half of the time goes into checkpoints; averages and moments are part of these."""
    phases = (Phase(epochs=EPOCHS // 2, terms={"mse": 1.0}), Phase(epochs=EPOCHS // 2, terms={"mse": 1.0, "edge": 0.1}))
    return plain_recipe(
        phases=phases, steps_per_epoch=2, data=Data(patch=16, batch=2), optimizer=Optimizer(average=0.9)
    )


def start(folder):
    run = Run(folder, None if (folder / "recipe.json").exists() else killable_recipe())
    if not (folder / "recipe.json").exists():
        folder.mkdir()
        (folder / "recipe.json").write_text(runs.recipes.to_json(run.recipe))
    return run, subprocess.Popen([sys.executable, "-c", CODE, str(folder)], stderr=subprocess.PIPE, text=True)


def final_arrays(run):
    arrays = {}
    for name in ("generator", "averaged_generator"):
        network = runs.build(run.recipe.generator)
        runs.load_weights(network, run.checkpoint(EPOCHS) / f"{name}.weights.h5")
        arrays |= {f"{name} {i}": weight for i, weight in enumerate(network.get_weights())}
    with np.load(run.checkpoint(EPOCHS) / "generator_optimizer.npz") as state:
        return arrays | dict(state)


@pytest.mark.slow
def test_killed_twenty_times_the_weights_are_those_of_an_undisturbed_run(tmp_path):
    moments, folder = random.Random(0), tmp_path / "killed"
    within_checkpoints = 0
    for kill in range(KILLS):
        run, process = start(folder)
        before = run.latest_epoch() or 0
        while process.poll() is None and (run.latest_epoch() or 0) <= before + moments.randrange(2):
            time.sleep(0.001)
        if kill % 2:  # as soon as the next checkpoint is begun, and a little later
            while process.poll() is None and not list(folder.glob("checkpoints/.part-*")):
                time.sleep(0.0005)
            time.sleep(moments.random() / 50)
        else:
            time.sleep(moments.random() / 2)
        assert process.poll() is None, process.communicate()[1]
        process.send_signal(signal.SIGKILL)
        process.communicate()
        within_checkpoints += bool(list(folder.glob("checkpoints/.part-*")))
        reached = run.latest_epoch()
        assert before < reached < EPOCHS
        assert json.loads((run.checkpoint(reached) / "state.json").read_text())["epochs"] == reached
    assert within_checkpoints >= 3
    for name in ("killed", "undisturbed"):
        run, process = start(tmp_path / name)
        _, problems = process.communicate()
        assert process.returncode == 0, problems
        with open(run.folder / "log.csv", newline="") as file:
            assert [int(row["epoch"]) for row in csv.DictReader(file)] == list(range(1, EPOCHS + 1))
        assert sorted(os.listdir(run.folder / "checkpoints")) == [f"{EPOCHS - 1:06d}", f"{EPOCHS:06d}"]
    killed, undisturbed = final_arrays(Run(folder)), final_arrays(run)
    assert killed.keys() == undisturbed.keys() and len(killed) > 40
    for name, array in undisturbed.items():
        np.testing.assert_array_equal(killed[name], array, err_msg=name)


def short_recipe(*rates, **changes):
    """Phases of one epoch each."""
    phases = tuple(Phase(epochs=1, terms={"mse": 1.0}, learning_rate=rate) for rate in rates)
    return plain_recipe(phases=phases, data=Data(patch=16, batch=2), steps_per_epoch=2, **changes)


@pytest.mark.parametrize("file", ["generator_optimizer.npz", "generator.weights.h5"])
def test_a_full_disk_ends_in_one_line_and_leaves_the_last_checkpoint(tmp_path, monkeypatch, file):
    run = Run(tmp_path, short_recipe(1e-3, 1e-3))
    assert not run.train(minutes=0, verbose=0)
    before = {name: (run.checkpoint(1) / name).read_bytes() for name in files_below(run.checkpoint(1))}
    limit = (run.checkpoint(1) / file).stat().st_size // 2
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    write = runs.write_atomically

    def write_on_a_small_disk(path, function):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit if path == run.checkpoint(2) else soft, hard))
        try:
            write(path, function)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    monkeypatch.setattr(runs, "write_atomically", write_on_a_small_disk)
    with pytest.raises(CheckpointError) as caught:
        run.train(verbose=0)
    kept = f"the last good checkpoint is {run.checkpoint(1)}"
    assert str(caught.value) == f"{run.checkpoint(2)}: cannot be written (File too large); {kept}"
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["000001"]
    assert {name: (run.checkpoint(1) / name).read_bytes() for name in files_below(run.checkpoint(1))} == before
    monkeypatch.undo()
    assert run.train(verbose=0)


@pytest.mark.parametrize("name", ["log.csv", "tensorboard"])
def test_a_disk_too_full_for_the_logs_is_said_in_one_line_too(tmp_path, monkeypatch, capfd, name):
    run = Run(tmp_path, short_recipe(1e-3, 1e-3))
    assert not run.train(minutes=0, verbose=0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    owner, method = (TensorBoardLog, "write") if name == "tensorboard" else (EpochLog, "_append_row")
    whole = getattr(owner, method)

    def write_on_a_small_disk(*given):
        resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
        try:
            whole(*given)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    monkeypatch.setattr(owner, method, write_on_a_small_disk)
    capfd.readouterr()
    with pytest.raises(CheckpointError) as caught:
        run.train(verbose=0)
    kept = f"the last good checkpoint is {run.checkpoint(1)}"
    assert str(caught.value) == f"{tmp_path / name}: cannot be written (File too large); {kept}"
    assert "Traceback" not in capfd.readouterr().err
    assert run.latest_epoch() == 1


def test_parts_of_checkpoints_that_a_killed_process_left_are_removed(tmp_path):
    for name in ("checkpoints/.part-1-0-000001", "checkpoints/.old-1-0-000001", ".part-1-0-best.weights.h5"):
        (tmp_path / name).mkdir(parents=True)
    Run(tmp_path, short_recipe(1e-3)).train(verbose=0)
    assert not list(tmp_path.rglob(".part-*")) and not list(tmp_path.rglob(".old-*"))


def test_networks_that_the_last_step_spoiled_make_no_checkpoint(tmp_path, monkeypatch):
    step = Trainer.train_step

    def spoiling(trainer, batch):
        logs = step(trainer, batch)
        bias = trainer.generator.trainable_variables[-1]
        bias.assign(bias * ops.where(trainer.optimizer.iterations >= 4, float("nan"), 1.0))
        return logs

    monkeypatch.setattr(Trainer, "train_step", spoiling)
    with pytest.raises(NonFiniteLoss, match="'mse' became nan in epoch 2, validation; .*000001$"):
        Run(tmp_path, short_recipe(1e-3, 1e-3)).train(verbose=0)
    assert Run(tmp_path).latest_epoch() == 1


@pytest.fixture
def explosion(monkeypatch):
    """Makes losses NaN from the fourth step on while the rate is above a bound; notes the rates of all phases begun."""
    rates, terms, begin = [], Trainer._terms, Trainer.begin

    def exploding(trainer, step):
        late = trainer.optimizer.iterations >= 3
        factor = ops.where(late, float("nan"), 1.0) if trainer.phase.learning_rate > BOUND else 1.0
        return {name: value * factor for name, value in terms(trainer, step).items()}

    def noting(trainer, phase, updates):
        rates.append(phase.learning_rate)
        begin(trainer, phase, updates)

    monkeypatch.setattr(Trainer, "_terms", exploding)
    monkeypatch.setattr(Trainer, "begin", noting)
    return rates


def optimizer_rate(run, epoch):
    with np.load(run.checkpoint(epoch) / "generator_optimizer.npz") as state:
        return float(state["1"])


def test_rollback_goes_on_from_the_last_checkpoint_at_half_the_rate_also_when_resumed(tmp_path, explosion):
    run = Run(tmp_path, short_recipe(1e-3, 1e-3, 5e-4))
    with pytest.warns(
        UserWarning, match="'mse' became nan in epoch 2, .*; back to epoch 1, the rates are now"
    ) as caught:
        assert run.train(on_nan="rollback", verbose=0)
    said = [str(warning.message) for warning in caught if "back to epoch" in str(warning.message)]
    assert [text[-8:] for text in said] == ["(1 of 4)", "(2 of 4)"]
    assert [row["epoch"] for row in run.rollbacks()] == [1, 1] and "epoch 2" in run.rollbacks()[0]["reason"]
    assert explosion == [1e-3, 1e-3, 5e-4, 2.5e-4, 1.25e-4]
    assert [optimizer_rate(run, epoch) for epoch in (2, 3)] == pytest.approx([2.5e-4, 1.25e-4])

    shutil.rmtree(run.checkpoint(3))  # as if it had been stopped before
    assert Run(tmp_path).train(verbose=0)
    assert explosion[5:] == [1.25e-4] and optimizer_rate(run, 3) == pytest.approx(1.25e-4)


def test_rollback_ends_when_it_does_not_help(tmp_path, explosion, monkeypatch):
    monkeypatch.setattr(runs, "ROLLBACKS", 1)
    run = Run(tmp_path, short_recipe(1.0, 1.0))
    with pytest.warns(UserWarning, match="1 of 1"), pytest.raises(NonFiniteLoss, match="epoch 2, .*000001"):
        run.train(on_nan="rollback", verbose=0)
    assert len(run.rollbacks()) == 1 and run.latest_epoch() == 1
    with pytest.raises(NonFiniteLoss):
        run.train(on_nan="rollback", verbose=0)


def test_without_a_checkpoint_rollback_begins_anew(tmp_path, explosion):
    run = Run(tmp_path, dataclasses.replace(short_recipe(1e-3), steps_per_epoch=4))
    with pytest.warns(UserWarning, match="there is no checkpoint; back to epoch 0, the rates are now 0.5"):
        assert run.train(on_nan="rollback", verbose=0)
    assert explosion == [1e-3, 5e-4, 2.5e-4]


def test_a_corrupt_shard_ends_the_training_with_its_name(tmp_path):
    photographs = []
    for i in range(4):
        Image.effect_noise((40, 40), 50).save(tmp_path / f"{i}.png")
        photographs.append((tmp_path / f"{i}.png", (40, 40)))
    pack(tmp_path / "shards", photographs, 2)
    shards = Shards(tmp_path / "shards")
    with open(shards.shard(1), "r+b") as file:
        file.seek(int(shards.rows[3]["start"]) + 20)
        file.write(b"harm")
    data = Data(source=f"shards:{tmp_path / 'shards'}", patch=16, batch=4, validation=0.3)
    recipe = dataclasses.replace(short_recipe(1e-3), data=data)
    with pytest.raises(ShardError, match="photos-00001-of-00002.tfrecord: photograph 3: corrupt at byte"):
        Run(tmp_path / "run", recipe).train(verbose=0)
