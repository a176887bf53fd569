import dataclasses
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import GENERATOR, NOISE_GENERATOR, adversarial_recipe, blind_recipe, plain_recipe
from scipy import special
from skimage.metrics import peak_signal_noise_ratio

from tfar import pixels, quantization
from tfar.data.patches import Patches
from tfar.data.sources import load_split
from tfar.errors import RecipeError
from tfar.losses.edge import sobel_edges
from tfar.losses.jpeg import jpeg_loss
from tfar.models import build
from tfar.recipes import Data, Features, Network, Optimizer, Phase
from tfar.training.muon import ConvolutionMuon
from tfar.training.trainer import Step, Trainer


@pytest.fixture(scope="module")
def batch():
    recipe = plain_recipe()
    training, _ = load_split("demo", 0.1, 32)
    return Patches(training, recipe.data, seed=3).batch(0)


def batch_for(recipe, **options):
    """A batch of the demo photographs as a recipe has it."""
    training, _ = load_split("demo", 0.1, recipe.data.patch)
    return Patches(training, recipe.data, seed=3, **options).batch(0)


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
    x, original = batch
    jpeg, original = (images / np.float32(127.5) - 1 for images in (x["jpeg"], original))
    restored = keras.ops.convert_to_numpy(trainer.generator(jpeg)["image"])
    mse = np.mean((restored - original) ** 2)
    psnr = np.mean([peak_signal_noise_ratio(o, np.clip(r, -1, 1), data_range=2) for o, r in zip(original, restored)])

    logs = trainer.train_step(batch)

    assert set(logs) == {"mse", "edge", "loss", "psnr"}
    assert float(logs["mse"]) == pytest.approx(mse, rel=1e-4)
    assert float(logs["loss"]) == pytest.approx(2 * float(logs["mse"]) + 3 * float(logs["edge"]), rel=1e-5)
    assert float(logs["psnr"]) == pytest.approx(psnr, abs=0.01)


def test_relative_errors_are_weighted_by_those_of_the_jpeg():
    recipe = plain_recipe(
        data=Data(patch=32, batch=12, quality=(5, 95)), phases=(Phase(epochs=1, terms={"relative_mse": 1.0}),)
    )
    batch = batch_for(recipe)
    trainer = Trainer(recipe)
    trainer.begin(recipe.phases[0])
    jpeg, original = (batch[0]["jpeg"].astype(float), batch[1].astype(float))
    restored = pixels.to_255(keras.ops.convert_to_numpy(trainer.generator(pixels.to_float(jpeg))["image"]))
    damage = np.mean((jpeg - original) ** 2, axis=(1, 2, 3))
    assert damage.min() < 10 and damage.max() > 100  # one of them has the largest weight, one a small one
    errors = np.mean((restored - original) ** 2, axis=(1, 2, 3))
    expected = np.mean(np.minimum(60 / damage, 5) * errors) / 127.5**2
    assert float(trainer.train_step(batch)["relative_mse"]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("term", ["perceptual", "texture", "adversarial", "saturating"])
def test_a_fading_term_weighs_less_the_better_the_jpeg(term):
    qualities = (10, 40, 75, 95, 98)
    expected = [1, 1, (0.5 - 0.1) / (1.25 - 0.1), 0, 0]  # of the factors by which libjpeg multiplies its tables
    each = []
    for fading in ((term,), ()):
        recipe = adversarial_recipe(
            data=Data(patch=32, batch=1), phases=(Phase(epochs=1, terms={term: 1.0}, fading=fading),)
        )
        trainer = Trainer(recipe)
        trainer.begin(recipe.phases[0])
        x, original = batch_for(recipe)
        batches = [({**x, "table": quantization.luma_table(quality)[None]}, original) for quality in qualities]
        found = []
        for batch in batches:
            trainer.reset_metrics()
            found.append(float(trainer.test_step(batch)["loss"]))
        each.append(np.array(found))
    np.testing.assert_allclose(each[0] / each[1], expected, atol=0.02)


@pytest.mark.parametrize("term", ["perceptual", "texture"])
def test_a_term_of_features_needs_no_other_one(term):
    recipe = adversarial_recipe(phases=(Phase(epochs=1, terms={term: 1.0}),))
    trainer = Trainer(recipe)
    trainer.begin(recipe.phases[0])
    assert float(trainer.test_step(batch_for(recipe))[term]) > 0


def test_a_batch_of_several_qualities_fades_patch_by_patch():
    recipe = blind_recipe(phases=(Phase(epochs=1, terms={"adversarial": 1.0}, fading=("adversarial",)),))
    trainer = Trainer(recipe)
    trainer.begin(recipe.phases[0])
    x, original = batch_for(recipe)
    x = {**x, "table": np.stack([quantization.luma_table(95)] * 8 + [quantization.luma_table(10)] * 8)}
    logits = keras.ops.convert_to_numpy(trainer.discriminator(trainer.generator(pixels.to_float(x["jpeg"]))["image"]))
    expected = np.sum(np.log1p(np.exp(-logits[8:]))) / 16
    assert float(trainer.test_step((x, original))["adversarial"]) == pytest.approx(expected, rel=1e-2)


def test_the_discriminator_has_a_rate_of_its_own(batch):
    terms = {"mse": 1.0, "adversarial": 1e-2}
    recipe = adversarial_recipe(phases=(Phase(epochs=1, terms=terms, learning_rate=1e-3, discriminator_rate=1e-4),))
    trainer = Trainer(recipe)
    trainer.begin(recipe.phases[0])
    assert float(trainer.optimizer.learning_rate) == pytest.approx(1e-3)
    assert float(trainer.discriminator_optimizer.learning_rate) == pytest.approx(1e-4)


def test_muon_teaches_the_generator_and_adam_the_discriminator():
    recipe = blind_recipe()
    trainer = Trainer(recipe)
    trainer.begin(recipe.phases[0])
    assert isinstance(trainer.optimizer, ConvolutionMuon)
    assert isinstance(trainer.discriminator_optimizer, keras.optimizers.Adam)


def test_weight_decay_of_the_recipe_reaches_muon():
    recipe = plain_recipe(optimizer=Optimizer(kind="muon", weight_decay=0.3))
    trainer = Trainer(recipe)
    trainer.begin(recipe.phases[0])
    assert (trainer.optimizer.weight_decay, trainer.optimizer.adam_weight_decay) == (0.3, 0.3)


@pytest.mark.parametrize("before", [0, 7])
def test_every_step_is_averaged(before):
    recipe = plain_recipe(optimizer=Optimizer(average=0.5), phases=(Phase(epochs=1, terms={"mse": 1.0}),))
    batch = batch_for(recipe)
    trainer = Trainer(recipe)
    trainer.begin(recipe.phases[0], before)
    expected = trainer.averaged_generator.get_weights()
    for step in (before + 1, before + 2):
        trainer.train_step(batch)
        kept = min(0.5, (1 + step) / (10 + step))
        expected = [kept * e + (1 - kept) * w for e, w in zip(expected, trainer.generator.get_weights())]
    for found, wanted in zip(trainer.averaged_generator.get_weights(), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_adversarial_step_logs_the_discriminator_too(batch):
    _, logs = one_step(adversarial_recipe(), batch)
    assert set(logs) == {"mse", "perceptual", "texture", "adversarial", "discriminator", "loss", "psnr"}
    weighted = logs["mse"] + 1e-6 * logs["perceptual"] + 1e-9 * logs["texture"] + 1e-2 * logs["adversarial"]
    assert logs["loss"] == pytest.approx(weighted, rel=1e-4)


NOISE = Network(builder="proposal_network", options=NOISE_GENERATOR)


def test_jpeg_and_ssim_are_those_of_the_restoration_and_of_its_jpeg():
    recipe = plain_recipe(
        generator=NOISE,
        data=Data(patch=32, batch=12, quality=(5, 30), aligned=0.5),
        phases=(Phase(epochs=1, terms={"mse": 1.0, "jpeg": 1e-4, "ssim": 0.5}),),
    )
    batch = batch_for(recipe, noise=True)
    x, original = batch
    aligned = np.sum(~x["offset"].any(axis=1))
    assert 0 < aligned < 12
    trainer = Trainer(recipe)
    trainer.begin(recipe.phases[0])
    jpeg = pixels.to_float(x["jpeg"])
    up = trainer.generator.get_layer("up")
    up.kernel.assign(np.random.default_rng(0).normal(0, 0.3, up.kernel.shape))
    restored = trainer.generator([jpeg, keras.ops.convert_to_tensor(x["noise"])])["image"]
    ssim = np.mean(tf.image.ssim(pixels.to_float(original) + 1, restored + 1, max_val=2.0))

    logs = trainer.train_step(batch)

    assert float(logs["jpeg"]) == pytest.approx(float(jpeg_loss(jpeg, restored, x["table"], x["offset"])), rel=1e-3)
    assert float(logs["jpeg"]) > 1
    assert float(logs["ssim"]) == pytest.approx(-ssim, abs=1e-4)
    weighted = float(logs["mse"]) + 1e-4 * float(logs["jpeg"]) + 0.5 * float(logs["ssim"])
    assert float(logs["loss"]) == pytest.approx(weighted, rel=1e-4)


def test_the_noise_of_the_batch_is_what_the_generator_gets():
    recipe = plain_recipe(generator=NOISE, phases=(Phase(epochs=1, terms={"mse": 1.0}),))
    x, original = batch_for(recipe, noise=True)
    trainer = Trainer(recipe)
    up = trainer.generator.get_layer("up")
    up.kernel.assign(np.random.default_rng(0).normal(0, 0.3, up.kernel.shape))
    trainer.begin(recipe.phases[0])
    values = []
    for noise in (x["noise"], 2 * x["noise"]):
        trainer.reset_metrics()
        values.append(float(trainer.test_step(({**x, "noise": noise}, original))["mse"]))
        restored = trainer.generator([pixels.to_float(x["jpeg"]), keras.ops.convert_to_tensor(noise)])["image"]
        assert values[-1] == pytest.approx(np.mean((restored - pixels.to_float(original)) ** 2), rel=1e-4)
    assert values[0] != pytest.approx(values[1], rel=1e-3)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_discriminator_is_taught_with_smoothed_labels(batch, smoothing):
    recipe = adversarial_recipe(
        label_smoothing=smoothing,
        phases=(Phase(epochs=1, terms={"mse": 1.0, "saturating": 0.5}),),
        discriminator=Network(builder="srgan_discriminator", options={"filters": 4, "norm": "none"}),
    )
    trainer = Trainer(recipe)
    trainer.begin(recipe.phases[0])
    before = [w.numpy() for w in trainer.discriminator.trainable_variables]
    original, jpeg = pixels.to_float(batch[1]), pixels.to_float(batch[0]["jpeg"])
    p, q = (
        special.expit(np.asarray(trainer.discriminator(image), "float64"))
        for image in (original, trainer.generator(jpeg)["image"])
    )
    expected = -np.mean((1 - smoothing) * np.log(p) + smoothing * np.log(1 - p)) - np.mean(np.log(1 - q))

    logs = trainer.train_step(batch)

    assert set(logs) == {"mse", "saturating", "discriminator", "loss", "psnr"}
    assert float(logs["discriminator"]) == pytest.approx(expected, rel=1e-4)
    assert -2 < float(logs["saturating"]) < 0
    assert float(logs["loss"]) == pytest.approx(float(logs["mse"]) + 0.5 * float(logs["saturating"]), rel=1e-4)
    assert all((a != w.numpy()).any() for a, w in zip(before, trainer.discriminator.trainable_variables))


def test_luma_networks_are_trained_with_every_loss_of_color_ones():
    recipe = adversarial_recipe(generator=Network(builder="texture_generator", options={**GENERATOR, "channels": 1}))
    trainer, logs = one_step(recipe, batch_for(recipe, channels=1))
    assert trainer.discriminator.input_shape == (None, 32, 32, 1)
    assert set(logs) == {"mse", "perceptual", "texture", "adversarial", "discriminator", "loss", "psnr"}
    assert all(np.isfinite(value) and value > 0 for value in logs.values())


def test_a_discriminator_gets_the_conditions_that_its_inputs_name(batch):
    images = {
        name: keras.Input((32, 32, channels), name=name) for name, channels in (("jpeg", 3), ("image", 3), ("edges", 1))
    }
    means = [keras.ops.mean(image, axis=(1, 2, 3)) for image in images.values()]
    trainer = SimpleNamespace(discriminator=keras.Model(list(images.values()), keras.ops.stack(means, axis=-1)))
    step = Step(trainer, batch, build(plain_recipe().generator), training=False)
    shown = keras.ops.ones((16, 32, 32, 3)) * np.linspace(-1, 1, 16).reshape(16, 1, 1, 1)
    jpeg, original = (image / 127.5 - 1 for image in (batch[0]["jpeg"], batch[1]))
    expected = [np.mean(array, axis=(1, 2, 3)) for array in (jpeg, shown, sobel_edges(original))]
    np.testing.assert_allclose(step.judge(shown), np.stack(expected, axis=-1), atol=1e-5)


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
        moved = {
            name: any(not np.array_equal(a, w.numpy()) for a, w in zip(before[name], network.trainable_variables))
            for name, network in networks.items()
        }
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


def test_the_gradients_of_each_replica_are_clipped_at_its_share():
    recipe = adversarial_recipe(optimizer=Optimizer(clip_norm=0.5))
    for replicas in (1, 2):
        trainer = Trainer(recipe, replicas=replicas)
        trainer.begin(recipe.phases[1])
        for optimizer in (trainer.optimizer, trainer.discriminator_optimizer):
            assert optimizer.global_clipnorm == 0.5 / replicas


def test_cosine_decay_with_warmup_rises_and_falls_to_zero():
    recipe = plain_recipe(
        steps_per_epoch=10, phases=(Phase(epochs=3, terms={"mse": 1.0}, learning_rate=1e-3, decay="cosine", warmup=10),)
    )
    trainer = Trainer(recipe)
    trainer.begin(recipe.phases[0])
    rate = trainer.optimizer._learning_rate
    values = [float(rate(step)) for step in (0, 5, 10, 20, 30)]
    assert values == pytest.approx([0.0, 5e-4, 1e-3, 5e-4, 0.0], abs=1e-9)


@pytest.mark.parametrize(
    "recipe",
    [
        plain_recipe(),
        adversarial_recipe(precision="mixed_bfloat16"),
        plain_recipe(precision="mixed_float16"),
    ],
    ids=lambda recipe: recipe.precision,
)
def test_every_precision_learns_and_keeps_float32_weights(batch, recipe):
    trainer = Trainer(recipe)
    trainer.begin(recipe.phases[-1])
    half = {name: array[:4] for name, array in batch[0].items()}, batch[1][:4]
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
        keras.ops.zeros_like(trainer.averaged_generator.get_layer("to_image").kernel)
    )
    before = weights_of(trainer.averaged_generator), weights_of(trainer.generator)
    logs = trainer.test_step(batch)
    original = batch[1] / np.float32(127.5) - 1
    assert float(logs["mse"]) == pytest.approx(np.mean(original**2), rel=1e-4)  # tanh(0) = 0 everywhere
    assert not any(changed(before[0], trainer.averaged_generator)) and not any(changed(before[1], trainer.generator))


def test_every_patch_counts_alike_in_what_is_logged_whatever_the_batches():
    recipe = plain_recipe(data=Data(patch=32, batch=20))
    x, original = batch_for(recipe)
    trainer = Trainer(recipe)
    trainer.begin(recipe.phases[0])
    whole, parts = (trainer.evaluate(x, original, batch_size=size, verbose=0, return_dict=True) for size in (20, 16))
    assert set(whole) == {"mse", "edge", "loss", "psnr"}
    assert parts == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"phases": (Phase(epochs=1, terms={"percep": 1.0}),)}, "unknown loss term 'percep'"),
        ({"phases": (Phase(epochs=1, terms={"adversarial": 1.0}),)}, "needs a discriminator"),
        ({"phases": (Phase(epochs=1, terms={"texture": 1.0}),)}, "needs features"),
        ({"phases": (Phase(epochs=1, terms={"saturating": 1.0}),)}, "needs a discriminator"),
        ({"phases": (Phase(epochs=1, terms={"blocking": 1.0}),)}, "needs data.aligned=1"),
        (
            {"phases": (Phase(epochs=1, terms={"blocking": 1.0}),), "data": Data(patch=32, aligned=0.9)},
            "data.aligned=1",
        ),
        ({"phases": (Phase(epochs=1, terms={"blocking": 1.0}),), "data": Data(patch=36, aligned=1.0)}, "multiple of 8"),
        ({"phases": (Phase(epochs=1, terms={"blocking": 1.0}),), "data": Data(patch=8, aligned=1.0)}, "at least 16"),
        ({"phases": (Phase(epochs=1, terms={"jpeg": 1.0}),)}, "needs data.aligned above 0"),
        ({"phases": (Phase(epochs=1, terms={"jpeg": 1.0}),), "data": Data(patch=36, aligned=0.5)}, "multiple of 8"),
        ({"phases": (Phase(epochs=1, terms={"ssim": 1.0}),), "data": Data(patch=10)}, "data.patch of at least 11"),
        (
            {"discriminator": Network(builder="srgan_discriminator", options={"channels": 1})},
            "the discriminator takes 1 channels, the generator gives 3",
        ),
        (
            {"generator": Network(builder="texture_generator", options=GENERATOR)},
            "needs a generator with an edge branch",
        ),
        ({"monitor": "ssim"}, "monitor must be"),
        (
            {"monitor": "edge", "phases": (Phase(epochs=1, terms={"mse": 1.0}), Phase(epochs=1, terms={"edge": 1.0}))},
            "monitor must be psnr, last, a term of every phase or, .* loss, got 'edge'",
        ),
        (
            {"monitor": "loss", "phases": (Phase(epochs=1, terms={"mse": 1.0}), Phase(epochs=1, terms={"mse": 2.0}))},
            "where all phases have the same terms and weights, loss, got 'loss'",
        ),
        ({"generator": Network(builder="edge_cnn", options={"blokcs": 2})}, "no option 'blokcs'"),
        (
            {"generator": Network(builder="edge_cnn", options={"scales": 3, "blocks": 4})},
            "need at least 5 blocks, got 4",
        ),
        ({"phases": (Phase(epochs=1, terms={"mse": 1.0}, fading=("mse",)),)}, "'mse' cannot fade"),
        (
            {
                "phases": (Phase(epochs=1, terms={"perceptual": 1.0}),),
                "features": Features(network="vgg16", weights="random", perceptual="block3_conv3"),
                "data": Data(patch=3),
            },
            "the features of block3_conv3 need a data.patch of at least 4, got 3",
        ),
    ],
)
def test_recipes_that_do_not_fit_together_are_refused(changes, message):
    with pytest.raises(RecipeError, match=message):
        Trainer(plain_recipe(**changes))


@pytest.mark.parametrize("monitor", ["loss", "perceptual"])
def test_what_fades_in_one_phase_only_is_not_compared_with_that_of_another(monitor):
    fading, other = (Phase(epochs=1, terms={"mse": 1.0, "perceptual": 1e-6}, fading=f) for f in (("perceptual",), ()))
    for phases in ((fading, fading), (other, dataclasses.replace(other, learning_rate=1e-5))):
        Trainer(adversarial_recipe(monitor=monitor, phases=phases))
    with pytest.raises(RecipeError, match="monitor must be"):
        Trainer(adversarial_recipe(monitor=monitor, phases=(fading, other)))


@pytest.mark.parametrize(("patch", "texture_patch"), [(40, 16), (64, 2), (56, 14)])
def test_texture_patches_that_do_not_fill_the_maps_are_refused(patch, texture_patch):
    layers = ("block1_conv1", "block3_conv1")
    features = Features(network="vgg16", weights="random", texture=layers, texture_patch=texture_patch)
    phases = (Phase(epochs=1, terms={"texture": 1.0}),)
    with pytest.raises(RecipeError, match=f"must divide data.patch, {patch}, and be a multiple of block"):
        Trainer(plain_recipe(features=features, phases=phases, data=Data(patch=patch)))


def test_same_seed_same_initial_weights():
    first, second = (Trainer(plain_recipe()).generator.get_weights() for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second))
    other = Trainer(plain_recipe(seed=1)).generator.get_weights()
    assert not np.array_equal(first[0], other[0])


def test_recipe_network_equals_the_builder():
    assert Trainer(plain_recipe()).generator.count_params() == build(plain_recipe().generator).count_params()
