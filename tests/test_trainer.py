import keras
import numpy as np
import pytest
from tiny import GENERATOR, adversarial_recipe, plain_recipe

from tfar.data.patches import Patches
from tfar.data.sources import load_split
from tfar.errors import RecipeError
from tfar.models import build
from tfar.recipes import Network, Optimizer, Phase
from tfar.training.trainer import Trainer


@pytest.fixture(scope="module")
def batch():
    recipe = plain_recipe()
    training, _ = load_split("demo", 0.1, 32)
    return Patches(training, recipe.data, seed=3).batch(0)


def one_step(recipe, batch, phase=-1):
    trainer = Trainer(recipe)
    trainer.begin(recipe.phases[phase])
    logs = trainer.train_step(batch)
    return trainer, {name: float(value) for name, value in logs.items()}


def weights_of(network):
    return [w.copy() for w in network.get_weights()]


def changed(before, network):
    return [not np.array_equal(a, b) for a, b in zip(before, network.get_weights())]


def test_plain_step_logs_every_term_unweighted_and_their_weighted_sum(batch):
    recipe = plain_recipe(phases=(Phase(epochs=1, terms={"mse": 2.0, "edge": 3.0}),))
    trainer = Trainer(recipe)
    trainer.begin(recipe.phases[0])
    jpeg, original = (images / np.float32(127.5) - 1 for images in batch)
    mse = np.mean((keras.ops.convert_to_numpy(trainer.generator(jpeg)["image"]) - original) ** 2)

    logs = trainer.train_step(batch)

    assert set(logs) == {"mse", "edge", "loss", "psnr"}
    assert float(logs["mse"]) == pytest.approx(mse, rel=1e-4)
    assert float(logs["loss"]) == pytest.approx(2 * float(logs["mse"]) + 3 * float(logs["edge"]), rel=1e-5)
    assert float(logs["psnr"]) == pytest.approx(10 * np.log10(4 / mse), abs=0.01)


def test_adversarial_step_logs_the_discriminator_too(batch):
    _, logs = one_step(adversarial_recipe(), batch)
    assert set(logs) == {"mse", "perceptual", "texture", "adversarial", "discriminator", "loss", "psnr"}
    weighted = logs["mse"] + 1e-6 * logs["perceptual"] + 1e-9 * logs["texture"] + 1e-2 * logs["adversarial"]
    assert logs["loss"] == pytest.approx(weighted, rel=1e-4)


def test_mse_phase_leaves_the_discriminator_alone(batch):
    recipe = adversarial_recipe()
    trainer = Trainer(recipe)
    before = weights_of(trainer.discriminator)
    trainer.begin(recipe.phases[0])
    trainer.train_step(batch)
    assert not any(changed(before, trainer.discriminator))


def test_each_optimizer_moves_its_own_network_only(batch):
    recipe = adversarial_recipe()
    for frozen in ("generator", "discriminator"):
        trainer = Trainer(recipe)
        trainer.begin(recipe.phases[1])
        optimizer = trainer.optimizer if frozen == "generator" else trainer.discriminator_optimizer
        optimizer.learning_rate = 0.0
        networks = {"generator": trainer.generator, "discriminator": trainer.discriminator}
        before = {name: [w.numpy() for w in network.trainable_variables] for name, network in networks.items()}
        trainer.train_step(batch)
        moved = {name: any(not np.array_equal(a, w.numpy()) for a, w in zip(before[name], network.trainable_variables))
                 for name, network in networks.items()}
        assert moved == {name: name != frozen for name in networks}


def test_a_step_of_adam_moves_weights_by_the_learning_rate(batch):
    recipe = plain_recipe(phases=(Phase(epochs=1, terms={"mse": 1.0}, learning_rate=1e-3),))
    trainer = Trainer(recipe)
    trainer.begin(recipe.phases[0])
    before = weights_of(trainer.generator)
    trainer.train_step(batch)
    largest = max(np.abs(a - b).max() for a, b in zip(before, trainer.generator.get_weights()))
    assert largest == pytest.approx(1e-3, rel=0.01)


def test_clipping_bounds_the_global_gradient_norm(batch):
    recipe = plain_recipe(optimizer=Optimizer(clip_norm=1e-3), phases=(Phase(epochs=1, terms={"mse": 1.0}),))
    trainer = Trainer(recipe)
    trainer.begin(recipe.phases[0])
    trainer.train_step(batch)
    first_moments = [v for v in trainer.optimizer.variables if "momentum" in v.path]
    norm = np.sqrt(sum(np.sum(np.square(v.numpy())) for v in first_moments)) / (1 - 0.9)
    assert norm == pytest.approx(1e-3, rel=1e-3)


def test_cosine_decay_with_warmup_rises_and_falls_to_zero():
    recipe = plain_recipe(steps_per_epoch=10, phases=(
        Phase(epochs=3, terms={"mse": 1.0}, learning_rate=1e-3, decay="cosine", warmup=10),))
    trainer = Trainer(recipe)
    trainer.begin(recipe.phases[0])
    rate = trainer.optimizer._learning_rate
    values = [float(rate(step)) for step in (0, 5, 10, 20, 30)]
    assert values == pytest.approx([0.0, 5e-4, 1e-3, 5e-4, 0.0], abs=1e-9)


@pytest.mark.parametrize("recipe", [
    plain_recipe(), adversarial_recipe(precision="mixed_bfloat16"), plain_recipe(precision="mixed_float16"),
], ids=lambda recipe: recipe.precision)
def test_every_precision_learns_and_keeps_float32_weights(batch, recipe):
    trainer = Trainer(recipe)
    trainer.begin(recipe.phases[-1])
    half = [images[:4] for images in batch]
    first = float(trainer.train_step(half)["mse"])
    for _ in range(6):
        logs = trainer.train_step(half)
    assert trainer.generator.get_layer("block1_conv1").compute_dtype == recipe.precision.removeprefix("mixed_")
    assert {w.dtype for w in trainer.generator.weights} == {"float32"}
    scaled = isinstance(trainer.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (recipe.precision == "mixed_float16")
    trainer.reset_metrics()
    assert float(trainer.train_step(half)["mse"]) < first
    assert np.isfinite(float(logs["loss"]))
    assert keras.config.dtype_policy().name == "float32"


def test_validation_step_uses_the_averaged_generator_and_changes_nothing(batch):
    recipe = adversarial_recipe()
    trainer = Trainer(recipe)
    trainer.begin(recipe.phases[0])
    trainer.averaged_generator.get_layer("to_image").kernel.assign(
        keras.ops.zeros_like(trainer.averaged_generator.get_layer("to_image").kernel))
    before = weights_of(trainer.averaged_generator), weights_of(trainer.generator)
    logs = trainer.test_step(batch)
    original = batch[1] / np.float32(127.5) - 1
    assert float(logs["mse"]) == pytest.approx(np.mean(original**2), rel=1e-4)  # tanh(0) = 0 everywhere
    assert not any(changed(before[0], trainer.averaged_generator)) and not any(changed(before[1], trainer.generator))


@pytest.mark.parametrize(("changes", "message"), [
    ({"phases": (Phase(epochs=1, terms={"percep": 1.0}),)}, "unknown loss term 'percep'"),
    ({"phases": (Phase(epochs=1, terms={"adversarial": 1.0}),)}, "needs a discriminator"),
    ({"phases": (Phase(epochs=1, terms={"texture": 1.0}),)}, "needs features"),
    ({"phases": (Phase(epochs=1, terms={"blocking": 1.0}),)}, "needs data.aligned"),
    ({"generator": Network(builder="texture_generator", options=GENERATOR)}, "needs a generator with an edge branch"),
    ({"monitor": "ssim"}, "monitor must be"),
    ({"generator": Network(builder="edge_cnn", options={"blokcs": 2})}, "no option 'blokcs'"),
])
def test_recipes_that_do_not_fit_together_are_refused(changes, message):
    with pytest.raises(RecipeError, match=message):
        Trainer(plain_recipe(**changes))


def test_same_seed_same_initial_weights():
    first, second = (Trainer(plain_recipe()).generator.get_weights() for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second))
    other = Trainer(plain_recipe(seed=1)).generator.get_weights()
    assert not np.array_equal(first[0], other[0])


def test_recipe_network_equals_the_builder():
    assert Trainer(plain_recipe()).generator.count_params() == build(plain_recipe().generator).count_params()
