"""Edge fidelity: the edge map a network predicts against the Sobel edges of the original."""

import math

import numpy as np
from keras import ops

from tfar import pixels
from tfar.losses.fidelity import mse

SOBEL_X = np.float32([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
LARGEST_MAGNITUDE = math.sqrt(20.0)  # of an image in [0, 1]: a step across a corner gives derivatives 4 and 2


def sobel_edges(image):
    """Edge map of an image: the Sobel gradient magnitude of its luma on a fixed scale, with edge-replicated borders.

    Maps ``(B, H, W, 3 or 1)`` in [-1, 1] to ``(B, H, W, 1)`` in [0, 1], float32, where 1 is the largest magnitude any
    image can have.
    """
    image = ops.cast(image, "float32")
    luma = (pixels.to_luma(image) if image.shape[-1] == 3 else image) * 0.5
    luma = ops.pad(luma, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="symmetric")
    kernel = ops.convert_to_tensor(np.stack([SOBEL_X, SOBEL_X.T], axis=-1)[:, :, None, :])
    gradient = ops.conv(luma, kernel, padding="valid")
    return ops.sqrt(ops.sum(ops.square(gradient), axis=-1, keepdims=True)) / LARGEST_MAGNITUDE


def edge_fidelity(original, edges):
    """L_Edge: mean squared error of a predicted edge map ``(B, H, W, 1)`` (region-aware paper, Eq. 3); a scalar."""
    return mse(sobel_edges(original), edges)
