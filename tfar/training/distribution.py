"""On what a training runs: one device, all of a machine's, or several machines, through tf.distribute."""

import contextlib
import json
import os

import keras

from tfar.errors import RecipeError

STRATEGIES = ("auto", "one", "mirrored", "multiworker")


class OneDevice:
    """The strategy of backends without tf.distribute: one replica on Keras's current device."""

    num_replicas_in_sync = 1

    def scope(self):
        return contextlib.nullcontext()


def choose_strategy(name: str = "auto"):
    """The distribution strategy of a name.

    Args:
        name: ``one`` (the first GPU, or the CPU), ``mirrored`` (all GPUs of the machine, or all logical CPU devices
            when there is none), ``multiworker`` (the cluster that the environment variable TF_CONFIG describes), or
            ``auto``: multiworker when TF_CONFIG names a cluster, mirrored with two or more GPUs, else one.

    Returns:
        A ``tf.distribute.Strategy``, or its stand-in for one device on other backends.

    Raises:
        RecipeError: for an unknown name, or one that the backend or the environment does not allow.
    """
    if name not in STRATEGIES:
        raise RecipeError(f"strategy must be one of {', '.join(STRATEGIES)}, got {name!r}")
    if keras.backend.backend() != "tensorflow":
        if name not in ("auto", "one"):
            raise RecipeError(f"strategy {name!r} needs the TensorFlow backend, not {keras.backend.backend()}")
        return OneDevice()
    import tensorflow as tf

    cluster = "cluster" in json.loads(os.environ.get("TF_CONFIG") or "{}")
    if name == "multiworker" and not cluster:
        raise RecipeError("strategy 'multiworker' needs the environment variable TF_CONFIG with a cluster")
    if name == "multiworker" or (name == "auto" and cluster):
        return tf.distribute.MultiWorkerMirroredStrategy()  # before anything else asks TensorFlow for its devices
    gpus = tf.config.list_logical_devices("GPU")
    if name == "auto":
        name = "mirrored" if len(gpus) > 1 else "one"
    if name == "mirrored":
        if gpus:
            return tf.distribute.MirroredStrategy([device.name for device in gpus])
        # Collective operations between CPU devices of one process mix up concurrent reductions; a plain sum does not.
        return tf.distribute.MirroredStrategy(
            [device.name for device in tf.config.list_logical_devices("CPU")],
            cross_device_ops=tf.distribute.ReductionToOneDevice(),
        )
    return tf.distribute.get_strategy()


def worker_count(strategy) -> int:
    """Number of processes that train together."""
    resolver = getattr(strategy, "cluster_resolver", None)
    return sum(map(len, resolver.cluster_spec().as_dict().values())) if resolver else 1


def is_chief(strategy) -> bool:
    """Whether this process writes the run folder: the only one, or the first worker of a cluster."""
    if worker_count(strategy) == 1:
        return True
    resolver = strategy.cluster_resolver
    first = "chief" if "chief" in resolver.cluster_spec().jobs else "worker"
    return (resolver.task_type, resolver.task_id) == (first, 0)


def barrier(strategy):
    """Wait until every worker of a cluster has come this far; nothing to wait for elsewhere."""
    if worker_count(strategy) > 1:
        import tensorflow as tf

        strategy.reduce("SUM", strategy.run(lambda: tf.constant(1)), axis=None)
