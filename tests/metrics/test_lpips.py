import keras
import numpy as np
import pytest
from helpers import development_files
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image
from skimage import data

from tfar.errors import CheckpointError
from tfar.evaluation import protocols
from tfar.metrics import catalogue
from tfar.metrics.lpips import LAYERS, Lpips
from tfar.storage import sha256

ASTRONAUT = data.astronaut()[:67, :67]
FLAT = np.full((67, 67, 3), (200, 180, 150), np.uint8)
GRAY = np.full((67, 67, 3), (150, 150, 150), np.uint8)
# LPIPS scales these colours to (1.30704, 1.11555, 0.80993) and (0.45081, 0.59034, 0.80993), unit vectors
# (0.68803, 0.58722, 0.42635) and (0.41021, 0.53718, 0.73700): the squared distance of the two.
COLOR_DISTANCE = 0.176191


def copying_weights(*, heads=(1, 1, 1, 1, 1), corner=None):
    """A trunk that hands on the three colour channels: one tap in each kernel's centre, or corner for one layer."""
    weights = {}
    for index, (layer, head) in enumerate(zip(LAYERS, heads, strict=True), start=1):
        size, _, _, channels = layer.kernel
        tap = 0 if index == corner else size // 2
        kernel = np.zeros(layer.kernel, np.float32)
        kernel[tap, tap, range(3), range(3)] = 1
        weights[f"conv{index}/kernel"] = kernel
        weights[f"conv{index}/bias"] = np.zeros(channels, np.float32)
        weights[f"head{index}"] = np.full(channels, head, np.float32)
    return weights


def random_weights():
    random = np.random.default_rng(0)
    weights = {}
    for index, layer in enumerate(LAYERS, start=1):
        scale = 1 / np.sqrt(np.prod(layer.kernel[:3]))
        weights[f"conv{index}/kernel"] = scale * random.standard_normal(layer.kernel, dtype=np.float32)
        weights[f"conv{index}/bias"] = 0.1 * random.standard_normal(layer.kernel[-1], dtype=np.float32)
        weights[f"head{index}"] = random.random(layer.kernel[-1], dtype=np.float32)
    return weights


@pytest.fixture
def lpips_of(tmp_path):
    def build(weights):
        path = tmp_path / "lpips.npz"
        np.savez(path, **weights)
        return Lpips(path)

    return build


def test_sum_of_weighted_layers(lpips_of):
    lpips = lpips_of(copying_weights(heads=(1, 2, 4, 8, 16)))
    assert lpips(FLAT, GRAY) == pytest.approx(31 * COLOR_DISTANCE, rel=1e-5)


@pytest.mark.parametrize(
    ("layer", "rows", "outside"),
    # A 67x67 image gives 16 rows, after the poolings 7 and 3. A kernel's corner reads the zero padding in the first
    # row and column (in the first two where the padding is 2 and the stride 1).
    [(1, 16, 1), (2, 7, 2), (3, 3, 1), (4, 3, 1), (5, 3, 1)],
)
def test_strides_and_paddings(lpips_of, layer, rows, outside):
    heads = np.eye(5)[layer - 1]
    lpips = lpips_of(copying_weights(heads=heads, corner=layer))
    inside = ((rows - outside) / rows) ** 2
    assert lpips(FLAT, GRAY) == pytest.approx(inside * COLOR_DISTANCE, rel=1e-5)


def reference_distance(weights, original, restored):
    """LPIPS with explicit windows, in float64."""
    features = []
    for image in (original, restored):
        x = (image / 127.5 - 1 - [-0.030, -0.088, -0.188]) / [0.458, 0.448, 0.450]
        features.append([])
        for index in range(1, 6):
            if index in (2, 3):
                x = sliding_window_view(x, (3, 3), axis=(0, 1))[::2, ::2].max(axis=(-1, -2))
            kernel, padding = weights[f"conv{index}/kernel"].astype(np.float64), (2, 2, 1, 1, 1)[index - 1]
            x = np.pad(x, ((padding, padding), (padding, padding), (0, 0)))
            windows = sliding_window_view(x, kernel.shape[:2], axis=(0, 1))
            windows = windows[::4, ::4] if index == 1 else windows
            x = np.einsum("yxihw,hwio->yxo", windows, kernel, optimize=True) + weights[f"conv{index}/bias"]
            x = np.maximum(x, 0)
            features[-1].append(x / np.linalg.norm(x, axis=-1, keepdims=True))
    heads = [weights[f"head{index}"] for index in range(1, 6)]
    return sum(np.mean((a - b) ** 2 @ head) for a, b, head in zip(*features, heads, strict=True))


def test_agrees_with_explicit_windows(lpips_of):
    weights = random_weights()
    original, restored = ASTRONAUT[:40, :47], ASTRONAUT[20:60, 20:67]
    expected = reference_distance(weights, original, restored)
    assert lpips_of(weights)(original, restored) == pytest.approx(expected, rel=1e-4)


def test_identical_images_have_no_distance_and_damage_has_a_symmetric_one(lpips_of):
    lpips = lpips_of(random_weights())
    noise = np.random.default_rng(1).integers(-40, 41, ASTRONAUT.shape)
    small, large = (np.uint8(np.clip(ASTRONAUT + noise // divisor, 0, 255)) for divisor in (8, 1))
    assert lpips(ASTRONAUT, ASTRONAUT) < 1e-9
    assert 0 < lpips(ASTRONAUT, small) < lpips(ASTRONAUT, large)
    assert lpips(large, ASTRONAUT) == pytest.approx(lpips(ASTRONAUT, large), rel=1e-6)


def test_gray_images_are_repeated(lpips_of):
    lpips = lpips_of(random_weights())
    original, restored = ASTRONAUT[..., 0], ASTRONAUT[..., 1]
    repeated = [np.stack([image] * 3, axis=-1) for image in (original, restored)]
    assert lpips(original, restored) == lpips(*repeated) > 0


def test_smallest_image(lpips_of):
    lpips = lpips_of(random_weights())
    assert catalogue.METRICS["lpips"].smallest == 31
    assert np.isfinite(lpips(ASTRONAUT[:31, :31], ASTRONAUT[31:62, 31:62]))
    with pytest.raises(ValueError, match="31x31"):
        lpips(ASTRONAUT[:30], ASTRONAUT[:30])


def test_unfit_images_are_refused(lpips_of):
    lpips = lpips_of(random_weights())
    with pytest.raises(ValueError, match="shape"):
        lpips(ASTRONAUT, ASTRONAUT[1:])
    with pytest.raises(ValueError, match="uint8"):
        lpips(ASTRONAUT, ASTRONAUT / 255)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="absent.npz"):
        Lpips(tmp_path / "absent.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip file", b"some text"])
def test_file_of_another_kind_is_named(tmp_path, content):
    path = tmp_path / "other.npz"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="other.npz"):
        Lpips(path)


def test_single_array_is_refused(tmp_path):
    path = tmp_path / "array.npy"
    np.save(path, np.zeros(3))
    with pytest.raises(CheckpointError, match="array.npy"):
        Lpips(path)


def test_missing_and_misshapen_arrays_are_named(lpips_of):
    weights = copying_weights()
    with pytest.raises(CheckpointError, match="lpips.npz.*head3"):
        lpips_of({name: weight for name, weight in weights.items() if name != "head3"})
    with pytest.raises(CheckpointError, match="lpips.npz.*conv2/bias"):
        lpips_of(weights | {"conv2/bias": np.zeros(5, np.float32)})


VGG16_LAYERS = ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3")


@pytest.fixture(scope="module")
def vgg16_files(vgg16, tmp_path_factory):
    """Files of random heads and of the trunk."""
    folder = tmp_path_factory.mktemp("vgg")
    random = np.random.default_rng(4)
    channels = (64, 128, 256, 512, 512)
    heads = {f"head{index}": random.random(count, np.float32) for index, count in enumerate(channels, start=1)}
    np.savez(folder / "heads.npz", **heads)
    vgg16.save_weights(folder / "vgg16.weights.h5")
    return folder / "heads.npz", folder / "vgg16.weights.h5"


def vgg16_distance(model, heads, original, restored):
    """LPIPS from the activations of keras.applications, in float64."""
    trunk = keras.Model(model.input, [model.get_layer(name).output for name in VGG16_LAYERS])
    pair = np.stack([original, restored]).astype(np.float32)
    features = trunk(keras.applications.vgg16.preprocess_input(pair))
    distance = 0.0
    for index, feature in enumerate(features, start=1):
        x = keras.ops.convert_to_numpy(feature).astype(np.float64)
        x /= np.linalg.norm(x, axis=-1, keepdims=True)
        distance += np.mean((x[0] - x[1]) ** 2 @ heads[f"head{index}"])
    return distance


def test_vgg16_agrees_with_keras_applications(vgg16, vgg16_files):
    heads, trunk = vgg16_files
    original, restored = ASTRONAUT[:33, :47], ASTRONAUT[20:53, 20:67]
    expected = vgg16_distance(vgg16, np.load(heads), original, restored)
    lpips = Lpips(heads, vgg16=trunk)
    assert lpips(original, restored) == pytest.approx(expected, rel=1e-4)
    assert lpips(original, original) < 1e-9
    repeated = [np.stack([image[..., 0]] * 3, axis=-1) for image in (original, restored)]
    assert lpips(original[..., 0], restored[..., 0]) == lpips(*repeated) > 0


def test_vgg16_may_have_another_scale_per_layer(vgg16, vgg16_files, tmp_path):
    heads, trunk = vgg16_files
    scaled = keras.models.clone_model(vgg16)
    scaled.set_weights(vgg16.get_weights())
    scale = 1.0
    for layer in scaled.layers:
        if layer.weights:
            kernel, bias = layer.get_weights()
            scale *= 3.0
            layer.set_weights([3.0 * kernel, scale * bias])
    scaled.save_weights(tmp_path / "scaled.weights.h5")
    pair = ASTRONAUT[:32, :40], ASTRONAUT[20:52, 20:60]
    distances = [Lpips(heads, vgg16=file)(*pair) for file in (trunk, tmp_path / "scaled.weights.h5")]
    assert distances[0] == pytest.approx(distances[1], rel=1e-4)


def test_smallest_image_of_vgg16(vgg16_files):
    heads, trunk = vgg16_files
    lpips = Lpips(heads, vgg16=trunk)
    assert catalogue.METRICS["lpips_vgg"].smallest == 16
    assert np.isfinite(lpips(ASTRONAUT[:16, :16], ASTRONAUT[31:47, 31:47]))
    with pytest.raises(ValueError, match="16x16"):
        lpips(ASTRONAUT[:15], ASTRONAUT[:15])


def test_unfit_files_of_vgg16_are_named(vgg16_files, tmp_path):
    heads, trunk = vgg16_files
    with pytest.raises(CheckpointError, match="absent.npz"):
        Lpips(tmp_path / "absent.npz", vgg16=trunk)
    with pytest.raises(CheckpointError, match="heads.npz.*conv1/kernel"):
        Lpips(heads)
    np.savez(tmp_path / "alexnet.npz", **copying_weights())
    with pytest.raises(CheckpointError, match=r"alexnet.npz: head2 has shape \(192,\), expected \(128,\)"):
        Lpips(tmp_path / "alexnet.npz", vgg16=trunk)
    with pytest.raises(CheckpointError, match="heads.npz: not weights of vgg16"):
        Lpips(heads, vgg16=heads)


def test_the_digest_is_that_of_the_files(lpips_of, vgg16_files, tmp_path):
    alexnet = lpips_of(copying_weights())
    assert alexnet.digest == sha256(tmp_path / "lpips.npz")
    assert lpips_of(copying_weights(heads=(1, 1, 1, 1, 2))).digest != alexnet.digest
    heads, trunk = vgg16_files
    assert Lpips(heads, vgg16=trunk).digest == sha256(heads, trunk)


@pytest.mark.parametrize("name", ["absent.weights.h5", "imagenet", "random"])
def test_vgg16_is_never_downloaded_nor_made_up(vgg16_files, name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=f"{name}: no such weights file"):
        Lpips(vgg16_files[0], vgg16=name)


@pytest.mark.parametrize(
    ("quality", "vgg", "expected"),
    [
        (10, False, 0.301),
        pytest.param(10, True, 0.479, marks=pytest.mark.slow),
        pytest.param(40, True, 0.239, marks=pytest.mark.slow),
    ],
)
def test_lpips_of_live1(quality, vgg, expected):
    if vgg:
        heads, trunk = development_files("TFAR_WEIGHTS", "lpips_vgg.npz", "vgg16_notop.weights.h5")
        lpips = Lpips(heads, vgg16=trunk)
    else:
        lpips = Lpips(*development_files("TFAR_WEIGHTS", "lpips_alex.npz"))
    (folder,) = development_files("TFAR_DATA", "test/live1")
    distances = []
    for path in sorted(folder.glob("*.png")):
        trial = protocols.color(np.asarray(Image.open(path).convert("RGB")), quality)
        distances.append(lpips(trial.original, trial.jpeg))
    assert len(distances) == 29
    assert np.mean(distances) == pytest.approx(expected, abs=0.0006)
