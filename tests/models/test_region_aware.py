import dataclasses

import keras
import numpy as np
import pytest
from helpers import SCALES, TINY, convolutions, perturb, relus
from keras import ops
from numpy.lib.stride_tricks import sliding_window_view

from tfar import models
from tfar.errors import RecipeError
from tfar.models.region_aware import (
    EDGE_CNN,
    RECIPES,
    TEXTURE_GENERATOR,
    edge_cnn,
    region_aware,
    srgan_discriminator,
    texture_generator,
)
from tfar.models.region_mask import DamageShare, OrientationDiversityMask
from tfar.recipes import Mask, Network

PAPER = {"filters": 8, "blocks": 2, "head": 8}
FORMS = {
    "paper": PAPER | {"entry": 3, "edges_from": "stack"},
    "first paper form": PAPER,
    "practical": TINY,
    "scales": SCALES,
    "paper on scales": PAPER | {"blocks": 3, "scales": 2},
}
POINTS = ((2.0, 0.25), (20.0, 1.0), (30.0, 0.5))
SIZES = [(1, 1), (2, 3), (7, 8), (16, 16)]


@pytest.fixture(scope="module", params=FORMS)
def form(request):
    return request.param


@pytest.fixture(scope="module", params=[edge_cnn, texture_generator])
def generator(request, form):
    options = dict(FORMS[form])
    if request.param is texture_generator:
        options.pop("edges_from", None)
    return perturb(request.param(**options), 3)


def batch(height, width, channels=3):
    return np.random.default_rng(7).uniform(-1, 1, (2, height, width, channels)).astype("float32")


def arrays(outputs):
    return {name: ops.convert_to_numpy(value) for name, value in outputs.items()}


def generator_in_numpy(model, jpeg, stride, residual, scales, edges_from):
    """Fig. 1 with explicit windows, in float64."""
    names = {layer.name for layer in model.layers}

    def conv(x, name, strides=1):
        kernel, bias = model.get_layer(name).get_weights()
        reach = len(kernel) // 2
        x = np.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
        windows = sliding_window_view(x, kernel.shape[:2], axis=(1, 2))[:, ::strides, ::strides]
        return np.einsum("byxihw,hwio->byxo", windows, kernel.astype(np.float64)) + bias

    def norm(x, name):
        if name not in names:
            return x
        gamma, beta, mean, variance = model.get_layer(name).get_weights()
        return (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta

    def depth_to_space(x, s):
        b, h, w, c = x.shape
        return x.reshape(b, h, w, s, s, c // s**2).transpose(0, 1, 3, 2, 4, 5).reshape(b, h * s, w * s, -1)

    def space_to_depth(x):
        b, h, w, c = x.shape
        return x.reshape(b, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(b, h // 2, w // 2, -1)

    def full_size(x):
        return depth_to_space(x, stride)[:, : jpeg.shape[1], : jpeg.shape[2]]

    def blocks(x, label):
        count = sum(name.startswith(label) and name.endswith("_conv1") for name in names)
        for i in range(1, count + 1):
            y = np.maximum(norm(conv(x, f"{label}{i}_conv1"), f"{label}{i}_norm1"), 0)
            x = x + norm(conv(y, f"{label}{i}_conv2"), f"{label}{i}_norm2")
        return x

    cell = stride * 2 ** (scales - 1)
    missing = [(0, -side % cell) if scales > 1 else (0, 0) for side in jpeg.shape[1:3]]
    extended = np.pad(jpeg, ((0, 0), *missing, (0, 0)), mode="reflect")
    entry = x = np.maximum(conv(extended, "entry", stride), 0)
    if scales == 1:
        x = blocks(x, "block")
    skips = []
    for i in range(1, scales):
        skips.append(blocks(x, f"down{i}_block"))
        x = conv(space_to_depth(skips[-1]), f"down{i}")
    x = blocks(x, "bottom_block")
    for i in range(scales - 1, 0, -1):
        x = blocks(depth_to_space(conv(x, f"up{i}"), 2) + skips.pop(), f"up{i}_block")
    x = entry + norm(conv(x, "stack"), "stack_norm")
    branches = {"stack": x, "features": conv(x, "features")}
    features = branches["features"]
    outputs = {}
    if "edge_map" in names:
        edges = conv(branches[edges_from], "edge_map")
        outputs["edges"] = full_size(edges)
        features = np.concatenate([features, edges], axis=-1)
    x = np.maximum(conv(np.maximum(conv(features, "head1"), 0), "head2"), 0)
    x = full_size(conv(x, "to_image"))
    return outputs | {"image": jpeg + x if residual else np.tanh(x)}


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_generators_agree_with_explicit_windows(generator, form, size):
    jpeg = batch(*size)
    options = {"stride": 1, "residual": False, "scales": 1, "edges_from": "features", **FORMS[form]}
    wiring = (options[name] for name in ("stride", "residual", "scales", "edges_from"))
    expected = generator_in_numpy(generator, jpeg, *wiring)
    outputs = arrays(generator(jpeg, training=False))
    assert outputs.keys() == expected.keys() == {"image"} | ({"edges"} if generator.name == "edge_cnn" else set())
    assert outputs["image"].shape == jpeg.shape
    for name, value in outputs.items():
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, expected[name], atol=2e-5)


def test_a_stride_that_does_not_divide_the_size_is_cropped():
    model = edge_cnn(**TINY | {"stride": 3})
    outputs = arrays(model(batch(7, 11)))
    assert outputs["image"].shape == (2, 7, 11, 3)
    assert outputs["edges"].shape == (2, 7, 11, 1)


@pytest.mark.parametrize("options", [TINY, SCALES], ids=["practical", "scales"])
@pytest.mark.parametrize("builder", [edge_cnn, texture_generator])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_fresh_residual_network_returns_its_input(builder, size, options):
    jpeg = batch(*size)
    np.testing.assert_array_equal(builder(**options)(jpeg)["image"], jpeg)


@pytest.mark.parametrize(
    ("given", "counts"),
    [
        (12, {"down1": 2, "down2": 2, "bottom": 4, "up2": 2, "up1": 2}),
        ([3, 1, 0, 2, 4], {"down1": 3, "down2": 1, "bottom": 0, "up2": 2, "up1": 4}),
    ],
    ids=["spread, those left over at the bottom", "as given"],
)
def test_blocks_of_every_scale(given, counts):
    blocks = {
        name.removesuffix("_conv1"): width
        for name, _, _, width in convolutions(edge_cnn(**SCALES | {"blocks": given}))
        if name.endswith("_conv1")
    }
    widths = {"down1": 12, "down2": 24, "bottom": 48, "up2": 24, "up1": 12}  # three times those of the scale
    assert blocks == {f"{stage}_block{i}": widths[stage] for stage, n in counts.items() for i in range(1, n + 1)}


@pytest.mark.parametrize(
    "name, limit, base, parameters", [("general", 165_000, 161_336, 3_376_592), ("tiny", 15_000, 14_229, 231_400)]
)
def test_the_blind_networks_stay_within_their_arithmetic(name, limit, base, parameters):
    for recipe in (RECIPES[name].base, RECIPES[name].texture):
        network = models.build(recipe.generator)
        layers = [layer for layer in network.layers if hasattr(layer, "kernel_size")]
        shapes = keras.Model(network.inputs, [layer.output for layer in layers]).compute_output_shape((1, 96, 96, 3))
        each = [np.prod(layer.kernel.shape) * height * width for layer, (_, height, width, _) in zip(layers, shapes)]
        assert sum(each) / 96**2 < limit
        if recipe is RECIPES[name].base:
            assert round(sum(each) / 96**2) == base and network.count_params() == parameters


def test_paper_form_stays_in_range():
    image = ops.convert_to_numpy(perturb(edge_cnn(**PAPER), 1)(100 * batch(6, 5))["image"])
    assert -1 <= image.min() < image.max() <= 1


def test_gray_networks():
    model = region_aware(perturb(edge_cnn(**TINY, channels=1), 1), perturb(texture_generator(**TINY, channels=1), 2))
    outputs = arrays(model(batch(9, 12, 1)))
    assert {value.shape for value in outputs.values()} == {(2, 9, 12, 1)}


def test_mixed_precision_keeps_the_output_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = edge_cnn(**TINY)
    finally:
        keras.config.set_dtype_policy("float32")
    kernel, bias = model.get_layer("to_image").get_weights()
    model.get_layer("to_image").set_weights([kernel, np.full_like(bias, 0.1234567)])
    jpeg = batch(5, 6)
    outputs = arrays(model(jpeg))
    assert outputs["edges"].dtype == outputs["image"].dtype == np.float32
    np.testing.assert_allclose(outputs["image"], jpeg + 0.1234567, atol=1e-6)


@pytest.mark.parametrize(
    ("builder", "options", "parameters"),
    [(edge_cnn, EDGE_CNN, 2_007_236), (texture_generator, TEXTURE_GENERATOR, 2_004_355)],
)
def test_full_size_generators_have_the_documented_parameters(builder, options, parameters):
    model = builder(**options)
    assert model.count_params() == parameters
    assert sum(weight.numpy().size for weight in model.non_trainable_weights) == 4_224
    assert f"{parameters:,}" in builder.__doc__


def test_entry_and_edge_branch_that_there_are_not_are_refused():
    with pytest.raises(RecipeError, match="edge_cnn: entry must be odd, got 4"):
        models.build(Network(builder="edge_cnn", options={"entry": 4}))
    with pytest.raises(RecipeError, match="edge_cnn: edges_from must be stack or features, got 'head'"):
        models.build(Network(builder="edge_cnn", options={"edges_from": "head"}))


def test_full_size_discriminator_has_the_documented_parameters():
    assert srgan_discriminator(patch=224).count_params() == 107_455_297
    assert "107,455,297" in srgan_discriminator.__doc__


@pytest.mark.parametrize(("patch", "side"), [(16, 1), (48, 3), (40, 3), (17, 2)])
def test_discriminator_halves_the_patch_four_times(patch, side):
    model = srgan_discriminator(patch=patch, filters=4)
    assert model.get_layer("leaky8").output.shape == (None, side, side, 32)
    logits = ops.convert_to_numpy(perturb(model, 1)(batch(patch, patch)))
    assert logits.shape == (2, 1)
    assert logits.dtype == np.float32
    assert logits[0] != logits[1]


def test_discriminator_gives_logits_not_probabilities():
    model = srgan_discriminator(patch=16, filters=4, norm="none")
    kernel, _ = model.get_layer("logit").get_weights()
    model.get_layer("logit").set_weights([0 * kernel, np.float32([-7])])
    np.testing.assert_array_equal(model(batch(16, 16)), [[-7], [-7]])


def test_networks_survive_saving(generator, tmp_path):
    generator.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    jpeg = batch(9, 7)
    for name, value in arrays(generator(jpeg)).items():
        np.testing.assert_allclose(loaded(jpeg)[name], value, atol=1e-6)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_fused_takes_texture_inside_the_mask_and_base_outside(fused_model, size):
    outputs = arrays(fused_model(batch(*size), training=False))
    assert outputs.keys() == {"fused", "base", "texture", "mask"}
    expected = np.where(outputs["mask"] == 1, outputs["texture"], outputs["base"])
    np.testing.assert_allclose(outputs["fused"], expected, atol=1e-6)
    assert set(np.unique(outputs["mask"])) <= {0, 1}
    if size == (16, 16):
        assert 0 < outputs["mask"].mean() < 1
        assert abs(outputs["base"] - outputs["texture"]).min(axis=-1).max() > 1e-3


def test_fused_network_has_the_layers_of_its_parts_and_the_mask_of_base():
    base, texture = perturb(edge_cnn(**TINY), 1), perturb(texture_generator(**TINY), 2)
    mask = Mask(threshold=6, gradient_floor=9.0, majority=3, feather=3, outside=0.2)
    fields = [field for field in dataclasses.fields(Mask) if field.name != "damage"]
    jpeg = batch(13, 10)
    outputs = arrays(region_aware(base, texture, mask)(jpeg))
    np.testing.assert_allclose(outputs["base"], base(jpeg)["image"], atol=1e-6)
    np.testing.assert_allclose(outputs["texture"], texture(jpeg)["image"], atol=1e-6)
    layer = OrientationDiversityMask(threshold=6, gradient_floor=9.0, majority=3, feather=3, outside=0.2)
    np.testing.assert_array_equal(outputs["mask"], layer(outputs["base"]))
    assert 0 < outputs["mask"].mean() < 1
    for other in (dataclasses.replace(mask, **{field.name: field.default}) for field in fields):
        assert (ops.convert_to_numpy(region_aware(base, texture, other)(jpeg)["mask"]) != outputs["mask"]).any()


def test_fused_network_takes_as_much_texture_as_the_damage_allows():
    base, texture = perturb(edge_cnn(**TINY), 1), perturb(texture_generator(**TINY), 2)
    jpeg = batch(13, 30)
    plain = arrays(region_aware(base, texture, Mask(outside=0.5))(jpeg))
    damage = ops.convert_to_numpy(DamageShare(POINTS).damage(jpeg, plain["base"]))
    points = ((damage.min(), 0.25), (damage.mean(), 1.0), (damage.max(), 0.5))
    outputs = arrays(region_aware(base, texture, Mask(outside=0.5, damage=points))(jpeg))
    share = ops.convert_to_numpy(DamageShare(points)(jpeg, outputs["base"]))
    assert 0.2 < share.min() < 0.4 < 0.8 < share.max() < 1.01
    np.testing.assert_allclose(outputs["mask"], plain["mask"] * share, atol=1e-6)
    expected = outputs["base"] + outputs["mask"] * (outputs["texture"] - outputs["base"])
    np.testing.assert_allclose(outputs["fused"], expected, atol=1e-6)


def test_fused_network_survives_saving_with_its_mask(tmp_path):
    mask = Mask(threshold=6, gradient_floor=9.0, majority=3, feather=5, outside=0.25, damage=POINTS)
    model = region_aware(perturb(edge_cnn(**TINY), 1), perturb(texture_generator(**TINY), 2), mask)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    config = loaded.get_layer("mask").get_config() | {"damage": loaded.get_layer("mask_share").points}
    assert {name: config[name] for name in vars(mask)} == vars(mask)
    jpeg = batch(9, 14)
    for name, value in arrays(model(jpeg)).items():
        np.testing.assert_allclose(loaded(jpeg)[name], value, atol=1e-6)


def test_build_passes_the_options_on():
    model = models.build(Network(builder="texture_generator", options=TINY))
    assert model.count_params() == texture_generator(**TINY).count_params()
    discriminator = models.build(Network(builder="srgan_discriminator", options={"patch": 16, "filters": 4}))
    assert discriminator.input.shape == (None, 16, 16, 3)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            Network(builder="resnet"),
            "unknown network 'resnet'; known: edge_cnn, texture_generator, srgan_discriminator",
        ),
        (
            Network(builder="edge_cnn", options={"depth": 3}),
            "edge_cnn has no option 'depth'; it has: channels, filters",
        ),
        (Network(builder="edge_cnn", options={"blocks": "8"}), r"edge_cnn: blocks must be int \| list\[int\], got '8'"),
        (
            Network(builder="edge_cnn", options={"blocks": [1, "2"]}),
            r"blocks must be int \| list\[int\], got \[1, '2'\]",
        ),
        (Network(builder="edge_cnn", options={"filters": True}), "edge_cnn: filters must be a valid integer, got True"),
        (
            Network(builder="edge_cnn", options={**SCALES, "blocks": 4}),
            "edge_cnn: 3 scales need at least 5 blocks, got 4",
        ),
        (Network(builder="edge_cnn", options={**SCALES, "blocks": [1, 1, 1]}), r"5 stages, .* got \[1, 1, 1\]"),
        (Network(builder="edge_cnn", options={**SCALES, "blocks": [1, 1, -1, 1, 1]}), "with 0 or more blocks each"),
        (Network(builder="edge_cnn", options={"residual": 1}), "edge_cnn: residual must be a valid boolean, got 1"),
        (Network(builder="edge_cnn", options={**TINY, "norm": "group"}), "edge_cnn: norm must be one of batch, sync"),
        (Network(builder="edge_cnn", options={**TINY, "filters": 0}), "filters must be greater than 0, got 0"),
        (Network(builder="edge_cnn", options={**TINY, "scales": 0}), "scales must be greater than 0, got 0"),
        (Network(builder="edge_cnn", options={**TINY, "blocks": -1}), "edge_cnn: blocks must not be negative, got -1"),
        (Network(builder="unet_generator", options={"depth": 0}), "depth must be greater than 0, got 0"),
        *(
            (Network(builder=builder, options={name: -1}), f"{name} must be greater than or equal to 0, got -1")
            for builder, name in (
                ("unet_generator", "blocks"),
                ("galteri_generator", "blocks"),
                ("proposal_network", "blocks"),
                ("proposal_network", "branch_blocks"),
            )
        ),
        (Network(builder="srgan_discriminator"), "srgan_discriminator: .*patch"),
    ],
    ids=lambda value: "" if isinstance(value, str) else None,
)
def test_build_refuses(network, message):
    with pytest.raises(RecipeError, match=message):
        models.build(network)


def test_paper_recipe_is_section_4_1():
    paper = RECIPES["paper"]
    assert paper.base.generator.options == {"entry": 3, "edges_from": "stack"}
    assert paper.texture.generator.options == {"entry": 3}
    assert (paper.base.data.patch, paper.base.data.batch, paper.base.epochs) == (16, 16, 2000)
    assert (paper.texture.data.patch, paper.texture.data.batch, paper.texture.epochs) == (224, 4, 200)
    assert paper.base.phases[0].terms == {"mse": 1, "edge": 1}
    assert paper.texture.phases[0].terms == {"mse": 1, "perceptual": 1e-6, "texture": 1e-6, "adversarial": 1e-3}
    assert {phase.learning_rate for phase in paper.base.phases + paper.texture.phases} == {1e-4}
    assert (paper.mask.threshold, paper.mask.majority, paper.mask.feather) == (5, 1, 1)


@pytest.mark.parametrize("builder", [edge_cnn, texture_generator])
@pytest.mark.parametrize("form", [TINY, SCALES])
def test_activation_is_that_of_every_unit(builder, form):
    assert relus(builder(**form, activation="leaky_relu")) == []
    assert len(relus(builder(**form))) == form["blocks"] + 3
    leaky = builder(**form, activation="leaky_relu").get_layer("entry").activation
    np.testing.assert_allclose(leaky(np.float32([-10, 3])), [-2, 3])
