"""The adversarial losses: all take logits, the discriminator's output before the sigmoid.

``-log sigmoid(x) = softplus(-x)`` and ``-log(1 - sigmoid(x)) = softplus(x)``, which cannot overflow.
"""

from keras import ops

from tfar.losses.reduction import weighted_mean


def generator_loss(restored_logits, weights=None):
    """L_Adv = -log D(restored) (region-aware paper, Eq. 9), averaged over the batch; a scalar to minimise.

    ``weights`` ``(B,)`` multiply the images' parts.
    """
    return weighted_mean(ops.softplus(-ops.cast(restored_logits, "float32")), weights)


def saturating_generator_loss(restored_logits, weights=None):
    """log(1 - D(restored)) (ARGAN, Eq. 3), averaged over the batch; a scalar to minimise, never above 0.

    Its gradient fades where the discriminator is sure of itself, which :func:`generator_loss` avoids. ``weights``
    ``(B,)`` multiply the images' parts.
    """
    return -weighted_mean(ops.softplus(ops.cast(restored_logits, "float32")), weights)


def discriminator_loss(original_logits, restored_logits, label_smoothing: float = 0.0):
    """L_D = -log D(original) - log(1 - D(restored)) (region-aware paper, Eq. 10), averaged; a scalar to minimise.

    With one-sided label smoothing s the first part becomes -(1 - s) log D(original) - s log(1 - D(original)).
    """
    original_logits = ops.cast(original_logits, "float32")
    missed = ops.mean(ops.softplus(-original_logits) + label_smoothing * original_logits)
    fooled = ops.mean(ops.softplus(ops.cast(restored_logits, "float32")))
    return missed + fooled
