"""What every system must do, whichever paper it is from."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from helpers import largest_difference, perturb, random_batch, tiny_recipe

from tfar import pixels, presets, recipes
from tfar.data.patches import Patches, draw_noise, drawn_for
from tfar.data.sources import load_split
from tfar.errors import RecipeError
from tfar.export.saved_model import export_saved_model
from tfar.export.tflite import export_tflite
from tfar.models import SYSTEMS, build, call, channels, input_names, main_output, named_recipe
from tfar.models.region_aware import region_aware
from tfar.recipes import Network, RegionAware
from tfar.restoration.restorer import Restorer
from tfar.training.trainer import Trainer, build_discriminator, check_terms, check_warmups

PAPER_FORMS = {
    "argan in paper form": Network(builder="unet_generator", options={"filters": 4, "depth": 4}),
    "galteri in paper form": Network(builder="galteri_generator", options={"filters": 8, "blocks": 1}),
    "one-to-many in paper form": Network(
        builder="proposal_network", options={"filters": 8, "branch_blocks": 1, "blocks": 1}
    ),
}
NETWORKS = ["region-aware", "ep-gan", "v-gan", "argan", "galteri-gan", "galteri-gan-y", "one-to-many", *PAPER_FORMS]
DIRECT = ["region-aware.base", "ep-gan-mse", "galteri-mse", "galteri-ssim", "one-to-many-mse"]
ADVERSARIAL = {
    **{
        name: tiny_recipe(name)
        for name in ("region-aware.texture", "ep-gan", "v-gan", "argan", "galteri-gan", "galteri-gan-y", "one-to-many")
    },
    "galteri-gan on full patches": tiny_recipe(
        "galteri-gan", "discriminator.builder=full_patch_discriminator", "data.patch=48"
    ),
}
SIZES = [(24, 32), (17, 13)]


def restoring_network(name):
    """The tiny network that a training ends with, with weights that change an image by about 25 levels of 255."""
    if name in PAPER_FORMS:
        return perturb(build(PAPER_FORMS[name]), 1)
    if name == "region-aware":
        return region_aware(correcting("region-aware.base", 1), correcting("region-aware.texture", 2))
    return correcting(name, 1)


def correcting(name, seed):
    generator = perturb(build(tiny_recipe(name).generator), seed)
    given = example(generator, 24, 32)
    change = np.std(call(generator, given)["image"] - given["jpeg"])
    last = generator.get_layer("up" if generator.name == "proposal_network" else "to_image")
    last.kernel.assign(last.kernel * 0.2 / change)
    return generator


def example(network, height, width):
    """Random values for the inputs of a network."""
    noise = draw_noise(np.random.default_rng(0), 2, height, width)
    return {"jpeg": random_batch(height, width, channels(network)), "noise": noise}


def one_batch(recipe, generator):
    images, _ = load_split("demo", 0.1, recipe.data.patch)
    return Patches(images, recipe.data, seed=3, **drawn_for(generator)).batch(0)


def values(networks):
    return {name: [weight.numpy() for weight in network.trainable_variables] for name, network in networks.items()}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    return restoring_network(request.param)


@pytest.mark.parametrize("size", [(7, 9), (1, 3)], ids=str)
def test_network_keeps_odd_sizes_and_survives_saving(network, size, tmp_path):
    given = example(network, *size)
    outputs = call(network, given)
    assert outputs[main_output(network)].shape == given["jpeg"].shape
    network.save(tmp_path / "model.keras")
    loaded = presets.load(tmp_path / "model.keras")
    assert input_names(loaded) == input_names(network)
    restored = call(loaded, given)
    assert restored.keys() == outputs.keys()
    for name, output in outputs.items():
        np.testing.assert_allclose(restored[name], output, atol=1e-6, err_msg=name)


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    """The folder with a network's SavedModel and TFLite file."""
    folder = tmp_path_factory.mktemp("export")
    export_saved_model(network, folder / "saved_model", output=main_output(network))
    export_tflite(folder / "saved_model", folder / "model.tflite")
    return folder


def test_exports_restore_as_the_restorer_with_builtin_operators_only(network, exported, noise):
    serve = tf.saved_model.load(exported / "saved_model").signatures["serving_default"]
    interpreter = Interpreter(str(exported / "model.tflite"), num_threads=1)
    restore = interpreter.get_signature_runner("serving_default")
    for seed, size in enumerate(SIZES):
        image = noise(*size)
        given = {"image": image[None]}
        if "noise" in input_names(network):
            given["noise"] = draw_noise(np.random.default_rng(seed), 1, *size)
        expected = Restorer(network, seed=seed)(image)
        served = serve(**{name: tf.constant(value) for name, value in given.items()})["restored"].numpy()[0]
        assert largest_difference(served, expected) <= 1
        assert largest_difference(restore(**given)["restored"][0], expected) <= 1
        assert largest_difference(image, expected) > 5
        assert np.mean((expected > 0) & (expected < 255)) > 0.5
    names = {operator["op_name"] for operator in interpreter._get_ops_details()}
    assert "CONV_2D" in names
    assert [name for name in names if "FLEX" in name.upper() or "CUSTOM" in name.upper()] == []


@pytest.mark.parametrize("recipe", ADVERSARIAL.values(), ids=ADVERSARIAL)
def test_each_optimizer_moves_its_own_network_only(recipe):
    trainer = Trainer(recipe)
    networks = {"generator": trainer.generator, "discriminator": trainer.discriminator}
    assert channels(trainer.generator) == channels(trainer.discriminator)
    batch = one_batch(recipe, trainer.generator)
    for frozen in networks:
        trainer.begin(recipe.phases[-1])
        optimizer = trainer.optimizer if frozen == "generator" else trainer.discriminator_optimizer
        optimizer.learning_rate = 0.0
        before = values(networks)
        logs = trainer.train_step(batch)
        assert set(logs) == {*recipe.phases[-1].terms, "discriminator", "loss", "psnr"}
        assert all(np.isfinite(float(value)) for value in logs.values())
        moved = {
            name: any(not np.array_equal(a, b) for a, b in zip(before[name], after))
            for name, after in values(networks).items()
        }
        assert moved == {name: name != frozen for name in networks}


@pytest.mark.parametrize("system", DIRECT)
def test_direct_training_lowers_its_loss(system):
    recipe = tiny_recipe(system, "phases.0.learning_rate=5e-4")
    trainer = Trainer(recipe)
    assert trainer.discriminator is None
    trainer.begin(recipe.phases[0])
    batch = one_batch(recipe, trainer.generator)
    losses = []
    for _ in range(6):
        trainer.reset_metrics()
        logs = trainer.train_step(batch)
        losses.append(float(logs["loss"]))
    assert set(logs) == {*recipe.phases[0].terms, "loss", "psnr"}
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("system", ["ep-gan", "argan", "galteri-gan", "one-to-many"])
def test_fresh_network_in_practical_form_is_as_good_as_the_jpeg(system):
    recipe = tiny_recipe(system)
    trainer = Trainer(recipe)
    x, original = one_batch(recipe, trainer.generator)
    trainer.begin(recipe.phases[0])
    error = np.mean((np.float64(x["jpeg"]) - original) ** 2) / 127.5**2
    assert float(trainer.test_step((x, original))["mse"]) == pytest.approx(error, rel=1e-3)


def trainings(system, name):
    """A recipe of a system as its trainings."""
    recipe = SYSTEMS[system][name]
    return [recipe.base, recipe.texture] if system == "region-aware" else [recipe]


@pytest.fixture(scope="module")
def built():
    """Builds a network, or gives one again that was built of the same options: variants share most of theirs."""
    known = {}

    def once(builder, described, *arguments):
        parts = (described.discriminator, described.data.patch) if builder is build_discriminator else described
        key = (builder, repr(parts), *arguments)
        if key not in known:
            known[key] = builder(described, *arguments)
        return known[key]

    return once


@pytest.mark.parametrize(("system", "name"), [(system, name) for system in SYSTEMS for name in SYSTEMS[system]])
def test_every_recipe_builds_and_has_what_its_terms_need(system, name, built):
    for recipe in trainings(system, name):
        if name in ("paper", "gpu"):  # as they are but for their width, which makes them slow
            narrow = ["generator.options.filters=4"] + ["discriminator.options.filters=2"] * bool(recipe.discriminator)
            recipe = recipes.override(recipe, narrow)
        generator = built(build, recipe.generator)
        check_terms(recipe, generator)
        check_warmups(recipe)
        discriminator = built(build_discriminator, recipe, channels(generator))
        assert (discriminator is None) == (recipe.discriminator is None)
        assert recipes.from_json(recipes.Recipe, recipes.to_json(recipe)) == recipe


def test_recipes_by_their_names():
    assert named_recipe("argan:cpu") is SYSTEMS["argan"]["cpu"]
    assert named_recipe("region-aware:general.texture") is SYSTEMS["region-aware"]["general"].texture


@pytest.mark.parametrize("name", ["argan", "argan:huge", "argan:cpu.base", "edge:cpu", "region-aware:cpu", ""])
def test_names_of_no_recipe_are_answered_with_the_known_ones(name):
    with pytest.raises(RecipeError, match=f"no recipe '{name}'; known, .* region-aware:general, .*, argan:cpu"):
        named_recipe(name)


def test_every_system_has_the_same_recipes():
    for system, known in SYSTEMS.items():
        assert {"paper", "cpu", "demo"} <= known.keys(), system


@pytest.mark.parametrize("system", SYSTEMS)
def test_on_cpus_every_system_learns_by_small_batches_on_the_grid_and_muon(system):
    recipe = SYSTEMS[system]["cpu"]
    for part in (recipe.base, recipe.texture) if isinstance(recipe, RegionAware) else (recipe,):
        assert (part.data.batch, part.data.aligned, part.precision) == (8, 0.9, "float32")
        assert (part.optimizer.kind, part.optimizer.clip_norm) == ("muon", None)


@pytest.mark.parametrize(
    ("system", "assignments", "message"),
    [
        ("argan", ["discriminator.options.channels=3"], "the discriminator takes 3 channels, the generator gives 1"),
        (
            "galteri-gan",
            ["generator.options.channels=1", "discriminator.options.channels=3"],
            "the discriminator takes 3 channels, the generator gives 1",
        ),
        ("ep-gan", ["discriminator=null"], "'adversarial' needs a discriminator"),
        ("argan", ["discriminator=null"], "'saturating' needs a discriminator"),
        ("ep-gan", ["features=null"], "'perceptual' needs features"),
        ("ep-gan", ["generator.builder=texture_generator"], "'edge' needs a generator with an edge branch"),
        (
            "one-to-many",
            ["data.aligned=0"],
            "'jpeg' needs data.aligned above 0 and a data.patch that is a multiple of 8",
        ),
        (
            "one-to-many",
            ["data.patch=36"],
            "'jpeg' needs data.aligned above 0 and a data.patch that is a multiple of 8",
        ),
        ("one-to-many", ["generator.options.noise=false"], "'diversity' needs a generator that takes noise"),
        (
            "galteri-gan",
            ['phases=[{"epochs":1,"terms":{"feature_diversity":1.0}}]'],
            "'feature_diversity' needs a generator that takes noise",
        ),
        ("galteri-ssim", ["data.patch=10"], "'ssim' needs a data.patch of at least 11"),
        ("galteri-ssim", ["monitor=mse"], "monitor must be .*, got 'mse'"),
        ("galteri-gan", ["monitor=perceptual"], "monitor must be .*, got 'perceptual'"),
        ("galteri-gan", ["data.patch=40"], "sub_patch_discriminator: patch must be a multiple of 16, got 40"),
        ("argan", ["data.patch=48"], "convolutional_discriminator: patch must be at least 64, got 48"),
        ("v-gan", ["discriminator.options.edge=true"], "edge_discriminator has no option 'edge'"),
        ("galteri-gan", ["discriminator.options.norm=batch"], "sub_patch_discriminator has no option 'norm'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value if value in SYSTEMS else "",
)
def test_recipes_that_do_not_fit_together_are_refused(system, assignments, message):
    with pytest.raises(RecipeError, match=message):
        Trainer(tiny_recipe(system, *assignments))
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("system", ["argan", "galteri-gan-y"])
def test_luma_networks_are_trained_on_luma_and_leave_the_chroma(system, noise):
    model = restoring_network(system)
    recipe = tiny_recipe(system)
    assert one_batch(recipe, model)[1].shape == (4, recipe.data.patch, recipe.data.patch, 1)
    image = np.uint8(64 + noise(16, 12) // 2)  # far from the limits
    change = np.int16(Restorer(model)(image)) - image
    assert abs(change).max() > 5
    assert np.ptp(change, axis=-1).max() <= 1
    luma = keras.ops.convert_to_numpy(pixels.to_uint8(pixels.to_luma(pixels.to_float(image))))
    np.testing.assert_allclose(np.int16(Restorer(model)(luma)) - luma, change[..., :1], atol=2)


def test_only_demos_may_go_on_with_untrained_filters():
    for system, known in SYSTEMS.items():
        for name in known:
            weights = {recipe.features.weights for recipe in trainings(system, name) if recipe.features}
            assert weights <= {"imagenet-or-random" if name == "demo" else "imagenet"}, (system, name)
