"""scripts/restore_with_litert.py, which apps follow, against the restoration of the package."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from helpers import NOISE_GENERATOR, ROOT, TINY, largest_difference, perturb
from PIL import Image
from skimage import data

from tfar import restore
from tfar.export.app import export_app
from tfar.export.saved_model import export_saved_model
from tfar.export.tflite import export_tflite
from tfar.models.one_to_many import proposal_network
from tfar.models.region_aware import edge_cnn

SCRIPT = ROOT / "scripts" / "restore_with_litert.py"
PHOTO = data.astronaut()[:150, 30:239]  # sides that are no multiples of anything
ALONE = """
import runpy, sys
for name in ("tfar", "tensorflow", "keras", "cv2", "scipy", "skimage"):
    sys.modules[name] = None  # importing them fails
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def script():
    specification = importlib.util.spec_from_file_location("restore_with_litert", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Networks and their TFLite files: of any size with noise, of a tile, and for apps."""
    folder = tmp_path_factory.mktemp("networks")
    noisy, plain = perturb(proposal_network(**NOISE_GENERATOR), 3), perturb(edge_cnn(**TINY), 1)
    noisy.save(folder / "noisy.keras")
    plain.save(folder / "plain.keras")
    export_saved_model(noisy, folder / "noisy", output="image")
    export_tflite(folder / "noisy", folder / "any size.tflite")
    export_saved_model(plain, folder / "plain", output="image")
    export_tflite(folder / "plain", folder / "tile.tflite", tile=96)
    export_app(plain, folder / "app.tflite", output="image", tile=96)
    return folder


@pytest.mark.parametrize(
    ("file", "network", "strength"),
    [("any size", "noisy", 1.0), ("tile", "plain", 1.0), ("tile", "plain", 0.3), ("app", "plain", 0.3)],
)
def test_tiles_give_what_the_package_gives(script, monkeypatch, folder, file, network, strength):
    monkeypatch.setattr(script, "LARGEST", 96)
    signature = Interpreter(str(folder / f"{file}.tflite")).get_signature_runner("serving_default")
    restored = script.restore(signature, PHOTO, strength=strength, overlap=32, seed=5)
    expected = restore(PHOTO, preset=folder / f"{network}.keras", engine="keras", strength=strength, seed=5)
    inner = np.s_[:] if network == "noisy" else np.s_[:-32, :-32]  # a fixed tile goes on where the image ends
    assert largest_difference(restored[inner], expected[inner]) <= (1 if strength == 1 else 2)  # of rounded levels
    assert abs(np.float32(restored) - expected).mean() < 0.5
    assert largest_difference(restored, PHOTO) > 2


def test_tiles_lie_on_the_grid_and_keep_every_pixel_once(script):
    for size in (1, 96, 97, 500, 1333):
        spans = list(script.spans(size, 96, 32))
        assert [start % 16 for start, *_ in spans] == [0] * len(spans)
        assert [first for _, _, first, _ in spans] == [0, *(last for *_, last in spans[:-1])]
        assert spans[-1][3] == size
        for start, end, first, last in spans:
            assert end - start <= 96 and (first - start >= 32 or first == 0) and (end - last >= 32 or last == size)


@pytest.mark.parametrize("overlap", [20, 48, -64])
def test_an_overlap_off_the_grid_or_too_wide(script, folder, overlap):
    signature = Interpreter(str(folder / "tile.tflite")).get_signature_runner("serving_default")
    with pytest.raises(ValueError, match="multiple of 16"):
        script.restore(signature, PHOTO, overlap=overlap)


@pytest.mark.parametrize(
    ("option", "error"),
    [("--overlap=-64", "the overlap must be a multiple of 16"), ("--strength=2", "--strength is from 0 to 1, not 2")],
)
def test_options_without_a_sense_are_errors_of_one_line(script, monkeypatch, capsys, folder, tmp_path, option, error):
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    files = [folder / "tile.tflite", tmp_path / "photo.png", tmp_path / "restored.png"]
    monkeypatch.setattr(sys, "argv", ["restore_with_litert.py", *map(str, files), option])
    with pytest.raises(SystemExit, match="2"):
        script.main()
    assert error in capsys.readouterr().err.splitlines()[-1]
    assert not files[-1].exists()


def test_levels_beyond_the_range_are_cut(script):
    class Network:
        def get_input_details(self):
            return {"image": {}}

        def __call__(self, image):
            return {"restored": image // 4 * 5}

    tile = np.full((16, 16, 3), 200, np.uint8)
    assert script.compute(Network(), tile, None, 2).min() == 255


def test_the_script_needs_neither_the_package_nor_tensorflow(folder, tmp_path):
    """A gray file that is to be shown turned."""
    photo = Image.fromarray(PHOTO).convert("L")
    photo.getexif()[0x0112] = 6
    photo.save(tmp_path / "photo.jpg", quality=20, exif=photo.getexif())
    arguments = [folder / "tile.tflite", tmp_path / "photo.jpg", tmp_path / "restored.png", "--overlap", "32"]
    command = [sys.executable, "-c", ALONE.replace("sys.argv[0]", repr(str(SCRIPT))), *arguments, "--threads", "2"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert '"shape": [1, 96, 96, 3]' in done.stderr
    restored = np.rot90(np.asarray(Image.open(tmp_path / "restored.png")))
    given = np.asarray(Image.open(tmp_path / "photo.jpg"))
    assert restored.shape == given.shape == (150, 209)
    expected = restore(given, preset=folder / "plain.keras", engine="keras")
    difference = abs(np.float32(restored) - expected)[:-32, :-32]
    assert np.mean(difference > 1) < 0.01  # where one of the three channels is clipped
    assert abs(np.float32(given) - expected).mean() > 10 * difference.mean()
