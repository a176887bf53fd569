import io
import sys

import numpy as np
import pytest
from helpers import NOISE_GENERATOR, TINY, largest_difference, perturb
from PIL import Image
from skimage import data

from tfar.errors import TfarError
from tfar.export.checks import check_onnx
from tfar.export.onnx import export_onnx
from tfar.export.saved_model import export_saved_model
from tfar.models.one_to_many import proposal_network
from tfar.models.region_aware import edge_cnn
from tfar.restoration.restorer import Restorer

onnx = pytest.importorskip("onnx", reason="needs onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
from measure_app_tiles import in_tiles  # noqa: E402


@pytest.fixture(scope="module")
def exported(fused_model, tmp_path_factory):
    """The folder with a SavedModel of a fused network, and its two ONNX files."""
    folder = tmp_path_factory.mktemp("onnx")
    export_saved_model(fused_model, folder / "saved_model")
    for kind in ("image", "app"):
        export_onnx(folder / "saved_model", folder / f"{kind}.onnx", io=kind)
    return folder


def session(file):
    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


def contract(file):
    """Name -> type and shape of the inputs and outputs of an ONNX file."""
    opened = session(file)
    return {value.name: (value.type, value.shape) for value in (*opened.get_inputs(), *opened.get_outputs())}


def jpeg(pixels, quality):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def test_what_the_files_take_and_give(exported):
    shape = ["batch", "height", "width", 3]
    assert contract(exported / "image.onnx") == {
        "image": ("tensor(uint8)", shape),
        "restored": ("tensor(uint8)", shape),
    }
    shape = [1, 3, "height", "width"]
    assert contract(exported / "app.onnx") == {"image": ("tensor(float)", shape), "restored": ("tensor(float)", shape)}
    for kind in ("image", "app"):
        [version] = [used.version for used in onnx.load(exported / f"{kind}.onnx").opset_import if not used.domain]
        assert version == 18


@pytest.mark.parametrize("size", [(24, 32), (17, 13)], ids=str)
def test_images_are_restored_as_by_the_restorer(exported, fused_model, noise, size):
    images = np.stack([noise(*size), noise(*size)])
    [restored] = session(exported / "image.onnx").run(None, {"image": images})
    expected = np.stack([Restorer(fused_model)(image) for image in images])
    assert largest_difference(restored, expected) <= 1
    assert largest_difference(images, expected) > 1


@pytest.fixture(scope="module")
def app(single_model, tmp_path_factory):
    """A single network's ONNX file for apps, open."""
    folder = tmp_path_factory.mktemp("app")
    export_saved_model(single_model, folder / "saved_model", output="image")
    export_onnx(folder / "saved_model", folder / "app.onnx", io="app")
    return session(folder / "app.onnx")


@pytest.mark.parametrize(("side", "overlap"), [(95, 17), (80, 13)])
def test_apps_get_the_image_of_the_restorer_in_tiles_off_the_grid(app, single_model, side, overlap):
    image = jpeg(data.coffee()[:128, :160], 20)
    restored = in_tiles(app, image, side, overlap)
    inner = np.s_[16:-16, 16:-16]  # its border is repeated, and not the image's end any more
    expected = Restorer(single_model)(image)
    assert largest_difference(restored[inner], expected[inner]) <= 1
    assert largest_difference(image[inner], expected[inner]) > 5


@pytest.mark.parametrize("offset", [(0, 0), (0, 1), (3, 0), (5, 7), (2, 6)], ids=str)
@pytest.mark.parametrize("quality", [10, 75])
def test_a_tile_is_restored_on_the_grid_of_its_jpeg(app, single_model, offset, quality):
    top, left = offset
    tile = jpeg(data.coffee()[100:300, 100:300], quality)[top : top + 101, left : left + 110]
    [restored] = app.run(None, {"image": np.float32(tile).transpose(2, 0, 1)[None] / 255})
    extended = np.pad(tile, ((top, 0), (left, 0), (0, 0)), mode="edge")
    expected = Restorer(single_model)(extended)[top:, left:]
    assert largest_difference(np.uint8(np.rint(255 * restored[0].transpose(1, 2, 0))), expected) <= 1


def test_pixels_that_were_no_jpeg_are_restored_from_their_corner(exported, fused_model, noise):
    image = noise(50, 61)
    [restored] = session(exported / "app.onnx").run(None, {"image": np.float32(image).transpose(2, 0, 1)[None] / 255})
    flat = np.full((9, 2, 3), 99, np.uint8)
    [small] = session(exported / "app.onnx").run(None, {"image": np.float32(flat).transpose(2, 0, 1)[None] / 255})
    for result, given in ((restored, image), (small, flat)):
        levels = np.uint8(np.rint(255 * result[0].transpose(1, 2, 0)))
        assert levels.shape == given.shape
    assert largest_difference(np.uint8(np.rint(255 * small[0].transpose(1, 2, 0))), Restorer(fused_model)(flat)) <= 1


def test_networks_that_take_noise(tmp_path, noise):
    model = perturb(proposal_network(**NOISE_GENERATOR), 3)
    export_saved_model(model, tmp_path / "saved_model", output="image")
    for kind in ("image", "app"):
        export_onnx(tmp_path / "saved_model", tmp_path / f"{kind}.onnx", io=kind)
    image = noise(17, 13)
    drawn = np.random.default_rng(4).standard_normal((1, 9, 7, 1), dtype="float32")
    [restored] = session(tmp_path / "image.onnx").run(None, {"image": image[None], "noise": drawn})
    assert largest_difference(restored[0], Restorer(model, seed=4)(image)) <= 1
    assert contract(tmp_path / "image.onnx")["noise"] == ("tensor(float)", ["batch", "half_height", "half_width", 1])
    assert "noise" not in contract(tmp_path / "app.onnx")
    large = np.float32(data.coffee()[:40, :600]).transpose(2, 0, 1)[None] / 255  # more than the noise that it holds
    first, again = (session(tmp_path / "app.onnx").run(None, {"image": large})[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == large.shape


def test_networks_for_luma(tmp_path, noise):
    model = perturb(edge_cnn(**TINY, channels=1), 1)
    export_saved_model(model, tmp_path / "saved_model", output="image")
    export_onnx(tmp_path / "saved_model", tmp_path / "model.onnx")
    assert contract(tmp_path / "model.onnx").keys() == {"image", "restored"}
    image = noise(17, 13)
    [restored] = session(tmp_path / "model.onnx").run(None, {"image": image[None]})
    assert largest_difference(restored[0], Restorer(model)(image)) <= 1


def test_a_file_of_another_network_is_found_out(exported, single_model, tmp_path):
    import tensorflow as tf

    export_saved_model(single_model, tmp_path / "saved_model", output="image")
    source = tf.saved_model.load(tmp_path / "saved_model")  # whose variables live as long as it does
    other = source.signatures["serving_default"]
    for kind in ("image", "app"):
        content = (exported / f"{kind}.onnx").read_bytes()
        with pytest.raises(TfarError, match="^x.onnx: restores .* levels apart"):
            check_onnx(content, other, app=kind == "app", noise=np.zeros((1, 64, 64, 1), np.float32), name="x.onnx")


def test_the_extra_is_named_where_it_is_missing(exported, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(TfarError, match=r'needs tf2onnx: pip install "tfar\[onnx\]"'):
        export_onnx(exported / "saved_model", tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []
