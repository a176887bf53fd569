"""From a network to a function on the images people have."""

import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tfar import pixels
from tfar.data.patches import draw_noise
from tfar.errors import ImageError
from tfar.models import channels, input_names, main_output, rgb_form
from tfar.recipes import LAYERS

TILE = 1536  # side of the part of a large image that is computed at a time; a multiple of every network's stride
SINGLE = "restored"  # the row of a network that has no layers
LAYER_NAMES = {"base": "L_B (base)", "texture": "L_T (texture)", "fused": "fused"}
MARGIN = 96  # pixels around it that it may depend on; ARGAN's depends on more, but not by a level of 255


class Restorer:
    """Restores uint8 images of any size with a network.

    A large image is restored in tiles that overlap, so that it takes little more memory than a small one.
    A network for luma restores the luma of a colour image and keeps its chroma. A gray image goes through a network for
    RGB three times alike, and the mean of the three is the result.

    Args:
        model: a fused region-aware network, or a generator whose output is ``{"image": ...}``; input in [-1, 1].
        layer: of a fused network: ``fused``, ``base`` (L_B, most faithful) or ``texture`` (L_T, most texture). A
            network that the layer does not need is not computed.
        seed: of the noise that a one-to-many network takes; another seed gives another restoration. Other networks
            have no use for it.

    Raises:
        ValueError: for an unknown layer, a layer of a network that has none, or a negative seed.

    Example:
        restored = Restorer(tfar.load("region-aware-q10"))(image)
    """

    def __init__(self, model: keras.Model, layer: str | None = None, *, seed: int = 0):
        if layer not in (None, *LAYERS):
            raise ValueError(f"layer must be one of {', '.join(LAYERS)}, got {layer!r}")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        output = layer or main_output(model)
        if output not in model.output:
            raise ValueError(f"{model.name} is a single network and has no layer {layer!r}")
        self.seed = seed
        self.channels = channels(model)
        self.takes_noise = "noise" in input_names(model)
        self._network, self._rgb_network = _networks(model, output)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Restore one image.

        Args:
            image: uint8 array ``(H, W, 3)`` RGB, or ``(H, W)`` or ``(H, W, 1)`` gray, from 1x1 pixel up.

        Returns:
            The restored image, uint8, of the same shape.

        Raises:
            ImageError: for another dtype or shape.
        """
        _check(image)
        network = self._network if _is_gray(image) else self._rgb_network
        given = {input_names(network)[0]: _batch(image, channels(network))}
        if self.takes_noise:
            given["noise"] = draw_noise(np.random.default_rng(self.seed), 1, *image.shape[:2])
        return _finish(_apply(network, given), image)


def restore_layers(model: keras.Model, image: np.ndarray) -> dict[str, np.ndarray]:
    """All layers of a fused region-aware network, from one call where it takes the image as it is.

    Image, results and errors are those of :class:`Restorer`.
    """
    _check(image)
    if channels(model) == 1 and not _is_gray(image):
        return {layer: Restorer(model, layer)(image) for layer in LAYERS}
    outputs = _apply(model, {input_names(model)[0]: _batch(image, channels(model))})
    return {layer: _finish(outputs[layer], image) for layer in LAYERS}


def layer_restorers(model: keras.Model) -> Mapping[str, Restorer]:
    """A restorer per layer of a region-aware network, under the name of its row; of another network the one it has."""
    if main_output(model) == "fused":
        return {name: Restorer(model, layer) for layer, name in LAYER_NAMES.items()}
    return {SINGLE: Restorer(model)}


def region_mask(model: keras.Model, image: np.ndarray) -> np.ndarray:
    """Where a fused region-aware network takes the texture layer: uint8 ``(H, W)``, 255 there and 0 elsewhere."""
    _check(image)
    if channels(model) == 1 and not _is_gray(image):
        image = np.round(image @ np.asarray(pixels.BT601_LUMA, np.float32)).astype(np.uint8)
    mask = _apply(model, {input_names(model)[0]: _batch(image, channels(model))})["mask"]
    return np.uint8(255 * mask[0, ..., 0])


@functools.lru_cache(maxsize=8)
def _networks(model: keras.Model, output: str) -> tuple[keras.Model, keras.Model]:
    """One output of a model, for images of its own channels and for RGB; kept, since each compiles a graph."""
    rgb_network = rgb_form(model, output)
    own = rgb_network if channels(model) == 3 else keras.Model(model.inputs, model.output[output])
    return own, rgb_network


def _apply(network: keras.Model, given: Mapping[str, Any]):
    """What a network makes of its inputs, by name, as NumPy arrays; as a graph, faster than layer by layer.

    A large image goes through tile by tile, so that memory does not grow with it.
    """
    network.jit_compile = False  # XLA would compile it for every size of images anew
    inputs = [ops.convert_to_numpy(given[name]) for name in input_names(network)]
    height, width = inputs[0].shape[1:3]
    columns, tiles = range(0, width, TILE), []
    for top, left in itertools.product(range(0, height, TILE), columns):
        begin = max(top - MARGIN, 0), max(left - MARGIN, 0)
        end = min(top + TILE + MARGIN, height), min(left + TILE + MARGIN, width)
        cut = [_cut(array, begin, end, (height, width)) for array in inputs]
        found = network.predict_on_batch(cut if len(cut) > 1 else cut[0])
        inner = np.s_[:, top - begin[0] :, left - begin[1] :]
        tiles.append(keras.tree.map_structure(lambda array, inner=inner: array[inner][:, :TILE, :TILE], found))
    return keras.tree.map_structure(lambda *arrays: _join(arrays, len(columns)), *tiles)


def _cut(array: np.ndarray, begin: tuple[int, int], end: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """A part of an input, between two corners of an image of a size; the input may be half as large (noise)."""
    scales = [round(side / own) for side, own in zip(size, array.shape[1:3])]
    rows, columns = (slice(b // scale, -(-e // scale)) for b, e, scale in zip(begin, end, scales))
    return array[:, rows, columns]


def _join(tiles: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """One image of its tiles, row by row."""
    rows = [np.concatenate(tiles[i : i + columns], axis=2) for i in range(0, len(tiles), columns)]
    return np.concatenate(rows, axis=1)


def _check(image: np.ndarray):
    if image.dtype != np.uint8:
        raise ImageError(f"expected a uint8 image in [0, 255], got {image.dtype}")
    if image.ndim not in (2, 3) or image.shape[2:] not in ((), (1,), (3,)) or 0 in image.shape:
        raise ImageError(f"expected an image (H, W), (H, W, 1) or (H, W, 3), got {image.shape}")


def _is_gray(image: np.ndarray) -> bool:
    return image.shape[2:] != (3,)


def _batch(image: np.ndarray, channels: int):
    """One image as a batch ``(1, H, W, channels)`` in [-1, 1]; a gray one is repeated as often as it takes."""
    planes = image.reshape(*image.shape[:2], -1)
    return pixels.to_float(np.repeat(planes, channels // planes.shape[-1], axis=-1)[None])


def _finish(restored, image: np.ndarray) -> np.ndarray:
    """The uint8 image, of the shape of the given one, of a network's result; the mean of the channels for gray."""
    if _is_gray(image):
        restored = ops.mean(restored, axis=-1, keepdims=True)
    return ops.convert_to_numpy(pixels.to_uint8(restored))[0].reshape(image.shape)
