"""Region-aware enhanced decoding with hybrid networks: Edge-CNN, Texture-GAN, orientation-diversity mask, fusion.

==========================  ==================================================================
the paper                   here
==========================  ==================================================================
Fig. 1, Edge-CNN            :func:`edge_cnn`
Fig. 1, Texture-GAN         :func:`texture_generator`, :func:`srgan_discriminator`
Section 3.3, mask           ``tfar.models.region_mask``
Section 3.3, merging        :func:`region_aware`
Eq. 1-3, 4-8, 9-10          ``tfar.losses`` (fidelity, edge, perceptual, texture, adversarial)
Section 4.1, training       :data:`RECIPES`, entry ``paper``
==========================  ==================================================================

Deviations and choices (what the text does not say):

- A 3x3 convolution with a skip over the whole stack follows the 16 blocks, as in SRResNet, on which the stack is
  modelled. The first convolution is 3x3 as in TensorLayer's SRGAN, with which the EP-GAN paper shares every number
  that it states; the practical recipes have SRResNet's 9x9.
- The stack's output is "divided into two sub-branches" (Section 3.1): ``edges_from="stack"``. In the practical recipes
  the edge branch starts one convolution later, from the features.
- The discriminator gives the logit of its probability; the losses apply the sigmoid.
- The edge label is the Sobel magnitude of the original's luminance on a fixed scale (``tfar.losses.edge``).
- The detector of reference [5] is taken to be the pattern-complexity one of Wu et al., IEEE TIP 26(6), 2017.
- ``norm``, ``residual`` and ``stride`` give the practical form of the same networks: no normalisation, the network
  predicts a correction of the JPEG whose last layer starts at zero, and the stack works at a half of the resolution.
- M_l of Eq. 6 is "the size of feature map", the whole map's: with it the paper's weights balance. On 224-pixel crops of
  quality 10 the MSE was 0.0130, 1e-6 L_TM 0.0072 and 1e-6 L_Percep 0.0127; with the size of the 16-pixel patch, 1e-6
  L_TM was 277. The patches' terms are averaged; w_l of Eq. 8 is 1.
- The text says nothing of flips and turns, so the paper recipe has none.
- A tenth of the photographs is held out, of which the text says nothing; without a discriminator the best epoch on
  them is kept.
- The practical recipes also code a share of the patches in gray, start the texture generator from the base network,
  and draw larger patches than the paper.
"""

import dataclasses
import functools
from collections.abc import Sequence

import keras
from keras import layers

from tfar.models.blocks import (
    CropLike,
    DepthToSpace,
    ReflectToMultiple,
    SpaceToDepth,
    conv,
    leaky_relu,
    normalize,
    residual_block,
)
from tfar.models.region_mask import DamageShare, OrientationDiversityMask
from tfar.recipes import Count, Data, Features, Mask, Network, Optimizer, Phase, Recipe, RegionAware

# The paper's form, where the builders' default is that of the first presets, whose recipes lack these options.
EDGE_CNN = {"entry": 3, "edges_from": "stack"}
THREE_SCALES = {  # the form that learns most per hour of a CPU, and takes 124,472 multiplications per pixel
    "filters": 32,
    "blocks": 6,
    "head": 32,
    "norm": "none",
    "residual": True,
    "stride": 2,
    "scales": 3,
    "expansion": 4,
}
TEXTURE_GENERATOR = {"entry": 3}


def edge_cnn(
    *,
    channels: Count = 3,
    filters: Count = 64,
    blocks: int | list[int] = 16,
    head: Count = 256,
    norm: str = "batch",
    residual: bool = False,
    stride: Count = 1,
    scales: Count = 1,
    expansion: Count = 1,
    entry: Count = 9,
    edges_from: str = "features",
    activation: str = "relu",
) -> keras.Model:
    """Edge-CNN, the network of the base fidelity layer L_B (Fig. 1, Section 3.1).

    Parameters of the paper's form (``entry=3, edges_from="stack"``), by hand: entry 3*3*3*64+64 = 1,792; 16 blocks of
    2*(3*3*64*64+64 + 4*64) = 74,368; last convolution and its norm 37,184; features 36,928; edges 3*3*64+1 = 577; head
    3*3*65*256+256 = 150,016, 3*3*256*256+256 = 590,080 and 256*3+3 = 771: 2,007,236 in all, of which 4,224 are moving
    statistics.

    Args:
        channels: of the image, 3 or 1.
        filters: width of the residual stack.
        blocks: number of residual blocks, or the number in each stage, such as ``[3, 1, 1, 1, 3]`` for three scales.
        head: width of the two convolutions after the branches are joined.
        norm: ``batch``, ``synchronized`` (batch normalisation over all replicas) or ``none``.
        residual: predict a correction that is added to the input; otherwise the image itself, through tanh.
        stride: the stack works on a resolution this many times lower.
        scales: number of resolutions, each half of the one before and twice as wide, over which the blocks are spread:
            down, at the bottom and up again, with skips between equal resolutions (U-Net, Ronneberger et al., 2015):
            of a single number, as many in each of these ``2 * scales - 1`` stages, and those left over at the bottom.
            With more than one, the image is extended by reflection to a multiple of the coarsest cell, which is
            ``stride * 2**(scales - 1)`` pixels wide, and the result is cut.
        expansion: how many times wider a block is inside than outside (wide activation, Yu et al., 2018).
        entry: side of the first convolution's kernel, an odd number.
        edges_from: where the edge branch starts: ``stack``, beside the feature branch, as in the paper, or
            ``features``, from the feature branch's convolution.
        activation: ``relu`` as in the paper, or ``leaky_relu`` with a slope of 0.2, whose units go on learning where
            they are below zero.

    Returns:
        A model from a JPEG ``(B, H, W, channels)`` in [-1, 1], any H and W, to a dictionary of ``image``
        ``(B, H, W, channels)``, the restored image, and ``edges`` ``(B, H, W, 1)``, the predicted edge map of the
        original, both float32.

    Raises:
        ValueError: for fewer blocks than there are stages, a list of another length, negative numbers, an even
            ``entry``, and an unknown ``edges_from`` or ``activation``.
    """
    options = locals()
    if edges_from not in ("stack", "features"):
        raise ValueError(f"edges_from must be stack or features, got {edges_from!r}")
    return _generator("edge_cnn", **options)


def texture_generator(
    *,
    channels: Count = 3,
    filters: Count = 64,
    blocks: int | list[int] = 16,
    head: Count = 256,
    norm: str = "batch",
    residual: bool = False,
    stride: Count = 1,
    scales: Count = 1,
    expansion: Count = 1,
    entry: Count = 9,
    activation: str = "relu",
) -> keras.Model:
    """The generator of Texture-GAN (Fig. 1, Section 3.2): Edge-CNN without the edge branch.

    Parameters of the paper's form (``entry=3``), by hand: as Edge-CNN less the edge branch (577) and its column of the
    head's first convolution (3*3*1*256 = 2,304): 2,004,355 in all, of which 4,224 are moving statistics.

    Arguments and errors as :func:`edge_cnn`. Returns a model to ``{"image": (B, H, W, channels)}`` in [-1, 1], float32.
    """
    return _generator("texture_generator", **locals(), edges_from=None)


def _generator(
    name, *, channels, filters, blocks, head, norm, residual, stride, scales, expansion, entry, edges_from, activation
) -> keras.Model:
    """Edge-CNN, or without ``edges_from`` the generator of Texture-GAN; arguments as of :func:`edge_cnn`."""
    if entry % 2 == 0:
        raise ValueError(f"entry must be odd, got {entry}")
    counts = _blocks_per_stage(blocks, scales)
    block = functools.partial(residual_block, norm=norm, expansion=expansion, activation=activation)
    jpeg = keras.Input((None, None, channels), name="jpeg")

    x = jpeg
    if scales > 1:
        x = ReflectToMultiple(stride * 2 ** (scales - 1), name="reflect")(x)
    x = layers.ZeroPadding2D(entry // 2, name="entry_pad")(x)
    x = layers.Conv2D(filters, entry, strides=stride, activation=activation, name="entry")(x)
    entered = x
    if scales > 1:
        x = _scales(x, filters, counts, block)
    else:
        x = _blocks(x, "block", counts[0], filters, block)
    x = normalize(conv(x, filters, 3, name="stack"), norm, name="stack_norm")
    x = layers.Add(name="stack_add")([entered, x])

    def full_size(y, label):
        if stride > 1:
            y = DepthToSpace(stride, dtype="float32", name=f"{label}_depth_to_space")(y)
        if stride > 1 or scales > 1:
            y = CropLike(dtype="float32", name=f"{label}_crop")([y, jpeg])
        return y

    outputs = {}
    branches = {"stack": x, "features": conv(x, filters, 3, name="features")}
    x = branches["features"]
    if edges_from:
        edge_map = conv(branches[edges_from], stride**2, 3, name="edge_map")
        outputs["edges"] = layers.Activation("linear", dtype="float32", name="edges")(full_size(edge_map, "edges"))
        x = layers.Concatenate(name="features_and_edges")([x, edge_map])
    x = conv(x, head, 3, activation=activation, name="head1")
    x = conv(x, head, 3, activation=activation, name="head2")
    start = {"kernel_initializer": "zeros"} if residual else {}
    x = full_size(conv(x, channels * stride**2, 1, name="to_image", dtype="float32", **start), "image")
    if residual:
        outputs["image"] = layers.Add(dtype="float32", name="image")([jpeg, x])
    else:
        outputs["image"] = layers.Activation("tanh", dtype="float32", name="image")(x)
    return keras.Model(jpeg, outputs, name=name)


def _blocks(x, label: str, count: int, filters: int, block):
    for i in range(1, count + 1):
        x = block(x, filters, name=f"{label}{i}")
    return x


def _blocks_per_stage(blocks: int | list[int], scales: int) -> list[int]:
    """The number of residual blocks in each stage: down the scales, at the bottom, and up again."""
    stages = 2 * scales - 1
    if isinstance(blocks, list):
        if len(blocks) != stages or min(blocks) < 0:
            raise ValueError(f"{scales} scales have {stages} stages, with 0 or more blocks each, got {blocks}")
        return blocks
    if blocks < 0:
        raise ValueError(f"blocks must not be negative, got {blocks}")
    each, left = divmod(blocks, stages)
    if not each and scales > 1:
        raise ValueError(f"{scales} scales need at least {stages} blocks, got {blocks}")
    counts = [each] * stages
    counts[stages // 2] += left
    return counts


def _scales(x, filters: int, counts: Sequence[int], block):
    """Residual blocks over several resolutions, so many in each stage."""
    scales = len(counts) // 2 + 1
    skips = []
    for i in range(1, scales):
        x = _blocks(x, f"down{i}_block", counts[i - 1], filters, block)
        skips.append(x)
        filters *= 2
        x = conv(SpaceToDepth(2, name=f"down{i}_space_to_depth")(x), filters, 1, name=f"down{i}")
    x = _blocks(x, "bottom_block", counts[scales - 1], filters, block)
    for i in reversed(range(1, scales)):
        filters //= 2
        x = DepthToSpace(2, name=f"up{i}_depth_to_space")(conv(x, 4 * filters, 1, name=f"up{i}"))
        x = layers.Add(name=f"up{i}_skip")([x, skips.pop()])
        x = _blocks(x, f"up{i}_block", counts[-i], filters, block)
    return x


def srgan_discriminator(*, channels: Count = 3, patch: Count, filters: Count = 64, norm: str = "batch") -> keras.Model:
    """SRGAN's discriminator (Ledig et al., Fig. 4), which Texture-GAN uses.

    Parameters for 224x224 RGB patches, by hand: convolutions 1,792 + 36,928 + 73,856 + 147,584 + 295,168 + 590,080
    + 1,180,160 + 2,359,808; seven norms of 4 values on 64, 128, 128, 256, 256, 512 and 512 channels 7,424; dense
    14*14*512*1024+1024 = 102,761,472 and 1,025: 107,455,297 in all.

    Args:
        channels: of the image.
        patch: side of the square patches it judges, in pixels; the dense layer needs it fixed.
        filters: width of the first two convolutions; the later ones are 2, 4 and 8 times as wide.
        norm: as in :func:`edge_cnn`.

    Returns:
        A model from images ``(B, patch, patch, channels)`` in [-1, 1] to logits ``(B, 1)``, float32: the logit of the
        probability that the image is an original.
    """
    image = keras.Input((patch, patch, channels), name="image")
    x = image
    for i, (width, strides) in enumerate(((1, 1), (1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (8, 1), (8, 2)), start=1):
        x = conv(x, width * filters, 3, strides=strides, name=f"conv{i}")
        x = leaky_relu(x if i == 1 else normalize(x, norm, name=f"norm{i}"), name=f"leaky{i}")
    x = layers.Dense(16 * filters, name="dense1")(layers.Flatten(name="flatten")(x))
    x = leaky_relu(x, name="leaky_dense")
    logit = layers.Dense(1, dtype="float32", name="logit")(x)
    return keras.Model(image, logit, name="srgan_discriminator")


def region_aware(base: keras.Model, texture: keras.Model, mask: Mask = Mask()) -> keras.Model:
    """The fused system as one functional graph (Section 3.3): L_T where the mask of L_B is 1, L_B where it is 0, and a
    mixture between.

    Args:
        base: a network made by :func:`edge_cnn`.
        texture: a network made by :func:`texture_generator`.
        mask: parameters of :class:`tfar.models.region_mask.OrientationDiversityMask`, and ``damage``, the points of
            :class:`tfar.models.region_mask.DamageShare`, with whose shares the mask is multiplied.

    Returns:
        A model from a JPEG ``(B, H, W, C)`` in [-1, 1] to a dictionary of ``fused``, ``base`` and ``texture``
        ``(B, H, W, C)`` in [-1, 1] and ``mask`` ``(B, H, W, 1)`` in [0, 1].
    """
    jpeg = keras.Input(base.input_shape[1:], name="jpeg")
    base_layer = base(jpeg)["image"]
    texture_layer = texture(jpeg)["image"]
    options = {name: value for name, value in vars(mask).items() if name != "damage"}
    region = OrientationDiversityMask(**options, dtype="float32", name="mask")(base_layer)
    if mask.damage:
        share = DamageShare(mask.damage, dtype="float32", name="mask_share")(jpeg, base_layer)
        region = layers.Multiply(dtype="float32", name="shared_mask")([region, share])
    difference = layers.Subtract(name="texture_minus_base")([texture_layer, base_layer])
    transferred = layers.Multiply(name="transferred")([difference, region])
    fused = layers.Add(name="fused")([base_layer, transferred])
    outputs = {"fused": fused, "base": base_layer, "texture": texture_layer, "mask": region}
    return keras.Model(jpeg, outputs, name="region_aware")


def _paper() -> RegionAware:
    """Section 4.1 as it stands; an epoch is as many patches as the 2060 images of the paper's training set."""
    return RegionAware(
        base=Recipe(
            generator=Network(builder="edge_cnn", options=EDGE_CNN),
            data=Data(patch=16, batch=16, augment=False),
            phases=(Phase(epochs=2000, terms={"mse": 1.0, "edge": 1.0}),),
            steps_per_epoch=129,
        ),
        texture=Recipe(
            generator=Network(builder="texture_generator", options=TEXTURE_GENERATOR),
            discriminator=Network(builder="srgan_discriminator"),
            features=Features(texture_size="map"),
            data=Data(patch=224, batch=4, augment=False),
            phases=(Phase(epochs=200, terms={"mse": 1.0, "perceptual": 1e-6, "texture": 1e-6, "adversarial": 1e-3}),),
            steps_per_epoch=515,
            monitor="last",
        ),
    )


def _practical(
    options: dict, *, precision: str, batch: int, base: Phase, texture: Phase, steps_per_epoch: int
) -> RegionAware:
    """The practical form: no normalisation, global residual, half resolution, and half of the patches in gray.

    The texture term is divided by the square of the patch's size, not of the whole map's as in the paper, so that its
    weight does not depend on ``data.patch``; perceptual and texture terms are weighted down to the size of the MSE.
    """
    options = {"norm": "none", "residual": True, "stride": 2, **options}
    data = Data(patch=96, batch=batch, gray=0.5)
    optimizer = Optimizer(clip_norm=0.5, average=0.999)
    return RegionAware(
        base=Recipe(
            generator=Network(builder="edge_cnn", options=options),
            data=data,
            optimizer=optimizer,
            phases=(base,),
            steps_per_epoch=steps_per_epoch,
            precision=precision,
        ),
        texture=Recipe(
            generator=Network(builder="texture_generator", options=options),
            discriminator=Network(builder="srgan_discriminator", options={"filters": 32}),
            features=Features(perceptual="block3_conv3"),
            data=data,
            optimizer=optimizer,
            phases=(texture,),
            steps_per_epoch=steps_per_epoch,
            monitor="last",
            precision=precision,
        ),
        texture_from_base=True,
    )


def _efficient(
    data: Data,
    options: dict,
    *,
    terms: dict,
    texture_terms: dict,
    fading: tuple = (),
    base: dict,
    texture_epochs: int,
    steps_per_epoch: int,
    weight_decay: float = 0.0,
    weights: str = "imagenet",
) -> RegionAware:
    """The form that learns most per hour of a CPU: three scales of wide blocks, Muon, small batches, on the grid.

    ``scripts/compare_recipes.py`` measures it; docs/train.md has what it printed.
    """
    common = {
        "data": dataclasses.replace(data, patch=96, batch=8),
        "optimizer": Optimizer(kind="muon", average=0.999, weight_decay=weight_decay),
        "steps_per_epoch": steps_per_epoch,
    }
    return RegionAware(
        base=Recipe(
            generator=Network(builder="edge_cnn", options=options),
            phases=(Phase(terms=terms, decay="cosine", **base),),
            **common,
        ),
        texture=Recipe(
            generator=Network(builder="texture_generator", options=options),
            discriminator=Network(builder="srgan_discriminator", options={"filters": 32}),
            features=Features(perceptual="block3_conv3", weights=weights),
            phases=(
                Phase(
                    epochs=texture_epochs,
                    terms=texture_terms,
                    fading=fading,
                    learning_rate=5e-4,
                    discriminator_rate=2e-4,
                    decay="cosine",
                    warmup=50,
                ),
            ),
            monitor="last",
            **common,
        ),
        mask=Mask(  # which loses less PSNR for the same LPIPS, and leaves light JPEGs alone (docs/training.md)
            threshold=4,
            feather=5,
            outside=0.9,
            damage=((1.2, 0.0), (1.7, 1.0), (2.0, 1.0), (3.0, 0.75), (6.0, 0.45), (12.0, 0.25)),
        ),
        texture_from_base=True,
    )


_BASE_TERMS = {"mse": 1.0, "edge": 1.0}
_TEXTURE_TERMS = {"mse": 1.0, "perceptual": 2e-7, "texture": 1e-10, "adversarial": 2e-3}
_RELATIVE_TERMS = {"relative_mse": 1.0, "edge": 0.1}
_RELATIVE_TEXTURE_TERMS = {"relative_mse": 1.0, "perceptual": 5e-8, "texture": 1e-11, "adversarial": 1e-3}
_FADING = ("perceptual", "texture", "adversarial")
_EVERY_JPEG = Data(
    quality=(5, 95),
    quality_law="log-uniform",
    gray=0.4,
    double=0.15,
    aligned=0.85,  # a network of before lost 0.10 to 0.20 dB off the grid with it, and 0.18 to 0.33 dB with 0.9
    subsampling={"4:2:0": 0.7, "4:2:2": 0.1, "4:4:4": 0.2},
    tables={"standard": 0.8, "mozjpeg": 0.1, "photoshop": 0.1},
    drawn=0.06,  # without, text of quality 90 came out below its JPEG
)

# At rates of 1e-3 and more Muon turns off units of the coarse scales for good (docs/training.md).
_LEAKY = {**THREE_SCALES, "activation": "leaky_relu"}

RECIPES = {
    "paper": _paper(),
    "general": _efficient(
        _EVERY_JPEG,
        {**_LEAKY, "blocks": [2, 1, 2, 1, 2]},  # as for `tiny`, the preset's: a training can go on from it
        steps_per_epoch=500,
        terms=_RELATIVE_TERMS,
        base={"epochs": 96, "learning_rate": 7e-4, "warmup": 200},
        weight_decay=0.5,
        texture_terms=_RELATIVE_TEXTURE_TERMS,
        fading=_FADING,
        texture_epochs=15,
    ),
    "tiny": _efficient(
        dataclasses.replace(_EVERY_JPEG, gray=0.3),
        {**THREE_SCALES, "filters": 12, "blocks": [1, 1, 1, 1, 2], "head": 12, "expansion": 3},
        steps_per_epoch=500,
        terms=_RELATIVE_TERMS,
        base={"epochs": 40, "learning_rate": 3e-3, "warmup": 200},
        texture_terms=_RELATIVE_TEXTURE_TERMS,
        fading=_FADING,
        texture_epochs=15,
    ),
    "gpu": _practical(
        {},
        precision="mixed_bfloat16",
        batch=64,
        steps_per_epoch=500,
        base=Phase(epochs=40, terms=_BASE_TERMS, learning_rate=8e-4, decay="cosine", warmup=500),
        texture=Phase(epochs=20, terms=_TEXTURE_TERMS, learning_rate=2e-4, decay="cosine", warmup=500),
    ),
    "cpu": _efficient(
        Data(gray=0.5, aligned=0.9),
        _LEAKY,
        steps_per_epoch=500,
        terms={"mse": 1.0, "edge": 0.1},
        base={"epochs": 20, "learning_rate": 7e-4, "warmup": 300},
        weight_decay=0.5,
        texture_terms=_TEXTURE_TERMS,
        texture_epochs=8,
    ),
    "demo": _efficient(
        Data(gray=0.5, aligned=0.9),
        {**THREE_SCALES, "filters": 16, "blocks": 5},
        steps_per_epoch=100,
        terms={"mse": 1.0, "edge": 0.1},
        base={"epochs": 12, "learning_rate": 2e-3, "warmup": 50},
        texture_terms=_TEXTURE_TERMS,
        texture_epochs=2,
        weights="imagenet-or-random",
    ),
}
