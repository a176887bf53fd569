"""ARGAN: compression artifacts reduction by improved generative adversarial networks.

==================================  ====================================================================
the paper                           here
==================================  ====================================================================
Table 1, generator (U-Net)          :func:`unet_generator`
Table 2, discriminator              :func:`convolutional_discriminator`
Eq. 3, loss of the generator        ``tfar.losses``: ``saturating`` + lambda ``mse``
Eq. 4, loss of the discriminator    ``tfar.losses.adversarial.discriminator_loss``
"Experiment settings"               :data:`RECIPES`, entry ``paper``
==================================  ====================================================================

Deviations and choices (what the text does not say):

- Both tables are lost. The generator follows pix2pix's U-Net (4x4 kernels of stride 2, widths 64 to 512, skips between
  mirrored levels), with six levels in place of its eight, because that many fit into 64x64 patches; with a norm on the
  innermost level, too; and without its dropout. The discriminator is four strided convolutions down to one judgement
  for 64 pixels, where pix2pix judges regions. Neither has a normalisation on its outermost layers.
- lambda is 1000: with pix2pix's 100, which is for an L1 loss, the adversarial gradient at the generator's last layer
  would be larger than that of the L2 loss (152%); so it is 15% (docs/papers.md). The slope of the LeakyReLUs is
  pix2pix's 0.2.
- The quality factors are drawn from 10 to 40 for one network, and 10 000 of the paper's 1 500 000 iterations are an
  epoch's.
- The text says nothing of flips and turns, so the paper recipe has none; nor of training with the MSE first.
- A tenth of the photographs is held out, of which the text says nothing.
- An image of any size is extended to a multiple of 64 by reflection, and the result is cut back.
- ``cpu`` and ``demo`` take the practical form: three levels instead of six, residual blocks on every level, no
  normalisation, a global residual, MSE alone first; then lambda is 2000. ``cpu`` has LeakyReLUs on the way up, too.
"""

import keras
from keras import layers

from tfar.models.blocks import (
    CropLike,
    ReflectToMultiple,
    activate,
    conv,
    corrected,
    leaky_relu,
    normalize,
    residual_block,
)
from tfar.recipes import Count, Data, Network, NotNegative, Optimizer, Phase, Recipe, for_cpus

WIDEST = 8  # times ``filters``


def unet_generator(
    *,
    channels: Count = 1,
    filters: Count = 64,
    depth: Count = 6,
    blocks: NotNegative = 0,
    norm: str = "batch",
    residual: bool = False,
    activation: str = "relu",
) -> keras.Model:
    """The U-Net generator (Table 1): strided convolutions down, transposed ones up, skips between mirrored levels.

    Parameters with the defaults, by hand: down 4*4*1*64+64 = 1,088, 131,200, 524,544, 2,097,664 and twice 4,194,816; up
    4,194,816 and, with the skips, 8,389,120, 4,194,560, 1,048,704 and 262,208, last 4*4*128+1 = 2,049; norms of 4
    values on 128, 256, 512, 512 and 512 channels down and 512, 512, 256, 128 and 64 up 13,568: 29,249,153 in all.

    Args:
        channels: of the image; the paper restores luma only.
        filters: width of the first level; the later ones are 2, 4 and 8 times as wide, and not wider.
        depth: number of levels, each with half the resolution of the one before.
        blocks: residual blocks on every level on the way down, and after a convolution that merges the skip on the
            way up; the paper has none.
        norm: ``batch``, ``synchronized`` or ``none``.
        residual: predict a correction that is added to the input; otherwise the image itself, through tanh.
        activation: of the way up and of the residual blocks: ``relu`` as in the paper, or ``leaky_relu`` with a slope
            of 0.2 as on the way down.

    Returns:
        A model from a JPEG ``(B, H, W, channels)`` in [-1, 1], any H and W, to ``{"image": (B, H, W, channels)}``,
        float32.

    Raises:
        ValueError: for another norm or activation.
    """
    widths = [filters * min(2**level, WIDEST) for level in range(depth)]

    def stack(x, level, label):
        for i in range(1, blocks + 1):
            x = residual_block(x, widths[level], norm, activation=activation, name=f"{label}{level + 1}_block{i}")
        return x

    jpeg = keras.Input((None, None, channels), name="jpeg")
    x = ReflectToMultiple(2**depth, dtype="float32", name="extend")(jpeg)
    skips = []
    for level, width in enumerate(widths):
        x = conv(x, width, 4, strides=2, name=f"down{level + 1}")
        x = leaky_relu(
            x if level == 0 else normalize(x, norm, name=f"down{level + 1}_norm"), name=f"down{level + 1}_leaky"
        )
        x = stack(x, level, "down")
        skips.append(x)
    for level in reversed(range(depth - 1)):
        x = layers.Conv2DTranspose(widths[level], 4, strides=2, padding="same", name=f"up{level + 1}")(x)
        x = activate(normalize(x, norm, name=f"up{level + 1}_norm"), activation, name=f"up{level + 1}_relu")
        x = layers.Concatenate(name=f"up{level + 1}_skip")([x, skips[level]])
        if blocks:
            x = stack(conv(x, widths[level], 3, name=f"up{level + 1}_merge"), level, "up")
    start = {"kernel_initializer": "zeros"} if residual else {}
    x = layers.Conv2DTranspose(channels, 4, strides=2, padding="same", dtype="float32", name="to_image", **start)(x)
    x = corrected(jpeg, CropLike(dtype="float32", name="crop")([x, jpeg]), residual)
    restored = layers.Activation("linear", dtype="float32", name="image")(x)
    return keras.Model(jpeg, {"image": restored}, name="unet_generator")


def convolutional_discriminator(
    *, channels: Count = 1, patch: Count, filters: Count = 64, norm: str = "batch"
) -> keras.Model:
    """ARGAN's discriminator (Table 2): strided convolutions down to one judgement for 64x64 pixels.

    Parameters for luma, by hand: 1,088 + 131,200 + 524,544 + 2,097,664, norms of 4 values on 128, 256 and 512 channels
    3,584, last 4*4*512+1 = 8,193: 2,766,273 in all.

    Args:
        channels: of the image.
        patch: side of the square patches, in pixels, at least 64.
        filters: width of the first convolution; the later ones are 2, 4 and 8 times as wide.
        norm: ``batch``, ``synchronized`` or ``none``.

    Returns:
        A model from images ``(B, patch, patch, channels)`` in [-1, 1] to logits ``(B, h, w, 1)``, float32, with
        h = w = patch/16 - 3: of the probabilities that regions of the image are of an original.

    Raises:
        ValueError: when the patch is smaller than 64 pixels, or for another norm.
    """
    if patch < 64:
        raise ValueError(f"patch must be at least 64, got {patch}")
    image = keras.Input((patch, patch, channels), name="image")
    x = image
    for i in range(1, 5):
        x = conv(x, filters * 2 ** (i - 1), 4, strides=2, name=f"conv{i}")
        x = leaky_relu(x if i == 1 else normalize(x, norm, name=f"norm{i}"), name=f"leaky{i}")
    logits = layers.Conv2D(1, 4, dtype="float32", name="logit")(x)
    return keras.Model(image, logits, name="convolutional_discriminator")


def _paper() -> Recipe:
    return Recipe(
        generator=Network(builder="unet_generator"),
        discriminator=Network(builder="convolutional_discriminator"),
        data=Data(patch=64, batch=64, quality=(10, 40), augment=False),
        optimizer=Optimizer(beta_1=0.5),
        phases=(Phase(epochs=150, terms={"mse": 1000.0, "saturating": 1.0}, learning_rate=2e-4),),
        steps_per_epoch=10000,
        monitor="last",
    )


def _practical(options: dict, *, steps_per_epoch: int, mse: Phase, gan: Phase) -> Recipe:
    return Recipe(
        generator=Network(builder="unet_generator", options={"depth": 3, "norm": "none", "residual": True, **options}),
        discriminator=Network(builder="convolutional_discriminator", options={"filters": 32}),
        data=Data(patch=96, batch=16, quality=(10, 40)),
        optimizer=Optimizer(clip_norm=0.5, average=0.999),
        phases=(mse, gan),
        steps_per_epoch=steps_per_epoch,
        monitor="last",
    )


_GAN_TERMS = {"mse": 1.0, "saturating": 5e-4}

RECIPES = {
    "argan": {
        "paper": _paper(),
        "cpu": for_cpus(
            _practical(
                # with ReLU all units of up1 and half of those of the blocks of up2 fell silent (docs/training.md)
                {"filters": 48, "blocks": 2, "activation": "leaky_relu"},
                steps_per_epoch=500,
                # at a rate of 2e-3 it diverged after 900 steps
                mse=Phase(epochs=20, terms={"mse": 1.0}, learning_rate=7e-4, decay="cosine", warmup=250),
                gan=Phase(
                    epochs=6, terms=_GAN_TERMS, learning_rate=5e-4, discriminator_rate=2e-4, decay="cosine", warmup=250
                ),
            ),
            weight_decay=0.5,
        ),
        "demo": _practical(
            {"filters": 24, "blocks": 1},
            steps_per_epoch=100,
            mse=Phase(epochs=6, terms={"mse": 1.0}, learning_rate=2e-3, decay="cosine", warmup=50),
            gan=Phase(epochs=1, terms=_GAN_TERMS, learning_rate=2e-4, decay="cosine", warmup=20),
        ),
    }
}
