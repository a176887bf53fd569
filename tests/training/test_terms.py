"""Every loss term through one ``train_step``: value and gradient against NumPy, and wrong wirings that must show."""

import math

import keras
import numpy as np
import pytest
from helpers import GENERATOR, NOISE_GENERATOR, perturb
from keras import ops
from scipy import fft, ndimage
from skimage.metrics import structural_similarity

from tfar import pixels
from tfar.data.patches import Patches
from tfar.data.sources import load_split
from tfar.losses import adversarial, blocking, edge, fidelity, perceptual, similarity, texture
from tfar.losses.diversity import diversity_loss
from tfar.losses.jpeg import jpeg_loss
from tfar.models import call
from tfar.quantization import luma_table
from tfar.recipes import Data, Features, Network, Optimizer, Phase, Recipe
from tfar.training import trainer as engine
from tfar.training.trainer import DIVERSITY_TERMS, TERMS, Trainer

WEIGHT = 0.5
RATE = 1e3  # high, so that what a kernel moves is far above its rounding
PATCH = 32
LAYERS = ("block1_conv1", "block2_conv1")
BGR_MEAN = np.float64([103.939, 116.779, 123.68])


def luma(image):
    return image @ [0.299, 0.587, 0.114]


def levels(image):
    return (image + 1) * 127.5


def features(bench, image):
    """Caffe's preprocessing, then VGG-16 as Keras has it."""
    return {
        name: np.float64(value) for name, value in bench.vgg(np.float32(levels(image)[..., ::-1] - BGR_MEAN)).items()
    }


def logits(bench, image):
    edges = np.stack([np.hypot(ndimage.sobel(y, 0), ndimage.sobel(y, 1)) for y in luma(bench.original) / 2])
    given = [np.float32(image), np.float32(edges[..., None] / math.sqrt(20))]
    return np.float64(bench.trainer.discriminator(given))


def edge_error(bench, restored, edges):
    expected = [np.hypot(ndimage.sobel(y, 0), ndimage.sobel(y, 1)) / math.sqrt(20) for y in luma(bench.original) / 2]
    return np.mean((edges[..., 0] - expected) ** 2)


def jpeg_excess(bench, restored, edges):
    def coefficients(image):
        blocks = (levels(luma(image)) - 128).reshape(-1, PATCH // 8, 8, PATCH // 8, 8).transpose(0, 1, 3, 2, 4)
        return fft.dctn(blocks, axes=(-2, -1), norm="ortho")

    table = bench.batch[0]["table"].astype(float)[:, None, None]
    coded = np.round(coefficients(bench.jpeg) / table) * table
    excess = np.maximum((coefficients(restored) - coded) ** 2 - (table / 2) ** 2, 0)
    excess[bench.batch[0]["offset"].any(axis=1)] = 0
    return excess.mean()


def ssim(bench, restored, edges):
    """SSIM of every channel, on windows that lie inside the image."""
    options = {"data_range": 2, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "full": True}
    maps = [
        structural_similarity(a[..., c] + 1, b[..., c] + 1, **options)[1][5:-5, 5:-5]
        for a, b in zip(bench.original, restored)
        for c in range(3)
    ]
    return -np.mean(maps)


def blocks(bench, restored, edges):
    y = luma(restored)
    across, down = (y[:, :, 1:] - y[:, :, :-1]) ** 2, (y[:, 1:] - y[:, :-1]) ** 2
    at = np.arange(1, PATCH) % 8 == 0
    boundary = np.mean([across[:, :, at].mean(), down[:, at].mean()])
    return max(boundary - np.mean([across[:, :, ~at].mean(), down[:, ~at].mean()]), 0)


def relative(bench, restored, edges):
    damage = np.mean((levels(bench.jpeg) - levels(bench.original)) ** 2, axis=(1, 2, 3))
    return np.mean(np.minimum(60 / damage, 5) * np.mean((restored - bench.original) ** 2, axis=(1, 2, 3)))


def deep(bench, restored, edges):
    a, b = (features(bench, image)["block2_pool"] for image in (bench.original, restored))
    return np.mean((a - b) ** 2)


def gram(bench, restored, edges):
    """Eq. 6-8 with M the size of the whole map; P is 16 image pixels."""
    total = 0.0
    for name, stride in zip(LAYERS, (1, 2)):
        patch, side = 16 // stride, PATCH // stride
        grams = []
        for image in (bench.original, restored):
            maps = features(bench, image)[name]
            cut = maps.reshape(len(maps), side // patch, patch, side // patch, patch, -1)
            grams.append(np.einsum("bypxqi,bypxqj->byxij", cut, cut))
        count = grams[0].shape[-1]
        total += np.mean(np.sum((grams[0] - grams[1]) ** 2, axis=(-2, -1)) / (4 * count**2 * (side**2) ** 2))
    return total


def other(bench):
    """The restoration from the noise turned by half a turn."""
    return bench.restore(noise=bench.batch[0]["noise"][:, ::-1, ::-1])[0]


def apart(first, second):
    return -np.mean(np.log(np.mean(abs(first - second), (1, 2, 3)) + 1e-3))


EXPECTED = {
    "mse": lambda bench, restored, edges: np.mean((restored - bench.original) ** 2),
    "l1": lambda bench, restored, edges: np.mean(abs(restored - bench.original)),
    "relative_mse": relative,
    "ssim": ssim,
    "edge": edge_error,
    "blocking": blocks,
    "jpeg": jpeg_excess,
    "perceptual": deep,
    "texture": gram,
    "adversarial": lambda bench, restored, edges: np.mean(np.log1p(np.exp(-logits(bench, restored)))),
    "saturating": lambda bench, restored, edges: -np.mean(np.log1p(np.exp(logits(bench, restored)))),
    "diversity": lambda bench, restored, edges: apart(restored, other(bench)),
    "feature_diversity": lambda bench, restored, edges: apart(
        *(features(bench, image)["block2_pool"] for image in (restored, other(bench)))
    ),
}


def wrong_patch(step):
    """The side of the patches is not divided by the stride of the layer."""
    options, total = step.trainer.recipe.features, 0.0
    for layer in options.texture:
        pair = step.original_features[layer], step.restored_features[layer]
        total += texture.texture_matching(*pair, options.texture_patch, size=options.texture_size)
    return total


def deep_of(step, a, b):
    return perceptual.perceptual(*(step.trainer.features(image)["block2_pool"] for image in (a, b)))


def textured(step, a, b, size="map"):
    pairs = [[step.trainer.features(image)[layer] for image in (a, b)] for layer in LAYERS]
    return sum(texture.texture_matching(*pair, patch, size=size) for pair, patch in zip(pairs, (16, 8)))


def judged(step, image=None, edges=None):
    given = {"image": step.restored if image is None else image, "jpeg": step.jpeg}
    given["edges"] = step.original_edges if edges is None else edges
    return call(step.trainer.discriminator, given)


MUTATIONS = {
    "mse": {
        "against the JPEG": lambda s: fidelity.mse(s.jpeg, s.restored),
        "of the JPEG": lambda s: fidelity.mse(s.original, s.jpeg),
        "absolute": lambda s: fidelity.l1(s.original, s.restored),
        "no gradient": lambda s: fidelity.mse(s.original, ops.stop_gradient(s.restored)),
    },
    "l1": {
        "against the JPEG": lambda s: fidelity.l1(s.jpeg, s.restored),
        "squared": lambda s: fidelity.mse(s.original, s.restored),
    },
    "relative_mse": {
        "unweighted": lambda s: fidelity.mse(s.original, s.restored),
        "weights of the restoration": lambda s: fidelity.mse(
            s.original, s.restored, fidelity.relative_weights(s.original, s.restored)
        ),
        "against the JPEG": lambda s: fidelity.mse(s.jpeg, s.restored, fidelity.relative_weights(s.original, s.jpeg)),
    },
    "ssim": {
        "against the JPEG": lambda s: similarity.ssim_loss(s.jpeg, s.restored),
        "maximised": lambda s: -similarity.ssim_loss(s.original, s.restored),
    },
    "edge": {
        "edges of the JPEG": lambda s: edge.edge_fidelity(s.jpeg, s.edges),
        "edges of the restoration": lambda s: edge.edge_fidelity(s.original, edge.sobel_edges(s.restored)),
    },
    "blocking": {
        "of the JPEG": lambda s: blocking.blocking_effect(s.jpeg),
        "of the error": lambda s: blocking.blocking_effect(s.restored - s.original),
    },
    "jpeg": {
        "against the original": lambda s: jpeg_loss(s.original, s.restored, s.table, s.offset),
        "off the grid, too": lambda s: jpeg_loss(s.jpeg, s.restored, s.table, s.offset * 0),
        "whole steps": lambda s: jpeg_loss(s.jpeg, s.restored, 2 * ops.cast(s.table, "int32"), s.offset),
    },
    "perceptual": {
        "against the JPEG": lambda s: deep_of(s, s.jpeg, s.restored),
        "of the JPEG": lambda s: deep_of(s, s.original, s.jpeg),
        "pixels": lambda s: fidelity.mse(s.original, s.restored),
        "another layer": lambda s: fidelity.mse(s.original_features[LAYERS[1]], s.restored_features[LAYERS[1]]),
    },
    "texture": {
        "against the JPEG": lambda s: textured(s, s.jpeg, s.restored),
        "patch not divided by the stride": wrong_patch,
        "size of the patch": lambda s: textured(s, s.original, s.restored, size="patch"),
        "first layer only": lambda s: texture.texture_matching(
            s.original_features[LAYERS[0]], s.restored_features[LAYERS[0]], 16, size="map"
        ),
    },
    "adversarial": {
        "judges the original": lambda s: adversarial.generator_loss(judged(s, s.original)),
        "judges the JPEG": lambda s: adversarial.generator_loss(judged(s, s.jpeg)),
        "edges of the restoration": lambda s: adversarial.generator_loss(judged(s, edges=edge.sobel_edges(s.restored))),
        "saturating": lambda s: adversarial.saturating_generator_loss(s.restored_logits),
        "wins when it is seen through": lambda s: adversarial.generator_loss(-s.restored_logits),
        "no gradient": lambda s: adversarial.generator_loss(judged(s, ops.stop_gradient(s.restored))),
    },
    "saturating": {
        "judges the original": lambda s: adversarial.saturating_generator_loss(judged(s, s.original)),
        "not saturating": lambda s: adversarial.generator_loss(s.restored_logits),
        "maximised": lambda s: -adversarial.saturating_generator_loss(s.restored_logits),
    },
    "diversity": {
        "against the original": lambda s: diversity_loss(s.restored, s.original),
        "against itself": lambda s: diversity_loss(s.restored, s.restored),
        "alike is better": lambda s: -diversity_loss(s.restored, s.other_restored),
        "the other one is fixed": lambda s: diversity_loss(s.restored, ops.stop_gradient(s.other_restored)),
    },
    "feature_diversity": {
        "against the original": lambda s: diversity_loss(
            s.restored_features["block2_pool"], s.original_features["block2_pool"]
        ),
        "of the pixels": lambda s: diversity_loss(s.restored, s.other_restored),
        "the other one is fixed": lambda s: diversity_loss(
            s.restored_features["block2_pool"], ops.stop_gradient(s.other_features["block2_pool"])
        ),
    },
}


class Bench:
    """A tiny trainer whose optimizers are plain gradient descent, and a batch."""

    def __init__(self, generator: Network, terms, **data):
        recipe = Recipe(
            generator=generator,
            discriminator=Network(builder="edge_discriminator", options={"filters": 2, "norm": "none"}),
            features=Features(
                network="vgg16", weights="random", perceptual="block2_pool", texture=LAYERS, texture_size="map"
            ),
            data=Data(patch=PATCH, batch=4, quality=(5, 20), **data),
            phases=tuple(Phase(epochs=1, terms={name: WEIGHT}) for name in terms),
            optimizer=Optimizer(),
            monitor="last",
        )
        self.trainer = Trainer(recipe)
        self.phases = dict(zip(terms, recipe.phases))
        noisy = generator.builder == "proposal_network"
        perturb(self.trainer.generator, 1)
        perturb(self.trainer.discriminator, 2, gain=1.4)
        change = self.trainer.generator.get_layer("up" if noisy else "to_image").kernel
        change.assign(change * 0.6)
        x, original = Patches(load_split("demo", 0.1, PATCH)[0], recipe.data, seed=3, noise=noisy).batch(0)
        x["table"] = np.stack([luma_table(60 + 10 * i) for i in range(4)])  # fine, so that much is out of its intervals
        x["offset"] = np.uint8([[0, 0], [3, 0], [0, 0], [0, 0]])
        self.batch = x, original
        self.original, self.jpeg = (np.float64(pixels.to_float(image)) for image in (original, x["jpeg"]))
        self.vgg = self._vgg()
        self.start = [network.get_weights() for network in self._networks()]
        # A kernel on which image and edges depend, and a direction of it.
        self.kernel = self.trainer.generator.get_layer("up" if noisy else "features").kernel
        direction = np.random.default_rng(5).normal(size=self.kernel.shape)
        self.direction = np.float32(direction / np.linalg.norm(direction))
        self._expected: dict = {}

    def _networks(self):
        return self.trainer.generator, self.trainer.discriminator

    def _vgg(self):
        vgg = keras.applications.VGG16(include_top=False, weights=None)
        names = (*LAYERS, "block2_pool")
        part = keras.Model(vgg.input, {name: vgg.get_layer(name).output for name in names})
        if self.trainer.features:
            part.set_weights(self.trainer.features.get_weights())
        return part

    def restore(self, step=0.0, noise=None):
        """The image and the edges that the generator gave before it learned, its kernel moved by ``step``."""
        self.trainer.generator.set_weights(self.start[0])
        self.kernel.assign_add(step * self.direction)
        noise = self.batch[0].get("noise") if noise is None else noise
        given = {"jpeg": np.float32(self.jpeg), "noise": noise}
        outputs = call(self.trainer.generator, given)
        return np.float64(outputs["image"]), np.float64(outputs.get("edges", 0))

    def trained(self, term):
        """Value, weighted loss, and the gradient along a direction of the kernel, of one step."""
        for network, weights in zip(self._networks(), self.start):
            network.set_weights(weights)
        self.trainer.begin(self.phases[term])
        self.trainer.compile(optimizer=keras.optimizers.SGD(RATE), jit_compile=False)
        if self.trainer.adversarial:
            self.trainer.discriminator_optimizer = keras.optimizers.SGD(0.1)
        self.trainer.reset_metrics()
        before = ops.convert_to_numpy(self.kernel)
        logs = self.trainer.train_step(self.batch)
        moved = before - ops.convert_to_numpy(self.kernel)
        return float(logs[term]), float(logs["loss"]), float(np.sum(np.float64(moved) * self.direction)) / RATE

    def expected(self, term, step=0.005):
        """The same from :data:`EXPECTED`, with the discriminator as it is after its part of the step of the term."""
        if term not in self._expected:
            self._expected[term] = self._from_numpy(term, step)
        return self._expected[term]

    def _from_numpy(self, term, step):
        value = EXPECTED[term](self, *self.restore())
        high, low = (self._moved(term, sign * step) for sign in (1, -1))
        slope = WEIGHT * (high - low) / (2 * step)
        return pytest.approx(value, rel=1e-3), pytest.approx(WEIGHT * value, rel=1e-3), pytest.approx(slope, rel=0.05)

    def _moved(self, term, step):
        if term in DIVERSITY_TERMS:  # their other restoration moves, too
            kept = self.start[0]
            self.restore(step)
            self.start[0] = self.trainer.generator.get_weights()
            value = EXPECTED[term](self, *self.restore())
            self.start[0] = kept
            return value
        return EXPECTED[term](self, *self.restore(step))


@pytest.fixture(scope="module")
def benches():
    generator = Network(builder="edge_cnn", options={**GENERATOR, "residual": True})
    noisy = Network(builder="proposal_network", options=NOISE_GENERATOR)
    terms = [name for name in TERMS if name not in DIVERSITY_TERMS]
    plain, with_noise = Bench(generator, terms, aligned=1.0), Bench(noisy, DIVERSITY_TERMS, aligned=0.5)
    return {**dict.fromkeys(terms, plain), **dict.fromkeys(DIVERSITY_TERMS, with_noise)}


def test_every_term_is_tested_and_has_mutations():
    assert EXPECTED.keys() == TERMS.keys() == MUTATIONS.keys()


@pytest.mark.parametrize("term", TERMS)
def test_a_step_minimises_the_term_as_numpy_has_it(benches, term):
    found = benches[term].trained(term)
    expected = benches[term].expected(term)
    assert expected[2].expected != 0
    assert found == expected


@pytest.mark.parametrize(("term", "mutation"), [(term, mutation) for term in MUTATIONS for mutation in MUTATIONS[term]])
def test_wrong_wiring_shows(benches, monkeypatch, term, mutation):
    monkeypatch.setitem(engine.TERMS, term, MUTATIONS[term][mutation])
    try:
        found = benches[term].trained(term)
    except ValueError as error:
        assert "No gradients" in str(error)
    else:
        assert found != benches[term].expected(term)
