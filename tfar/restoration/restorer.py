"""From a network to a function on the images people have."""

import keras
import numpy as np
from keras import ops

from tfar import pixels
from tfar.errors import ImageError
from tfar.recipes import LAYERS


class Restorer:
    """Restores uint8 images of any size with a network.

    Args:
        model: a fused region-aware network, or a generator whose output is ``{"image": ...}``; input in [-1, 1].
        layer: of a fused network: ``fused``, ``base`` (L_B, most faithful) or ``texture`` (L_T, most texture). A
            network that the layer does not need is not computed.

    Raises:
        ValueError: for an unknown layer, or a layer of a network that has none.

    Example:
        restored = Restorer(tfar.load("region-aware-q10"))(image)
    """

    def __init__(self, model: keras.Model, layer: str | None = None):
        if layer not in (None, *LAYERS):
            raise ValueError(f"layer must be one of {', '.join(LAYERS)}, got {layer!r}")
        fused = "fused" in model.output
        if layer and not fused:
            raise ValueError(f"{model.name} is a single network and has no layer {layer!r}")
        self.channels = model.input_shape[-1]
        self._output = (layer or "fused") if fused else "image"
        self._model = keras.Model(model.input, model.output[self._output])

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Restore one image.

        Args:
            image: uint8 array ``(H, W, 3)`` RGB, or ``(H, W)`` or ``(H, W, 1)`` gray, from 1x1 pixel up. A gray image
                goes through a network for RGB three times alike, and the mean of the three is the result.

        Returns:
            The restored image, uint8, of the same shape.

        Raises:
            ImageError: for another dtype or shape, or a colour image and a network for gray.
        """
        if image.dtype != np.uint8:
            raise ImageError(f"expected a uint8 image in [0, 255], got {image.dtype}")
        if image.ndim not in (2, 3) or image.shape[2:] not in ((), (1,), (3,)) or 0 in image.shape:
            raise ImageError(f"expected an image (H, W), (H, W, 1) or (H, W, 3), got {image.shape}")
        gray = image.shape[2:] != (3,)
        if self.channels == 1 and not gray:
            raise ImageError("this network restores gray images only")
        planes = image.reshape(*image.shape[:2], -1)
        batch = np.repeat(planes, self.channels // planes.shape[-1], axis=-1)[None]
        restored = self._model(pixels.to_float(batch), training=False)
        if gray:
            restored = ops.mean(restored, axis=-1, keepdims=True)
        return ops.convert_to_numpy(pixels.to_uint8(restored))[0].reshape(image.shape)
