"""How losses become one number."""

from keras import ops


def weighted_mean(values, weights=None):
    """The mean of ``values`` ``(B, ...)``, those of each image times its weight ``(B,)``, as a float32 scalar."""
    values = ops.cast(values, "float32")
    if weights is None:
        return ops.mean(values)
    return ops.mean(ops.reshape(values, (ops.shape(weights)[0], -1)) * weights[:, None])
