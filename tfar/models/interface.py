"""What all networks have in common: named inputs, outputs by name, and a form for RGB images."""

from collections.abc import Mapping, Sequence

import keras
from keras import ops

from tfar import pixels


def channels(network: keras.Model) -> int:
    """Channels of the image that a network takes: 3 for RGB, 1 for luma."""
    return network.inputs[0].shape[-1]


def input_names(network: keras.Model) -> list[str]:
    """Names of a network's inputs, in their order: ``jpeg`` or ``image``, then ``noise`` or a condition."""
    return [tensor.name for tensor in network.inputs]


def call(network: keras.Model, given: Mapping, *, training: bool = False):
    """Call a network with those of the given tensors, by name, that are its inputs."""
    tensors = [ops.convert_to_tensor(given[name]) for name in input_names(network)]
    return network(tensors if len(tensors) > 1 else tensors[0], training=training)


def main_output(network: keras.Model) -> str:
    """Name of the output that is the restored image: ``fused`` of a region-aware network, ``image`` of any other."""
    return "fused" if "fused" in network.output else "image"


def rgb_form(network: keras.Model, outputs: Sequence[str]) -> keras.Model:
    """Some outputs of a network, for RGB images.

    A network for luma restores the luma of the image and the chroma stays as it is: what it changes is added to the
    three channels alike. A network for RGB is only cut down to the outputs.

    Returns:
        A model from the network's inputs, the first of them RGB ``(B, H, W, 3)``, to a dictionary of images of the
        same shape.
    """
    if channels(network) == 3:
        return keras.Model(network.inputs, {name: network.output[name] for name in outputs})
    rgb = keras.Input((None, None, 3), name=network.inputs[0].name)
    others = [keras.Input(tensor.shape[1:], name=tensor.name) for tensor in network.inputs[1:]]
    luma = pixels.to_luma(rgb)
    restored = network([luma, *others] if others else luma)
    return keras.Model([rgb, *others], {name: rgb + (restored[name] - luma) for name in outputs})
