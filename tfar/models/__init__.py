"""The networks of the five papers, one module per paper, and the builders that recipes name."""

import inspect
from collections.abc import Mapping

import keras
from keras import ops

from tfar import pixels
from tfar.errors import RecipeError
from tfar.models import argan, ep_gan, galteri, one_to_many, region_aware
from tfar.recipes import Network, Recipe, RegionAware

BUILDERS = {
    "edge_cnn": region_aware.edge_cnn,
    "texture_generator": region_aware.texture_generator,
    "srgan_discriminator": region_aware.srgan_discriminator,
    "edge_discriminator": ep_gan.edge_discriminator,
    "unet_generator": argan.unet_generator,
    "convolutional_discriminator": argan.convolutional_discriminator,
    "galteri_generator": galteri.galteri_generator,
    "sub_patch_discriminator": galteri.sub_patch_discriminator,
    "full_patch_discriminator": galteri.full_patch_discriminator,
    "proposal_network": one_to_many.proposal_network,
    "naturalness_discriminator": one_to_many.naturalness_discriminator,
}

# What can be trained: name of the system or of its variant -> name of the recipe -> recipe.
SYSTEMS = {
    "region-aware": region_aware.RECIPES,
    **ep_gan.RECIPES,
    **argan.RECIPES,
    **galteri.RECIPES,
    **one_to_many.RECIPES,
}


def named_recipe(name: str) -> Recipe:
    """The recipe of one training by its name: ``SYSTEM:RECIPE``, of the region-aware system with ``.base`` or
    ``.texture`` behind it; :class:`RecipeError` when there is none.
    """
    system, _, rest = name.partition(":")
    kind, _, part = rest.partition(".")
    recipe = SYSTEMS.get(system, {}).get(kind)
    if isinstance(recipe, RegionAware):
        recipe = {"base": recipe.base, "texture": recipe.texture}.get(part)
    elif part:
        recipe = None
    if recipe is None:
        known = ", ".join(f"{system}:{kind}" for system, kinds in SYSTEMS.items() for kind in kinds)
        raise RecipeError(f"no recipe {name!r}; known, region-aware with .base or .texture behind it: {known}")
    return recipe


def build(network: Network) -> keras.Model:
    """Build the network that a recipe describes; :class:`RecipeError` for an unknown builder or option."""
    if network.builder not in BUILDERS:
        raise RecipeError(f"unknown network {network.builder!r}; known: {', '.join(BUILDERS)}")
    builder = BUILDERS[network.builder]
    known = inspect.signature(builder).parameters
    for name, value in network.options.items():
        if name not in known:
            raise RecipeError(f"{network.builder} has no option {name!r}; it has: {', '.join(known)}")
        if type(value) is not known[name].annotation:
            raise RecipeError(f"{network.builder}: {name} must be {known[name].annotation.__name__}, got {value!r}")
    try:
        return builder(**network.options)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{network.builder}: {error}") from error


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


def rgb_form(network: keras.Model, output: str) -> keras.Model:
    """One output of a network, for RGB images.

    A network for luma restores the luma of the image and the chroma stays as it is: what it changes is added to the
    three channels alike. A network for RGB is only cut down to the output.

    Returns:
        A model from the network's inputs, the first of them RGB ``(B, H, W, 3)``, to an image of the same shape.
    """
    if channels(network) == 3:
        return keras.Model(network.inputs, network.output[output])
    rgb = keras.Input((None, None, 3), name=network.inputs[0].name)
    others = [keras.Input(tensor.shape[1:], name=tensor.name) for tensor in network.inputs[1:]]
    luma = pixels.to_luma(rgb)
    restored = network([luma, *others] if others else luma)[output]
    return keras.Model([rgb, *others], rgb + (restored - luma))
