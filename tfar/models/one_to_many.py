"""One-to-many network for visually pleasing compression artifacts reduction (Guo and Chao, CVPR 2017).

==================================  ====================================================================
the paper                           here
==================================  ====================================================================
Fig. 3, proposal component          :func:`proposal_network`
Section 3.2.2, shift-and-average    :func:`shift_and_average`
Table 1, network D                  :func:`naturalness_discriminator`
Eq. 1, perceptual loss              ``tfar.losses``: ``perceptual``
Eq. 2-3, naturalness loss           ``tfar.losses``: ``adversarial`` and the discriminator's
Eq. 4-6, JPEG loss                  ``tfar.losses``: ``jpeg``
Section 3.4 and 4, training         :data:`RECIPES`, ``one-to-many``, entry ``paper``
Section 4.1, "baseline"             ``one-to-many-mse``: per-pixel loss, no noise
Table 2, qualities 5, 10 and 20     ``one-to-many-mse-q5``, ``one-to-many-mse``, ``one-to-many-mse-q20``; so without
                                    ``-mse``, of which Section 4.2 shows quality 10
Section 4.2, luma                   ``one-to-many-y``; RGB (Section 4.3) is ``one-to-many``
Fig. 8 (a)                          ``one-to-many-perceptual-unshifted``: perceptual loss, no shift-and-average
Fig. 8 (b)                          ``one-to-many-perceptual``: perceptual loss
Fig. 8 (c)                          ``one-to-many-natural``: perceptual and naturalness loss
==================================  ====================================================================

Deviations and choices (the numbers are lost from the text):

- Filter sizes and counts are those of the published paper as we remember it: 4x4 where the resolution changes, 3x3
  elsewhere, 64 filters, 5 units in each branch and 10 after them. A 3x3 convolution joins the branches.
- The slope of the LeakyReLUs, whose value is lost, is 0.2 as in DCGAN.
- The noise is standard normal, one channel at half the resolution.
- The weights of the naturalness and of the JPEG loss are 0.1; the latter counts on patches that lie on the grid of
  their JPEG, which half of the patches do. The loss is that of the luma, on the scale of 0-255.
- The text does not say how large the features of the perceptual loss are. Those of the original Caffe network, which
  the loss here sees, would leave the naturalness loss 0.05% of the perceptual one's gradient; the weight 5e-3, which is
  as if they were divided by 14, gives it 9.5% (docs/papers.md).
- Patches are 112x112, 16 of them a batch; a part of the patches is gray; the text gives no number of epochs that
  survived: 100 of 1000 steps, the first of them without D as the text has it (Section 3.4). There are no flips and
  turns, of which the text says nothing.
- A tenth of the photographs is held out, of which the text says nothing; without a discriminator the best epoch on
  them is kept.
- The features are those of VGG-16's last convolution; the text says "relu5_4", a layer that only VGG-19 has.
- Every convolution of D but the last is followed by batch normalisation and LeakyReLU (caption of Table 1, Section
  3.3.2): the first one is normalised, the last one is followed by the classifier.
- ``cpu`` and ``demo`` take the practical form: a generator without normalisation, which predicts a correction of the
  JPEG that starts at zero; a discriminator whose first convolution is the one without a norm, as in DCGAN; an MSE
  beside the other losses, weights that bring them to its size, features of ``block3_conv3``, and a diversity loss,
  without which the network may learn to ignore the noise.
"""

import dataclasses

import keras
from keras import layers

from tfar.models.blocks import CropLike, ReplicatePad, conv, corrected, leaky_relu, normalize, preactivation_block
from tfar.recipes import Count, Data, Features, Network, NotNegative, Optimizer, Phase, Recipe, for_cpus

BARE = {"first": 1, "last": 8}  # the convolution of the discriminator that no norm follows


def proposal_network(
    *,
    channels: Count = 3,
    filters: Count = 64,
    branch_blocks: NotNegative = 5,
    blocks: NotNegative = 10,
    noise: bool = True,
    norm: str = "batch",
    residual: bool = False,
    shift: bool = True,
) -> keras.Model:
    """The proposal component (Fig. 3): a JPEG and noise in, one of many possible originals out.

    Parameters with the defaults, by hand: entry 4*4*3*64+64 = 3,136; noise entry 3*3*64+64 = 640; 20 units of
    2*(3*3*64*64+64 + 4*64) = 74,368; joining 3*3*128*64+64 = 73,792; last norm 256; up 4*4*64*3+3 = 3,075: 1,568,259
    in all.

    Args:
        channels: of the image, 3 or 1.
        filters: width of all but the last convolution.
        branch_blocks: residual units in each of the two branches.
        blocks: residual units after the branches are joined.
        noise: have the noise branch; without it the network gives one restoration.
        norm: ``batch``, ``synchronized`` or ``none``.
        residual: predict a correction that is added to the input; otherwise the image itself, through tanh.
        shift: shift and average what the transposed convolution gives (:func:`shift_and_average`).

    Returns:
        A model from a JPEG ``(B, H, W, channels)`` in [-1, 1], any H and W, and, as the input ``noise``, standard
        normal values ``(B, ceil(H/2), ceil(W/2), 1)``, to ``{"image": (B, H, W, channels)}``, float32.
    """
    he = {"kernel_initializer": "he_uniform"}

    def units(x, count, label):
        for i in range(1, count + 1):
            x = preactivation_block(x, filters, norm, name=f"{label}{i}", **he)
        return x

    jpeg = keras.Input((None, None, channels), name="jpeg")
    inputs = [jpeg]
    x = units(conv(jpeg, filters, 4, strides=2, name="entry", **he), branch_blocks, "image_unit")
    if noise:
        inputs.append(keras.Input((None, None, 1), name="noise"))
        z = units(conv(inputs[1], filters, 3, name="noise_entry", **he), branch_blocks, "noise_unit")
        x = conv(layers.Concatenate(name="image_and_noise")([x, z]), filters, 3, name="join", **he)
    x = units(x, blocks, "unit")
    x = layers.ReLU(name="relu")(normalize(x, norm, name="norm"))
    start = {"kernel_initializer": "zeros"} if residual else he
    x = layers.Conv2DTranspose(channels, 4, strides=2, padding="same", dtype="float32", name="up", **start)(x)
    x = CropLike(dtype="float32", name="crop")([shift_and_average(x, name="shift") if shift else x, jpeg])
    restored = layers.Activation("linear", dtype="float32", name="image")(corrected(jpeg, x, residual))
    return keras.Model(inputs, {"image": restored}, name="proposal_network")


def shift_and_average(x, *, name: str):
    """The mean of ``x`` and of its copies shifted right, down, and both, by one pixel (Section 3.2.2).

    After a transposed convolution of stride 2, whose outputs of even and odd places come from different weights, it
    gives a constant for a constant input. It is the mean over windows of 2x2 pixels; the border is repeated.
    """
    x = ReplicatePad(1, 0, dtype="float32", name=f"{name}_pad")(x)
    return layers.AveragePooling2D(2, strides=1, dtype="float32", name=f"{name}_average")(x)


def naturalness_discriminator(
    *, channels: Count = 3, patch: Count, filters: Count = 64, norm: str = "batch", bare: str = "first"
) -> keras.Model:
    """The network D (Table 1): four units of a convolution of stride 1 and one of stride 2, and a logistic classifier.

    Parameters of the paper's form (``bare="last"``) for 112x112 RGB patches, by hand: 4x4 convolutions 3,136 + 65,600
    + 131,200 + 262,272 + 524,544 + 1,048,832 + 2,097,664 + 4,194,816; norms of 4 values on 64, 64, 128, 128, 256, 256
    and 512 channels 5,632; classifier 7*7*512+1 = 25,089: 8,358,785 in all.

    Args:
        channels: of the image.
        patch: side of the square patches, in pixels; the classifier needs it fixed.
        filters: width of the first unit; the later ones are 2, 4 and 8 times as wide.
        norm: ``batch``, ``synchronized`` or ``none``; on all convolutions but one.
        bare: which one: ``last``, as the paper has it (caption of Table 1), where it has no activation either, or
            ``first``, as in DCGAN, where it keeps its activation.

    Returns:
        A model from images ``(B, patch, patch, channels)`` in [-1, 1] to logits ``(B, 1)``, float32: of the probability
        that the image is natural.

    Raises:
        ValueError: for another ``bare`` or norm.
    """
    if bare not in BARE:
        raise ValueError(f"bare must be one of {', '.join(BARE)}, got {bare!r}")
    he = {"kernel_initializer": "he_uniform"}
    image = keras.Input((patch, patch, channels), name="image")
    x = image
    for i, (width, strides) in enumerate(((1, 1), (1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (8, 1), (8, 2)), start=1):
        x = conv(x, width * filters, 4, strides=strides, name=f"conv{i}", **he)
        if i != BARE[bare]:
            x = normalize(x, norm, name=f"norm{i}")
        if i < 8 or bare == "first":
            x = leaky_relu(x, name=f"leaky{i}")
    logit = layers.Dense(1, dtype="float32", name="logit", **he)(layers.Flatten(name="flatten")(x))
    return keras.Model(image, logit, name="naturalness_discriminator")


_PAPER = Recipe(
    generator=Network(builder="proposal_network"),
    discriminator=Network(builder="naturalness_discriminator", options={"bare": "last"}),
    features=Features(network="vgg16", perceptual="block5_conv3"),
    data=Data(patch=112, batch=16, quality=(10, 10), aligned=0.5, gray=0.5, augment=False),
    optimizer=Optimizer(beta_1=0.5),
    phases=(
        Phase(epochs=1, terms={"perceptual": 5e-3, "jpeg": 0.1}, learning_rate=2e-4),
        Phase(epochs=99, terms={"perceptual": 5e-3, "jpeg": 0.1, "adversarial": 0.1}, learning_rate=2e-4),
    ),
    steps_per_epoch=1000,
    monitor="last",
)


def _practical(
    options: dict, *, steps_per_epoch: int, first: Phase, adversarial: Phase, weights: str = "imagenet"
) -> Recipe:
    return dataclasses.replace(
        _PAPER,
        generator=Network(builder="proposal_network", options={"norm": "none", "residual": True, **options}),
        discriminator=Network(builder="naturalness_discriminator", options={"filters": 16}),
        features=Features(network="vgg16", perceptual="block3_conv3", weights=weights),
        data=dataclasses.replace(_PAPER.data, patch=96, augment=True),
        optimizer=Optimizer(clip_norm=0.5, average=0.999),
        phases=(first, adversarial),
        steps_per_epoch=steps_per_epoch,
    )


_FIRST_TERMS = {"mse": 1.0, "jpeg": 1e-5}
_ALL_TERMS = {"mse": 0.3, "perceptual": 2e-7, "jpeg": 1e-5, "adversarial": 1e-3, "diversity": 3e-4}

_ONE_TO_MANY = {
    "paper": _PAPER,
    "cpu": for_cpus(
        _practical(
            {"branch_blocks": 2, "blocks": 6},
            steps_per_epoch=500,
            first=Phase(epochs=20, terms=_FIRST_TERMS, learning_rate=2e-3, decay="cosine", warmup=250),
            adversarial=Phase(
                epochs=6, terms=_ALL_TERMS, learning_rate=5e-4, discriminator_rate=2e-4, decay="cosine", warmup=250
            ),
        )
    ),
    "demo": _practical(
        {"filters": 32, "branch_blocks": 1, "blocks": 3},
        steps_per_epoch=100,
        first=Phase(epochs=6, terms=_FIRST_TERMS, learning_rate=2e-3, decay="cosine", warmup=50),
        adversarial=Phase(epochs=1, terms=_ALL_TERMS, learning_rate=2e-4, decay="cosine", warmup=20),
        weights="imagenet-or-random",
    ),
}


def _baseline(recipe: Recipe) -> Recipe:
    """The per-pixel loss, and no noise, because there is only one optimum (Section 4.1)."""
    phase = dataclasses.replace(recipe.phases[0], terms={"mse": 1.0}, epochs=recipe.epochs)
    recipe = dataclasses.replace(recipe, phases=(phase,), discriminator=None, features=None, monitor="psnr")
    return _with_options(recipe, noise=False)


def _without(recipe: Recipe, *terms: str) -> Recipe:
    """An ablation: the recipe without some of its loss terms."""
    phases = tuple(
        dataclasses.replace(phase, terms={name: w for name, w in phase.terms.items() if name not in terms})
        for phase in recipe.phases
    )
    return dataclasses.replace(
        recipe, phases=phases, discriminator=None if "adversarial" in terms else recipe.discriminator
    )


def _with_options(recipe: Recipe, **options) -> Recipe:
    generator = recipe.generator
    return dataclasses.replace(
        recipe, generator=dataclasses.replace(generator, options={**generator.options, **options})
    )


def _of_quality(recipe: Recipe, quality: int) -> Recipe:
    return dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, quality=(quality, quality)))


def _each(change, recipes: dict[str, Recipe], *arguments, **options) -> dict[str, Recipe]:
    return {name: change(recipe, *arguments, **options) for name, recipe in recipes.items()}


_MSE = _each(_baseline, _ONE_TO_MANY)
_PERCEPTUAL = _each(_without, _ONE_TO_MANY, "jpeg", "adversarial")

RECIPES = {
    "one-to-many": _ONE_TO_MANY,
    "one-to-many-q5": _each(_of_quality, _ONE_TO_MANY, 5),
    "one-to-many-q20": _each(_of_quality, _ONE_TO_MANY, 20),
    "one-to-many-y": _each(_with_options, _ONE_TO_MANY, channels=1),
    "one-to-many-natural": _each(_without, _ONE_TO_MANY, "jpeg"),
    "one-to-many-perceptual": _PERCEPTUAL,
    "one-to-many-perceptual-unshifted": _each(_with_options, _PERCEPTUAL, shift=False),
    "one-to-many-mse": _MSE,
    "one-to-many-mse-q5": _each(_of_quality, _MSE, 5),
    "one-to-many-mse-q20": _each(_of_quality, _MSE, 20),
}
