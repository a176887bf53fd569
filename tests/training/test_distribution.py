import json
import os
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import ROOT, adversarial_recipe, blind_recipe, plain_recipe, tiny_recipe

from tfar import cli
from tfar.commands import train
from tfar.data.patches import Patches, drawn_for, tf_dataset
from tfar.data.sources import load_split
from tfar.errors import RecipeError
from tfar.models import named_recipe
from tfar.recipes import Data, override
from tfar.training.distribution import STRATEGIES, choose_strategy, is_chief, shareable
from tfar.training.runs import Run
from tfar.training.trainer import Trainer

STEPS = 2
TOLERANCE = 2e-5  # of weights that move by up to 2e-3; sums in another order are all that differs


def train_with(strategy, recipe):
    """Weights of both networks and the logs after two steps on the same patches per step."""
    training, _ = load_split("demo", 0.1, recipe.data.patch)
    with strategy.scope():
        trainer = Trainer(recipe, replicas=strategy.num_replicas_in_sync)
        trainer.begin(recipe.phases[-1])
    patches = Patches(training, recipe.data, seed=5, **drawn_for(trainer.generator))
    history = trainer.fit(tf_dataset(patches, 0, STEPS), epochs=1, steps_per_epoch=STEPS, shuffle=False, verbose=0)
    networks = {
        "generator": trainer.generator,
        "average": trainer.averaged_generator,
        "discriminator": trainer.discriminator,
    }
    weights = {
        f"{name}/{weight.path}": weight.numpy()
        for name, network in networks.items()
        if network is not None
        for weight in network.weights
        if weight.path not in undetermined(network)
    }
    return weights, {name: values[0] for name, values in history.history.items()}


def undetermined(network):
    """Biases before a batch normalisation have no gradient but rounding, which Adam makes a step of; means follow."""
    normalizations = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    biases = [getattr(layer.input._keras_history.operation, "bias", None) for layer in normalizations]
    means = [layer.moving_mean for layer in normalizations]
    return {weight.path for weight in biases + means if weight is not None}


RECIPES = {
    "plain": plain_recipe(),
    "adversarial": adversarial_recipe(),
    "blind": blind_recipe(),
    "ep-gan": tiny_recipe("ep-gan", "discriminator.options.norm=none"),
    "argan": tiny_recipe("argan", "discriminator.options.norm=synchronized"),
    "galteri-gan": tiny_recipe("galteri-gan"),
    "galteri-ssim": tiny_recipe("galteri-ssim"),
    "one-to-many": tiny_recipe("one-to-many", "discriminator.options.norm=none"),
}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_two_replicas_of_half_a_batch_take_the_same_step_as_one_of_all(recipe):
    two = choose_strategy("mirrored")
    assert two.num_replicas_in_sync == 2
    one_weights, one_logs = train_with(tf.distribute.get_strategy(), recipe)
    two_weights, two_logs = train_with(two, recipe)
    assert len(one_weights) == len(two_weights) >= 10
    for (name, one), other in zip(one_weights.items(), two_weights.values()):
        np.testing.assert_allclose(other, one, atol=TOLERANCE, err_msg=name)
    for name in one_logs:
        assert two_logs[name] == pytest.approx(one_logs[name], rel=1e-3), name


@pytest.mark.parametrize(("batch", "refused"), [(1, True), (5, True), (6, False)])
def test_a_batch_of_which_one_device_gets_more_than_another_is_refused(tmp_path, batch, refused):
    two = choose_strategy("mirrored")
    data = Data(patch=32, batch=batch)
    if refused:
        with pytest.raises(RecipeError, match=f"data.batch is {batch}, which is no multiple of the 2 devices"):
            Run(tmp_path / "run", plain_recipe(data=data)).train(strategy=two, verbose=0)
        assert not (tmp_path / "run").exists()
    else:  # 16 patches to validate on, of which batches of 6 leave four over
        assert Run(tmp_path / "run", plain_recipe(data=data, steps_per_epoch=1)).train(strategy=two, verbose=0)


def test_float16_is_refused_on_several_devices(tmp_path):
    run = Run(tmp_path / "run", plain_recipe(precision="mixed_float16"))
    run.check(choose_strategy("one"))
    with pytest.raises(RecipeError, match="mixed_float16 is for one device, not for 2; take mixed_bfloat16"):
        run.train(strategy=choose_strategy("mirrored"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("devices", "count", "kept"),
    [(1, 9, 9), (2, 17, 16), (2, 20, 20), (3, 7, 6), (3, 11, 9), (8, 21, 16), (16, 16, 16)],
)
def test_what_is_validated_on_is_shared_out_equally_among_all_devices(devices, count, kept):
    assert shareable(SimpleNamespace(num_replicas_in_sync=devices), count) == kept


def test_too_few_patches_to_validate_on_are_refused():
    with pytest.raises(RecipeError, match="16 patches to validate on are too few for 32 devices"):
        shareable(SimpleNamespace(num_replicas_in_sync=32), 16)


def test_mirrored_takes_all_logical_cpu_devices_when_there_is_no_gpu():
    assert choose_strategy("mirrored").num_replicas_in_sync == len(tf.config.list_logical_devices("CPU")) == 2


def test_auto_is_one_device_here_and_this_process_is_the_chief(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert choose_strategy("auto").num_replicas_in_sync == 1
    assert is_chief(choose_strategy("one"))


@pytest.mark.parametrize(("name", "message"), [("tpu", "strategy must be one of"), ("multiworker", "TF_CONFIG")])
def test_strategies_that_cannot_be_are_refused(name, message, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(RecipeError, match=message):
        choose_strategy(name)


@pytest.mark.parametrize(
    "config",
    [
        '{"cluster": ',
        "[]",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker"}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}}',
        '{"cluster": ["a:1"], "task": {"type": "worker", "index": 0}}',
    ],
)
def test_a_tf_config_that_is_not_whole_is_refused(config, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config)
    for name in ("auto", "multiworker", "one"):
        with pytest.raises(RecipeError, match="^TF_CONFIG (is not valid JSON|must have a cluster and, as its task, )"):
            choose_strategy(name)


@pytest.mark.parametrize("config", ["", "{}", '{"cluster": {}, "task": {"type": "worker", "index": 0}}'])
def test_without_a_cluster_there_is_one_device(config, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config)
    assert choose_strategy("auto").num_replicas_in_sync == 1


WORKER = """
import sys
from helpers import adversarial_recipe
from tfar.training.distribution import choose_strategy, is_chief
from tfar.training.runs import Run
strategy = choose_strategy("auto")
assert strategy.num_replicas_in_sync == 2
print("chief" if is_chief(strategy) else "other")
assert Run(sys.argv[1], adversarial_recipe()).train(strategy=strategy, verbose=0)
"""


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "CUDA_VISIBLE_DEVICES": ""}


def said_by_two_workers(script, folder):
    """The last word that each of two workers prints, of which both must end well."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**ENVIRONMENT, "TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": i}})},
        )
        for i in range(2)
    ]
    outputs = [worker.communicate(timeout=300) for worker in workers]
    for worker, (_, errors) in zip(workers, outputs):
        assert worker.returncode == 0, errors[-3000:]
    return [out.split()[-1] for out, _ in outputs]


def test_two_workers_over_loopback_train_one_run(tmp_path):
    assert sorted(said_by_two_workers(WORKER, tmp_path / "run")) == ["chief", "other"]

    alone = subprocess.run(
        [sys.executable, "-c", WORKER.replace("== 2", "== 1"), str(tmp_path / "alone")],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert alone.returncode == 0, alone.stderr[-3000:]
    assert generator_weights(tmp_path / "run")
    for together, single in zip(*(generator_weights(tmp_path / name, epochs=1) for name in ("run", "alone"))):
        np.testing.assert_allclose(together, single, atol=TOLERANCE)
    ends = [np.concatenate([w.ravel() for w in generator_weights(tmp_path / name)]) for name in ("run", "alone")]
    # Adam moves a weight whose gradient is next to zero by its rate to either side, so a few differ
    assert np.mean(np.abs(np.subtract(*ends)) < 25 * TOLERANCE) > 0.98


OUT_OF_TIME = """
import sys
from helpers import plain_recipe
from tfar.training.distribution import choose_strategy, is_chief
from tfar.training.runs import Run
strategy = choose_strategy("auto")
minutes = 1000 if is_chief(strategy) else 0
print(Run(sys.argv[1], plain_recipe()).train(strategy=strategy, minutes=minutes, verbose=0))
"""


def test_all_workers_stop_after_the_same_epoch_when_the_time_of_one_is_over(tmp_path):
    assert said_by_two_workers(OUT_OF_TIME, tmp_path) == ["False", "False"]
    assert Run(tmp_path).latest_epoch() == 1


KILLED = """
import sys
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(1)
from helpers import plain_recipe
from tfar import backend, cli
from tfar.recipes import Data, Phase
from tfar.training.distribution import choose_strategy
from tfar.training.runs import Run

def train(folder):
    strategy = choose_strategy("multiworker")
    backend.start()
    phase = Phase(epochs=4, terms={"mse": 1.0}, learning_rate=1e-3)
    recipe = plain_recipe(phases=(phase,), steps_per_epoch=40, data=Data(patch=32, batch=4))
    return not Run(folder, recipe).train(strategy=strategy, verbose=0)

sys.exit(cli.exit_code(train, sys.argv[1]))
"""


class Cluster:
    """Two workers of a training, each of which is started again when it has failed, as on Kubernetes."""

    def __init__(self, folder):
        self.folder = folder
        self.cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
        self.workers = [self.start(0), self.start(1)]
        self.said = []

    def start(self, index):
        environment = dict(ENVIRONMENT)
        environment["TF_CONFIG"] = json.dumps({"cluster": self.cluster, "task": {"type": "worker", "index": index}})
        command = [sys.executable, "-c", KILLED, str(self.folder)]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)

    def wait(self, until=lambda: False):
        """Until both have ended well, or something has come about."""
        for _ in range(6000):
            if until() or all(worker.poll() == 0 for worker in self.workers):
                return
            for index, worker in enumerate(self.workers):
                if worker.poll():
                    self.said.append((worker.returncode, worker.stderr.read()))
                    assert len(self.said) < 6, self.said
                    self.workers[index] = self.start(index)
            time.sleep(0.1)
        pytest.fail(f"nothing came of it: {self.said}")


@pytest.mark.slow
def test_a_worker_killed_within_an_epoch_and_started_again_changes_nothing(tmp_path):
    whole = Cluster(tmp_path / "whole")
    whole.wait()
    assert whole.said == []

    harmed = Cluster(tmp_path / "harmed")
    harmed.wait(until=(harmed.folder / "checkpoints" / "000002").is_dir)
    time.sleep(0.2)
    harmed.workers[1].kill()
    harmed.wait()
    assert not (harmed.folder / "checkpoints" / "000001").exists()
    assert -signal.SIGKILL in [code for code, _ in harmed.said]
    last = [text.splitlines()[-1] for code, text in harmed.said if code > 0]
    assert last and all(line.startswith("tfar: a worker of the cluster is gone; start all") for line in last), last
    weights = [generator_weights(cluster.folder, 4) for cluster in (whole, harmed)]
    assert len(weights[0]) > 4
    for undisturbed, resumed in zip(*weights):
        np.testing.assert_array_equal(resumed, undisturbed)


def generator_weights(folder, epochs=2):
    import h5py

    found = []
    with h5py.File(folder / "checkpoints" / f"{epochs:06d}" / "generator.weights.h5") as file:
        file.visititems(lambda _, item: found.append(item[()]) if isinstance(item, h5py.Dataset) else None)
    return found


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def test_the_manifest_for_kubernetes_is_a_tfjob_whose_command_is_understood():
    """Its fields were compared with the operator's definition of the resource (training-operator, kubeflow.org/v1)."""
    import yaml

    manifest = yaml.safe_load((ROOT / "docs" / "tfjob.yaml").read_text())
    assert (manifest["apiVersion"], manifest["kind"]) == ("kubeflow.org/v1", "TFJob")
    assert manifest["spec"].keys() == {"runPolicy", "tfReplicaSpecs"}
    assert manifest["spec"]["runPolicy"] == {"backoffLimit": 100, "cleanPodPolicy": "None"}
    [(role, worker)] = manifest["spec"]["tfReplicaSpecs"].items()
    assert role == "Worker" and worker.keys() == {"replicas", "restartPolicy", "template"}
    assert worker["replicas"] == 4 and worker["restartPolicy"] == "OnFailure"
    pod = worker["template"]["spec"]
    [container] = pod["containers"]
    assert container["name"] == "tensorflow"  # the name by which the operator finds it
    assert [mount["name"] for mount in container["volumeMounts"]] == [volume["name"] for volume in pod["volumes"]]

    program, *arguments = container["command"]
    options = cli._parser().parse_args(arguments)
    assert program == "tfar" and options.run_command is train.run
    assert options.strategy in STRATEGIES
    recipe = override(named_recipe(f"region-aware:{options.recipe}.base"), options.assignments)
    assert recipe.data.batch % worker["replicas"] == 0
