import hashlib
import json
import os
import shutil
import signal
import socket
import sys
import threading
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from helpers import files_below
from PIL import Image
from skimage import data

import tfar
from tfar.commands.export import _about
from tfar.export.flatbuffer import metadata

PHOTO = data.astronaut()[:40, :33]


def inputs(file):
    """The input of a TFLite file: its shape."""
    return (
        Interpreter(str(file)).get_signature_runner("serving_default").get_input_details()["image"]["shape_signature"]
    )


def test_export_into_the_place_of_a_file(refused, photo, fused_file):
    assert f"({photo} is no folder)" in refused("export", photo, "--preset", fused_file)
    np.testing.assert_array_equal(np.asarray(Image.open(photo)), PHOTO)


def test_only_a_quantized_tflite_file_of_a_fixed_tile(run, single_file, tmp_path):
    target = tmp_path / "out"
    options = ("--format", "tflite", "--quantize", "dynamic", "--tile", "24")
    assert run("export", target, "--preset", single_file, *options)[:2] == (0, [f"{target}/model.tflite"])
    assert files_below(target) == ["model.tflite"]
    assert inputs(target / "model.tflite").tolist() == [1, 24, 24, 3]
    details = Interpreter(str(target / "model.tflite")).get_tensor_details()
    assert np.int8 in {tensor["dtype"] for tensor in details}


@pytest.mark.parametrize(("option", "side", "kind"), [("--io=app", 256, np.float32), ("--quantize=int8", -1, np.uint8)])
def test_tflite_files_for_apps_and_in_8_bits_say_what_they_are(run, single_file, tmp_path, option, side, kind):
    code, out, err = run("export", tmp_path / "out", "--preset", single_file, "--format", "tflite", option)
    assert (code, out) == (0, [f"{tmp_path}/out/model.tflite"])
    assert [line for line in err if "XNNPACK" not in line] == []
    file = tmp_path / "out" / "model.tflite"
    image = Interpreter(str(file)).get_signature_runner("serving_default").get_input_details()["image"]
    assert (image["shape_signature"].tolist(), image["dtype"]) == ([1 if side > 0 else -1, side, side, 3], kind)
    told = metadata(file.read_bytes())
    assert (told["preset"], told["layer"], told["tfar"]) == ("single", "image", tfar.__version__)
    assert told["sha256"] == hashlib.sha256(single_file.read_bytes()).hexdigest()
    assert told["quantize"] == ("int8" if kind == np.uint8 else "none") and "licence" not in told
    assert told["outputs"]["restored"]["type"] == np.dtype(kind).name


def test_a_preset_has_qualities_and_a_licence():
    told = _about("galteri-mse-q10-40", "image")
    assert (told["preset"], told["qualities"], told["licence"]) == ("galteri-mse-q10-40", (10, 40), "MIT")


def test_a_network_in_a_folder_whose_name_is_no_text(tmp_path, single_file):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    shutil.copytree(single_file.parent, folder)
    told = _about(str(folder / single_file.name), "image")["preset"]
    told.encode()


def test_a_saved_model_in_a_folder_whose_name_is_no_text(refused, single_file, tmp_path):
    line = refused("export", tmp_path / os.fsdecode(b"caf\xe9"), "--preset", single_file)
    assert line.startswith(f"tfar: {tmp_path}/caf\\udce9: TensorFlow writes no SavedModel into a folder whose")
    assert list(tmp_path.iterdir()) == []


def test_versions_of_a_saved_model_lie_beside_each_other(run, refused, single_file, tmp_path):
    target = tmp_path / "out"
    for version, limit in ((3, "0.001"), (12, "1")):
        options = ("--format", "saved-model", "--version", version, "--max-megapixels", limit)
        code, out, _ = run("export", target, "--preset", single_file, *options)
        assert (code, out) == (0, [f"{target}/saved_model/{version}"])
    assert [path.name for path in target.iterdir()] == ["saved_model"]
    assert sorted(path.name for path in (target / "saved_model").iterdir()) == ["12", "3"]
    content = tf.io.encode_png(PHOTO)[None]
    for version, error in (("3", b"more than 0.001 megapixels"), ("12", b"")):
        restore = tf.saved_model.load(target / "saved_model" / version).signatures["restore_bytes"]
        assert restore(image_bytes=content)["error"].numpy().tolist() == [error]


@pytest.mark.parametrize("option", ["--overwrite", "--format=saved-model"])
def test_versions_are_not_replaced_by_a_saved_model(refused, single_file, tmp_path, option):
    for version in ("10", "9"):
        (tmp_path / "saved_model" / version).mkdir(parents=True)
    line = refused("export", tmp_path, "--preset", single_file, option)
    assert line == f"tfar: {tmp_path}/saved_model: holds versions 9, 10; name one with --version"
    assert sorted(path.name for path in (tmp_path / "saved_model").iterdir()) == ["10", "9"]


def test_a_version_does_not_lie_in_a_saved_model(refused, single_file, tmp_path):
    (tmp_path / "saved_model").mkdir()
    (tmp_path / "saved_model" / "saved_model.pb").write_bytes(b"")
    line = refused("export", tmp_path, "--preset", single_file, "--format", "saved-model", "--version", "1")
    assert line == f"tfar: {tmp_path}/saved_model: is a SavedModel without versions; export those into another folder"


@pytest.mark.parametrize("name", ["saved_model", "model.tflite"])
def test_what_is_there_is_not_replaced_unasked(run, refused, single_file, tmp_path, name):
    (tmp_path / name).mkdir() if name == "saved_model" else (tmp_path / name).touch()
    line = refused("export", tmp_path, "--preset", single_file)
    assert line == f"tfar: {tmp_path / name}: is there already; --overwrite replaces it"
    assert [path.name for path in tmp_path.iterdir()] == [name]
    format = "saved-model" if name == "saved_model" else "tflite"
    assert run("export", tmp_path, "--preset", single_file, "--overwrite", "--format", format)[0] == 0
    assert (tmp_path / name).is_file() == (name == "model.tflite")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("option", "format"),
    [
        ("--quantize=float16", "tflite or web"),
        ("--tile=64", "tflite or web"),
        ("--version=1", "saved-model"),
        ("--max-megapixels=1", "saved-model"),
        ("--warm-up", "saved-model"),
        ("--serve=9999", "web"),
        ("--io=app", "tflite or onnx"),
    ],
)
def test_an_option_of_a_format_that_is_left_out(refused, single_file, tmp_path, option, format):
    other = "tflite" if format == "saved-model" else "saved-model"
    line = refused("export", tmp_path / "out", "--preset", single_file, option, "--format", other)
    assert line == f"tfar: {option.split('=')[0]} is of the format {format}, which --format leaves out"
    assert not (tmp_path / "out").exists()


def test_a_tile_that_an_app_cannot_have_is_found_before_anything_is_written(refused, tmp_path):
    command = ("export", tmp_path / "out", "--preset", "tiny", "--io", "app", "--tile", 100)
    assert refused(*command) == "tfar: tiny takes tiles of multiples of 8 pixels, not of 100"
    assert not (tmp_path / "out").exists()


def test_packages_that_are_missing_are_found_before_anything_is_written(refused, single_file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    command = ("export", tmp_path / "out", "--preset", single_file, "--format", "saved-model", "onnx")
    assert 'ONNX needs tf2onnx: pip install "tfar[onnx]"' in refused(*command)
    assert not (tmp_path / "out").exists()


def test_a_tile_that_the_page_cannot_have_is_found_before_anything_is_written(refused, single_file, tmp_path):
    command = ("export", tmp_path / "out", "--preset", single_file, "--format", "saved-model", "web", "--tile", 100)
    assert "a multiple of 16 from 96 up, got 100" in refused(*command)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def ctrl_c():
    """The handler of Ctrl-C, which processes in a shell's background are started without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_page_is_served_until_ctrl_c(run, single_file, tmp_path, monkeypatch, ctrl_c):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    seen = []

    def look(address):
        with urllib.request.urlopen(address) as response:
            seen.append((response.headers["Cross-Origin-Opener-Policy"], b"Restore JPEGs" in response.read()))
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("webbrowser.open", lambda address: threading.Thread(target=look, args=[address]).start())
    code, out, _ = run("export", tmp_path, "--preset", single_file, "--format", "web", "--tile", 96, "--serve", port)
    assert (code, out) == (0, [f"{tmp_path}/web", f"http://localhost:{port}  (Ctrl-C ends)"])
    assert seen == [("same-origin", True)]
    settings = json.loads((tmp_path / "web/settings.json").read_text())
    assert (settings["name"], settings["tile"]) == (single_file.stem, 96)
    written = (tmp_path / "web/model.tflite").stat().st_mtime_ns
    code, out, _ = run("export", tmp_path, "--preset", single_file, "--format", "web", "--serve", port)
    as_it_is = f"{tmp_path}/web: is there already, and served as it is; --overwrite replaces it"
    assert (code, out) == (0, [as_it_is, f"http://localhost:{port}  (Ctrl-C ends)"])
    assert len(seen) == 2 and (tmp_path / "web/model.tflite").stat().st_mtime_ns == written
    for other in (["--preset", "tiny"], ["--preset", single_file, "--tile", 96]):
        code, _, [line] = run("export", tmp_path, *other, "--format", "web", "--serve", port)
        assert (code, line) == (2, f"tfar: {tmp_path}/web: is there already; --overwrite replaces it")


def test_a_page_of_one_layer_is_not_served_for_the_whole_network(run, fused_file, tmp_path, monkeypatch):
    monkeypatch.setattr("tfar.commands.export._serve", lambda http: None)
    page = ("export", tmp_path, "--preset", fused_file, "--format", "web")
    assert run(*page, "--layer", "base", "--tile", 96)[0] == 0
    settings = json.loads((tmp_path / "web/settings.json").read_text())
    assert settings["name"] == f"{fused_file.parent.name}.base"
    code, _, [line] = run(*page, "--serve", 8399)
    assert (code, line) == (2, f"tfar: {tmp_path}/web: is there already; --overwrite replaces it")


@pytest.mark.parametrize("settings", ['{"preset": 1}', "[]", "cut", None])
def test_a_page_of_another_program_is_neither_served_nor_replaced(refused, single_file, tmp_path, settings):
    page = tmp_path / "web"
    page.mkdir()
    (page / "index.html").touch()
    if settings is not None:
        (page / "settings.json").write_text(settings)
    line = refused("export", tmp_path, "--preset", single_file, "--format", "web", "--serve")
    assert line == f"tfar: {page}: is there already; --overwrite replaces it"


def test_a_port_that_is_taken_is_found_before_anything_is_written(refused, single_file, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = refused("export", tmp_path, "--preset", single_file, "--format", "web", "--serve", port)
    assert line.startswith(f"tfar: port {port} of this machine: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("port", ["0", "70000"])
def test_no_port(run, single_file, tmp_path, capfd, port):
    with pytest.raises(SystemExit, match="2"):
        run("export", tmp_path, "--preset", single_file, "--format", "web", "--serve", port)
    assert f"expected a port from 1 to 65535, got '{port}'" in capfd.readouterr().err


def test_a_page_is_not_computed_in_16_bits(refused, single_file, tmp_path):
    options = ("--format", "web", "tflite", "--quantize", "float16")
    line = refused("export", tmp_path / "out", "--preset", single_file, *options)
    assert line == "tfar: --quantize float16 is not for the format web; none or dynamic is"


def test_an_onnx_file_for_apps(run, single_file, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    options = ("--preset", single_file, "--format", "onnx", "--io", "app")
    assert run("export", tmp_path, *options)[:2] == (0, [f"{tmp_path}/model.onnx"])
    [image] = onnxruntime.InferenceSession(tmp_path / "model.onnx").get_inputs()
    assert image.shape == [1, 3, "height", "width"]


def test_requests_for_warming_up(run, single_file, tmp_path):
    pytest.importorskip("tensorflow_serving", reason="needs tensorflow-serving-api")
    options = ("--format", "saved-model", "--version", "1", "--warm-up")
    assert run("export", tmp_path, "--preset", single_file, *options)[0] == 0
    assert "saved_model/1/assets.extra/tf_serving_warmup_requests" in files_below(tmp_path)


def test_a_folder_that_cannot_be_written(refused, single_file, tmp_path, monkeypatch):
    access = os.access  # the superuser may write anywhere
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path and access(path, mode))
    line = refused("export", tmp_path / "out", "--preset", single_file)
    assert line == f"tfar: {tmp_path}/out/saved_model: cannot be written (no permission in {tmp_path})"
    assert list(tmp_path.iterdir()) == []


def test_a_changed_preset_leaves_nothing(refused, single_file, tmp_path):
    preset = tmp_path / "preset"
    preset.mkdir()
    shutil.copyfile(single_file, preset / "model.keras")
    (preset / "metrics.json").write_text(json.dumps({"model_sha256": "0" * 64}))
    line = refused("export", tmp_path / "out", "--preset", preset)
    assert line.startswith(f"tfar: {preset}/model.keras: damaged or changed")
    (preset / "model.keras").unlink()
    assert "no preset or folder" in refused("export", tmp_path / "out", "--preset", preset)
    assert not (tmp_path / "out").exists()


def test_an_unknown_format(run, single_file, tmp_path, capfd):
    with pytest.raises(SystemExit, match="2"):
        run("export", tmp_path / "out", "--preset", single_file, "--format", "gif")
    assert "argument --format: invalid choice: 'gif'" in capfd.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_an_unknown_preset_leaves_nothing(refused, tmp_path):
    assert "no preset or folder 'absent'" in refused("export", tmp_path / "out", "--preset", "absent")
    assert not (tmp_path / "out").exists()
