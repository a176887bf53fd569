import keras
import numpy as np
import pytest
from helpers import convolutions, intermediates, norms, perturb, random_batch, relus

from tfar import models
from tfar.errors import RecipeError
from tfar.models.argan import RECIPES, convolutional_discriminator, unet_generator
from tfar.recipes import Network

SIZES = [(1, 1), (1, 9), (7, 8), (16, 24), (33, 19)]
FORMS = {
    "paper": {"filters": 4, "depth": 3, "norm": "none"},
    "practical": {"filters": 4, "depth": 3, "blocks": 1, "norm": "none", "residual": True},
}


@pytest.fixture(scope="module", params=FORMS)
def generator(request):
    return perturb(unet_generator(**FORMS[request.param]), 1)


def image_of(model, jpeg, **options):
    return keras.ops.convert_to_numpy(model(jpeg, **options)["image"])


@pytest.mark.parametrize(
    ("build", "parameters"), [(unet_generator, 29_249_153), (lambda: convolutional_discriminator(patch=64), 2_766_273)]
)
def test_full_size_networks_have_the_documented_parameters(build, parameters):
    model = build()
    assert model.count_params() == parameters
    assert f"{parameters:,}" in models.BUILDERS[model.name].__doc__


def test_layers_of_the_u_net():
    model = unet_generator(filters=2)
    assert convolutions(model) == [
        ("down1", 4, 2, 2),
        ("down2", 4, 2, 4),
        ("down3", 4, 2, 8),
        ("down4", 4, 2, 16),
        ("down5", 4, 2, 16),
        ("down6", 4, 2, 16),
        ("up5", 4, 2, 16),
        ("up4", 4, 2, 16),
        ("up3", 4, 2, 8),
        ("up2", 4, 2, 4),
        ("up1", 4, 2, 2),
        ("to_image", 4, 2, 1),
    ]
    assert norms(model) == [*(f"down{i}_norm" for i in range(2, 7)), *(f"up{i}_norm" for i in (5, 4, 3, 2, 1))]
    assert norms(unet_generator(filters=2, norm="none")) == []


def test_practical_form_has_blocks_on_every_level():
    model = unet_generator(filters=2, depth=3, blocks=2, norm="none", residual=True)
    assert convolutions(model) == [
        ("down1", 4, 2, 2),
        *((f"down1_block{i}_conv{j}", 3, 1, 2) for i in (1, 2) for j in (1, 2)),
        ("down2", 4, 2, 4),
        *((f"down2_block{i}_conv{j}", 3, 1, 4) for i in (1, 2) for j in (1, 2)),
        ("down3", 4, 2, 8),
        *((f"down3_block{i}_conv{j}", 3, 1, 8) for i in (1, 2) for j in (1, 2)),
        ("up2", 4, 2, 4),
        ("up2_merge", 3, 1, 4),
        *((f"up2_block{i}_conv{j}", 3, 1, 4) for i in (1, 2) for j in (1, 2)),
        ("up1", 4, 2, 2),
        ("up1_merge", 3, 1, 2),
        *((f"up1_block{i}_conv{j}", 3, 1, 2) for i in (1, 2) for j in (1, 2)),
        ("to_image", 4, 2, 1),
    ]


def test_skips_join_levels_of_the_same_resolution():
    model = perturb(unet_generator(**FORMS["paper"]), 1)
    names = [
        f"{name}{level}_{kind}"
        for level in (1, 2)
        for name, kind in (("down", "leaky"), ("up", "relu"), ("up", "skip"))
    ]
    x = intermediates(model, random_batch(24, 16, 1), *names)
    for level in (1, 2):
        expected = np.concatenate([x[f"up{level}_relu"], x[f"down{level}_leaky"]], axis=-1)
        assert expected.shape[1:3] == (24 // 2**level, 16 // 2**level)
        np.testing.assert_allclose(x[f"up{level}_skip"], expected, atol=1e-6)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_any_size_is_extended_by_reflection_and_cut_back(generator, size):
    jpeg = random_batch(*size, 1)
    extended = np.pad(jpeg, ((0, 0), (0, -size[0] % 8), (0, -size[1] % 8), (0, 0)), mode="reflect")
    image = image_of(generator, jpeg)
    assert (image.shape, image.dtype) == (jpeg.shape, np.float32)
    np.testing.assert_allclose(image, image_of(generator, extended)[:, : size[0], : size[1]], atol=1e-5)


def test_sizes_are_extended_to_multiples_of_64_by_the_full_depth():
    model = unet_generator(filters=1)
    assert image_of(model, random_batch(65, 30, 1)).shape == (2, 65, 30, 1)
    assert intermediates(model, random_batch(65, 30, 1), "extend")["extend"].shape == (2, 128, 64, 1)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_fresh_residual_network_returns_its_input(size):
    jpeg = random_batch(*size, 1)
    np.testing.assert_array_equal(image_of(unet_generator(**FORMS["practical"]), jpeg), jpeg)


def test_paper_form_stays_in_range():
    image = image_of(perturb(unet_generator(filters=4, depth=3), 1), 100 * random_batch(9, 12, 1))
    assert -1 <= image.min() < image.max() <= 1


def test_images_are_restored_one_by_one_without_a_batch_norm(generator):
    images = random_batch(9, 12, 1)
    together = image_of(generator, images, training=True)
    np.testing.assert_allclose(image_of(generator, images[:1], training=True), together[:1], atol=1e-5)
    normed = perturb(unet_generator(filters=4, depth=3), 1)
    both = image_of(normed, images, training=True)
    assert abs(image_of(normed, images[:1], training=True) - both[:1]).max() > 1e-2


def test_colour_can_be_restored_too():
    model = perturb(unet_generator(channels=3, **FORMS["practical"]), 1)
    assert image_of(model, random_batch(9, 12)).shape == (2, 9, 12, 3)


def test_layers_of_the_discriminator():
    model = convolutional_discriminator(patch=64, filters=2)
    assert convolutions(model) == [
        ("conv1", 4, 2, 2),
        ("conv2", 4, 2, 4),
        ("conv3", 4, 2, 8),
        ("conv4", 4, 2, 16),
        ("logit", 4, 1, 1),
    ]
    assert norms(model) == ["norm2", "norm3", "norm4"]


@pytest.mark.parametrize(("patch", "side"), [(64, 1), (80, 2), (96, 3), (128, 5)])
def test_one_logit_per_region_of_64_pixels(patch, side):
    model = perturb(convolutional_discriminator(patch=patch, filters=4), 1)
    logits = keras.ops.convert_to_numpy(model(random_batch(patch, patch, 1)))
    assert (logits.shape, logits.dtype) == ((2, side, side, 1), np.float32)
    assert len(np.unique(logits)) == logits.size


def test_patches_are_judged_one_by_one_without_a_batch_norm():
    images = random_batch(64, 64, 1)
    alone, together = {}, {}
    for norm in ("none", "batch"):
        model = perturb(convolutional_discriminator(patch=64, filters=4, norm=norm), 1)
        together[norm] = keras.ops.convert_to_numpy(model(images, training=True))[0]
        alone[norm] = keras.ops.convert_to_numpy(model(images[:1], training=True))[0]
    np.testing.assert_allclose(alone["none"], together["none"], rtol=1e-4)
    assert abs(alone["batch"] - together["batch"]) > 1e-2


@pytest.mark.parametrize("patch", [16, 63])
def test_patch_that_is_too_small_is_refused(patch):
    with pytest.raises(RecipeError, match=f"convolutional_discriminator: patch must be at least 64, got {patch}"):
        models.build(Network(builder="convolutional_discriminator", options={"patch": patch}))


def test_paper_recipe_is_that_of_the_experiments():
    """ "1,500,000 iterations with a batch size of 64", "random cropped into 64 x 64 sub-images", "an Adam solver with a
    learning rate of 0.0002 and an initial momentum of 0.5", "q = 10, 20, 30, 40"; Eq. 3; "applied on the luminance".
    """
    paper = RECIPES["argan"]["paper"]
    assert paper.generator == Network(builder="unet_generator")
    assert paper.discriminator == Network(builder="convolutional_discriminator")
    assert (paper.data.patch, paper.data.batch, paper.data.quality) == (64, 64, (10, 40))
    assert (paper.optimizer.beta_1, paper.optimizer.beta_2) == (0.5, 0.999)
    [phase] = paper.phases
    assert (phase.terms, phase.learning_rate) == ({"mse": 1000, "saturating": 1}, 2e-4)
    assert phase.epochs * paper.steps_per_epoch == 1_500_000


@pytest.mark.parametrize("name", ["cpu", "demo"])
def test_practical_recipes_begin_with_the_mse_and_go_on_with_a_lambda_of_2000(name):
    mse, gan = RECIPES["argan"][name].phases
    assert mse.terms == {"mse": 1}
    assert gan.terms.keys() == {"mse", "saturating"}
    assert gan.terms["mse"] / gan.terms["saturating"] == pytest.approx(2000)
    options = RECIPES["argan"][name].generator.options
    assert (options["depth"], options["norm"], options["residual"]) == (3, "none", True)


def test_activation_is_that_of_every_unit_but_the_leaky_ones_on_the_way_down():
    form = {"filters": 2, "depth": 3, "blocks": 1, "norm": "none"}
    assert relus(unet_generator(**form, activation="leaky_relu")) == []
    up, blocks = ["up1_relu", "up2_relu"], [f"{name}_block1_relu" for name in ("down1", "down2", "down3", "up1", "up2")]
    assert sorted(relus(unet_generator(**form))) == sorted(up + blocks)
