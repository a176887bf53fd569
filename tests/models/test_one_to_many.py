import dataclasses

import keras
import numpy as np
import pytest
from helpers import convolutions, intermediates, norms, perturb, random_batch, tiny_recipe
from keras import layers

from tfar import models
from tfar.data.patches import Patches, draw_noise
from tfar.data.sources import load_split
from tfar.models import input_names
from tfar.models.one_to_many import RECIPES, naturalness_discriminator, proposal_network, shift_and_average
from tfar.recipes import Network
from tfar.training.trainer import TERMS, Step, Trainer

SIZES = [(1, 1), (2, 3), (7, 8), (16, 13)]
FORMS = {
    "paper": {"filters": 8, "branch_blocks": 1, "blocks": 2, "norm": "none"},
    "practical": {"filters": 8, "branch_blocks": 1, "blocks": 2, "norm": "none", "residual": True},
}


@pytest.fixture(scope="module", params=FORMS)
def generator(request):
    return perturb(proposal_network(**FORMS[request.param]), 1)


def noise_for(jpeg, seed=0):
    return draw_noise(np.random.default_rng(seed), *jpeg.shape[:3])


def image_of(model, *given, **options):
    return keras.ops.convert_to_numpy(model(list(given), **options)["image"])


@pytest.mark.parametrize(
    ("build", "parameters"),
    [(proposal_network, 1_568_259), (lambda: naturalness_discriminator(patch=112, bare="last"), 8_358_785)],
)
def test_full_size_networks_have_the_documented_parameters(build, parameters):
    model = build()
    assert model.count_params() == parameters
    assert f"{parameters:,}" in models.BUILDERS[model.name].__doc__


def test_layers_of_the_proposal_network():
    model = proposal_network(filters=2, branch_blocks=2, blocks=3)
    found = convolutions(model)
    units = [
        f"{label}{i}"
        for label, count in (("image_unit", 2), ("noise_unit", 2), ("unit", 3))
        for i in range(1, count + 1)
    ]
    assert sorted(found) == sorted(
        [
            ("entry", 4, 2, 2),
            ("noise_entry", 3, 1, 2),
            ("join", 3, 1, 2),
            ("up", 4, 2, 3),
            *((f"{unit}_conv{j}", 3, 1, 2) for unit in units for j in (1, 2)),
        ]
    )
    assert sorted(norms(model)) == sorted(["norm", *(f"{unit}_norm{j}" for unit in units for j in (1, 2))])
    assert norms(proposal_network(**FORMS["paper"])) == []
    assert initializers(model) == {"HeUniform"}


def initializers(model):
    return {layer.kernel_initializer.__class__.__name__ for layer in model.layers if hasattr(layer, "kernel")}


def test_without_noise_there_is_one_branch_and_one_restoration():
    model = proposal_network(**FORMS["paper"], noise=False)
    assert input_names(model) == ["jpeg"]
    assert input_names(proposal_network(**FORMS["paper"])) == ["jpeg", "noise"]
    assert not [layer.name for layer in model.layers if "noise" in layer.name or layer.name == "join"]
    assert image_of(model, random_batch(7, 4)).shape == (2, 7, 4, 3)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_any_size_is_kept(generator, size):
    jpeg = random_batch(*size)
    image = image_of(generator, jpeg, noise_for(jpeg))
    assert (image.shape, image.dtype) == (jpeg.shape, np.float32)
    assert abs(image - jpeg).max() > 1e-3


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_fresh_residual_network_returns_its_input(size):
    jpeg = random_batch(*size)
    model = proposal_network(**FORMS["practical"])
    np.testing.assert_array_equal(image_of(model, jpeg, noise_for(jpeg)), jpeg)


def test_paper_form_stays_in_range():
    jpeg = 100 * random_batch(9, 12)
    image = image_of(perturb(proposal_network(**FORMS["paper"] | {"norm": "batch"}), 1), jpeg, noise_for(jpeg))
    assert -1 <= image.min() < image.max() <= 1


def test_other_noise_gives_another_image_and_the_same_noise_the_same(generator):
    jpeg = random_batch(9, 12)
    first, again, other = (image_of(generator, jpeg, noise_for(jpeg, seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert abs(first - other).mean() > 1e-3


def test_noise_acts_where_it_is(generator):
    jpeg = random_batch(4, 64)
    noise = noise_for(jpeg)
    changed = noise.copy()
    changed[1, :, :3] += 1  # 6 of 64 columns; the network sees about 20 to each side
    difference = abs(image_of(generator, jpeg, noise) - image_of(generator, jpeg, changed)).max(axis=(1, 3))
    assert difference[0].max() == 0
    assert difference[1, :6].max() > 1e-3
    assert difference[1, 36:].max() == 0


def test_images_are_restored_one_by_one_without_a_batch_norm(generator):
    jpeg = random_batch(9, 12)
    noise = noise_for(jpeg)
    together = image_of(generator, jpeg, noise, training=True)
    np.testing.assert_allclose(image_of(generator, jpeg[:1], noise[:1], training=True), together[:1], atol=1e-5)
    normed = perturb(proposal_network(**FORMS["paper"] | {"norm": "batch"}), 1)
    both = image_of(normed, jpeg, noise, training=True)
    assert abs(image_of(normed, jpeg[:1], noise[:1], training=True) - both[:1]).max() > 1e-2


def test_luma_can_be_restored_too():
    model = perturb(proposal_network(channels=1, **FORMS["practical"]), 1)
    jpeg = random_batch(5, 6, 1)
    assert image_of(model, jpeg, noise_for(jpeg)).shape == (2, 5, 6, 1)


@pytest.mark.parametrize("seed", [0, 1])
def test_shift_and_average_makes_a_constant_of_a_constant_after_any_filter(seed):
    inputs = keras.Input((None, None, 3))
    up = layers.Conv2DTranspose(2, 4, strides=2, padding="same")
    x = up(inputs)
    model = keras.Model(inputs, [x, shift_and_average(x, name="shift")])
    rng = np.random.default_rng(seed)
    up.set_weights([rng.normal(size=w.shape) for w in up.get_weights()])
    features = np.broadcast_to(rng.normal(size=(2, 1, 1, 3)), (2, 6, 7, 3)).astype("float32")
    plain, averaged = (keras.ops.convert_to_numpy(value)[:, 2:-1, 2:-1] for value in model(features))
    assert np.ptp(plain, axis=(1, 2)).min() > 0.1
    assert np.ptp(averaged, axis=(1, 2)).max() < 1e-5
    np.testing.assert_allclose(averaged[:, 0, 0], plain[:, :2, :2].mean(axis=(1, 2)), atol=1e-5)


def test_shift_and_average_is_the_mean_of_four_shifted_copies():
    x = random_batch(5, 4)
    inputs = keras.Input((None, None, 3))
    found = keras.Model(inputs, shift_and_average(inputs, name="shift"))(x)
    padded = np.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0)), mode="edge")
    copies = [x, padded[:, 1:, :-1], padded[:, :-1, 1:], padded[:, :-1, :-1]]
    np.testing.assert_allclose(found, np.mean(copies, axis=0), atol=1e-6)


def test_network_shifts_and_averages_what_its_last_layer_gives(generator):
    jpeg = random_batch(7, 10)
    given = [jpeg, noise_for(jpeg)]
    up = np.pad(intermediates(generator, given, "up")["up"], ((0, 0), (1, 0), (1, 0), (0, 0)), mode="edge")
    averaged = (up[:, 1:, 1:] + up[:, 1:, :-1] + up[:, :-1, 1:] + up[:, :-1, :-1])[:, :7, :10] / 4
    expected = jpeg + averaged if "corrected" in {layer.name for layer in generator.layers} else np.tanh(averaged)
    np.testing.assert_allclose(image_of(generator, *given), expected, atol=1e-5)


def test_layers_of_the_discriminator():
    model = naturalness_discriminator(patch=112, filters=2)
    assert convolutions(model) == [
        ("conv1", 4, 1, 2),
        ("conv2", 4, 2, 2),
        ("conv3", 4, 1, 4),
        ("conv4", 4, 2, 4),
        ("conv5", 4, 1, 8),
        ("conv6", 4, 2, 8),
        ("conv7", 4, 1, 16),
        ("conv8", 4, 2, 16),
    ]
    assert initializers(model) == {"HeUniform"}
    assert norms(model) == [f"norm{i}" for i in range(2, 9)]
    assert model.get_layer("flatten").input.shape == (None, 7, 7, 16)
    assert input_names(model) == ["image"]


def test_the_paper_normalizes_and_activates_every_convolution_of_the_discriminator_but_the_last():
    """Caption of Table 1: "Each convolutional layer except the last is followed by a Batch Normalization and a Leaky
    ReLU, sequentially"."""
    model = naturalness_discriminator(patch=16, filters=2, bare="last")
    order = [layer.name for layer in model.layers if layer.name != "image"]
    units = [f"{part}{i}" for i in range(1, 8) for part in ("conv", "norm", "leaky")]
    assert order == [*units, "conv8", "flatten", "logit"]
    paper = RECIPES["one-to-many"]["paper"].discriminator
    assert paper == Network(builder="naturalness_discriminator", options={"bare": "last"})
    with pytest.raises(ValueError, match="bare must be one of first, last, got 'none'"):
        naturalness_discriminator(patch=16, filters=2, bare="none")


@pytest.mark.parametrize(("patch", "side"), [(16, 1), (40, 3), (17, 2)])
def test_discriminator_halves_the_patch_four_times(patch, side):
    model = perturb(naturalness_discriminator(patch=patch, filters=2), 1)
    assert model.get_layer("flatten").input.shape == (None, side, side, 16)
    logits = keras.ops.convert_to_numpy(model(random_batch(patch, patch)))
    assert (logits.shape, logits.dtype) == ((2, 1), np.float32)
    assert logits[0] != logits[1]


def test_patches_are_judged_one_by_one_without_a_batch_norm():
    images = random_batch(16, 16)
    alone, together = {}, {}
    for norm in ("none", "batch"):
        model = perturb(naturalness_discriminator(patch=16, filters=4, norm=norm), 1)
        together[norm] = keras.ops.convert_to_numpy(model(images, training=True))[0]
        alone[norm] = keras.ops.convert_to_numpy(model(images[:1], training=True))[0]
    np.testing.assert_allclose(alone["none"], together["none"], rtol=1e-4)
    assert abs(alone["batch"] - together["batch"]) > 1e-2


def test_diversity_compares_with_a_restoration_from_other_noise():
    recipe = tiny_recipe("one-to-many")
    trainer = Trainer(recipe)
    perturb(trainer.generator, 1)
    batch = Patches(load_split("demo", 0.1, 32)[0], recipe.data, noise=True).batch(0)
    step = Step(trainer, batch, trainer.generator, training=False)
    jpeg, noise = batch[0]["jpeg"] / np.float32(127.5) - 1, batch[0]["noise"]
    first, other = image_of(trainer.generator, jpeg, noise), image_of(trainer.generator, jpeg, noise[:, ::-1, ::-1])
    np.testing.assert_allclose(step.restored, first, atol=1e-6)
    np.testing.assert_allclose(step.other_restored, other, atol=1e-6)
    assert abs(first - other).mean(axis=(1, 2, 3)).min() > 1e-3
    expected = -np.log(abs(first - other).mean(axis=(1, 2, 3)) + 1e-3).mean()
    assert float(TERMS["diversity"](step)) == pytest.approx(expected, rel=1e-3)


def test_paper_recipe_is_section_3_4_and_4():
    """Section 3.4: "In the first epoch of training we only perform the second step without network D"; Section 3.3.1:
    "the last convolutional layer of the 16-layer VGGNet"; Section 4: "We roughly follow the parameter settings in
    DCGAN", "He et al.'s uniform initializer". The numbers are lost from the text.
    """
    paper = RECIPES["one-to-many"]["paper"]
    assert paper.generator == Network(builder="proposal_network")
    assert (paper.data.patch, paper.data.batch, paper.data.aligned, paper.data.gray) == (112, 16, 0.5, 0.5)
    assert (paper.features.network, paper.features.perceptual) == ("vgg16", "block5_conv3")
    first, rest = paper.phases
    assert first.terms == {"perceptual": 5e-3, "jpeg": 0.1}
    assert rest.terms == {"perceptual": 5e-3, "jpeg": 0.1, "adversarial": 0.1}
    assert (first.epochs, paper.epochs, paper.steps_per_epoch) == (1, 100, 1000)
    assert (rest.learning_rate, paper.optimizer.beta_1) == (2e-4, 0.5)


@pytest.mark.parametrize("name", ["cpu", "demo"])
def test_practical_recipes_bring_the_discriminator_in_later(name):
    recipe = RECIPES["one-to-many"][name]
    first, adversarial = recipe.phases
    assert first.terms.keys() == {"mse", "jpeg"}
    assert adversarial.terms.keys() == {"mse", "perceptual", "jpeg", "adversarial", "diversity"}
    assert (recipe.generator.options["norm"], recipe.generator.options["residual"]) == ("none", True)
    assert recipe.features.perceptual == "block3_conv3"


@pytest.mark.parametrize("name", ["paper", "cpu", "demo"])
def test_ablations_of_figure_8(name):
    whole = RECIPES["one-to-many"][name]
    lacking = {
        "one-to-many-perceptual-unshifted": {"jpeg", "adversarial"},
        "one-to-many-perceptual": {"jpeg", "adversarial"},
        "one-to-many-natural": {"jpeg"},
    }
    for system, terms in lacking.items():
        part = RECIPES[system][name]
        assert [phase.terms for phase in part.phases] == [
            {key: weight for key, weight in phase.terms.items() if key not in terms} for phase in whole.phases
        ]
        assert part.discriminator == (whole.discriminator if system == "one-to-many-natural" else None)
        changed = {"shift": False} if system.endswith("unshifted") else {}
        assert part.generator.options == {**whole.generator.options, **changed}
        assert (part.data, part.features, part.optimizer) == (whole.data, whole.features, whole.optimizer)


@pytest.mark.parametrize("name", ["paper", "cpu", "demo"])
def test_a_training_for_every_quality_of_table_2_and_one_for_luma(name):
    for system in ("one-to-many", "one-to-many-mse"):
        qualities = {suffix: RECIPES[f"{system}{suffix}"][name] for suffix in ("-q5", "", "-q20")}
        assert [recipe.data.quality for recipe in qualities.values()] == [(5, 5), (10, 10), (20, 20)]
        for recipe in qualities.values():
            data = dataclasses.replace(recipe.data, quality=(10, 10))
            assert dataclasses.replace(recipe, data=data) == qualities[""]
    whole, luma = RECIPES["one-to-many"][name], RECIPES["one-to-many-y"][name]
    assert luma.generator.options == {**whole.generator.options, "channels": 1}
    assert dataclasses.replace(luma, generator=whole.generator) == whole


def test_without_shift_and_average_the_image_is_what_the_last_layer_gives():
    model = perturb(proposal_network(**FORMS["practical"], shift=False), 1)
    jpeg = random_batch(8, 6)
    given = [jpeg, noise_for(jpeg)]
    np.testing.assert_allclose(image_of(model, *given), jpeg + intermediates(model, given, "up")["up"], atol=1e-6)


@pytest.mark.parametrize("name", ["paper", "cpu", "demo"])
def test_baseline_has_the_mse_only_and_no_noise(name):
    whole, part = RECIPES["one-to-many"][name], RECIPES["one-to-many-mse"][name]
    assert part.generator.options == {**whole.generator.options, "noise": False}
    assert part.discriminator is None and part.features is None
    [phase] = part.phases
    assert (phase.terms, phase.epochs, part.monitor) == ({"mse": 1}, whole.epochs, "psnr")
