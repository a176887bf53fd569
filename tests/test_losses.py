import itertools
import math

import numpy as np
import pytest
from keras import ops
from scipy import ndimage

from tfar.evaluation.metrics import psnr_b
from tfar.losses.adversarial import discriminator_loss, generator_loss
from tfar.losses.blocking import blocking_effect
from tfar.losses.edge import edge_fidelity, sobel_edges
from tfar.losses.fidelity import mse
from tfar.losses.perceptual import perceptual
from tfar.losses.texture import gram_matrices, texture_matching

RNG = np.random.default_rng(0)


def features(*shape):
    return RNG.normal(size=shape).astype("float32")


@pytest.mark.parametrize("loss", [mse, perceptual])
def test_mean_squared_error(loss):
    original = np.zeros((2, 2, 3, 1), "float32")
    restored = original.copy()
    restored[0, 0, 0], restored[1, 1, 2] = 0.5, -1
    assert float(loss(original, restored)) == pytest.approx((0.25 + 1) / 12)
    assert float(loss(restored, restored)) == 0


def test_sobel_edges_of_a_step():
    image = -np.ones((2, 4, 6, 1), "float32")
    image[0, :, 3:] = 1  # from black to white
    image[1, 2:] = 0  # from black to middle gray, downwards
    edges = ops.convert_to_numpy(sobel_edges(image))[..., 0]
    step = 4 / math.sqrt(20)
    np.testing.assert_allclose(edges[0], [[0, 0, step, step, 0, 0]] * 4, atol=1e-6)
    np.testing.assert_allclose(edges[1], np.repeat([[0], [step / 2], [step / 2], [0]], 6, axis=1), atol=1e-6)


def test_sobel_edges_of_a_ramp():
    ramp = np.repeat(np.linspace(-1, 1, 9, dtype="float32")[None, :], 5, axis=0)  # an eighth of the range per pixel
    edges = ops.convert_to_numpy(sobel_edges(np.stack([ramp, ramp[:, ::-1]])[..., None]))[..., 0]
    inside, border = 8 / 8 / math.sqrt(20), 4 / 8 / math.sqrt(20)
    np.testing.assert_allclose(edges, np.broadcast_to([border] + [inside] * 7 + [border], (2, 5, 9)), atol=1e-6)


def test_no_black_and_white_pattern_exceeds_one():
    patterns = np.float32(list(itertools.product([-1, 1], repeat=9))).reshape(512, 3, 3, 1)
    edges = ops.convert_to_numpy(sobel_edges(patterns))
    assert edges.min() == 0
    assert edges.max() == pytest.approx(1)
    corner = np.float32([[-1, -1, 1], [-1, 1, 1], [-1, 1, 1]]).reshape(1, 3, 3, 1)
    assert float(sobel_edges(corner)[0, 1, 1, 0]) == pytest.approx(1)


def test_sobel_edges_agree_with_scipy_on_luma():
    image = RNG.uniform(-1, 1, (2, 7, 9, 3)).astype("float32")
    luma = (image.astype(np.float64) @ [0.299, 0.587, 0.114] + 1) / 2
    expected = [np.hypot(ndimage.sobel(y, 0), ndimage.sobel(y, 1)) / math.sqrt(20) for y in luma]
    edges = ops.convert_to_numpy(sobel_edges(image))
    assert edges.shape == (2, 7, 9, 1)
    np.testing.assert_allclose(edges[..., 0], expected, atol=1e-6)


def test_edge_fidelity_compares_the_edges_of_the_original():
    original = -np.ones((2, 4, 6, 3), "float32")
    original[1, :, 3:] = 1
    predicted = np.full((2, 4, 6, 1), 0.5, "float32")
    step = 4 / math.sqrt(20)
    expected = (0.25 * (24 + 16) + (step - 0.5) ** 2 * 8) / 48
    assert float(edge_fidelity(original, predicted)) == pytest.approx(expected, rel=1e-5)
    assert float(edge_fidelity(original, sobel_edges(original))) == 0


def gram_matrices_with_loops(x, patch):
    batch, height, width, maps = x.shape
    grams = []
    for b, top, left in itertools.product(range(batch), range(0, height, patch), range(0, width, patch)):
        gram = np.zeros((maps, maps))
        for y, column in itertools.product(range(top, top + patch), range(left, left + patch)):
            gram += np.outer(x[b, y, column], x[b, y, column].astype(np.float64))
        grams.append(gram)
    return np.stack(grams)


@pytest.mark.parametrize("patch", [1, 2, 4])
def test_gram_matrices_of_every_patch(patch):
    x = features(2, 4, 8, 3)
    expected = gram_matrices_with_loops(x, patch)
    assert len(expected) == 2 * 4 * 8 // patch**2
    np.testing.assert_allclose(gram_matrices(x, patch), expected, atol=1e-5)


@pytest.mark.parametrize("patch", [2, 4])
def test_texture_matching_is_equation_6(patch):
    original, restored = features(2, 4, 8, 3), features(2, 4, 8, 3)
    difference = gram_matrices_with_loops(original, patch) - gram_matrices_with_loops(restored, patch)
    per_patch = (difference**2).sum(axis=(1, 2)) / (4 * 3**2 * (patch**2) ** 2)
    assert float(texture_matching(original, restored, patch)) == pytest.approx(per_patch.mean(), rel=1e-5)
    assert float(texture_matching(original, original, patch)) == 0


def test_texture_matching_ignores_where_in_a_patch_a_feature_is():
    original = features(2, 4, 4, 3)
    shuffled = original.reshape(2, 16, 3)[:, ::-1].reshape(2, 4, 4, 3)
    assert float(texture_matching(original, shuffled, 4)) == pytest.approx(0, abs=1e-9)
    assert float(texture_matching(original, shuffled, 2)) > 0.1


@pytest.mark.parametrize(("logits", "expected"), [
    ([[0], [0]], math.log(2)),
    ([[math.log(3)], [-math.log(3)]], (math.log(4 / 3) + math.log(4)) / 2),  # probabilities 3/4 and 1/4
    ([[1e4], [-1e4]], 5e3),
    ([[1e4], [1e4]], 0),
])
def test_generator_loss(logits, expected):
    assert float(generator_loss(np.float32(logits))) == pytest.approx(expected)


@pytest.mark.parametrize(("original", "restored", "expected"), [
    ([[0], [0]], [[0], [0]], 2 * math.log(2)),
    ([[math.log(3)], [0]], [[0], [-math.log(3)]], math.log(4 / 3) + math.log(2)),
    ([[1e4], [1e4]], [[-1e4], [-1e4]], 0),
    ([[-1e4], [1e4]], [[-1e4], [1e4]], 1e4),
])
def test_discriminator_loss(original, restored, expected):
    assert float(discriminator_loss(np.float32(original), np.float32(restored))) == pytest.approx(expected)


@pytest.mark.parametrize("loss", [
    mse, perceptual, edge_fidelity, discriminator_loss,
    lambda a, b: generator_loss(b),
    lambda a, b: texture_matching(a, b, 2),
], ids=["mse", "perceptual", "edge", "discriminator", "generator", "texture"])
def test_losses_of_bfloat16_are_float32(loss):
    half = [ops.cast(features(2, 4, 4, 1), "bfloat16") for _ in range(2)]
    value = loss(*half)
    assert ops.dtype(value) == "float32"
    assert float(value) == pytest.approx(float(loss(*(ops.cast(x, "float32") for x in half))), rel=1e-6)


def test_blocking_effect_of_a_checkerboard_of_flat_blocks_is_the_squared_step():
    rows, columns = np.indices((32, 48)) // 8
    image = np.where((rows + columns) % 2, 0.3, -0.1).astype("float32")[None, ..., None]
    assert float(blocking_effect(np.concatenate([image, image]))) == pytest.approx(0.4**2, rel=1e-5)
    assert float(blocking_effect(np.repeat(image, 3, axis=-1))) == pytest.approx(0.4**2, rel=1e-5)


def test_blocking_effect_is_zero_without_blocks_and_for_blocks_off_the_grid():
    ramp = np.broadcast_to(np.linspace(-1, 1, 32, dtype="float32")[:, None], (2, 32, 32))[..., None]
    rows, columns = (np.indices((32, 32)) + 4) // 8
    shifted = np.where((rows + columns) % 2, 0.3, -0.1).astype("float32")[None, ..., None]
    assert float(blocking_effect(ramp)) == pytest.approx(0, abs=1e-6)
    assert float(blocking_effect(shifted)) == 0


def test_blocking_effect_times_eta_is_what_psnr_b_adds():
    image = RNG.integers(0, 256, (32, 32), dtype=np.uint8)
    image[:, 8:16] = 255 - image[:, 8:16] // 2
    eta = math.log2(8) / math.log2(32)
    other = np.uint8(np.clip(image.astype(int) + 3, 0, 255))
    error = np.mean((image.astype(float) - other) ** 2)
    factor = float(blocking_effect(other[None, ..., None].astype("float32")))
    assert psnr_b(image, other) == pytest.approx(10 * math.log10(255**2 / (error + eta * factor)), abs=1e-3)
