"""Pixel ranges and colour: the only place that knows 255, 127.5 and the BT.601 numbers.

Outside the networks an image is uint8 RGB (or gray) in [0, 255]; inside it is float32 in [-1, 1].
Functions that begin with ``to_`` run on the Keras backend and may stand in a graph; the others take NumPy arrays and
need no Keras, which is imported where it is used.
"""

import numpy as np

BT601_LUMA = (0.299, 0.587, 0.114)
YCBCR_FROM_RGB = np.array([BT601_LUMA, (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312)], np.float32)  # JFIF


def to_float(image):
    """Map pixels from [0, 255] (uint8 or float) to float32 in [-1, 1]; any shape."""
    from keras import ops

    return ops.cast(image, "float32") / 127.5 - 1.0


def to_255(image):
    """Map float pixels from [-1, 1] to [0, 255] without rounding; any shape."""
    return (image + 1.0) * 127.5


def to_uint8(image):
    """Map float pixels from [-1, 1] to uint8 in [0, 255], rounded and clipped; any shape."""
    from keras import ops

    return ops.cast(ops.round(ops.clip(to_255(ops.cast(image, "float32")), 0.0, 255.0)), "uint8")


def to_luma(image):
    """Full-range BT.601 luma of an image ``(..., 3)``, in the image's own range; returns ``(..., 1)``."""
    from keras import backend, ops

    weights = np.array(BT601_LUMA, backend.standardize_dtype(image.dtype))  # a tensor would be an input of graphs
    return ops.sum(ops.multiply(image, weights), axis=-1, keepdims=True)


def to_ycbcr(image):
    """Full-range YCbCr, as JPEG files hold it, of RGB ``(B, H, W, 3)``; both float in [-1, 1], chroma 0 for gray."""
    return _mix_channels(image, YCBCR_FROM_RGB)


def to_rgb(image):
    """The inverse of :func:`to_ycbcr`."""
    return _mix_channels(image, np.linalg.inv(YCBCR_FROM_RGB))


def _mix_channels(image, matrix: np.ndarray):
    """Multiply the channels of every pixel by a matrix; a 1x1 convolution, which every runtime has."""
    from keras import ops

    return ops.conv(image, ops.convert_to_tensor(matrix.T[None, None], dtype=image.dtype), padding="valid")


def as_float(image: np.ndarray) -> np.ndarray:
    """:func:`to_float` of a NumPy array."""
    return np.float32(image) / np.float32(127.5) - np.float32(1)


def as_levels(image: np.ndarray, depth: int = 8) -> np.ndarray:
    """Map float pixels from [-1, 1] to whole numbers of 8 bits (uint8) or 16 bits (uint16, 65535 is 1.0).

    Rounded and clipped, as :func:`to_uint8`; any shape.
    """
    top = 2**depth - 1
    return np.rint(np.clip((image + np.float32(1)) * np.float32(top / 2), 0, top)).astype(f"uint{depth}")


def as_luma(image: np.ndarray) -> np.ndarray:
    """:func:`to_luma` of a NumPy array, float32."""
    return np.float32(image) @ np.asarray(BT601_LUMA, np.float32)[:, None]


def studio_luma(image: np.ndarray) -> np.ndarray:
    """Limited-range BT.601 luma, as MATLAB's ``rgb2ycbcr`` gives it and as the field's scores use it.

    Args:
        image: uint8 array ``(H, W, 3)`` RGB, or ``(H, W)`` which is taken to be luma already.

    Returns:
        uint8 array ``(H, W)``, in [16, 235] for RGB input.
    """
    if image.ndim == 2:
        return image
    scale = np.float64(BT601_LUMA) * 219.0 / 255.0
    return np.uint8(np.round(16.0 + image.astype(np.float64) @ scale))


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Repeat a gray image ``(H, W)`` to ``(H, W, 3)``; an RGB image is returned as it is."""
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=-1)
