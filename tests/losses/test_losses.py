import itertools
import math

import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from scipy import ndimage, special
from skimage import data
from skimage.metrics import structural_similarity

from tfar import jpeg as codec
from tfar import quantization
from tfar.losses.adversarial import discriminator_loss, generator_loss, saturating_generator_loss
from tfar.losses.blocking import blocking_effect
from tfar.losses.edge import edge_fidelity, sobel_edges
from tfar.losses.fidelity import l1, mse
from tfar.losses.jpeg import jpeg_loss
from tfar.losses.perceptual import perceptual
from tfar.losses.similarity import ssim_loss
from tfar.losses.texture import gram_matrices, texture_matching
from tfar.metrics.fidelity import psnr_b

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


def test_mean_absolute_error():
    original = np.zeros((2, 2, 3, 1), "float32")
    restored = original.copy()
    restored[0, 0, 0], restored[1, 1, 2] = 0.5, -1
    assert float(l1(original, restored)) == pytest.approx(1.5 / 12)


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


@pytest.mark.parametrize("patch", [0, 3])
def test_patches_that_do_not_fill_the_map_have_no_gram_matrices(patch):
    with pytest.raises(ValueError, match="do not fill feature maps of 4x9"):
        gram_matrices(features(9, 4, 9, 3), patch)


@pytest.mark.parametrize("size", ["map", "patch"])
@pytest.mark.parametrize("patch", [2, 4])
def test_texture_matching_is_equation_6(patch, size):
    """ "M_l is the size of feature map", or that of a patch."""
    original, restored = features(2, 4, 8, 3), features(2, 4, 8, 3)
    difference = gram_matrices_with_loops(original, patch) - gram_matrices_with_loops(restored, patch)
    positions = {"map": 4 * 8, "patch": patch**2}[size]
    per_patch = (difference**2).sum(axis=(1, 2)) / (4 * 3**2 * positions**2)
    assert float(texture_matching(original, restored, patch, size=size)) == pytest.approx(per_patch.mean(), rel=1e-5)
    assert float(texture_matching(original, original, patch, size=size)) == 0


def test_texture_matching_ignores_where_in_a_patch_a_feature_is():
    original = features(2, 4, 4, 3)
    shuffled = original.reshape(2, 16, 3)[:, ::-1].reshape(2, 4, 4, 3)
    assert float(texture_matching(original, shuffled, 4)) == pytest.approx(0, abs=1e-9)
    assert float(texture_matching(original, shuffled, 2)) > 0.1


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        ([[0], [0]], math.log(2)),
        ([[math.log(3)], [-math.log(3)]], (math.log(4 / 3) + math.log(4)) / 2),  # probabilities 3/4 and 1/4
        ([[1e4], [-1e4]], 5e3),
        ([[1e4], [1e4]], 0),
    ],
)
def test_generator_loss(logits, expected):
    assert float(generator_loss(np.float32(logits))) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("original", "restored", "expected"),
    [
        ([[0], [0]], [[0], [0]], 2 * math.log(2)),
        ([[math.log(3)], [0]], [[0], [-math.log(3)]], math.log(4 / 3) + math.log(2)),
        ([[1e4], [1e4]], [[-1e4], [-1e4]], 0),
        ([[-1e4], [1e4]], [[-1e4], [1e4]], 1e4),
    ],
)
def test_discriminator_loss(original, restored, expected):
    assert float(discriminator_loss(np.float32(original), np.float32(restored))) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        ([[0], [0]], -math.log(2)),
        ([[math.log(3)], [-math.log(3)]], (math.log(1 / 4) + math.log(3 / 4)) / 2),  # probabilities 3/4 and 1/4
        ([[1e4], [-1e4]], -5e3),
        ([[-1e4], [-1e4]], 0),
    ],
)
def test_saturating_generator_loss(logits, expected):
    assert float(saturating_generator_loss(np.float32(logits))) == pytest.approx(expected)


def test_the_saturating_loss_fades_where_the_other_one_does_not():
    logits = tf.constant([[-9.0], [9.0]])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        losses = [loss(logits) for loss in (saturating_generator_loss, generator_loss)]
    sure = special.expit(9) / 2  # the mean over two
    np.testing.assert_allclose(tape.gradient(losses[0], logits), [[sure - 0.5], [-sure]], atol=1e-6)
    np.testing.assert_allclose(tape.gradient(losses[1], logits), [[-sure], [sure - 0.5]], atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
def test_label_smoothing_is_one_sided_cross_entropy(smoothing):
    original, restored = features(5, 2, 2, 1) * 3, features(5, 2, 2, 1) * 3
    p, q = (special.expit(logits.astype(float)) for logits in (original, restored))
    expected = -np.mean((1 - smoothing) * np.log(p) + smoothing * np.log(1 - p)) - np.mean(np.log(1 - q))
    assert float(discriminator_loss(original, restored, smoothing)) == pytest.approx(expected, rel=1e-5)


def test_smoothed_originals_are_best_judged_at_the_smoothed_probability():
    away = np.full((2, 1), -1e4, "float32")
    losses = [
        float(discriminator_loss(np.full((2, 1), special.logit(p), "float32"), away, 0.1))
        for p in (0.8, 0.85, 0.9, 0.95, 0.999)
    ]
    assert np.argmin(losses) == 2
    assert losses[2] == pytest.approx(-0.9 * math.log(0.9) - 0.1 * math.log(0.1), rel=1e-5)


@pytest.mark.parametrize(
    "loss",
    [
        mse,
        l1,
        perceptual,
        edge_fidelity,
        discriminator_loss,
        ssim_loss,
        lambda a, b: discriminator_loss(a, b, 0.2),
        lambda a, b: generator_loss(b),
        lambda a, b: saturating_generator_loss(b),
        lambda a, b: texture_matching(a, b, 2),
        lambda a, b: jpeg_loss(a, b, np.full((2, 8, 8), 9, "uint8"), np.zeros((2, 2), "uint8")),
    ],
    ids=[
        "mse",
        "l1",
        "perceptual",
        "edge",
        "discriminator",
        "ssim",
        "smoothed",
        "generator",
        "saturating",
        "texture",
        "jpeg",
    ],
)
def test_losses_of_bfloat16_are_float32(loss):
    half = [ops.cast(features(2, 16, 16, 1), "bfloat16") for _ in range(2)]
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


def jpeg_patches(channels=1, qualities=(10, 30, 60)):
    """Decoded JPEGs, originals and tables of three patches of 16x24."""
    images = [
        data.astronaut()[60:76, i : i + 24] if channels == 3 else data.camera()[60:76, i : i + 24, None]
        for i in (100, 210, 320)
    ]
    coded = [
        codec.compress(image.squeeze(), quality, "4:4:4").reshape(image.shape)
        for image, quality in zip(images, qualities)
    ]
    batch = [np.stack(patches) / np.float32(127.5) - 1 for patches in (coded, images)]
    return *batch, np.stack([quantization.luma_table(quality) for quality in qualities])


def test_jpeg_loss_is_the_mean_excess_of_the_aligned_patches_over_all_patches():
    jpeg, original, table = jpeg_patches()
    restored = np.clip(original * np.float32([0.2, 0.1, -1])[:, None, None, None], -1, 1)
    per_patch = np.asarray(codec.interval_excess(jpeg, restored, table)).reshape(3, -1).mean(axis=1)
    assert per_patch.min() > 1
    for offset, counted in (
        ([[0, 0]] * 3, [0, 1, 2]),
        ([[0, 0], [0, 3], [0, 0]], [0, 2]),
        ([[5, 0], [0, 0], [1, 7]], [1]),
        ([[0, 1], [1, 0], [7, 7]], []),
    ):
        loss = jpeg_loss(jpeg, restored, table, np.uint8(offset))
        assert ops.dtype(loss) == "float32" and ops.shape(loss) == ()
        assert float(loss) == pytest.approx(per_patch[counted].sum() / 3, rel=1e-5)


def test_jpeg_loss_of_one_coefficient():
    table = np.full((2, 8, 8), 40)
    jpeg = np.zeros((2, 16, 8, 1), "float32") + 1 / 255  # 128 on the scale of 0-255
    restored = jpeg.copy()
    restored[1, 8:] += 5 / 127.5  # 5 levels brighter: the first coefficient goes up by 40, half a step is 20
    loss = float(jpeg_loss(jpeg, restored, table, np.zeros((2, 2), "uint8")))
    assert loss == pytest.approx((40**2 - 20**2) / (2 * 2 * 64), rel=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_loss_of_originals_is_what_rounding_does(channels):
    jpeg, original, table = jpeg_patches(channels)
    aligned = np.zeros((3, 2), "uint8")
    assert float(jpeg_loss(jpeg, jpeg, table, aligned)) == pytest.approx(0, abs=1e-3)
    small = float(jpeg_loss(jpeg, original, table, aligned))
    assert small < 0.1
    for wrong in (np.roll(original, 1, axis=2), original + 0.2, np.roll(original, 1, axis=0)):
        assert float(jpeg_loss(jpeg, wrong, table, aligned)) > 20 * small + 0.5


def test_gradient_of_the_jpeg_loss_leads_back_into_the_interval():
    jpeg, original, table = jpeg_patches()
    restored = tf.Variable(original + features(*original.shape) / 5)
    aligned = np.zeros((3, 2), "uint8")
    first = float(jpeg_loss(jpeg, restored, table, aligned))
    for _ in range(40):
        with tf.GradientTape() as tape:
            loss = jpeg_loss(jpeg, restored, table, aligned)
        restored.assign_sub(0.01 * tape.gradient(loss, restored))
    assert np.isfinite(restored.numpy()).all()
    assert float(loss) < 0.01 * first


@pytest.mark.parametrize(("shape", "spread"), [((3, 20, 31, 3), 0.6), ((2, 11, 11, 1), 0.2), ((4, 24, 16, 1), 0.05)])
def test_ssim_loss_is_minus_the_ssim_of_tensorflow(shape, spread):
    original = RNG.uniform(-1, 1, shape).astype("float32")
    restored = np.clip(original + spread * features(*shape), -1, 1)
    expected = -np.mean(tf.image.ssim(original + 1, restored + 1, max_val=2.0))
    loss = ssim_loss(original, restored)
    assert ops.dtype(loss) == "float32" and ops.shape(loss) == ()
    assert float(loss) == pytest.approx(expected, abs=1e-5)
    assert -0.9995 < expected < -0.05


def test_ssim_loss_agrees_with_scikit_image():
    original = data.camera()[:140, 200:351]
    restored = codec.compress(original, 5)
    _, similarity = structural_similarity(
        original, restored, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    batch = [np.stack([image, image[::-1]])[..., None] / np.float32(127.5) - 1 for image in (original, restored)]
    assert float(ssim_loss(*batch)) == pytest.approx(-similarity[5:-5, 5:-5].mean(), abs=1e-4)


def test_ssim_loss_of_equal_and_of_opposite_images():
    image = RNG.uniform(-1, 1, (2, 16, 16, 1)).astype("float32")
    assert float(ssim_loss(image, image)) == pytest.approx(-1, abs=1e-5)
    assert float(ssim_loss(image, -image)) > 0


@pytest.mark.parametrize(
    "original", [np.zeros((2, 16, 16, 3), "float32"), RNG.uniform(-1, 1, (2, 16, 16, 3))], ids=["flat", "noise"]
)
def test_gradient_of_the_ssim_loss_is_finite_and_leads_to_the_original(original):
    original = np.float32(original)
    restored = tf.Variable(np.clip(original + 0.1 * features(*original.shape), -1, 1))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(restored)
        loss, equal = ssim_loss(original, restored), ssim_loss(tf.identity(restored), restored)
    gradient = tape.gradient(loss, restored).numpy()
    assert np.isfinite(gradient).all() and np.isfinite(tape.gradient(equal, restored)).all()
    step = 1e-3 * gradient / np.abs(gradient).max()
    assert float(ssim_loss(original, restored - step)) < float(loss)
