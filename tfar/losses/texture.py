"""Patch-wise texture matching (Sajjadi et al., EnhanceNet, 2017; region-aware paper, Eq. 6-8)."""

from keras import ops

from tfar.losses.reduction import weighted_mean


def gram_matrices(features, patch: int):
    """Gram matrices of the non-overlapping patches of a feature map (Eq. 7).

    Args:
        features: ``(B, H, W, N)``; H and W must be multiples of ``patch``.
        patch: side of the patches in feature pixels.

    Returns:
        ``(B * H/patch * W/patch, N, N)`` float32: inner products of the N maps over the patch's positions.

    Raises:
        ValueError: when ``patch`` is not positive, or H or W is no multiple of it.
    """
    height, width, channels = features.shape[1:]
    if patch < 1 or height % patch or width % patch:
        raise ValueError(f"patches of {patch}x{patch} do not fill feature maps of {height}x{width}")
    rows, columns = height // patch, width // patch
    x = ops.reshape(ops.cast(features, "float32"), (-1, rows, patch, columns, patch, channels))
    x = ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, patch * patch, channels))
    return ops.matmul(ops.transpose(x, (0, 2, 1)), x)


def texture_matching(original_features, restored_features, patch: int, weights=None, *, size: str = "patch"):
    """One layer's term of L_TM: sum of (G - G')^2 / (4 N^2 M^2), averaged over the patches (Eq. 6).

    Args:
        original_features: as for :func:`gram_matrices`.
        restored_features: the same shape.
        patch: side of the patches in feature pixels.
        weights: ``(B,)``, which multiply the images' parts.
        size: what M is, N being the number of feature maps: ``map``, "the size of feature map" as the paper has it,
            ``H * W``; or ``patch``, the number of positions of a patch, so that the term does not depend on the size of
            the image.

    Returns:
        A scalar, float32.
    """
    height, width = original_features.shape[1:3]
    positions = height * width if size == "map" else patch * patch
    difference = gram_matrices(original_features, patch) - gram_matrices(restored_features, patch)
    return weighted_mean(ops.square(difference / positions), weights) / 4.0
