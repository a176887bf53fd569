import keras
import numpy as np
import pytest
from helpers import convolutions, intermediates, norms, perturb, random_batch, tiny_recipe

from tfar.data.patches import Patches
from tfar.data.sources import load_split
from tfar.losses.edge import sobel_edges
from tfar.models import input_names
from tfar.models.ep_gan import RECIPES, edge_discriminator
from tfar.models.region_aware import EDGE_CNN
from tfar.recipes import Network
from tfar.training.trainer import Step, Trainer


@pytest.fixture(scope="module")
def discriminator():
    return perturb(edge_discriminator(patch=32, filters=4, norm="none"), 1, gain=1.4)


def edge_maps(side):
    return abs(random_batch(side, side, 1))


def test_full_size_discriminator_has_the_documented_parameters():
    assert edge_discriminator(patch=224).count_params() == 48_163_521
    assert "48,163,521" in edge_discriminator.__doc__


def test_edge_condition_is_one_more_channel():
    with_edges, without = (edge_discriminator(patch=32, filters=4, edges=edges) for edges in (True, False))
    assert input_names(with_edges) == ["image", "edges"]
    assert input_names(without) == ["image"]
    assert with_edges.count_params() - without.count_params() == 4 * 4 * 4


def test_layers_are_those_of_figure_1_b():
    model = edge_discriminator(patch=224, filters=2)
    assert convolutions(model) == [
        ("conv1", 4, 2, 2),
        ("conv2", 4, 2, 4),
        ("conv3", 4, 2, 8),
        ("conv4", 4, 2, 16),
        ("conv5", 4, 2, 32),
        ("conv6", 4, 2, 64),
        ("conv7", 1, 1, 32),
        ("conv8", 1, 1, 16),
        ("residual_conv1", 1, 1, 4),
        ("residual_conv2", 3, 1, 4),
        ("residual_conv3", 3, 1, 16),
    ]
    assert norms(model) == [*(f"norm{i}" for i in range(2, 9)), *(f"residual_norm{i}" for i in (1, 2, 3))]
    assert norms(edge_discriminator(patch=32, filters=2, norm="none")) == []
    assert model.get_layer("flatten").input.shape == (None, 4, 4, 16)


def test_the_paper_form_has_no_activation_between_the_second_small_convolution_and_the_residual_block():
    """TensorLayer's SRGAN, with which the paper shares every number: k1 n512, batch norm, then the residual block."""
    assert RECIPES["ep-gan"]["paper"].discriminator.options == {"second_activation": False}
    paper = edge_discriminator(patch=32, filters=4, second_activation=False)
    practical = edge_discriminator(patch=32, filters=4)
    leaky = [[layer.name for layer in model.layers if "leaky" in layer.name] for model in (paper, practical)]
    assert leaky[0] == [name for name in leaky[1] if name != "leaky8"]
    assert paper.count_params() == practical.count_params()
    x = intermediates(
        perturb(paper, 1), [random_batch(32, 32), edge_maps(32)], "norm8", "residual_norm3", "residual_leaky3"
    )
    total = x["norm8"] + x["residual_norm3"]
    assert x["norm8"].min() < -1e-3
    np.testing.assert_allclose(x["residual_leaky3"], np.where(total > 0, total, 0.2 * total), rtol=1e-5)


def test_residual_block_adds_to_what_it_takes_before_the_last_activation(discriminator):
    x = intermediates(
        discriminator, [random_batch(32, 32), edge_maps(32)], "leaky8", "residual_conv3", "residual_leaky3"
    )
    total = x["leaky8"] + x["residual_conv3"]
    assert abs(x["residual_conv3"]).max() > 1e-3
    np.testing.assert_allclose(x["residual_leaky3"], np.where(total > 0, total, 0.2 * total), rtol=1e-5)


@pytest.mark.parametrize(("patch", "side"), [(16, 1), (64, 1), (96, 2), (100, 2), (129, 3)])
def test_discriminator_halves_the_patch_six_times(patch, side):
    model = edge_discriminator(patch=patch, filters=1)
    assert model.get_layer("conv6").output.shape == (None, side, side, 32)
    assert model([random_batch(patch, patch), edge_maps(patch)]).shape == (2, 1)


def test_edges_and_image_matter(discriminator):
    image, edges = random_batch(32, 32), edge_maps(32)
    logits = keras.ops.convert_to_numpy(discriminator([image, edges]))
    assert logits.dtype == np.float32
    for other in ([image, edges[::-1]], [image[::-1], edges]):
        assert abs(keras.ops.convert_to_numpy(discriminator(other)) - logits).min() > 1e-3


def test_patches_are_judged_one_by_one_without_a_batch_norm(discriminator):
    images, edges = random_batch(32, 32), edge_maps(32)
    together = keras.ops.convert_to_numpy(discriminator([images, edges], training=True))
    np.testing.assert_allclose(discriminator([images[:1], edges[:1]], training=True), together[:1], rtol=1e-4)
    normed = perturb(edge_discriminator(patch=32, filters=4), 1)
    others = [keras.ops.convert_to_numpy(normed([images[:count], edges[:count]], training=True)) for count in (1, 2)]
    assert abs(others[0][0] - others[1][0]) > 1e-2


@pytest.mark.parametrize("system", ["ep-gan", "v-gan"])
def test_originals_and_restorations_are_judged_beside_the_edges_of_the_original(system):
    recipe = tiny_recipe(system, "discriminator.options.norm=none")
    trainer = Trainer(recipe)
    perturb(trainer.generator, 1)
    batch = Patches(load_split("demo", 0.1, 32)[0], recipe.data).batch(0)
    step = Step(trainer, batch, trainer.generator, training=False)
    edges = sobel_edges(batch[1] / np.float32(127.5) - 1)
    for image, logits in ((step.restored, step.restored_logits), (step.original, step.judge(step.original))):
        given = [image, edges] if system == "ep-gan" else image
        np.testing.assert_allclose(trainer.discriminator(given), logits, rtol=1e-4, atol=1e-6)


def test_paper_recipe_is_section_3_1():
    """ "patches in size of 224x224", "the batch size as 4", "Adam with momentum term beta_1 = 0.9", "first initialize
    and train the generator network by minimizing MSE only", "with the learning rate of 1e-4 in the first half of the
    training epoches, and decrease the learning rate to 1e-5 in the rest epoches", "quality factor QF = 10"; Section
    2.1: "lambda_1 to 2e-6, lambda_2 to 1 and lambda_3 to 1e-3"; Section 2.3.2: "The fourth pooling layer".
    """
    paper = RECIPES["ep-gan"]["paper"]
    assert paper.generator == Network(builder="edge_cnn", options=EDGE_CNN)
    assert paper.discriminator.builder == "edge_discriminator"
    assert (paper.data.patch, paper.data.batch) == (224, 4)
    all_terms = {"mse": 1, "perceptual": 2e-6, "edge": 1, "adversarial": 1e-3}
    assert [phase.terms for phase in paper.phases] == [{"mse": 1}, all_terms, all_terms]
    assert [phase.learning_rate for phase in paper.phases] == [1e-4, 1e-4, 1e-5]
    assert [phase.epochs for phase in paper.phases] == [20, 100, 100]
    assert [b.continues(a) for a, b in zip(paper.phases, paper.phases[1:])] == [False, True]  # the rate falls
    assert (paper.features.network, paper.features.perceptual) == ("vgg19", "block4_pool")
    assert (paper.optimizer.beta_1, paper.data.quality) == (0.9, (10, 10))


@pytest.mark.parametrize("name", ["paper", "cpu", "demo"])
def test_v_gan_is_ep_gan_without_anything_of_edges(name):
    whole, part = RECIPES["ep-gan"][name], RECIPES["v-gan"][name]
    assert part.generator.builder == "texture_generator"
    assert part.generator.options == {k: v for k, v in whole.generator.options.items() if k != "edges_from"}
    assert part.discriminator.options == {**whole.discriminator.options, "edges": False}
    assert len(part.phases) == len(whole.phases)
    for phase, other in zip(part.phases, whole.phases):
        assert "edge" not in phase.terms
        assert {**phase.terms, "edge": 1.0} == {**other.terms, "edge": 1.0}
        assert (phase.epochs, phase.learning_rate) == (other.epochs, other.learning_rate)
    assert (part.data, part.optimizer, part.features) == (whole.data, whole.optimizer, whole.features)


@pytest.mark.parametrize("name", ["paper", "cpu", "demo"])
def test_baseline_is_the_generator_with_the_mse_only(name):
    whole, part = RECIPES["ep-gan"][name], RECIPES["ep-gan-mse"][name]
    assert part.generator == whole.generator
    assert part.discriminator is None and part.features is None
    assert all(phase.terms == {"mse": 1} for phase in part.phases)
    assert (part.epochs, part.monitor) == (whole.epochs, "psnr")


def test_the_baseline_of_the_paper_has_the_rates_of_the_whole():
    whole, part = (RECIPES[name]["paper"].phases for name in ("ep-gan", "ep-gan-mse"))
    assert [(phase.epochs, phase.learning_rate) for phase in part] == [(20, 1e-4), (100, 1e-4), (100, 1e-5)]
    assert [(phase.epochs, phase.learning_rate) for phase in whole] == [
        (phase.epochs, phase.learning_rate) for phase in part
    ]
    assert all(later.continues(earlier) for earlier, later in zip(part, part[1:]))
