"""The exponential moving average (EMA) of a network's weights, inside the training step."""

import keras
from keras import ops


def update_average(averaged: keras.Model, network: keras.Model, decay: float, step):
    """Move the weights of ``averaged`` towards those of ``network``, on every replica.

    Args:
        averaged: of the same architecture.
        network: whose weights were just updated.
        decay: of the average, below 1; it rises to this over the first steps as ``(1 + t) / (10 + t)``.
        step: t, the number of updates so far, a number or a scalar tensor.
    """
    step = ops.cast(step, "float32")
    rest = 1.0 - ops.minimum(decay, (1.0 + step) / (10.0 + step))
    pairs = [(average.value, weight.value) for average, weight in zip(averaged.weights, network.weights)]
    _update(pairs, rest)


if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    def _update(pairs, rest):
        def merged(strategy, rest):
            for average, weight in pairs:
                strategy.extended.update(
                    average, lambda a, w, r: a.assign_add(r * (w - a)), args=(weight, rest), group=False
                )

        tf.distribute.get_replica_context().merge_call(merged, args=(rest,))
else:
    import torch

    def _update(pairs, rest):
        with torch.no_grad():
            for average, weight in pairs:
                average.lerp_(weight, rest.to(average.dtype))
