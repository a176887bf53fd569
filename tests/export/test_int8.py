"""TFLite files with weights and activations in 8 bits."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from helpers import TINY, perturb
from skimage import data

from tfar.data.calibration import calibration_patches
from tfar.export import flatbuffer
from tfar.export.saved_model import export_saved_model
from tfar.export.tflite import calibration_images, export_tflite
from tfar.jpeg import compress
from tfar.metrics.fidelity import psnr
from tfar.models.region_aware import edge_cnn, region_aware, texture_generator
from tfar.recipes import Mask
from tfar.restoration.restorer import Restorer

WIDE = {**TINY, "filters": 24, "head": 24}


@pytest.fixture(scope="module")
def network():
    """A fused network that changes an image as much as trained ones do, and takes L_T in places."""
    mask = Mask(damage=((1.0, 0.0), (1.9, 1.0), (2.2, 0.8)))
    return region_aware(perturb(edge_cnn(**WIDE), 1, gain=0.5), perturb(texture_generator(**WIDE), 2, gain=0.5), mask)


@pytest.fixture(scope="module")
def served(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    export_saved_model(network, folder / "saved_model")
    return folder / "saved_model"


@pytest.fixture(scope="module")
def patches():
    return calibration_patches((10, 40))[:8]


@pytest.fixture(scope="module")
def exported(served, patches, tmp_path_factory):
    file = tmp_path_factory.mktemp("int8") / "model.tflite"
    export_tflite(served, file, quantize="int8", calibration=patches)
    return file


def test_8_bits_restore_what_32_do(network, exported):
    image = compress(data.astronaut()[80:160, 180:260], 20)
    restored = Interpreter(str(exported)).get_signature_runner("serving_default")(image=image[None])["restored"][0]
    layers = Restorer(network).layers(image)
    assert 0.1 < np.mean(layers["mask"] > 0) < 0.9
    assert psnr(layers["fused"], restored) > 45
    assert psnr(layers["base"], restored) < 43  # were the mask lost, the restored image would be L_B
    weights = sum(weight.numpy().nbytes for weight in network.weights)
    assert weights / 4 < exported.stat().st_size < 0.45 * weights
    assert flatbuffer.metadata(exported.read_bytes())["quantize"] == "int8"


def test_the_mask_the_image_and_the_sums_stay_in_float32(exported):
    tensors = Interpreter(str(exported)).get_tensor_details()
    kinds = {tensor["name"]: np.dtype(tensor["dtype"]).name for tensor in tensors}
    for part in ("mask", "_add_1", "fused", "transferred", "image_1/Add"):
        found = {kind for name, kind in kinds.items() if part in name and "convolution" not in name}
        assert found - {"int32", "bool"} == {"float32"}, part
    assert sum(kind == "int8" and len(t["shape"]) == 4 for t, kind in zip(tensors, kinds.values())) >= 16


def test_int8_needs_patches(served, tmp_path):
    with pytest.raises(ValueError, match="needs patches"):
        export_tflite(served, tmp_path / "model.tflite", quantize="int8")


def test_patches_lie_side_by_side_in_images_of_the_tile(patches):
    assert [image.shape for image in calibration_images(patches, None)] == [(1, 64, 64, 3)] * 8
    images = calibration_images(patches, 160)
    assert [image.shape for image in images] == [(1, 160, 160, 3)]
    np.testing.assert_array_equal(images[0][0, :64, 64:128], patches[1])
    np.testing.assert_array_equal(images[0][0, 64:128, :64], patches[3])
    np.testing.assert_array_equal(images[0][0, 128:, 128:], patches[0][:32, :32])
    assert len(calibration_images(patches, 64)) == 8
    np.testing.assert_array_equal(calibration_images(patches, 24)[7][0], patches[7][:24, :24])
