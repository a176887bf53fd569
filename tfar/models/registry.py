"""The builders and the systems of the five papers by their names, as recipes and command lines have them."""

import inspect
from collections.abc import Callable, Mapping

import keras
import pydantic

from tfar.errors import RecipeError
from tfar.models import argan, ep_gan, galteri, one_to_many, region_aware
from tfar.recipes import Network, Recipe, RegionAware

BUILDERS: dict[str, Callable[..., keras.Model]] = {
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
SYSTEMS: dict[str, Mapping[str, Recipe | RegionAware]] = {
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
        kind = known[name].annotation
        try:
            pydantic.TypeAdapter(kind).validate_python(value, strict=True)
        except pydantic.ValidationError as error:
            [fault, *others] = (found["msg"].removeprefix("Input should ") for found in error.errors())
            wanted = f"be {inspect.formatannotation(kind)}" if others else fault
            raise RecipeError(f"{network.builder}: {name} must {wanted}, got {value!r}") from error
    try:
        return builder(**network.options)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{network.builder}: {error}") from error
