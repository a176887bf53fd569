"""Diversity: that another noise gives another restoration."""

from keras import ops

FLOOR = 1e-3  # so that the gradient stays bounded where two restorations are equal


def diversity_loss(first, second):
    """Minus the logarithm of the mean absolute difference of two restorations, or of their features, averaged over the
    batch.

    Mode-seeking regularisation (Mao et al., CVPR 2019) with a logarithm in place of their reciprocal, so that the
    gradient does not explode at the start: it is the inverse of the difference. On pixels it brings grain, which a
    perceptual loss beside it wants where its features see little of it; on these features (``feature_diversity``) the
    two losses speak of the same.

    Args:
        first: ``(B, H, W, C)``, in [-1, 1], or feature maps.
        second: of restorations of the same JPEGs from other noise, of the same shape.

    Returns:
        A scalar, float32; lower is more diverse.
    """
    difference = ops.abs(ops.cast(first, "float32") - ops.cast(second, "float32"))
    return -ops.mean(ops.log(ops.mean(difference, axis=(1, 2, 3)) + FLOOR))
