import dataclasses

import keras
import numpy as np
import pytest
from helpers import convolutions, intermediates, norms, perturb, random_batch, tiny_recipe
from numpy.lib.stride_tricks import sliding_window_view

from tfar import models
from tfar.data.patches import Patches
from tfar.data.sources import load_split
from tfar.errors import RecipeError
from tfar.models import input_names
from tfar.models.galteri import RECIPES, full_patch_discriminator, galteri_generator, sub_patch_discriminator
from tfar.recipes import Network
from tfar.training.trainer import Step, Trainer

SIZES = [(1, 1), (2, 3), (7, 8), (16, 13)]
YCBCR = np.float64([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
DISCRIMINATORS = [sub_patch_discriminator, full_patch_discriminator]


def image_of(model, jpeg):
    return keras.ops.convert_to_numpy(model(jpeg, training=True)["image"])


def judge(model, image, jpeg):
    return keras.ops.convert_to_numpy(model([np.asarray(image), jpeg], training=True))


def pair(side, channels=3):
    """Images and, beside them, JPEGs."""
    images = random_batch(side, side, channels, count=4)
    return images[:2], images[2:]


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def valid_convolution(layer, x, strides=1):
    """A convolution without padding, in float64."""
    kernel, bias = layer.get_weights()
    windows = sliding_window_view(x, kernel.shape[:2], axis=(1, 2))[:, ::strides, ::strides]
    return np.einsum("byxihw,hwio->byxo", windows, kernel.astype(np.float64)) + bias


def generator_in_numpy(model, jpeg, blocks, residual):
    """Fig. 2 with explicit windows."""

    def conv(x, name, strides=1):
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
        return valid_convolution(model.get_layer(name), padded, strides)

    color = jpeg.shape[-1] == 3
    image = jpeg @ YCBCR.T if color else np.float64(jpeg)
    x = leaky(conv(image, "entry", strides=2))
    for i in range(1, blocks + 1):
        x = leaky(x + conv(leaky(conv(x, f"block{i}_conv1")), f"block{i}_conv2"))
    x = x.repeat(2, axis=1).repeat(2, axis=2)[:, : jpeg.shape[1], : jpeg.shape[2]]
    x = conv(leaky(conv(x, "smooth")), "to_image")
    x = image + x if residual else np.tanh(x)
    return x @ np.linalg.inv(YCBCR).T if color else x


@pytest.mark.parametrize(
    ("build", "parameters"),
    [
        (galteri_generator, 1_148_291),
        (lambda: sub_patch_discriminator(patch=128), 584_065),
        (lambda: full_patch_discriminator(patch=128), 614_017),
    ],
)
def test_full_size_networks_have_the_documented_parameters(build, parameters):
    model = build()
    assert model.count_params() == parameters
    assert f"{parameters:,}" in models.BUILDERS[model.name].__doc__


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_generator_agrees_with_explicit_windows(channels, residual, size):
    model = perturb(galteri_generator(channels=channels, filters=8, blocks=2, residual=residual), 1)
    jpeg = random_batch(*size, channels)
    image = image_of(model, jpeg)
    assert (image.shape, image.dtype) == (jpeg.shape, np.float32)
    np.testing.assert_allclose(image, generator_in_numpy(model, jpeg, 2, residual), atol=2e-5)


def test_layers_of_the_generator():
    model = galteri_generator(filters=2)
    blocks = [(f"block{i}_conv{j}", 3, 1, 2) for i in range(1, 16) for j in (1, 2)]
    assert convolutions(model) == [("entry", 3, 2, 2), *blocks, ("smooth", 3, 1, 2), ("to_image", 3, 1, 3)]
    assert norms(model) == []


@pytest.mark.parametrize(("channels", "tolerance"), [(3, 1e-6), (1, 0)])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_fresh_residual_network_returns_its_input(channels, tolerance, size):
    jpeg = random_batch(*size, channels)
    image = image_of(galteri_generator(channels=channels, filters=4, blocks=1, residual=True), jpeg)
    np.testing.assert_allclose(image, jpeg, rtol=0, atol=tolerance)


def test_paper_form_stays_in_range_in_ycbcr():
    jpeg = 100 * random_batch(9, 12)
    for channels, name in ((3, "tanh"), (1, "image")):
        model = perturb(galteri_generator(channels=channels, filters=4, blocks=1), 1)
        image = intermediates(model, jpeg[..., :channels], name)[name]
        assert -1 <= image.min() < image.max() <= 1


def test_images_are_restored_one_by_one():
    model = perturb(galteri_generator(filters=8, blocks=1), 1)
    images = random_batch(9, 12)
    np.testing.assert_allclose(image_of(model, images[:1]), image_of(model, images)[:1], atol=1e-6)


def test_network_sees_gray_as_luma_without_chroma():
    gray = random_batch(6, 5, 1)
    model = galteri_generator(filters=4, blocks=1)
    ycbcr = intermediates(model, gray.repeat(3, axis=-1), "ycbcr")["ycbcr"]
    np.testing.assert_allclose(ycbcr, np.concatenate([gray, 0 * gray, 0 * gray], axis=-1), atol=1e-6)


def test_change_of_the_chroma_alone_leaves_the_luma():
    model = galteri_generator(filters=4, blocks=1, residual=True)
    kernel, _ = model.get_layer("to_image").get_weights()
    model.get_layer("to_image").set_weights([kernel, np.float32([0, 0.3, -0.2])])
    jpeg = random_batch(6, 5)
    change = (image_of(model, jpeg) - jpeg) @ YCBCR.T
    np.testing.assert_allclose(change, np.broadcast_to([0, 0.3, -0.2], change.shape), atol=1e-5)


@pytest.mark.parametrize("builder", DISCRIMINATORS)
def test_layers_of_the_discriminators(builder):
    model = builder(patch=48, filters=2)
    second = 1 if builder is sub_patch_discriminator else 2
    widths = [(1, 2), (2, 2), (3, 4), (4, 4), (5, 8), (6, 8), (7, 16)]
    expected = [(f"conv{i}", 3, 1 if i % 2 else second, width) for i, width in widths]
    if builder is sub_patch_discriminator:
        expected.append(("logit", 2, 1, 1))
    assert convolutions(model) == expected
    assert norms(model) == []
    assert input_names(model) == ["image", "jpeg"]


@pytest.mark.parametrize("builder", DISCRIMINATORS)
def test_discriminators_agree_with_explicit_windows(builder):
    sub_patches = builder is sub_patch_discriminator
    model = perturb(builder(patch=16 if sub_patches else 48, filters=4), 1, gain=1.4)
    image, jpeg = pair(16 if sub_patches else 48)
    x = np.concatenate([image, jpeg], axis=-1)
    for i in range(1, 8):
        x = leaky(valid_convolution(model.get_layer(f"conv{i}"), x, 1 if sub_patches or i % 2 else 2))
    if sub_patches:
        expected = valid_convolution(model.get_layer("logit"), x)
    else:
        kernel, bias = model.get_layer("logit").get_weights()
        expected = x.reshape(2, -1) @ kernel + bias
    np.testing.assert_allclose(judge(model, image, jpeg), expected, rtol=1e-4, atol=1e-5)


def test_sub_patches_are_judged_as_patches_of_their_own():
    whole = perturb(sub_patch_discriminator(patch=48, filters=4), 1, gain=1.4)
    single = sub_patch_discriminator(patch=16, filters=4)
    single.set_weights(whole.get_weights())
    image, jpeg = pair(48)
    logits = judge(whole, image, jpeg)
    assert (logits.shape, logits.dtype) == ((2, 3, 3, 1), np.float32)
    for row, column in np.ndindex(3, 3):
        place = np.s_[:, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
        alone = judge(single, image[place], jpeg[place])
        assert alone.shape == (2, 1, 1, 1)
        np.testing.assert_allclose(logits[:, row, column], alone[:, 0, 0], rtol=1e-4, atol=1e-5)
    assert np.ptp(logits) > 0.1


@pytest.mark.parametrize("which", [0, 1], ids=["image", "jpeg"])
def test_change_in_one_sub_patch_changes_its_logit_only(which):
    model = perturb(sub_patch_discriminator(patch=48, filters=4), 1, gain=1.4)
    given = pair(48)
    before = judge(model, *given)
    given[which][1, 31, 16] += 30  # the lower left corner of the sub-patch in the middle
    changed = judge(model, *given) - before
    assert abs(changed[1, 1, 1]) > 1e-4
    changed[1, 1, 1] = 0
    assert abs(changed).max() < 1e-5


@pytest.mark.parametrize("builder", DISCRIMINATORS)
def test_image_and_jpeg_matter_and_patches_are_judged_one_by_one(builder):
    model = perturb(builder(patch=48, filters=4), 1, gain=1.4)
    image, jpeg = pair(48)
    logits = judge(model, image, jpeg)
    assert logits.shape == ((2, 3, 3, 1) if builder is sub_patch_discriminator else (2, 1))
    for other in (judge(model, image, jpeg[::-1]), judge(model, image[::-1], jpeg)):
        assert abs(other - logits).min() > 1e-3
    np.testing.assert_allclose(judge(model, image[:1], jpeg[:1]), logits[:1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("builder", DISCRIMINATORS)
def test_luma_is_judged_too(builder):
    assert builder(channels=1, patch=48, filters=2).output.shape[0] is None
    assert judge(builder(channels=1, patch=48, filters=2), *pair(48, 1)).shape[0] == 2


def test_smallest_patch_of_the_full_patch_discriminator_leaves_one_position():
    assert full_patch_discriminator(patch=45, filters=1).get_layer("flatten").input.shape[1:3] == (1, 1)
    assert full_patch_discriminator(patch=128, filters=1).get_layer("flatten").input.shape[1:3] == (11, 11)


@pytest.mark.parametrize(
    ("builder", "patch", "message"),
    [
        ("sub_patch_discriminator", 40, "patch must be a multiple of 16, got 40"),
        ("sub_patch_discriminator", 8, "patch must be a multiple of 16, got 8"),
        ("full_patch_discriminator", 44, ""),
    ],
)
def test_patches_that_do_not_fit_are_refused(builder, patch, message):
    with pytest.raises(RecipeError, match=f"{builder}: .*{message}"):
        models.build(Network(builder=builder, options={"patch": patch}))


@pytest.fixture(scope="module")
def trainer():
    recipe = tiny_recipe("galteri-gan")
    trainer = Trainer(recipe)
    perturb(trainer.generator, 1)
    trainer.begin(recipe.phases[-1])
    return trainer


@pytest.fixture(scope="module")
def batch(trainer):
    return Patches(load_split("demo", 0.1, 32)[0], trainer.recipe.data).batch(0)


def test_originals_and_restorations_are_judged_beside_the_jpeg(trainer, batch):
    step = Step(trainer, batch, trainer.generator, training=False)
    jpeg = batch[0]["jpeg"] / np.float32(127.5) - 1
    for image, logits in ((step.restored, step.restored_logits), (step.original, step.judge(step.original))):
        np.testing.assert_allclose(judge(trainer.discriminator, image, jpeg), logits, rtol=1e-4, atol=1e-6)


def test_discriminator_learns_from_smoothed_labels_of_every_sub_patch(trainer, batch):
    step = Step(trainer, batch, trainer.generator, training=True)
    real, restored = (np.float64(step.judge(image)) for image in (step.original, step.restored))
    probability = 1 / (1 + np.exp(-real))
    expected = -np.mean(0.9 * np.log(probability) + 0.1 * np.log(1 - probability)) + np.mean(np.log1p(np.exp(restored)))
    trainer.reset_metrics()
    assert float(trainer.train_step(batch)["discriminator"]) == pytest.approx(expected, rel=1e-4)


def test_paper_recipe_is_section_4_1():
    """ "16 random 128x128 patches, with flipping and rotation data augmentation", "at multiple QFs", "Adam with
    momentum 0.9 and a learning rate of 1e-4", "70,000 iterations", "one-sided label smoothing for the discriminator
    training"; Section 3.3.3: "the pre-trained VGG19 model".
    """
    paper = RECIPES["galteri-gan"]["paper"]
    assert paper.generator == Network(builder="galteri_generator")
    assert paper.discriminator == Network(builder="sub_patch_discriminator")
    assert (paper.data.patch, paper.data.batch) == (128, 16)
    assert paper.label_smoothing == 0.1
    assert (paper.features.network, paper.features.perceptual) == ("vgg19", "block5_conv3")
    [phase] = paper.phases
    assert phase.terms == {"perceptual": 1e-3, "adversarial": 1}
    assert phase.epochs * paper.steps_per_epoch == 70_000
    assert (phase.learning_rate, paper.optimizer.beta_1, paper.data.augment) == (1e-4, 0.9, True)
    assert paper.data.quality[0] < paper.data.quality[1]


@pytest.mark.parametrize("name", ["paper", "cpu", "demo"])
def test_direct_supervision_has_one_term_and_no_discriminator(name):
    gan = RECIPES["galteri-gan"][name]
    for system, term, monitor in (("galteri-mse", "mse", "psnr"), ("galteri-ssim", "ssim", "ssim")):
        recipe = RECIPES[system][name]
        [phase] = recipe.phases
        assert (phase.terms, phase.epochs, recipe.monitor) == ({term: 1}, gan.epochs, monitor)
        assert recipe.discriminator is None and recipe.features is None
        assert (recipe.generator, recipe.data) == (gan.generator, gan.data)


@pytest.mark.parametrize("name", ["paper", "cpu", "demo"])
def test_gan_l1_and_full_patches_differ_from_the_gan_in_what_their_names_say(name):
    gan, l1, full = (RECIPES[system][name] for system in ("galteri-gan", "galteri-gan-l1", "galteri-gan-full"))
    assert (l1.generator, l1.discriminator, l1.data, l1.phases[:-1]) == (
        gan.generator,
        gan.discriminator,
        gan.data,
        gan.phases[:-1],
    )
    assert l1.phases[-1].terms.keys() == {"l1", "adversarial"} and l1.features is None
    assert full.discriminator == Network(builder="full_patch_discriminator")
    assert dataclasses.replace(full, discriminator=gan.discriminator) == gan


@pytest.mark.parametrize("name", ["paper", "cpu", "demo"])
def test_gan_y_differs_in_its_channels_only(name):
    gan, luma = RECIPES["galteri-gan"][name], RECIPES["galteri-gan-y"][name]
    assert luma.generator.options == {**gan.generator.options, "channels": 1}
    assert (luma.discriminator, luma.phases, luma.data) == (gan.discriminator, gan.phases, gan.data)
