"""EP-GAN: enhanced decoding of JPEG images by an edge-preserving generative adversarial network.

==================================  ====================================================================
the paper                           here
==================================  ====================================================================
Fig. 1 (a), generator               :func:`tfar.models.region_aware.edge_cnn`
Fig. 1 (b), discriminator           :func:`edge_discriminator`
Eq. 1-6                             ``tfar.losses``: ``mse``, ``perceptual``, ``edge``, ``adversarial``
Section 3.1, training               :data:`RECIPES`, ``ep-gan``, entry ``paper``
Section 3.2, "Baseline"             ``ep-gan-mse``: the generator trained with the MSE only
Section 3.4, without edges          ``v-gan``: no edge branch, no edge condition, no edge loss
==================================  ====================================================================

Deviations and choices (what the text does not say):

- The generator is the region-aware system's Edge-CNN. Both papers share every number that they state (the
  discriminator's widths, its residual block, pool4, 2e-6, 1e-3, the rate divided by 10 at half) with TensorLayer's
  public SRGAN; what they leave open is taken from there.
- So the first convolution of the generator is 3x3, and the 1x1 convolutions of the discriminator are followed by batch
  normalisation, the first one by LeakyReLU, too. In the practical recipes the entry is 9x9 as in SRResNet, both 1x1
  convolutions have a LeakyReLU, and the edge branch starts from the features (see ``region_aware``).
- The condition is the edge map of the original for both kinds of pairs (Eq. 5 and 6), on the scale of
  ``tfar.losses.edge``.
- The text gives no number of epochs: the paper recipe takes 20 for the MSE alone, and 200 for all terms as the
  region-aware paper, half of them at each rate; the optimizers keep their moments where the rate falls. An epoch is as
  many patches as the paper has images. It says nothing of flips and turns, so there are none.
- A tenth of the photographs is held out, of which the text says nothing; without a discriminator the best epoch on
  them is kept.
- ``cpu`` takes the generator on three scales, ``demo`` its practical form (see ``region_aware``); both have a narrower
  discriminator, and the edge loss from the start; the weights are the paper's.
"""

import dataclasses

import keras
from keras import layers

from tfar.models.blocks import conv, leaky_relu, normalize
from tfar.models.region_aware import EDGE_CNN, THREE_SCALES
from tfar.recipes import Count, Data, Features, Network, Optimizer, Phase, Recipe, for_cpus


def edge_discriminator(
    *,
    channels: Count = 3,
    patch: Count,
    filters: Count = 64,
    norm: str = "batch",
    edges: bool = True,
    second_activation: bool = True,
) -> keras.Model:
    """EP-GAN's discriminator (Fig. 1 b): judges an image beside the edge map of the original.

    Parameters for 224x224 RGB patches, by hand: six 4x4 convolutions 4,160 + 131,200 + 524,544 + 2,097,664 + 8,389,632
    + 33,556,480; 1x1 2,098,176 + 524,800; residual block 65,664 + 147,584 + 590,336; norms of 4 values on 128, 256,
    512, 1024, 2048, 1024, 512, 128, 128 and 512 channels 25,088; dense 4*4*512+1 = 8,193: 48,163,521 in all.

    Args:
        channels: of the image.
        patch: side of the square patches, in pixels; the dense layer needs it fixed.
        filters: width of the first convolution; the later ones are 2 to 32 times as wide.
        norm: ``batch``, ``synchronized`` or ``none``.
        edges: take the edge map as a second input; without it this is the discriminator of V-GAN.
        second_activation: whether a LeakyReLU stands between the second 1x1 convolution and the residual block; in the
            paper's form there is none.

    Returns:
        A model from an image ``(B, patch, patch, channels)`` in [-1, 1] and, as the input ``edges``, an edge map
        ``(B, patch, patch, 1)`` in [0, 1], to logits ``(B, 1)``, float32: of the probability that the image is an
        original.
    """
    image = keras.Input((patch, patch, channels), name="image")
    inputs, x = [image], image
    if edges:
        inputs.append(keras.Input((patch, patch, 1), name="edges"))
        x = layers.Concatenate(name="image_and_edges")(inputs)
    for i in range(1, 7):
        x = conv(x, filters * 2 ** (i - 1), 4, strides=2, name=f"conv{i}")
        x = leaky_relu(x if i == 1 else normalize(x, norm, name=f"norm{i}"), name=f"leaky{i}")
    for i, width in ((7, 16), (8, 8)):
        x = normalize(conv(x, width * filters, 1, name=f"conv{i}"), norm, name=f"norm{i}")
        if i == 7 or second_activation:
            x = leaky_relu(x, name=f"leaky{i}")
    y = normalize(conv(x, 2 * filters, 1, name="residual_conv1"), norm, name="residual_norm1")
    y = conv(leaky_relu(y, name="residual_leaky1"), 2 * filters, 3, name="residual_conv2")
    y = leaky_relu(normalize(y, norm, name="residual_norm2"), name="residual_leaky2")
    y = normalize(conv(y, 8 * filters, 3, name="residual_conv3"), norm, name="residual_norm3")
    x = leaky_relu(layers.Add(name="residual_add")([x, y]), name="residual_leaky3")
    logit = layers.Dense(1, dtype="float32", name="logit")(layers.Flatten(name="flatten")(x))
    return keras.Model(inputs, logit, name="edge_discriminator")


_TERMS = {"mse": 1.0, "perceptual": 2e-6, "edge": 1.0, "adversarial": 1e-3}

_PAPER = Recipe(
    generator=Network(builder="edge_cnn", options=EDGE_CNN),
    discriminator=Network(builder="edge_discriminator", options={"second_activation": False}),
    features=Features(),
    data=Data(patch=224, batch=4, augment=False),
    phases=(
        Phase(epochs=20, terms={"mse": 1.0}),
        Phase(epochs=100, terms=_TERMS),
        Phase(epochs=100, terms=_TERMS, learning_rate=1e-5),
    ),
    steps_per_epoch=515,
    monitor="last",
)


def _practical(
    options: dict,
    *,
    steps_per_epoch: int,
    warm_up: Phase,
    adversarial: Phase,
    weights: str = "imagenet",
) -> Recipe:
    return Recipe(
        generator=Network(builder="edge_cnn", options={"norm": "none", "residual": True, "stride": 2, **options}),
        discriminator=Network(builder="edge_discriminator", options={"filters": 16}),
        features=Features(weights=weights),
        data=Data(patch=96, batch=16, gray=0.5),
        optimizer=Optimizer(clip_norm=0.5, average=0.999),
        phases=(warm_up, adversarial),
        steps_per_epoch=steps_per_epoch,
        monitor="last",
    )


_EP_GAN = {
    "paper": _PAPER,
    "cpu": for_cpus(
        _practical(
            THREE_SCALES,
            steps_per_epoch=500,
            warm_up=Phase(epochs=20, terms={"mse": 1.0, "edge": 1.0}, learning_rate=2e-3, decay="cosine", warmup=250),
            adversarial=Phase(
                epochs=6, terms=_TERMS, learning_rate=5e-4, discriminator_rate=2e-4, decay="cosine", warmup=250
            ),
        )
    ),
    "demo": _practical(
        {"filters": 32, "blocks": 4, "head": 32},
        steps_per_epoch=100,
        warm_up=Phase(epochs=5, terms={"mse": 1.0, "edge": 1.0}, learning_rate=2e-3, decay="cosine", warmup=50),
        adversarial=Phase(epochs=1, terms=_TERMS, learning_rate=2e-4, decay="cosine", warmup=20),
        weights="imagenet-or-random",
    ),
}


def _without_edges(recipe: Recipe) -> Recipe:
    """V-GAN: no edge branch, no edge condition, no edge loss."""
    generator = {name: value for name, value in recipe.generator.options.items() if name != "edges_from"}
    discriminator = recipe.discriminator
    phases = [
        dataclasses.replace(phase, terms={name: w for name, w in phase.terms.items() if name != "edge"})
        for phase in recipe.phases
    ]
    return dataclasses.replace(
        recipe,
        phases=tuple(phases),
        generator=Network(builder="texture_generator", options=generator),
        discriminator=dataclasses.replace(discriminator, options={**discriminator.options, "edges": False}),
    )


def _mse_only(recipe: Recipe) -> Recipe:
    """The paper's "Baseline": the same generator and as many epochs at the same rates, trained with the MSE only.

    A cosine goes over all epochs.
    """
    phases = recipe.phases
    if phases[0].decay == "cosine":
        phases = (dataclasses.replace(phases[0], epochs=recipe.epochs),)
    phases = tuple(dataclasses.replace(phase, terms={"mse": 1.0}) for phase in phases)
    return dataclasses.replace(recipe, phases=phases, discriminator=None, features=None, monitor="psnr")


RECIPES = {
    "ep-gan": _EP_GAN,
    "v-gan": {name: _without_edges(recipe) for name, recipe in _EP_GAN.items()},
    "ep-gan-mse": {name: _mse_only(recipe) for name, recipe in _EP_GAN.items()},
}
