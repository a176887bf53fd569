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
            raise RecipeError(f"strategy {name!r} needs the TensorFlow backend; {keras.backend.backend()} runs on one device")
        return OneDevice()
    import tensorflow as tf

    cluster = "cluster" in json.loads(os.environ.get("TF_CONFIG") or "{}")
    gpus = tf.config.list_logical_devices("GPU")
    if name == "auto":
        name = "multiworker" if cluster else "mirrored" if len(gpus) > 1 else "one"
    if name == "multiworker":
        if not cluster:
            raise RecipeError("strategy 'multiworker' needs the environment variable TF_CONFIG with a cluster")
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "mirrored":
        return tf.distribute.MirroredStrategy([d.name for d in gpus or tf.config.list_logical_devices("CPU")])
    return tf.distribute.get_strategy()


def is_chief(strategy) -> bool:
    """Whether this process writes the run folder: the only one, or the first worker of a cluster."""
    resolver = getattr(strategy, "cluster_resolver", None)
    return resolver is None or resolver.task_type in (None, "chief") or (
        resolver.task_type == "worker" and resolver.task_id == 0 and "chief" not in resolver.cluster_spec().jobs)


def barrier(strategy):
    """Wait until every worker of a cluster has come this far; nothing to wait for elsewhere."""
    if hasattr(strategy, "cluster_resolver") and strategy.cluster_resolver:
        import tensorflow as tf

        strategy.reduce("SUM", strategy.run(lambda: tf.constant(1)), axis=None)
