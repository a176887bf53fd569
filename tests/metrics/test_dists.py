import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from skimage import data

from tfar import jpeg
from tfar.errors import CheckpointError
from tfar.metrics.dists import CHANNELS, Dists, L2Pooling
from tfar.storage import sha256

ASTRONAUT = data.astronaut()[:60, :60]
STAGES = ((1, 2), (2, 2), (3, 3), (4, 3), (5, 3))  # number of a VGG-16 block, and how many convolutions it has


@pytest.fixture(scope="module")
def files(vgg16, tmp_path_factory):
    """Files of random weights of the channels and of the trunk."""
    folder = tmp_path_factory.mktemp("dists")
    random = np.random.default_rng(4)
    np.savez(folder / "dists.npz", alpha=random.random(sum(CHANNELS)), beta=random.random(sum(CHANNELS)))
    vgg16.save_weights(folder / "vgg16.weights.h5")
    return folder / "dists.npz", folder / "vgg16.weights.h5"


@pytest.fixture(scope="module")
def dists(files):
    return Dists(files[0], vgg16=files[1])


def windows(x, stride):
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    return sliding_window_view(padded, (3, 3), axis=(0, 1))[::stride, ::stride]


def explicit_features(vgg16, image):
    """The image and the five stages by explicit windows, in float64."""
    x = image.astype(np.float64)[..., ::-1] - [103.939, 116.779, 123.68]
    features = [image / 255]
    for block, count in STAGES:
        if block > 1:
            hann = np.outer([1, 2, 1], [1, 2, 1]) / 16
            x = np.sqrt(np.einsum("yxcij,ij->yxc", windows(x**2, 2), hann))
        for i in range(1, count + 1):
            kernel, bias = vgg16.get_layer(f"block{block}_conv{i}").get_weights()
            x = np.maximum(np.einsum("yxcij,ijco->yxo", windows(x, 1), kernel, optimize=True) + bias, 0)
        features.append(x)
    return features


def explicit_distance(vgg16, weights, original, restored):
    """DISTS as the formulas of the paper stand, one channel after the other."""
    stages = zip(explicit_features(vgg16, original), explicit_features(vgg16, restored))
    pairs = [(a[..., c], b[..., c]) for a, b in stages for c in range(a.shape[-1])]
    similarity = 0.0
    for (x, y), alpha, beta in zip(pairs, weights["alpha"], weights["beta"], strict=True):
        covariance = np.mean(x * y) - x.mean() * y.mean()
        similarity += alpha * (2 * x.mean() * y.mean() + 1e-6) / (x.mean() ** 2 + y.mean() ** 2 + 1e-6)
        similarity += beta * (2 * covariance + 1e-6) / (x.var() + y.var() + 1e-6)
    return 1 - similarity / (weights["alpha"].sum() + weights["beta"].sum())


def test_agrees_with_explicit_windows(vgg16, files, dists):
    original, restored = ASTRONAUT[:17, :22], ASTRONAUT[20:37, 20:42]
    expected = explicit_distance(vgg16, np.load(files[0]), original, restored)
    assert 0.05 < expected < 0.95
    assert dists(original, restored) == pytest.approx(expected, abs=1e-5)


def test_identical_images_have_no_distance_and_damage_has_a_symmetric_one(dists):
    coded = [jpeg.compress(ASTRONAUT, quality) for quality in (80, 10)]
    assert dists(ASTRONAUT, ASTRONAUT) == pytest.approx(0, abs=1e-6)
    assert 1e-4 < dists(ASTRONAUT, coded[0]) < dists(ASTRONAUT, coded[1])
    assert dists(coded[1], ASTRONAUT) == pytest.approx(dists(ASTRONAUT, coded[1]), rel=1e-5)


def test_the_digest_is_that_of_both_files(files, dists):
    assert dists.digest == sha256(*files)


def test_gray_images_are_repeated(dists):
    original, restored = ASTRONAUT[..., 0], ASTRONAUT[..., 1]
    repeated = [np.stack([image] * 3, axis=-1) for image in (original, restored)]
    assert dists(original, restored) == dists(*repeated) > 0


def test_smallest_image(dists):
    assert np.isfinite(dists(ASTRONAUT[:16, :16], ASTRONAUT[31:47, 31:47]))
    with pytest.raises(ValueError, match="16x16"):
        dists(ASTRONAUT[:15], ASTRONAUT[:15])


def test_l2_pooling_of_any_size():
    x = np.float32([[3, 0, 0], [0, 0, 0], [0, 0, 4]])[None, ..., None]
    # The window (1, 2, 1) x (1, 2, 1) / 16 stands on the four corners.
    expected = np.sqrt([[9 * 4 / 16, 0], [0, 16 * 4 / 16]])
    np.testing.assert_allclose(L2Pooling()(x)[0, ..., 0], expected, atol=1e-5)
    assert L2Pooling().compute_output_shape((None, None, 5, 7)) == (None, None, 3, 7)


def test_unfit_files_are_named(files, tmp_path):
    with pytest.raises(CheckpointError, match="absent.npz"):
        Dists(tmp_path / "absent.npz", vgg16=files[1])
    with pytest.raises(CheckpointError, match="absent.weights.h5: no such weights file"):
        Dists(files[0], vgg16="absent.weights.h5")
    np.savez(tmp_path / "short.npz", alpha=np.zeros(4), beta=np.zeros(4))
    with pytest.raises(CheckpointError, match=r"short.npz: alpha has shape \(4,\), expected \(1475,\)"):
        Dists(tmp_path / "short.npz", vgg16=files[1])
