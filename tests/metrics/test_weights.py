import runpy

import keras
import numpy as np
import pytest
from helpers import ROOT
from skimage import data

from tfar.errors import CheckpointError
from tfar.metrics.catalogue import METRICS
from tfar.metrics.weights import BUILDERS, perceptual_metrics

SCRIPT = ROOT / "scripts" / "perceptual_weights.py"
WIDTHS = (64, 64, None, 128, 128, None, 256, 256, 256, None, 512, 512, 512, None, 512, 512, 512)  # None: a pooling


def test_there_is_a_builder_for_every_metric_that_needs_weights():
    assert set(BUILDERS) == {name for name, metric in METRICS.items() if metric.function is None}


def test_metrics_without_weights_need_no_folder(tmp_path):
    assert perceptual_metrics(tmp_path / "absent", ["psnr", "ssim"]) == {}


@pytest.mark.parametrize(
    ("name", "file"), [("lpips", "lpips_alex.npz"), ("lpips_vgg", "vgg16_notop.weights.h5"), ("dists", "dists.npz")]
)
def test_missing_file_is_named(name, file, tmp_path):
    with pytest.raises(CheckpointError, match=file):
        perceptual_metrics(tmp_path, ["psnr", name])


@pytest.fixture(scope="module")
def torch_features():
    """The convolutions of torchvision's VGG-16, with random filters that keep the activations' size."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    layers, channels = [], 3
    for width in WIDTHS:
        if width is None:
            layers.append(torch.nn.MaxPool2d(2, 2))
            continue
        layers += [torch.nn.Conv2d(channels, width, 3, padding=1), torch.nn.ReLU()]
        torch.nn.init.kaiming_normal_(layers[-2].weight)
        channels = width
    return torch.nn.Sequential(*layers)


def test_script_makes_keras_vgg16_of_that_of_torchvision(torch_features):
    torch = pytest.importorskip("torch")
    image = data.astronaut()[:64, :48]
    normalized = np.float32((image / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225])
    with torch.no_grad():
        expected = torch_features(torch.tensor(normalized.transpose(2, 0, 1)[None])).numpy()[0].transpose(1, 2, 0)

    model = runpy.run_path(str(SCRIPT))["keras_vgg16"](torch_features)
    trunk = keras.Model(model.input, model.get_layer("block5_conv3").output)
    found = trunk(keras.applications.vgg16.preprocess_input(np.float32(image)[None]))
    found = keras.ops.convert_to_numpy(found)[0]
    assert expected.max() > 0.1
    assert np.abs(found - expected).max() < 0.01 * expected.max()
