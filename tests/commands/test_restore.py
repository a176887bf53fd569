import io
import math
import subprocess
import sys

import numpy as np
import pytest
from helpers import cells, files_below
from PIL import Image
from skimage import data

from tfar import cli, quantization
from tfar.commands import restore
from tfar.reports.contact_sheet import LABEL_HEIGHT
from tfar.restoration.consistency import share_outside_interval
from tfar.restoration.restorer import Restorer

PHOTO = data.astronaut()[:40, :33]


@pytest.mark.parametrize("count", [1, 3, 4, 8])
@pytest.mark.parametrize("image", [PHOTO, PHOTO[..., 0]], ids=["color", "gray"])
def test_a_contact_sheet_shows_all_and_is_about_as_high_as_wide(image, count):
    candidates = [np.roll(image, i, axis=1) for i in range(1, count + 1)]
    sheet = restore.contact_sheet(image, candidates)
    columns = math.isqrt(count) + 1
    shown = cells(sheet, columns)
    assert sheet.shape[1] == columns * 33 and 0 <= len(shown) - (count + 1) < columns
    for cell, expected in zip(shown, [image, *candidates]):
        np.testing.assert_array_equal(cell, expected if expected.ndim == 3 else np.stack([expected] * 3, axis=-1))


def test_restore_a_file(run, photo, fused_file, fused_model, tmp_path):
    for layer in ("fused", "base", "texture"):
        target = tmp_path / f"{layer}.png"
        code, out, err = run("restore", photo, target, "--force", "--preset", fused_file, "--layer", layer)
        assert (code, out, err) == (0, [f"{photo} -> {target}"], [])
        np.testing.assert_allclose(np.float32(Image.open(target)), Restorer(fused_model, layer)(PHOTO), atol=1)


def test_restore_a_folder(run, photo, fused_file, fused_model, tmp_path):
    gray = photo.parent / "sub" / "gray.jpg"
    gray.parent.mkdir()
    Image.fromarray(PHOTO[..., 0]).save(gray)
    target = tmp_path / "out"
    code, out, err = run("restore", photo.parent, target, "--force", "--preset", fused_file, "--no-consistency")
    assert (code, err) == (0, [])
    assert out == [f"{photo} -> {target}/photo.png", f"{gray} -> {target}/sub/gray.png"]
    with Image.open(gray) as jpeg, Image.open(target / "sub" / "gray.png") as restored:
        np.testing.assert_allclose(np.float32(restored), Restorer(fused_model)(np.asarray(jpeg)), atol=1)


def test_bad_files_of_a_folder_are_named_and_the_others_restored(run, photo, fused_file, tmp_path):
    (photo.parent / "empty.jpg").write_bytes(b"")
    (photo.parent / "text.jpg").write_text("no\nimage")
    code, out, err = run("restore", photo.parent, tmp_path / "out", "--force", "--preset", fused_file)
    assert code == 2
    assert out == [f"{photo} -> {tmp_path}/out/photo.png", "2 failed, 1 restored"]
    assert [line.split(":")[1].strip() for line in err] == [f"{photo.parent}/empty.jpg", f"{photo.parent}/text.jpg"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["photo.png"]


def test_restore_a_color_image_with_a_luma_network(run, photo, luma_file, tmp_path):
    assert run("restore", photo, tmp_path / "out.png", "--force", "--preset", luma_file)[0] == 0
    change = np.int16(Image.open(tmp_path / "out.png")) - PHOTO
    assert np.abs(change).max() > 1
    assert np.median(np.ptp(change, axis=-1)) <= 1


# Candidates of a one-to-many network.


def read(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_candidates_of_a_png(run, photo, noise_file, noise_model, tmp_path):
    target = tmp_path / "new" / "photo.png"
    code, out, err = run("restore", photo, target, "--force", "--preset", noise_file, "--candidates", 2)
    files = [target.with_name(f"photo-{label}.png") for label in (1, 2, "candidates")]
    assert (code, out, err) == (0, [f"{photo} -> {file}" for file in files], [])
    assert sorted(target.parent.iterdir()) == files
    first, second, sheet = map(read, files)
    for seed, candidate in enumerate((first, second)):
        np.testing.assert_allclose(np.float32(candidate), Restorer(noise_model, seed=seed)(PHOTO), atol=1)
    assert (first != second).any()

    height, width = 40 + LABEL_HEIGHT, 33
    assert sheet.shape == (2 * height, 2 * width, 3)
    for row, column, expected in ((0, 0, PHOTO), (0, 1, first), (1, 0, second)):
        cell = sheet[row * height : (row + 1) * height, column * width : (column + 1) * width]
        np.testing.assert_array_equal(cell[LABEL_HEIGHT:], expected)


def test_there_are_no_candidates_of_what_has_lost_nothing(run, photo, noise_file, tmp_path):
    code, [line], err = run("restore", photo, tmp_path / "out.png", "--preset", noise_file, "--candidates", 2)
    assert (code, err) == (0, []) and line.startswith(f"{photo}: skipped, pass through: nothing lost")
    assert line.endswith("; --force restores it") and files_below(tmp_path) == ["in/photo.png"]


def test_candidates_go_on_from_the_seed(run, photo, noise_file, tmp_path):
    for name, arguments in (
        ("a", ["--candidates", 3, "--seed", 4]),
        ("b", ["--candidates", 1, "--seed", 6]),
        ("c", ["--seed", 5]),
        ("d", []),
    ):
        assert run("restore", photo, tmp_path / f"{name}.png", "--force", "--preset", noise_file, *arguments)[0] == 0
    np.testing.assert_array_equal(read(tmp_path / "a-3.png"), read(tmp_path / "b-1.png"))
    np.testing.assert_array_equal(read(tmp_path / "a-2.png"), read(tmp_path / "c.png"))
    assert (read(tmp_path / "c.png") != read(tmp_path / "d.png")).any()
    assert not (tmp_path / "c-1.png").exists()


@pytest.mark.parametrize("image", [PHOTO, PHOTO[..., 0]], ids=["color", "gray"])
@pytest.mark.parametrize("extension", ["png", "webp"])
def test_candidates_of_a_jpeg_come_with_the_share_outside_its_intervals(run, noise_file, tmp_path, image, extension):
    source = tmp_path / "photo.jpg"
    Image.fromarray(image).save(source, quality=35)
    code, out, err = run(
        "restore", source, tmp_path / f"out.{extension}", "--force", "--preset", noise_file, "--candidates", 2
    )
    assert (code, err) == (0, [])
    shares = []
    for number, line in enumerate(out[:2], start=1):
        file = tmp_path / f"out-{number}.{extension}"
        start, note = line.split("  (")
        assert start == f"{source} -> {file}"
        share, text = note.split("% ")
        assert text == "of the DCT coefficients outside the JPEG's interval)"
        given, restored = (Image.open(path).convert("RGB") for path in (source, file))
        expected = share_outside_interval(np.asarray(given), np.asarray(restored), quantization.luma_table(35))
        assert 0.001 < expected < 1
        assert float(share) == pytest.approx(100 * expected, abs=0.051)
        shares.append(share)
    assert shares[0] != shares[1]
    assert out[2:] == [f"{source} -> {tmp_path}/out-candidates.{extension}"]


CANDIDATES = """
import sys
from tfar import cli
code = cli.main(sys.argv[1:])
sys.exit(code or 10 * any(name in sys.modules for name in ("keras", "tensorflow")))
"""


def test_what_is_said_of_candidates_does_without_tensorflow(run, noise_file, tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "a.jpg", quality=20)
    options = ["--preset", noise_file, "--engine", "litert"]
    assert run("restore", tmp_path / "a.jpg", tmp_path / "first.png", *options)[0] == 0  # the file for LiteRT is made
    command = [sys.executable, "-c", CANDIDATES, "restore", tmp_path / "a.jpg", tmp_path / "out.png", *options]
    done = subprocess.run([*map(str, command), "--candidates", "2"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and "outside the JPEG's interval" in done.stdout


def test_a_jpeg_without_a_whole_block_has_no_such_share(run, noise_file, tmp_path):
    source = tmp_path / "photo.jpg"
    Image.fromarray(PHOTO[:7, :30]).save(source)
    code, out, _ = run("restore", source, tmp_path / "out.png", "--force", "--preset", noise_file, "--candidates", 1)
    assert (code, out[0]) == (0, f"{source} -> {tmp_path}/out-1.png")


def test_candidates_of_a_jpeg_that_was_cut_short_have_no_such_share(run, noise_file, tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(PHOTO).save(buffer, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) * 3 // 4])
    arguments = ("--force", "--preset", noise_file, "--candidates", 1, "--partial")
    code, out, err = run("restore", tmp_path / "cut.jpg", tmp_path / "out.png", *arguments)
    assert (code, err) == (0, []) and len(out) == 2
    assert all("cut short" in line and "interval" not in line for line in out)


def test_candidates_of_a_folder(run, refused, photo, noise_file, tmp_path):
    coded = photo.parent / "sub" / "coded.jpg"
    coded.parent.mkdir()
    Image.fromarray(PHOTO[..., 0]).save(coded)
    (photo.parent / "text.jpg").write_text("no image")
    target = tmp_path / "out"
    code, out, err = run("restore", photo.parent, target, "--force", "--preset", noise_file, "--candidates", 1)
    assert code == 2 and len(err) == 1 and "text.jpg" in err[0]
    assert [line.split("  (")[0] for line in out] == [
        f"{photo} -> {target}/photo-1.png",
        f"{photo} -> {target}/photo-candidates.png",
        f"{coded} -> {target}/sub/coded-1.png",
        f"{coded} -> {target}/sub/coded-candidates.png",
        "2 restored, 1 failed",
    ]
    assert ["  (" in line for line in out] == [False, False, True, False, False]

    Image.fromarray(PHOTO).save(photo.with_name("photo-1.png"))
    before = photo.with_name("photo-1.png").read_bytes()
    inputs = (photo, photo.with_name("photo-1.png"))
    line = refused("restore", *inputs, photo.parent, "--force", "--preset", noise_file, "--candidates", 1)
    assert "photo-1.png: is one of the inputs" in line
    assert photo.with_name("photo-1.png").read_bytes() == before


@pytest.mark.parametrize("arguments", [[], ["--layer", "base"]])
def test_networks_without_noise_have_no_candidates(refused, photo, fused_file, tmp_path, arguments):
    command = ["restore", photo, tmp_path / "out.png", "--force", "--preset", fused_file, "--candidates", 2, *arguments]
    assert "gives one restoration of an image; a one-to-many network gives candidates" in refused(*command)
    assert list(tmp_path.iterdir()) == [photo.parent]


@pytest.mark.parametrize("arguments", [[], ["--candidates", 2]])
def test_networks_with_noise_have_no_layers(refused, photo, noise_file, tmp_path, arguments):
    command = ["restore", photo, tmp_path / "out.png", "--force", "--preset", noise_file, "--layer", "base", *arguments]
    assert "no layer 'base'" in refused(*command)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--candidates", "0"], "from 1 up, got '0'"),
        (["--candidates", "-1"], "from 1 up, got '-1'"),
        (["--candidates", "two"], "from 1 up, got 'two'"),
        (["--candidates", "1.5"], "from 1 up, got '1.5'"),
        (["--seed", "-1"], "from 0 up, got '-1'"),
        (["--seed", "x"], "from 0 up, got 'x'"),
    ],
)
def test_numbers_of_candidates_and_seeds_that_cannot_be(capfd, tmp_path, arguments, message):
    with pytest.raises(SystemExit) as caught:
        cli.main(["restore", str(tmp_path / "in.png"), str(tmp_path / "out.png"), *arguments])
    assert caught.value.code == 2
    assert message in capfd.readouterr().err


# What cannot be restored.


def write_truncated_jpeg(path):
    buffer = io.BytesIO()
    Image.fromarray(PHOTO).save(buffer, "JPEG")
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda path: path.write_bytes(b""), "not a readable image"),
        (lambda path: path.write_text("two\nlines"), "not a readable image"),
        (write_truncated_jpeg, "not a readable image"),
        (lambda path: None, "no such file"),
    ],
    ids=["empty", "text", "truncated", "missing"],
)
def test_unreadable_input(refused, fused_file, tmp_path, write, reason):
    write(tmp_path / "bad.jpg")
    line = refused("restore", tmp_path / "bad.jpg", tmp_path / "out.png", "--force", "--preset", fused_file)
    assert str(tmp_path / "bad.jpg") in line
    assert reason in line
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("target", ["out.gif", "in/photo.png/out.png"])
def test_unwritable_output(refused, photo, fused_file, tmp_path, target):
    assert target in refused("restore", photo, tmp_path / target, "--force", "--preset", fused_file)
    assert not (tmp_path / target).exists()


@pytest.mark.parametrize("command", ["restore", "export"])
def test_layer_of_a_single_network(refused, photo, single_file, tmp_path, command):
    inputs = [photo] if command == "restore" else []
    line = refused(command, *inputs, tmp_path / "out.png", "--preset", single_file, "--layer", "base")
    assert "no layer 'base'" in line
    assert not (tmp_path / "out.png").exists()
