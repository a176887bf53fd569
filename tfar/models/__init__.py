"""The networks of the five papers, one module per paper, and the builders that recipes name."""

import inspect

import keras

from tfar.errors import RecipeError
from tfar.models.region_aware import edge_cnn, srgan_discriminator, texture_generator
from tfar.recipes import Network

BUILDERS = {
    "edge_cnn": edge_cnn,
    "texture_generator": texture_generator,
    "srgan_discriminator": srgan_discriminator,
}


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
