"""Tiny recipes for the tests, also for those that run in processes of their own."""

import dataclasses

from tfar.recipes import Data, Features, Network, Optimizer, Phase, Recipe

GENERATOR = {"filters": 8, "blocks": 2, "head": 8, "norm": "none"}


def plain_recipe(**changes) -> Recipe:
    """Edge-CNN on 16 patches of 32x32 of the demo photographs, two epochs of three steps."""
    recipe = Recipe(
        generator=Network(builder="edge_cnn", options=GENERATOR),
        data=Data(patch=32, batch=16, gray=0.5),
        phases=(Phase(epochs=2, terms={"mse": 1.0, "edge": 1.0}, learning_rate=1e-3),),
        steps_per_epoch=3)
    return dataclasses.replace(recipe, **changes)


def adversarial_recipe(**changes) -> Recipe:
    """Texture-GAN with every loss term and random VGG filters; an epoch of MSE, then one of everything."""
    terms = {"mse": 1.0, "perceptual": 1e-6, "texture": 1e-9, "adversarial": 1e-2}
    recipe = Recipe(
        generator=Network(builder="texture_generator", options=GENERATOR),
        discriminator=Network(builder="srgan_discriminator", options={"filters": 4, "norm": "synchronized"}),
        features=Features(network="vgg16", weights="random", perceptual="block2_pool",
                          texture=("block1_conv1", "block2_conv1")),
        data=Data(patch=32, batch=16),
        phases=(Phase(epochs=1, terms={"mse": 1.0}, learning_rate=1e-3),
                Phase(epochs=1, terms=terms, learning_rate=1e-3)),
        optimizer=Optimizer(average=0.9), monitor="last", steps_per_epoch=2)
    return dataclasses.replace(recipe, **changes)
