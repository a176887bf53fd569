"""The adversarial pair: both take logits, the discriminator's output before the sigmoid.

``-log sigmoid(x) = softplus(-x)`` and ``-log(1 - sigmoid(x)) = softplus(x)``, which cannot overflow.
"""

from keras import ops


def generator_loss(restored_logits):
    """L_Adv = -log D(restored) (region-aware paper, Eq. 9), averaged over the batch; a scalar to minimise."""
    return ops.mean(ops.softplus(-ops.cast(restored_logits, "float32")))


def discriminator_loss(original_logits, restored_logits):
    """L_D = -log D(original) - log(1 - D(restored)) (Eq. 10), averaged over the batch; a scalar to minimise."""
    missed = ops.mean(ops.softplus(-ops.cast(original_logits, "float32")))
    fooled = ops.mean(ops.softplus(ops.cast(restored_logits, "float32")))
    return missed + fooled
