"""Deep generative adversarial compression artifact removal (Galteri, Seidenari, Bertini, Del Bimbo; ICCV 2017).

==================================  ====================================================================
the paper                           here
==================================  ====================================================================
Fig. 2, generator                   :func:`galteri_generator`
Fig. 3, sub-patch discriminator     :func:`sub_patch_discriminator`
Section 4.4, full patch             :func:`full_patch_discriminator`
Eq. 4, 5-6, 7, 8, 10                ``tfar.losses``: ``mse``, ``ssim``, discriminator, ``perceptual``, ``adversarial``
Section 4.1, training               :data:`RECIPES`, entries ``paper``
"MSE", "SSIM", "GAN", "GAN-Y"       ``galteri-mse``, ``galteri-ssim``, ``galteri-gan``, ``galteri-gan-y``
Section 4.4, "GAN-L1"               ``galteri-gan-l1``: L1 in place of the perceptual loss
Section 4.4, full patches           ``galteri-gan-full``
==================================  ====================================================================

Deviations and choices (what the text does not say, or digits that are lost):

- The generator takes and gives RGB and converts to YCbCr and back inside, so that losses, scores and exports see the
  same images as those of every other network. ``galteri-gan-y`` works on luma alone.
- The filter counts of the discriminator, which double after every two layers, begin at 32.
- "The second convolution before the last max pooling" of VGG-19 is taken to be ``block5_conv3``, after its ReLU.
- The slope of the LeakyReLUs is 0.2.
- lambda of Eq. 9 is not in the text. ``perceptual`` is a mean over the 512 channels where Eq. 8 has a sum, and sees
  features as large as those of the original Caffe network. With a lambda of 1 the gradient of l_adv at the generator's
  last layer would be a ten-millionth of that of l_P, and nothing could be learned from it. The recipe has
  1e-3 ``perceptual`` + l_adv, where it is 6% at the end of a training with the MSE (docs/papers.md); on Eq. 8's sums
  this is a lambda of 512,000. GAN-L1 has a lambda of 0.05 (4%).
- Smoothed labels are 0.9; the quality factors are drawn from 10 to 40; 5 000 of the paper's
  70 000 iterations are an epoch's; nothing is pretrained.
- A tenth of the photographs is held out, of which the text says nothing; without a discriminator the best epoch on
  them is kept.
- ``cpu`` and ``demo`` take the practical form: a global residual in YCbCr whose last layer starts at zero, fewer
  blocks, a part of the patches in gray, and for the GANs a phase of MSE first, then the MSE beside the losses of Eq. 9
  and features of ``block3_conv3`` scaled to its size.
"""

import dataclasses

import keras
from keras import layers, ops

from tfar.models.blocks import CropLike, ReplicatePad, RgbToYcbcr, YcbcrToRgb, corrected, leaky_relu, nearest_upsample
from tfar.recipes import Count, Data, Features, Network, NotNegative, Optimizer, Phase, Recipe, for_cpus

SUB_PATCH = 16
WIDTHS = (1, 1, 2, 2, 4, 4, 8)  # of the 3x3 convolutions of the discriminators, times ``filters``


def galteri_generator(
    *, channels: Count = 3, filters: Count = 64, blocks: NotNegative = 15, residual: bool = False
) -> keras.Model:
    """The residual generator (Fig. 2): 15 blocks at half the resolution between a strided convolution and a nearest-
    neighbour upsampling; replicate padding before every convolution, no normalisation.

    Parameters with the defaults, by hand: entry 3*3*3*64+64 = 1,792; 15 blocks of 2*(3*3*64*64+64) = 73,856; after the
    upsampling 36,928; last 3*3*64*3+3 = 1,731: 1,148,291 in all.

    Args:
        channels: 3 for RGB, which is restored in YCbCr, or 1 for luma.
        filters: width of all but the last convolution.
        blocks: number of residual blocks.
        residual: predict a correction that is added to the input; otherwise the image itself, through tanh.

    Returns:
        A model from a JPEG ``(B, H, W, channels)`` in [-1, 1], any H and W, to ``{"image": (B, H, W, channels)}``,
        float32.
    """
    jpeg = keras.Input((None, None, channels), name="jpeg")
    image = RgbToYcbcr(dtype="float32", name="ycbcr")(jpeg) if channels == 3 else jpeg

    x = leaky_relu(_replicate_conv(image, filters, strides=2, name="entry"), name="entry_leaky")
    for i in range(1, blocks + 1):
        y = leaky_relu(_replicate_conv(x, filters, name=f"block{i}_conv1"), name=f"block{i}_leaky1")
        y = _replicate_conv(y, filters, name=f"block{i}_conv2")
        x = leaky_relu(layers.Add(name=f"block{i}_add")([x, y]), name=f"block{i}_leaky2")
    x = CropLike(name="crop")([nearest_upsample(x, name="upsample"), jpeg])
    x = leaky_relu(_replicate_conv(x, filters, name="smooth"), name="smooth_leaky")
    start = {"kernel_initializer": "zeros"} if residual else {}
    x = _replicate_conv(x, channels, name="to_image", dtype="float32", **start)
    x = corrected(image, x, residual)
    if channels == 3:
        x = YcbcrToRgb(dtype="float32", name="rgb")(x)
    restored = layers.Activation("linear", dtype="float32", name="image")(x)
    return keras.Model(jpeg, {"image": restored}, name="galteri_generator")


def _replicate_conv(x, filters: int, *, strides: int = 1, name: str, **options):
    """A 3x3 convolution after replicate padding of one pixel."""
    x = ReplicatePad(1, 1, name=f"{name}_pad")(x)
    return layers.Conv2D(filters, 3, strides=strides, name=name, **options)(x)


def sub_patch_discriminator(*, channels: Count = 3, patch: Count, filters: Count = 32) -> keras.Model:
    """The discriminator of 16x16 sub-patches (Fig. 3), which judges an image beside its JPEG.

    Valid convolutions of stride 1 shrink each sub-patch to one logit: seven of 3x3, one of 2x2. All sub-patches of all
    patches go through them in one pass.

    Parameters for RGB, by hand: 1,760 + 9,248 + 18,496 + 36,928 + 73,856 + 147,584 + 295,168 + 2*2*256+1 = 1,025:
    584,065 in all.

    Args:
        channels: of the image and of the JPEG.
        patch: side of the square patches, in pixels; a multiple of 16.
        filters: width of the first two convolutions; it doubles after every two.

    Returns:
        A model from an image and, as the input ``jpeg``, its JPEG, both ``(B, patch, patch, channels)`` in [-1, 1], to
        logits ``(B, patch/16, patch/16, 1)``, float32: of the probabilities that the sub-patches are of an original.

    Raises:
        ValueError: when the patch is no multiple of 16.
    """
    if patch % SUB_PATCH:
        raise ValueError(f"patch must be a multiple of {SUB_PATCH}, got {patch}")
    side = patch // SUB_PATCH
    inputs = _image_and_jpeg(channels, patch)
    x = layers.Concatenate(name="image_and_jpeg")(inputs)
    x = ops.reshape(x, (-1, side, SUB_PATCH, side, SUB_PATCH, 2 * channels))
    x = ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, SUB_PATCH, SUB_PATCH, 2 * channels))
    for i, width in enumerate(WIDTHS, start=1):
        x = leaky_relu(layers.Conv2D(width * filters, 3, name=f"conv{i}")(x), name=f"leaky{i}")
    logits = layers.Conv2D(1, 2, dtype="float32", name="logit")(x)
    return keras.Model(inputs, ops.reshape(logits, (-1, side, side, 1)), name="sub_patch_discriminator")


def full_patch_discriminator(*, channels: Count = 3, patch: Count, filters: Count = 32) -> keras.Model:
    """The paper's ablation (Section 4.4): one judgement per patch.

    The convolutions of :func:`sub_patch_discriminator` with a stride of 2 in every second one, and a dense layer in
    place of the last.

    Parameters for 128x128 RGB patches, by hand: convolutions 1,760 + 9,248 + 18,496 + 36,928 + 73,856 + 147,584
    + 295,168, dense 11*11*256+1 = 30,977: 614,017 in all.

    Arguments as :func:`sub_patch_discriminator`, with ``patch`` at least 45. Returns a model to logits ``(B, 1)``.
    """
    inputs = _image_and_jpeg(channels, patch)
    x = layers.Concatenate(name="image_and_jpeg")(inputs)
    for i, width in enumerate(WIDTHS, start=1):
        x = layers.Conv2D(width * filters, 3, strides=2 - i % 2, name=f"conv{i}")(x)
        x = leaky_relu(x, name=f"leaky{i}")
    logit = layers.Dense(1, dtype="float32", name="logit")(layers.Flatten(name="flatten")(x))
    return keras.Model(inputs, logit, name="full_patch_discriminator")


def _image_and_jpeg(channels: int, patch: int) -> list:
    return [keras.Input((patch, patch, channels), name=name) for name in ("image", "jpeg")]


_GAN_TERMS = {"perceptual": 1e-3, "adversarial": 1.0}

_PAPER = Recipe(
    generator=Network(builder="galteri_generator"),
    discriminator=Network(builder="sub_patch_discriminator"),
    features=Features(perceptual="block5_conv3"),
    data=Data(patch=128, batch=16, quality=(10, 40)),
    phases=(Phase(epochs=14, terms=_GAN_TERMS),),
    steps_per_epoch=5000,
    label_smoothing=0.1,
    monitor="last",
)


def _practical(options: dict, *, steps_per_epoch: int, mse: Phase, gan: Phase, weights: str = "imagenet") -> Recipe:
    return dataclasses.replace(
        _PAPER,
        generator=Network(builder="galteri_generator", options={"residual": True, **options}),
        features=Features(perceptual="block3_conv3", weights=weights),
        data=Data(patch=96, batch=16, quality=(10, 40), gray=0.5),
        optimizer=Optimizer(clip_norm=0.5, average=0.999),
        phases=(mse, gan),
        steps_per_epoch=steps_per_epoch,
    )


L1_ADVERSARIAL = 0.05
_PRACTICAL_GAN_TERMS = {"mse": 1.0, "perceptual": 2e-7, "adversarial": 5e-2}

_GAN = {
    "paper": _PAPER,
    "cpu": for_cpus(
        _practical(
            {"blocks": 8},
            steps_per_epoch=500,
            mse=Phase(epochs=20, terms={"mse": 1.0}, learning_rate=2e-3, decay="cosine", warmup=250),
            gan=Phase(
                epochs=6,
                terms=_PRACTICAL_GAN_TERMS,
                learning_rate=5e-4,
                discriminator_rate=2e-4,
                decay="cosine",
                warmup=250,
            ),
        )
    ),
    "demo": _practical(
        {"filters": 32, "blocks": 4},
        steps_per_epoch=100,
        mse=Phase(epochs=6, terms={"mse": 1.0}, learning_rate=2e-3, decay="cosine", warmup=50),
        gan=Phase(epochs=1, terms=_PRACTICAL_GAN_TERMS, learning_rate=2e-4, decay="cosine", warmup=20),
        weights="imagenet-or-random",
    ),
}


def _direct(recipe: Recipe, term: str) -> Recipe:
    """Direct supervision (Section 3.2): one loss term, no discriminator."""
    phase = dataclasses.replace(recipe.phases[0], terms={term: 1.0}, epochs=recipe.epochs)
    return dataclasses.replace(
        recipe,
        phases=(phase,),
        discriminator=None,
        features=None,
        label_smoothing=0.0,
        monitor="psnr" if term == "mse" else term,
    )


def _with_l1(recipe: Recipe) -> Recipe:
    """GAN-L1: Eq. 9 with the mean absolute error of the pixels in place of the perceptual loss."""
    *before, last = recipe.phases
    last = dataclasses.replace(last, terms={"l1": 1.0, "adversarial": L1_ADVERSARIAL})
    return dataclasses.replace(recipe, phases=(*before, last), features=None)


def _on_full_patches(recipe: Recipe) -> Recipe:
    discriminator = dataclasses.replace(recipe.discriminator, builder="full_patch_discriminator")
    return dataclasses.replace(recipe, discriminator=discriminator)


def _luma_only(recipe: Recipe) -> Recipe:
    generator = recipe.generator
    return dataclasses.replace(
        recipe, generator=dataclasses.replace(generator, options={**generator.options, "channels": 1})
    )


RECIPES = {
    "galteri-mse": {name: _direct(recipe, "mse") for name, recipe in _GAN.items()},
    "galteri-ssim": {name: _direct(recipe, "ssim") for name, recipe in _GAN.items()},
    "galteri-gan": _GAN,
    "galteri-gan-y": {name: _luma_only(recipe) for name, recipe in _GAN.items()},
    "galteri-gan-l1": {name: _with_l1(recipe) for name, recipe in _GAN.items()},
    "galteri-gan-full": {name: _on_full_patches(recipe) for name, recipe in _GAN.items()},
}
