import hashlib
import inspect
import json
import os
import zipfile

import keras
import numpy as np
import pytest
from keras.src.backend.common import global_state
from measure_screenshots import restored, screenshot
from PIL import ExifTags, Image
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

import tfar
from tfar import presets, recipes
from tfar.errors import CheckpointError, ImageError
from tfar.images.read import read_image
from tfar.jpeg import compress, decode, encode
from tfar.metrics.fidelity import psnr
from tfar.models import build, call, channels
from tfar.models.region_aware import region_aware, srgan_discriminator
from tfar.recipes import Recipe, RegionAware
from tfar.restoration.restorer import Restorer


@pytest.fixture
def shelf(tmp_path, monkeypatch, fused_file):
    """A presets folder with the presets ``b`` and ``a``, and a folder without a model."""
    for name in ("b", "a"):
        folder = tmp_path / "shelf" / name
        folder.mkdir(parents=True)
        (folder / "model.keras").write_bytes(fused_file.read_bytes())
        (folder / "README.md").write_text(f"# {name}: für Fotos\n", encoding="utf-8")
    (tmp_path / "shelf" / "unfinished").mkdir()
    monkeypatch.setattr(presets, "presets_folder", lambda: tmp_path / "shelf")
    return tmp_path / "shelf"


def test_presets_stand_beside_the_package():
    assert presets.presets_folder().name == "saved_models"


def test_recipes_of_the_presets_can_be_read():
    files = sorted(presets.presets_folder().glob("*/recipe.json"))
    assert len(files) >= len(presets.names()) > 0
    for file in files:
        kind = RegionAware if "mask" in json.loads(file.read_text()) else Recipe
        assert isinstance(recipes.from_json(kind, file.read_text()), kind)


@pytest.mark.parametrize("name", presets.names())
def test_the_recipe_of_a_preset_still_builds_its_network(name, noise):
    """Options that came later have the first wiring as their default."""
    network = presets.load(name)
    text = (presets.presets_folder() / name / "recipe.json").read_text()
    if "mask" in json.loads(text):
        recipe = recipes.from_json(RegionAware, text)
        rebuilt = region_aware(build(recipe.base.generator), build(recipe.texture.generator), recipe.mask)
    else:
        rebuilt = build(recipes.from_json(Recipe, text).generator)
    shapes = [[(weight.path, weight.shape) for weight in model.weights] for model in (rebuilt, network)]
    assert shapes[0] == shapes[1]
    rebuilt.set_weights(network.get_weights())
    given = {"jpeg": np.float32(noise(24, 16)[None, ..., : channels(network)]) / 127.5 - 1}
    given["noise"] = np.random.default_rng(0).normal(size=(1, 12, 8, 1)).astype("float32")
    for layer, expected in call(network, given).items():
        np.testing.assert_allclose(call(rebuilt, given)[layer], expected, atol=1e-6)


def test_names_are_those_with_a_model(shelf):
    assert presets.names() == ["a", "b"]


def test_package_exports_do_not_depend_on_the_order_of_use(shelf):
    for _ in range(2):
        assert tfar.load("a").name == "region_aware"
        assert tfar.presets.names() == ["a", "b"]
        assert tfar.Restorer is Restorer
    assert set(tfar.__all__) <= {name for name in tfar.__all__ if hasattr(tfar, name)}
    with pytest.raises(AttributeError, match="module 'tfar' has no attribute 'restorer'"):
        tfar.restorer


def test_a_network_is_called_by_its_preset_its_run_or_its_file(shelf, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.keras").touch()
    (tmp_path / "mine-1.5.keras").touch()
    for given, called in (("a", "a"), ("mine-1.5.keras", "mine-1.5"), (".", tmp_path.name)):
        assert presets.title(given) == presets.title(presets.model_file(given)) == called
    assert presets.title("runs/a/model.keras") == "a"


def test_load_by_name_by_folder_and_by_file(shelf, fused_model, noise):
    jpeg = np.float32(noise(9, 7)[None]) / 127.5 - 1
    for name in ("a", shelf / "a", str(shelf / "a"), shelf / "a" / "model.keras"):
        model = presets.load(name)
        for layer, expected in fused_model(jpeg).items():
            np.testing.assert_allclose(model(jpeg)[layer], expected, atol=1e-6)


def test_a_model_is_read_once_until_its_file_changes(shelf):
    first = presets.load("a")
    assert presets.load(shelf / "a" / "model.keras") is first
    assert presets.load("b") is not first
    os.utime(shelf / "a" / "model.keras", (1, 1))
    assert presets.load("a") is not first


def test_unknown_preset_is_answered_with_the_known_ones(shelf, tmp_path):
    for name in ("c", "unfinished", tmp_path):
        with pytest.raises(CheckpointError, match=f"no preset or folder '{name}' with a model.keras; presets: a, b"):
            presets.load(name)
    with pytest.raises(CheckpointError, match="absent.keras: no such file"):
        presets.load(tmp_path / "absent.keras")


def test_a_preset_whose_file_was_changed_is_not_used(shelf, tmp_path, noise):
    file = shelf / "a" / "model.keras"
    (shelf / "a" / "metrics.json").write_text(
        json.dumps({"model_sha256": hashlib.sha256(file.read_bytes()).hexdigest()})
    )
    presets.load("a")
    file.write_bytes(file.read_bytes() + b"\0")  # which Keras would read without an error
    message = f"{file}: damaged or changed, its SHA-256 is not that of metrics.json beside it"
    for name in ("a", shelf / "a", file):
        with pytest.raises(CheckpointError, match=message):
            presets.load(name)
    for engine in ("keras", "litert"):
        with pytest.raises(CheckpointError, match=message):
            tfar.restore(noise(4, 4), preset="a", engine=engine)
    (shelf / "a" / "own.keras").write_bytes(file.read_bytes())
    presets.load(shelf / "a" / "own.keras")
    (shelf / "a" / "metrics.json").write_text("{}")  # as training writes it
    presets.load("a")


def write_nothing(path):
    path.write_bytes(b"")


def write_text(path):
    path.write_text("no model")


def write_other_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.txt", "no model")


def write_truncated(path):
    path.write_bytes(path.read_bytes()[:-500])


def write_discriminator(path):
    srgan_discriminator(patch=16, filters=4).save(path)


def write_classifier(path):
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]).save(path)


@pytest.mark.parametrize(
    "spoil", [write_nothing, write_text, write_other_zip, write_truncated, write_discriminator, write_classifier]
)
def test_file_that_is_no_restoring_network_is_named_in_one_line(shelf, spoil):
    path = shelf / "a" / "model.keras"
    spoil(path)
    with pytest.raises(CheckpointError, match="a/model.keras: not a ") as caught:
        presets.load("a")
    assert "\n" not in str(caught.value)


def write_lambda(path, marker):
    x = keras.Input((None, None, 3), name="jpeg")
    harm = keras.layers.Lambda(eval(f"lambda x: (open({str(marker)!r}, 'w'), x)[1]"))
    keras.Model(x, {"image": harm(x)}).save(path)
    marker.unlink()


@keras.saving.register_keras_serializable(package="stranger")
class Stranger(keras.layers.Layer):
    """A layer that is known to Keras in this process, and writes a file."""

    marker = None

    def call(self, x):
        self.marker.touch()
        return x


def write_custom(path, marker):
    Stranger.marker = marker
    x = keras.Input((None, None, 3), name="jpeg")
    keras.Model(x, {"image": Stranger()(x)}).save(path)
    marker.unlink()


def rename_layers(path, module, name, registered=None):
    """Have a file name other classes for its convolutions than they are."""
    with zipfile.ZipFile(path) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}

    def renamed(config):
        if isinstance(config, list):
            return [renamed(value) for value in config]
        if not isinstance(config, dict):
            return config
        if config.get("class_name") == "Conv2D":
            config = {**config, "module": module, "class_name": name, "registered_name": registered}
        return {key: renamed(value) for key, value in config.items()}

    parts["config.json"] = json.dumps(renamed(json.loads(parts["config.json"]))).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for part, data in parts.items():
            archive.writestr(part, data)


def write_unknown(path, marker):
    (path.parent / "evil.py").write_text(f"open({str(marker)!r}, 'w')\nclass Layer: pass\n")
    rename_layers(path, "evil", "Layer")


def write_torch_module(path, marker):
    rename_layers(path, "keras.layers", "TorchModuleWrapper")


@pytest.mark.parametrize("unsafe", [False, True])
@pytest.mark.parametrize(
    ("write", "named"),
    [
        (write_lambda, "keras.layers.Lambda"),
        (write_custom, "test_presets.Stranger"),
        (write_unknown, "evil.Layer"),
        (write_torch_module, "keras.layers.TorchModuleWrapper"),
    ],
)
def test_a_file_from_a_stranger_runs_no_code(shelf, tmp_path, monkeypatch, write, named, unsafe):
    monkeypatch.syspath_prepend(shelf / "a")
    write(shelf / "a" / "model.keras", tmp_path / "harm")
    if unsafe:
        keras.config.enable_unsafe_deserialization()
    try:
        with pytest.raises(CheckpointError, match=f"a/model.keras: refused, .*: (.*, )?[a-z_.]*{named}") as caught:
            presets.load("a")
    finally:
        global_state.set_global_attribute("safe_mode_saving", None)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "harm").exists()


def test_layers_of_this_package_and_of_keras_are_no_suspects():
    for name in presets.names():
        assert list(presets._suspects(presets._config(presets.model_file(name)))) == []
    known = {"module": "tfar.models", "class_name": "CropLike", "registered_name": "tfar>CropLike"}
    assert list(presets._suspects({"layers": [known]})) == []
    for change in ({"registered_name": "other>CropLike"}, {"class_name": "other>X"}, {"registered_name": None}):
        assert list(presets._suspects({"layers": [known | change]})) == [
            f"tfar.models.{(known | change)['class_name']}"
        ]


@pytest.mark.parametrize(
    "text", ["[]", "{}", "null", "no JSON", '{"data": {"quality": [5, 95]}}', '{"base": 1}', "[" * 99999]
)
def test_a_recipe_that_is_none_tells_no_qualities(shelf, text):
    (shelf / "a" / "recipe.json").write_text(text)
    assert presets.qualities("a") is None


def test_card(shelf):
    assert presets.card("b") == "# b: für Fotos\n"
    (shelf / "a" / "README.md").unlink()
    with pytest.raises(CheckpointError, match="a/README.md: no such model card"):
        presets.card("a")
    with pytest.raises(CheckpointError, match="no preset or folder 'c'"):
        presets.card("c")


def test_restore_takes_arrays_and_files(shelf, tmp_path, fused_model, noise):
    image = noise(9, 7)
    Image.fromarray(image).save(tmp_path / "photo.png")
    for layer in (None, "base", "texture"):
        expected = Restorer(fused_model, layer)(image)
        assert abs(np.int16(expected) - image).max() > 1
        for given, preset in ((image, "a"), (tmp_path / "photo.png", "a"), (str(tmp_path / "photo.png"), "b")):
            restored = tfar.restore(given, preset=preset, layer=layer)
            np.testing.assert_allclose(np.float32(restored), expected, atol=1)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_restore_takes_the_grid_of_a_jpeg_that_is_stored_turned(shelf, tmp_path, fused_model, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(data.astronaut()[:43, :37]).save(tmp_path / "a.jpg", exif=exif)
    image = read_image(tmp_path / "a.jpg")
    offset = {1: (0, 0), 3: (43 % 8, 37 % 8), 6: (0, 43 % 8)}[orientation]
    expected = Restorer(fused_model)(image, offset=offset)
    np.testing.assert_array_equal(tfar.restore(tmp_path / "a.jpg", preset="a", engine="keras"), expected)
    assert orientation == 1 or (Restorer(fused_model)(image) != expected).any()


def test_restore_gives_back_the_kind_it_was_given(shelf, fused_model, noise):
    image = noise(19, 23)
    as_float = tfar.restore(np.float32(image) / 255, preset="a", engine="keras")
    assert as_float.dtype == np.float32 and 0 <= as_float.min() and as_float.max() <= 1
    np.testing.assert_allclose(255 * as_float, Restorer(fused_model)(image), atol=0.51)
    transparent = np.dstack([image, noise(19, 23)[..., 0]])
    restored = tfar.restore(transparent, preset="a", layer="base", engine="keras")
    np.testing.assert_array_equal(restored[..., 3], transparent[..., 3])
    np.testing.assert_allclose(np.float32(restored[..., :3]), Restorer(fused_model, "base")(image), atol=1)


def test_qualities_are_those_of_the_recipe(tmp_path):
    assert presets.qualities("general") == (5, 95)
    assert presets.qualities("region-aware-q10") == (10, 10)
    assert presets.qualities("galteri-mse-q10-40") == (10, 40)
    assert presets.qualities("absent") is None


def test_restore_refuses(shelf, tmp_path, noise):
    with pytest.raises(ImageError, match="absent.png: no such file"):
        tfar.restore(tmp_path / "absent.png", preset="a")
    with pytest.raises(CheckpointError, match="no preset or folder 'c'"):
        tfar.restore(noise(4, 4), preset="c")


def test_restore_uses_the_default_preset():
    assert inspect.signature(tfar.restore).parameters["preset"].default == presets.DEFAULT
    assert inspect.signature(presets.load).parameters["name"].default == presets.DEFAULT


@pytest.mark.parametrize("name", presets.names())
def test_shipped_presets_are_complete_and_restore(name, noise):
    folder = presets.presets_folder() / name
    assert {"model.keras", "recipe.json", "metrics.json", "README.md", "comparison.png"} <= set(os.listdir(folder))
    digest = hashlib.sha256((folder / "model.keras").read_bytes()).hexdigest()
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["model_sha256"] == digest
    assert metrics["bundled"].keys() == {"astronaut", "coffee", "chelsea"}
    for photo, scores in metrics["bundled"].items():
        original = getattr(data, photo)()[60:220, 100:300]
        jpeg = compress(original, 10)
        found = {"JPEG": jpeg, "restored": tfar.restore(jpeg, preset=name)}
        measured = {row: peak_signal_noise_ratio(original, image) for row, image in found.items()}
        assert measured == pytest.approx(scores, abs=0.02), photo
    for image in (noise(17, 13), noise(1, 1), noise(9, 20)[..., 0]):
        assert tfar.restore(image, preset=name).shape == image.shape


@pytest.mark.parametrize("quality", [10, 30, 50, 75, 85, 95])
@pytest.mark.parametrize("photo", ["astronaut", "coffee", "chelsea"])
def test_the_default_preset_helps_at_every_quality(photo, quality):
    original = getattr(data, photo)()[60:220, 100:300]
    jpeg = compress(original, quality)
    assert psnr(original, tfar.restore(jpeg)) > psnr(original, jpeg)


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
@pytest.mark.parametrize("quality", [30, 75, 90])
def test_the_default_preset_does_not_harm_screenshots(quality, subsampling):
    original = screenshot()
    file = encode(original, quality, subsampling)
    assert psnr(original, restored(tfar.Restorer(presets.DEFAULT), file)) > psnr(original, decode(file)) + 0.2


def test_seeds_matter_to_the_one_to_many_preset_only(noise):
    image = noise(20, 16)
    first, again, other = (tfar.restore(image, preset="one-to-many-q10", seed=seed) for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()
    argan = [tfar.restore(image, preset="argan-q10-40", seed=seed) for seed in (1, 2)]
    assert (argan[0] == argan[1]).all()
