"""On what a training runs: one device, all of a machine's, or several machines, through tf.distribute."""

import contextlib
import json
import os

import keras

from tfar.data.patches import Patches, tf_dataset
from tfar.errors import CheckpointError, LostWorker, RecipeError

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
        RecipeError: for an unknown name, one that the backend or the environment does not allow, or a TF_CONFIG that
            is not whole.
    """
    if name not in STRATEGIES:
        raise RecipeError(f"strategy must be one of {', '.join(STRATEGIES)}, got {name!r}")
    if keras.backend.backend() != "tensorflow":
        if name not in ("auto", "one"):
            raise RecipeError(f"strategy {name!r} needs the TensorFlow backend, not {keras.backend.backend()}")
        return OneDevice()
    import tensorflow as tf

    cluster = _names_cluster(os.environ.get("TF_CONFIG") or "{}")
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


def _names_cluster(config: str) -> bool:
    """Whether the text of TF_CONFIG names a cluster, and which of its tasks this process is."""
    try:
        found = json.loads(config)
    except json.JSONDecodeError as error:
        raise RecipeError(f"TF_CONFIG is not valid JSON: {error}") from error
    match found:
        case {"cluster": {**jobs}, "task": {"type": str(kind), "index": int(index)}} if jobs:
            if index in range(len(jobs.get(kind, ()))):
                return True
        case dict() if not found.get("cluster"):
            return False
    raise RecipeError(f"TF_CONFIG must have a cluster and, as its task, a type and an index of the cluster's: {config}")


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
        _sum(strategy, 1)


def on_any_worker(strategy, fact: bool) -> bool:
    """Whether something is so on one worker of a cluster at least; all of them have to ask, and get the same answer."""
    return _sum(strategy, int(fact)) > 0 if worker_count(strategy) > 1 else fact


def _sum(strategy, number: int) -> int:
    """The sum of what all devices of a cluster have."""
    import tensorflow as tf

    return int(strategy.reduce("SUM", strategy.run(lambda: tf.constant(number)), axis=None))


def shares(strategy, size: int) -> list[range]:
    """The places of a batch that each device gets, as tf.distribute shares them out; for some sizes too few parts."""
    each = -(-size // strategy.num_replicas_in_sync)
    return [range(first, min(first + each, size)) for first in range(0, size, each)]


def check_batch(strategy, size: int):
    """Raise :class:`RecipeError` unless every device gets as many patches of a batch.

    The devices' gradients count alike, so the patches of a smaller part would count more than the others.
    """
    devices = strategy.num_replicas_in_sync
    if size % devices:
        raise RecipeError(f"data.batch is {size}, which is no multiple of the {devices} devices that share it")


def check_precision(strategy, precision: str):
    """Raise :class:`RecipeError` for float16 on several devices.

    Keras's loss scaling looks for overflows in the gradients of the first device only; one on another device would
    spoil the weights.
    """
    devices = strategy.num_replicas_in_sync
    if precision == "mixed_float16" and devices > 1:
        raise RecipeError(f"mixed_float16 is for one device, not for {devices}; take mixed_bfloat16")


def shareable(strategy, count: int) -> int:
    """How many of ``count`` patches the devices can share equally, as they do the batches (:func:`check_batch`).

    The means that are logged are those of the devices, which count alike.

    Raises:
        RecipeError: when there are fewer patches than devices.
    """
    devices = strategy.num_replicas_in_sync
    if count < devices:
        raise RecipeError(f"{count} patches to validate on are too few for {devices} devices")
    return count - count % devices


def batches(strategy, patches: Patches, start: int, stop: int):
    """The batches ``start`` to ``stop - 1`` for ``fit``: whole ones, which Keras hands out to the devices of a machine.

    Of several workers each one computes only the places of a batch that its own devices train on, so that the work and
    the images are shared out (:class:`tfar.data.patches.Patches`) and all batches are those of a single machine.
    """
    if worker_count(strategy) == 1:
        return tf_dataset(patches, start, stop)
    parts = shares(strategy, patches.data.batch)

    def own(context):
        devices = strategy.num_replicas_in_sync // context.num_input_pipelines
        first = devices * context.input_pipeline_id
        return tf_dataset(patches, start, stop, parts[first : first + devices])

    return strategy.distribute_datasets_from_function(own)


def check_same_epoch(strategy, epochs: int, folder):
    """Raise :class:`CheckpointError` when the workers of a cluster do not find the same checkpoint."""
    if worker_count(strategy) > 1 and _sum(strategy, epochs) != epochs * strategy.num_replicas_in_sync:
        raise CheckpointError(f"{folder}: the workers find different checkpoints; it must lie on a disk they share")


@contextlib.contextmanager
def watch_workers(strategy, kept: str):
    """Raise :class:`LostWorker`, with what is kept, for the errors by which a cluster learns that a worker is gone."""
    if worker_count(strategy) == 1:
        yield
        return
    import tensorflow as tf

    errors = tf.errors
    try:
        yield
    except (errors.UnavailableError, errors.AbortedError, errors.CancelledError, errors.DeadlineExceededError) as error:
        raise LostWorker(f"a worker of the cluster is gone; start all of them again, {kept}") from error
