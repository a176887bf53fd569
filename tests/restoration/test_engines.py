import contextlib
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers import NOISE_GENERATOR, SCALES, TINY, largest_difference, perturb

from tfar import presets
from tfar.errors import CheckpointError, TfarError
from tfar.export import tflite
from tfar.machine import cores
from tfar.models.argan import unet_generator
from tfar.models.galteri import galteri_generator
from tfar.models.one_to_many import proposal_network
from tfar.models.region_aware import edge_cnn, region_aware, texture_generator
from tfar.restoration import converted as converted_files
from tfar.restoration import engines
from tfar.restoration.converted import network_file
from tfar.restoration.engines import KerasEngine, LiteRTEngine
from tfar.restoration.restorer import Restorer
from tfar.restoration.tiles import SMALLEST

NETWORKS = {
    "scales": lambda: perturb(edge_cnn(**SCALES), 1),
    "argan": lambda: perturb(unet_generator(filters=4, depth=3, blocks=1, norm="none", residual=True), 1),
    "galteri": lambda: perturb(galteri_generator(filters=4, blocks=1, residual=True), 1),
    "noise": lambda: perturb(proposal_network(**NOISE_GENERATOR), 1),
}
START = """
import sys
import numpy as np
from tfar.restoration.restorer import Restorer
from tfar.restoration.tiles import SMALLEST
restored = Restorer(sys.argv[1], engine="litert")(np.load(sys.argv[2]))
np.save(sys.argv[3], restored)
print(*[name for name in ("keras", "tensorflow") if name in sys.modules], "end")
"""


def trapped(folder):
    """A folder with a file that Python would run in place of NumPy if it looked there."""
    (folder / "numpy.py").write_text("raise SystemExit('a stranger')")
    return folder


@pytest.fixture(scope="module")
def network():
    """A fused network whose weights are the larger part of its file."""
    wide = {**TINY, "filters": 24, "head": 24}
    return region_aware(perturb(edge_cnn(**wide), 1), perturb(texture_generator(**wide), 2))


@pytest.fixture(scope="module")
def converted(network, tmp_path_factory):
    """Its file with weights in float32."""
    file = tmp_path_factory.mktemp("converted") / "model.tflite"
    tflite.convert(network, file, eight_bit=False)
    return file


@pytest.fixture(scope="module")
def cached(fused_file, tmp_path_factory):
    """The file of a fused network in a cache folder, for which two processes have raced."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        barrier = threading.Barrier(2)

        def make(_):
            barrier.wait()
            return network_file(fused_file, eight_bit=engines.eight_bit_weights())

        with contextlib.chdir(trapped(tmp_path_factory.mktemp("downloads"))), ThreadPoolExecutor(2) as pool:
            first, second = pool.map(make, range(2))
        assert first == second
        yield first


def with_engine(engine, *arguments, **options):
    """A restorer with an engine that is made already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "choose", lambda *_: engine)
        return Restorer(None, *arguments, **options)


@pytest.mark.parametrize("size", [(24, 32), (17, 13), (1, 1), (330, 270)], ids=str)
def test_both_engines_give_the_same_layers(converted, network, noise, size):
    image, engine = noise(*size), LiteRTEngine(converted, "tiny")
    for layer in ("fused", "base", "texture"):
        for given in (image, image[..., 0]):
            restored = with_engine(engine, layer, tile=SMALLEST)(given)
            expected = Restorer(network, layer, tile=SMALLEST)(given)
            different = np.abs(np.int16(restored) - expected) > 1
            assert not different.any() if layer != "fused" else different.mean() < 1e-3  # the mask's limits
    found, expected = (restorer.layers(image) for restorer in (with_engine(engine), Restorer(network)))
    assert np.mean(found["mask"] != expected["mask"]) < 1e-3


@pytest.mark.parametrize("name", NETWORKS)
def test_both_engines_give_the_same_image(name, noise, tmp_path):
    model = NETWORKS[name]()
    has_no_eight_bit_form = name in ("argan", "noise")
    tflite.convert(model, tmp_path / "model.tflite", eight_bit=has_no_eight_bit_form)
    engine, keras_engine = LiteRTEngine(tmp_path / "model.tflite", name), KerasEngine(model)
    for attribute in ("channels", "takes_noise", "layered"):
        assert getattr(engine, attribute) == getattr(keras_engine, attribute)
    for size in ((24, 32), (17, 13), (2, 9)):
        image = noise(*size)
        expected = Restorer(model)(image)
        assert largest_difference(with_engine(engine)(image), expected) <= 1
        assert largest_difference(image, expected) > 1


def test_what_a_network_takes_is_measured_once(converted, monkeypatch, tmp_path):
    monkeypatch.chdir(trapped(tmp_path))
    engine = LiteRTEngine(converted, "tiny")
    measured = engines.measured_pixel_bytes(engine, "fused")
    assert 256 <= measured < engines.pixel_bytes("fused") == 2 * engines.pixel_bytes("base")
    monkeypatch.setattr(converted_files.subprocess, "run", lambda *_, **__: pytest.fail("measured again"))
    assert engines.measured_pixel_bytes(engine, "fused") == measured


def test_what_is_measured_beside_a_file_that_cannot_be_written_is_kept_in_the_process(converted, tmp_path, monkeypatch):
    file = tmp_path / "model.tflite"
    file.write_bytes(converted.read_bytes())
    runs = []

    def measure(command, **_):
        runs.append(command)
        return subprocess.CompletedProcess(command, 0, "777\n", "")

    def refuse(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(converted_files.subprocess, "run", measure)
    monkeypatch.setattr(engines, "write_text", refuse)
    engine = LiteRTEngine(file, "tiny")
    assert [engines.measured_pixel_bytes(engine, "base") for _ in range(2)] == [777, 777] and len(runs) == 1


def test_what_cannot_be_measured_is_taken_for_the_most(converted, network, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "no memory")
    monkeypatch.setattr(converted_files.subprocess, "run", lambda *_, **__: failed)
    assert engines.measured_pixel_bytes(LiteRTEngine(converted, "tiny"), "texture") == engines.pixel_bytes("texture")
    assert engines.measured_pixel_bytes(KerasEngine(network), "fused") == engines.pixel_bytes("fused")


def test_tiles_of_large_images_follow_from_what_was_measured(converted, monkeypatch):
    restorer = with_engine(LiteRTEngine(converted, "tiny"), "base")
    monkeypatch.setattr(engines, "measured_pixel_bytes", lambda engine, layer: {"base": 1024}[layer])
    monkeypatch.setattr("tfar.restoration.tiles.free_memory", lambda: 1 << 40)
    assert [restorer._tile(needed) for needed in (100, 704, 705, 9000)] == [704, 704, 1024, 1024]


def test_eight_bit_weights_are_smaller_and_change_little(converted, network, noise, tmp_path):
    file = tmp_path / "model.tflite"
    tflite.convert(network, file, eight_bit=True)
    assert file.stat().st_size < 0.6 * converted.stat().st_size
    image = np.uint8(96 + noise(64, 64) // 4)
    exact, found = (np.int16(with_engine(LiteRTEngine(f, "wide"), "base")(image)) for f in (converted, file))
    assert 0 < np.abs(found - exact).mean() < 0.1 * np.abs(exact - image).mean()


def test_the_weights_of_all_layers_are_in_the_file_once(converted, network):
    weights = 4 * network.count_params()
    assert set(LiteRTEngine(converted, "wide")._interpreter.get_signature_list()) == {"base", "texture", "fused"}
    assert weights < converted.stat().st_size < 1.5 * weights


def test_a_layer_computes_nothing_else(converted):
    engine = LiteRTEngine(converted, "tiny")
    outputs = {layer: engine.run(layer, np.zeros((8, 8, 3), np.float32), None) for layer in ("base", "fused")}
    assert list(outputs["base"]) == ["base"]
    assert list(outputs["fused"]) == ["base", "texture", "mask"]
    assert engine._interpreter.get_signature_list()["texture"]["outputs"] == ["texture"]


# Which engine.


def test_litert_is_the_default_on_cpus_and_a_model_stays_with_keras(fused_model, fused_file, cached, monkeypatch):
    monkeypatch.setattr(engines, "gpu_visible", lambda: False)
    assert engines.choose(fused_model, None, False).kind == "keras"
    assert engines.choose(fused_file, None, False).kind == "litert"
    assert engines.choose(str(fused_file), "keras", False).kind == "keras"
    monkeypatch.setattr(engines, "gpu_visible", lambda: True)
    assert engines.choose(fused_file, None, False).kind == "keras"
    monkeypatch.setattr(engines, "gpu_visible", lambda: False)
    monkeypatch.setattr(engines, "_has_litert", lambda: False)
    assert engines.choose(fused_file, None, False).kind == "keras"
    with pytest.raises(TfarError, match="the engine litert needs LiteRT, run: pip install ai-edge-litert"):
        engines.choose(fused_file, "litert", False)


def test_keras_takes_over_where_no_file_for_litert_can_be_made(fused_file, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(engines, "gpu_visible", lambda: False)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert engines.choose(fused_file, None, False).kind == "keras"
    assert "the cache cannot be written" in caplog.text
    with pytest.raises(TfarError, match="the cache cannot be written"):
        engines.choose(fused_file, "litert", False)
    with pytest.raises(CheckpointError, match="no preset or folder 'absent'"):
        engines.choose("absent", None, False)


def test_the_processor_decides_on_the_weights_unless_they_must_be_exact(fused_file, monkeypatch):
    asked = []
    monkeypatch.setattr(engines, "network_file", lambda file, eight_bit: asked.append(eight_bit) or file)
    monkeypatch.setattr(engines, "_litert", lambda *_: None)
    for has in (True, False):
        monkeypatch.setattr(engines, "eight_bit_weights", lambda has=has: has)
        for exact in (True, False):
            engines.choose(fused_file, "litert", exact)
    assert asked == [False, True, False, False]


@pytest.mark.parametrize(
    ("text", "gains"),
    [("flags : avx2 avx512_vnni", True), ("Features : asimd asimddp", True), ("flags : avx2 avx512f", False)],
)
def test_processors_that_gain_by_eight_bits(monkeypatch, text, gains):
    monkeypatch.setattr(engines.platform, "system", lambda: "Linux")
    monkeypatch.setattr(engines.Path, "read_text", lambda *_, **__: text)
    assert engines.eight_bit_weights() == gains


# Threads and processes.


@pytest.mark.parametrize("kind", ["litert", "keras"])
def test_threads_share_a_restorer(converted, network, noise, kind):
    engine = LiteRTEngine(converted, "tiny") if kind == "litert" else KerasEngine(network)
    restorer = with_engine(engine)
    images = [noise(20 + 5 * i, 40) for i in range(6)]
    expected = [restorer(image) for image in images]
    barrier = threading.Barrier(6)

    def restore(image):
        barrier.wait()
        return [restorer(image) for _ in range(3)]

    with ThreadPoolExecutor(6) as pool:
        for results, wanted in zip(pool.map(restore, images), expected):
            for restored in results:
                assert largest_difference(restored, wanted) <= 1


def in_a_fork(work):
    """The error that some work ends with in a forked child, as it does in one line."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            work()
            os.write(writer, b"done")
        except TfarError as error:
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with open(reader, "rb") as pipe:
        return pipe.read().decode()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_child_of_a_fork_gets_an_error_and_may_start_litert_itself(converted, network, noise):
    image, engine = noise(9, 9), LiteRTEngine(converted, "wide")
    used, own = with_engine(engine), Restorer(network)
    for restorer in (used, own):
        restorer(image)
        error = in_a_fork(lambda restorer=restorer: restorer(image))
        assert error == f"ProcessError: {engines.FORKED}" and "\n" not in error
    assert in_a_fork(lambda: Restorer(network)) == f"ProcessError: {engines.FORKED}"
    assert in_a_fork(lambda: with_engine(LiteRTEngine(converted, "wide"))(image)) == "done"


# The files in the cache.


def test_a_file_is_made_once_and_starts_without_tensorflow(cached, fused_file, noise, tmp_path):
    image, made = noise(33, 21), cached.stat().st_mtime_ns
    np.save(tmp_path / "image.npy", image)
    command = [sys.executable, "-c", START, str(fused_file), str(tmp_path / "image.npy"), str(tmp_path / "out.npy")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")
    expected = Restorer(fused_file, engine="litert")(image)
    assert largest_difference(np.load(tmp_path / "out.npy"), expected) <= 1 < largest_difference(expected, image)
    assert list(cached.parent.iterdir()) == [cached] and cached.stat().st_mtime_ns == made


def test_a_file_that_is_no_network_is_named(tmp_path, cached):
    (tmp_path / "bad.keras").write_bytes(b"no network")
    with pytest.raises(CheckpointError, match="bad.keras: not a Keras model of tfar"):
        Restorer(tmp_path / "bad.keras", engine="litert")
    with pytest.raises(CheckpointError, match="no preset or folder 'absent'"):
        Restorer("absent", engine="litert")


def test_the_presets_can_be_named(monkeypatch, fused_file, cached, noise):
    monkeypatch.setattr(presets, "model_file", lambda name: {"mine": fused_file}[name])
    image = noise(9, 12)
    assert largest_difference(Restorer("mine", "base", engine="litert")(image), image) > 1
    with pytest.raises(ValueError, match=r"texture is of the fused layer; .* gives the layer 'base'"):
        Restorer("mine", "base", texture=0.5, engine="litert")


@pytest.mark.parametrize(("said", "threads"), [("1", 1), ("3", 3), ("", None), ("4,2", None), ("0", None)])
def test_litert_takes_the_threads_that_schedulers_name(monkeypatch, said, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert engines._threads() == (threads or cores())
