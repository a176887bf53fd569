"""Tiny recipes for the tests, also for those that run in processes of their own."""

import dataclasses

from tfar.models import SYSTEMS
from tfar.recipes import Data, Features, Network, Optimizer, Phase, Recipe, override

GENERATOR = {"filters": 8, "blocks": 2, "head": 8, "norm": "none"}
NOISE_GENERATOR = {"filters": 4, "branch_blocks": 1, "blocks": 1, "norm": "none", "residual": True}
FEW_BLOCKS = {
    "edge_cnn": {"blocks": 1, "head": 8, "scales": 1},
    "texture_generator": {"blocks": 1, "head": 8, "scales": 1},
    "unet_generator": {"blocks": 1},
    "galteri_generator": {"blocks": 1},
    "proposal_network": {"branch_blocks": 1, "blocks": 1},
}


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


def blind_recipe(**changes) -> Recipe:
    """Texture-GAN over two scales, with Muon, relative errors, fading terms and every kind of JPEG."""
    terms = {"relative_mse": 1.0, "perceptual": 1e-6, "texture": 1e-9, "adversarial": 1e-2}
    recipe = Recipe(
        generator=Network(builder="texture_generator", options={
            "filters": 16, "blocks": 3, "head": 8, "norm": "none", "stride": 2, "scales": 2, "expansion": 2}),
        discriminator=Network(builder="srgan_discriminator", options={"filters": 4, "norm": "none"}),
        features=Features(network="vgg16", weights="random", perceptual="block2_pool",
                          texture=("block1_conv1", "block2_conv1")),
        data=Data(patch=32, batch=16, quality=(5, 95), quality_law="log-uniform", gray=0.3, double=0.5, aligned=0.9,
                  subsampling={"4:2:0": 1.0, "4:2:2": 1.0, "4:4:4": 1.0},
                  tables={"standard": 1.0, "mozjpeg": 1.0, "photoshop": 1.0}),
        optimizer=Optimizer(kind="muon", average=0.9),
        phases=(Phase(epochs=1, terms=terms, fading=("perceptual", "texture", "adversarial"), learning_rate=1e-3,
                      discriminator_rate=5e-4),),
        monitor="last", steps_per_epoch=2)
    return dataclasses.replace(recipe, **changes)


def tiny_recipe(system: str, *assignments: str) -> Recipe:
    """The demo recipe of a system with tiny networks and phases of one epoch of two steps.

    The two trainings of the region-aware system are ``region-aware.base`` and ``region-aware.texture``.
    """
    system, _, part = system.partition(".")
    recipe = getattr(SYSTEMS[system]["demo"], part) if part else SYSTEMS[system]["demo"]
    changes = {
        "data.batch": 4, "data.patch": 64 if system == "argan" else 32, "precision": "float32", "steps_per_epoch": 2,
        "optimizer.clip_norm": "null", "optimizer.average": "null", "generator.options.filters": 8,
        **{f"generator.options.{name}": count for name, count in FEW_BLOCKS[recipe.generator.builder].items()}}
    if recipe.discriminator:
        changes["discriminator.options.filters"] = 4
    if recipe.features:
        changes |= {"features.network": "vgg16", "features.weights": "random", "features.perceptual": "block2_pool"}
    for i in range(len(recipe.phases)):
        changes |= {f"phases.{i}.epochs": 1, f"phases.{i}.warmup": 0, f"phases.{i}.decay": "constant"}
    return override(recipe, [f"{field}={value}" for field, value in changes.items()] + list(assignments))


def noise_recipe(**changes) -> Recipe:
    """The one-to-many network with losses of its own and of ARGAN; an epoch of MSE, then one of everything."""
    terms = {"mse": 1.0, "jpeg": 1e-5, "ssim": 0.1, "saturating": 1e-2}
    recipe = Recipe(
        generator=Network(builder="proposal_network", options=NOISE_GENERATOR),
        discriminator=Network(builder="naturalness_discriminator", options={"filters": 2, "norm": "none"}),
        data=Data(patch=32, batch=8, aligned=0.5, gray=0.5),
        phases=(Phase(epochs=1, terms={"mse": 1.0}, learning_rate=1e-3),
                Phase(epochs=1, terms=terms, learning_rate=1e-3)),
        optimizer=Optimizer(average=0.9), steps_per_epoch=2, label_smoothing=0.1)
    return dataclasses.replace(recipe, **changes)
