"""What ``tfar restore`` does with the files that people have: nothing is lost, nothing is wrong, and it is told."""

import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from helpers import files_below, unreadable_exif
from PIL import ExifTags, Image, ImageCms, PngImagePlugin
from skimage import data

from tfar import __version__, presets
from tfar.images.read import read_image, read_pictures
from tfar.restoration import files
from tfar.restoration.projection import coded_planes, project
from tfar.restoration.restorer import Restorer

PHOTO = data.astronaut()[:40, :33]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture
def restore(run, fused_file):
    """Run ``tfar restore`` with a tiny network; returns the exit code and the lines on stdout and stderr."""
    return lambda *arguments: run("restore", *arguments, "--preset", fused_file, "--engine", "keras")


def save(path, image=PHOTO, form=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, form, **options)
    return path


def with_exif(**tags):
    exif = Image.Exif()
    for name, value in tags.items():
        exif[getattr(ExifTags.Base, name)] = value
    return exif


def metadata(path):
    return read_pictures(path)[0].metadata


@pytest.mark.parametrize("value", range(1, 9))
def test_pictures_come_out_upright(restore, tmp_path, value):
    source = save(tmp_path / "a.jpg", exif=with_exif(Orientation=value))
    assert restore(source, tmp_path / "out.png")[0] == 0
    with Image.open(tmp_path / "out.png") as image:
        assert image.getexif().get(ExifTags.Base.Orientation, 1) == 1
        change = np.int16(np.asarray(image)) - read_image(source)
    assert np.median(np.abs(change)) < 12


@pytest.mark.parametrize("value", range(2, 9))
def test_pictures_of_which_the_metadata_cannot_be_read_come_out_upright(restore, tmp_path, value):
    for name, exif in (("a.jpg", with_exif(Orientation=value)), ("b.jpg", unreadable_exif(value))):
        code, [line], _ = restore(save(tmp_path / name, exif=exif), tmp_path / f"{name}.png")
        assert code == 0 and ("unreadable metadata dropped" in line) == (name == "b.jpg")
    np.testing.assert_array_equal(read_image(tmp_path / "b.jpg.png"), read_image(tmp_path / "a.jpg.png"))


@pytest.mark.parametrize("extension", ["png", "webp", "tif", "jpg"])
def test_metadata_are_kept_and_a_note_is_left(restore, fused_file, tmp_path, extension):
    options = {"exif": with_exif(Make="Camera"), "icc_profile": SRGB, "dpi": (300, 300), "comment": b"hello"}
    source = save(tmp_path / "a.jpg", xmp=b"<x:xmpmeta/>", **options)
    assert restore(source, tmp_path / f"out.{extension}")[0] == 0
    found = metadata(tmp_path / f"out.{extension}")
    assert (found.xmp, found.profile) == (b"<x:xmpmeta/>", SRGB)
    assert b"Camera" in found.exif and found.note == f"tfar {__version__}, preset {fused_file.parent.name}"
    assert restore(source, tmp_path / f"bare.{extension}", "--strip")[0] == 0
    found = metadata(tmp_path / f"bare.{extension}")
    assert found.profile == SRGB and b"Camera" not in found.exif and not found.xmp and not found.texts


def test_opacity_is_kept_and_hidden_pixels_are_not_touched(restore, tmp_path):
    alpha = np.random.default_rng(0).integers(0, 3, PHOTO.shape[:2]).astype(np.uint8) * 100
    source = save(tmp_path / "a.png", np.dstack([PHOTO, alpha]))
    for name in ("out.png", "out.webp", "deep.png"):
        assert restore(source, tmp_path / name, "--force", "--depth", 16 if name == "deep.png" else 8)[0] == 0
        [found] = read_pictures(tmp_path / name)
        np.testing.assert_array_equal(found.alpha, alpha)
        np.testing.assert_array_equal(found.pixels[alpha == 0], PHOTO[alpha == 0])
        assert (found.pixels[alpha > 0] != PHOTO[alpha > 0]).mean() > 0.2
    code, out, [line] = restore(source, tmp_path / "out.jpg")
    assert code == 2 and "out.jpg: JPEG has no transparency" in line


def test_16_bits(restore, tmp_path):
    source = save(tmp_path / "a.jpg")
    for name, depth in (("out.png", 16), ("8.png", 8)):
        assert restore(source, tmp_path / name, "--depth", depth, "--no-consistency")[0] == 0
    deep = cv2.imread(str(tmp_path / "out.png"), cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert deep.dtype == np.uint16 and len(np.unique(deep % 257)) > 50
    np.testing.assert_allclose(deep / 257, read_image(tmp_path / "8.png"), atol=0.51)
    code, _, [line] = restore(source, tmp_path / "out.webp", "--depth", 16)
    assert code == 2 and "16 bits a channel are written as PNG" in line
    fine = save(tmp_path / "fine.png")
    code, [line], _ = restore(fine, tmp_path / "out.webp", "--depth", 16)
    assert code == 0 and "pass through: nothing lost" in line
    np.testing.assert_array_equal(read_image(tmp_path / "out.webp"), PHOTO)


def test_16_bits_of_a_file_are_said(restore, tmp_path):
    source = tmp_path / "a.png"
    cv2.imwrite(str(source), np.uint16(PHOTO) * 257)
    code, [line], _ = restore(source, tmp_path / "8.png", "--force")
    assert code == 0 and "16 bits a channel, restored to 8 (--depth 16 writes 16)" in line
    code, [line], _ = restore(source, tmp_path / "16.png", "--force", "--depth", 16)
    assert (code, line) == (0, f"{source} -> {tmp_path}/16.png")


def test_what_has_lost_nothing_is_copied_where_its_format_stays(restore, tmp_path):
    source = tmp_path / "in"
    save(source / "fine.jpg", quality=98, exif=with_exif(Orientation=6))
    save(source / "cmyk.jpg", Image.fromarray(PHOTO).convert("CMYK"), quality=98)
    frames = [Image.fromarray(PHOTO), Image.fromarray(255 - PHOTO)]
    save(source / "two.webp", frames[0], save_all=True, append_images=frames[1:], lossless=True)
    cv2.imwrite(str(source / "transparent.bmp"), np.dstack([PHOTO, PHOTO[..., 0]]))
    cv2.imwrite(str(source / "deep.png"), np.uint16(PHOTO) * 257)
    code, out, err = restore(source, tmp_path / "out", "--format", "same", "--frames", "all")
    assert (code, err, out[-1]) == (0, [], "5 passed through")
    for name in files_below(source):
        assert (tmp_path / "out" / name).read_bytes() == (source / name).read_bytes(), name


@pytest.mark.parametrize(
    ("name", "arguments", "note"),
    [
        ("out.png", ["--strip"], "16 bits a channel, of which 8 are written"),
        ("out.webp", [], "16 bits a channel, of which 8 are written"),
        ("out.png", [], None),
    ],
)
def test_what_is_passed_through_with_less_is_said(restore, tmp_path, name, arguments, note):
    source = tmp_path / "a.png"
    cv2.imwrite(str(source), np.uint16(PHOTO) * 257)
    code, [line], _ = restore(source, tmp_path / name, *arguments)
    assert code == 0 and "pass through: nothing lost" in line
    assert (note in line) if note else "16 bits" not in line
    assert read_pictures(tmp_path / name)[0].bits == (8 if note else 16)


@pytest.mark.parametrize(("name", "strip"), [("out.png", ["--strip"]), ("out.tif", []), ("out.webp", [])])
def test_what_is_passed_through_has_the_bits_that_were_asked_for(restore, tmp_path, name, strip):
    source = tmp_path / "a.png"
    cv2.imwrite(str(source), np.uint16(PHOTO) * 257)
    code, _, [line] = restore(source, tmp_path / name, "--depth", 16, *strip)
    problem = "has lost nothing, but of its 16 bits 8 would be written; --force writes 16, as PNG"
    assert code == 2 and line == f"tfar: {source}: {problem}"
    assert not (tmp_path / name).exists()
    deep = tmp_path / "a.tif"
    cv2.imwrite(str(deep), np.uint16(PHOTO) * 257)
    for given in (source, deep):
        assert restore(given, tmp_path / f"copy{given.suffix}", "--depth", 16)[0] == 0
        assert (tmp_path / f"copy{given.suffix}").read_bytes() == given.read_bytes()


def test_each_page_is_looked_at_by_itself(restore, tmp_path):
    photo = data.astronaut()[:160, :160]
    jpeg = np.asarray(Image.open(save(tmp_path / "a.jpg", photo, quality=20)))
    pages = [Image.fromarray(image) for image in (photo, jpeg, np.ascontiguousarray(jpeg[3:, 5:]))]
    source = save(tmp_path / "a.tif", pages[0], save_all=True, append_images=pages[1:])
    code, [line], _ = restore(source, tmp_path / "out.tif", "--frames", "all")
    assert (code, line) == (0, f"{source} -> {tmp_path}/out.tif")
    given, written = (read_pictures(path, frames="all") for path in (source, tmp_path / "out.tif"))
    assert [(a.pixels != b.pixels).any() for a, b in zip(given, written, strict=True)] == [False, True, True]


def test_one_odd_file_does_not_end_the_run(restore, tmp_path, monkeypatch):
    for name in "abc":
        save(tmp_path / "in" / f"{name}.jpg")

    def odd(data, orientation):
        if data == (tmp_path / "in" / "b.jpg").read_bytes():
            raise ZeroDivisionError("division by zero")

    save(tmp_path / "in" / "b.jpg", PHOTO[:30])
    monkeypatch.setattr("tfar.restoration.file_restorer.coded_planes", odd)
    code, out, [line] = restore(tmp_path / "in", tmp_path / "out")
    assert code == 2 and out[-1] == "2 restored, 1 failed"
    assert line == f"tfar: {tmp_path}/in/b.jpg: ZeroDivisionError: division by zero"
    assert files_below(tmp_path / "out") == ["a.png", "c.png"]


IPTC = b"\xff\xed\0\x20Photoshop 3.0\0" + bytes(16)
FILM = b"\0\0\0\x18ftypmp42 and so on"


@pytest.mark.parametrize(
    ("head", "tail", "what"),
    [(IPTC, b"", "Photoshop's data (IPTC)"), (b"", FILM, "a film or other data behind the picture")],
    ids=["IPTC", "a film"],
)
def test_what_is_not_read_is_not_replaced_and_said(restore, tmp_path, head, tail, what):
    source = save(tmp_path / "a.jpg")
    given = source.read_bytes()
    source.write_bytes(given[:2] + head + given[2:] + tail)
    code, _, [line] = restore(source, "--in-place")
    problem = f"holds {what}, which would be lost; it is not replaced; --strip does without"
    assert code == 2 and line == f"tfar: {source}: {problem}"
    assert source.read_bytes() == given[:2] + head + given[2:] + tail
    code, [line], _ = restore(source, tmp_path / "out.png")
    assert (code, line) == (0, f"{source} -> {tmp_path}/out.png  (left out: {what})")
    code, [line], _ = restore(source, "--in-place", "--strip")
    assert (code, line) == (0, f"{source} -> {source}")


@pytest.mark.parametrize("value", [1, 6])
def test_a_jpeg_that_has_lost_nothing_is_stripped_without_losing_anything(restore, tmp_path, value):
    source = save(tmp_path / "a.jpg", quality=98, exif=with_exif(Make="Camera", Orientation=value), comment=b"hello")
    code, [line], _ = restore(source, tmp_path / "out.jpg", "--strip")
    assert code == 0 and ("coded anew at quality 95" in line) == (value != 1)
    found = metadata(tmp_path / "out.jpg")
    assert b"Camera" not in found.exif and not found.texts
    change = np.abs(np.int16(read_image(tmp_path / "out.jpg")) - read_image(source))
    assert change.max() == 0 if value == 1 else change.max() > 0


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_what_has_lost_nothing_is_stripped_in_place(restore, tmp_path, name):
    options = {"quality": 98} if name == "a.jpg" else {}
    source = save(tmp_path / name, exif=with_exif(Make="Camera"), icc_profile=SRGB, **options)
    before = read_image(source)
    code, [line], _ = restore(source, "--in-place")
    assert code == 0 and "skipped" in line and b"Camera" in source.read_bytes()
    code, [line], _ = restore(source, "--in-place", "--strip")
    assert code == 0 and line.startswith(f"{source} -> {source}  (")
    assert b"Camera" not in source.read_bytes() and metadata(source).profile == SRGB
    np.testing.assert_array_equal(read_image(source), before)
    bare = source.read_bytes()
    code, [line], _ = restore(source, "--in-place", "--strip")
    assert code == 0 and "skipped" in line and source.read_bytes() == bare


def test_a_result_is_stripped_and_not_restored_again(restore, tmp_path):
    source, made = save(tmp_path / "a.jpg", quality=20, exif=with_exif(Make="Camera")), tmp_path / "made.png"
    assert restore(source, made)[0] == 0
    before = read_image(made)
    code, [line], _ = restore(made, tmp_path / "bare.png", "--strip")
    assert code == 0 and "is a result already" in line
    code, [line], _ = restore(made, "--in-place", "--strip")
    assert code == 0 and "is a result already" in line
    for path in (made, tmp_path / "bare.png"):
        assert not metadata(path).exif
        np.testing.assert_array_equal(read_image(path), before)


def test_an_avif_of_more_bits_is_not_replaced(restore, tmp_path):
    source = tmp_path / "a.avif"
    cv2.imwrite(str(source), np.uint16(PHOTO) * 4, [cv2.IMWRITE_AVIF_DEPTH, 10])
    before = source.read_bytes()
    for depth in (8, 16):
        code, _, [line] = restore(source, "--in-place", "--depth", depth)
        problem = "has 10 bits a channel, of which AVIF is written with 8; it is not replaced"
        assert code == 2 and line == f"tfar: {source}: {problem}"
    assert source.read_bytes() == before
    code, [line], _ = restore(source, tmp_path / "out.png")
    assert code == 0 and "10 bits a channel, restored to 8 (--depth 16 writes 16)" in line


def test_texts_are_kept_in_16_bits(restore, tmp_path):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Title", "a title")
    source = save(tmp_path / "a.png", pnginfo=texts)
    assert restore(source, "--in-place", "--force", "--depth", 16)[0] == 0
    [found] = read_pictures(source)
    assert (found.bits, found.metadata.texts) == (16, {"Title": "a title"})


def test_a_profile_that_does_not_fit_is_said(restore, tmp_path):
    source = save(tmp_path / "a.jpg", PHOTO[..., 0], icc_profile=SRGB)
    for name, kept in (("out.png", False), ("out.webp", True)):
        code, [line], _ = restore(source, tmp_path / name)
        assert code == 0 and ("its color profile is of another kind than its pixels and left out" in line) != kept
        assert metadata(tmp_path / name).profile == (SRGB if kept else b"")


@pytest.mark.parametrize("kind", ["a second picture", "metadata", "metadata without a sense"])
def test_what_would_be_lost_is_not_replaced(restore, tmp_path, kind):
    if kind.startswith("metadata"):
        exif = unreadable_exif(3) if kind == "metadata" else b"Exif\0\0 what no camera has ever written"
        source = save(tmp_path / "a.jpg", exif=exif)
        problem = "its metadata cannot be read and would be lost; it is not replaced"
    else:
        pair = [Image.fromarray(PHOTO), Image.fromarray(255 - PHOTO)]
        source = save(tmp_path / "a.jpg", pair[0], "MPO", save_all=True, append_images=pair[1:], quality=60)
        problem = "holds 2 pictures (MPO), its result one; it is not replaced"
    before = source.read_bytes()
    for arguments in ([], ["--frames", "all"]):
        code, _, [line] = restore(source, "--in-place", *arguments)
        assert code == 2 and line == f"tfar: {source}: {problem}"
        assert source.read_bytes() == before
    assert restore(source, tmp_path / "out.png")[0] == 0
    if kind != "a second picture":
        assert restore(source, "--in-place", "--strip")[0] == 0


@pytest.mark.parametrize("kind", ["frames", "16 bits"])
def test_nothing_is_replaced_by_less(restore, tmp_path, kind):
    source = tmp_path / "a.png"
    if kind == "frames":
        save(source, Image.fromarray(PHOTO), save_all=True, append_images=[Image.fromarray(255 - PHOTO)], duration=50)
        missing, needed = "has 2 frames or pages; in place it needs --frames all", ["--frames", "all"]
    else:
        cv2.imwrite(str(source), np.uint16(PHOTO) * 257)
        missing, needed = "has 16 bits a channel; in place it needs --depth 16", ["--depth", 16]
    before = source.read_bytes()
    code, [line], _ = restore(source, "--in-place", *needed)
    assert code == 0 and "skipped, pass through: nothing lost" in line
    code, _, [line] = restore(source, "--in-place", "--force")
    assert code == 2 and f"{source}: {missing}" in line
    assert source.read_bytes() == before
    assert restore(source, "--in-place", "--force", *needed)[0] == 0
    found = read_pictures(source, frames="all")
    assert (len(found), found[0].bits) == ((2, 8) if kind == "frames" else (1, 16)) and found[0].metadata.note


def test_nothing_is_lost_only_where_all_pages_were_looked_at(restore, tmp_path):
    photo = data.astronaut()[:160, :160]
    coded = Image.open(save(tmp_path / "a.jpg", photo, quality=15)).convert("RGB")
    source = save(tmp_path / "a.tif", Image.fromarray(photo), save_all=True, append_images=[coded])
    before = source.read_bytes()
    code, _, [line] = restore(source, "--in-place")
    assert code == 2 and line == f"tfar: {source}: has 2 frames or pages; in place it needs --frames all"
    assert source.read_bytes() == before
    assert restore(source, "--in-place", "--frames", "all")[0] == 0
    first, second = read_pictures(source, frames="all")
    assert (first.pixels == photo).all() and (second.pixels != np.asarray(coded)).any()


@pytest.mark.parametrize(("name", "form"), [("a.gif", "GIF"), ("a.jp2", "JPEG2000"), ("a.ppm", "PPM")])
def test_what_cannot_be_written_is_not_replaced(restore, tmp_path, name, form):
    source = save(tmp_path / name)
    before = source.read_bytes()
    code, _, [line] = restore(source, "--in-place", "--force")
    assert code == 2 and source.read_bytes() == before
    problem = f"{form} cannot be written, so it is not replaced; restore it into another file"
    assert line == f"tfar: {source}: {problem}"


def test_the_second_picture_of_a_file_is_not_held_to_the_first_ones_intervals(restore, tmp_path):
    pair = [Image.fromarray(PHOTO), Image.fromarray(255 - PHOTO)]
    source = save(tmp_path / "a.mpo", pair[0], "MPO", save_all=True, append_images=pair[1:], quality=60)
    assert restore(source, tmp_path / "out.tif", "--frames", "all")[0] == 0
    for given, written in zip(read_pictures(source, frames="all"), read_pictures(tmp_path / "out.tif", frames="all")):
        assert np.abs(np.int16(given.pixels) - written.pixels).mean() < 12


def test_cmyk_is_said_and_32_bits_are_refused(restore, tmp_path):
    code, [line], _ = restore(save(tmp_path / "a.jpg", Image.fromarray(PHOTO).convert("CMYK")), tmp_path / "out.png")
    assert code == 0 and "CMYK without a usable profile, converted to RGB" in line
    code, _, [line] = restore(save(tmp_path / "f.tif", np.float32(PHOTO[..., 0])), tmp_path / "f.png")
    assert code == 2 and "f.tif: 32 bits a channel" in line


def test_frames(restore, tmp_path):
    frames = [Image.fromarray(np.roll(PHOTO, 5 * i, axis=1)) for i in range(3)]
    source = save(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:], duration=[40, 50, 60])
    code, [line], _ = restore(source, tmp_path / "first.png")
    assert code == 0 and "3 frames or pages, of which the first is taken (--frames all takes all)" in line
    assert len(read_pictures(tmp_path / "first.png", frames="all")) == 1
    code, [line], _ = restore(source, tmp_path / "all.webp", "--frames", "all", "--force")
    assert (code, line) == (0, f"{source} -> {tmp_path}/all.webp")
    assert [picture.duration for picture in read_pictures(tmp_path / "all.webp", frames="all")] == [40, 50, 60]


def test_existing_outputs_and_inputs_are_safe(restore, tmp_path):
    source = save(tmp_path / "in" / "a.jpg")
    original = source.read_bytes()
    out = tmp_path / "out.png"
    assert restore(source, source)[0] == restore(source, source, "--overwrite")[0] == 2
    assert restore(source, out)[0] == 0
    made = out.read_bytes()
    code, _, [line] = restore(source, out)
    assert code == 2 and "out.png: exists; --skip-existing keeps what is there, --overwrite replaces it" in line
    code, [line], _ = restore(source, out, "--skip-existing")
    assert code == 0 and line == f"{source}: skipped, exists"
    out.write_bytes(b"something else")
    assert restore(source, out, "--overwrite")[0] == 0
    assert out.read_bytes() == made
    assert source.read_bytes() == original


def test_in_place(restore, tmp_path):
    photo = save(tmp_path / "a.jpg", quality=30, exif=with_exif(Make="Camera"))
    picture = save(tmp_path / "b.png")
    photo.chmod(0o640)
    code, out, err = restore(photo, picture, "--in-place", "--force")
    assert (code, err) == (0, [])
    assert out == [f"{photo} -> {photo}", f"{picture} -> {picture}"]
    assert Image.open(photo).format == "JPEG" and b"Camera" in metadata(photo).exif and metadata(photo).note
    assert (read_image(picture) != PHOTO).any()
    assert os.stat(photo).st_mode & 0o777 == 0o640
    code, out, _ = restore(photo, picture, "--in-place")
    assert code == 0 and all("is a result already" in line for line in out[:2])
    assert files_below(tmp_path) == ["a.jpg", "b.png"]


def test_a_file_without_extension_keeps_its_format_in_place(restore, tmp_path):
    source = save(tmp_path / "photo", form="JPEG")
    assert restore(source, "--in-place")[0] == 0
    assert Image.open(source).format == "JPEG" and metadata(source).note


def test_results_are_not_restored_again(restore, tmp_path):
    source = save(tmp_path / "a.jpg")
    assert restore(tmp_path, tmp_path / "restored")[0] == 0
    assert restore(tmp_path, tmp_path / "restored")[0] == 2
    code, out, err = restore(tmp_path, tmp_path / "restored", "--skip-existing")
    assert (code, err) == (0, [])
    assert out[0] == f"{source}: skipped, exists"
    assert out[-1] == f"passed over 1: {tmp_path}/restored (the output folder)"
    code, [line], _ = restore(tmp_path / "restored" / "a.png", tmp_path / "b.png")
    assert code == 0 and line.startswith(f"{tmp_path}/restored/a.png: skipped, is a result already (tfar")
    code, out, _ = restore(tmp_path / "restored" / "a.png", tmp_path / "b.png", "--again")
    assert code == 0 and (tmp_path / "b.png").exists()


def test_folders_are_taken_by_content_and_the_rest_is_told(restore, tmp_path):
    source = tmp_path / "in"
    for name, form in (("a.jfif", "JPEG"), ("b.jpe", "JPEG"), ("c", "PNG"), ("d.avif", "AVIF"), ("e.jp2", "JPEG2000")):
        save(source / name, form=form)
    save(source / ".hidden.png")
    (source / "notes.txt").write_text("no image")
    report = tmp_path / "report.json"
    code, out, err = restore(source, tmp_path / "out", "--report", report)
    assert (code, err) == (0, [])
    assert files_below(tmp_path / "out") == ["a.png", "b.png", "c.png", "d.png", "e.png"]
    assert out[-2:-1] == ["4 restored, 1 passed through"]
    assert out[-1] == f"passed over 2: {source}/.hidden.png (hidden), {source}/notes.txt (no image)"
    found = json.loads(report.read_text())
    assert [file["status"] for file in found["files"]] == [*["restored"] * 2, "passed through", *["restored"] * 2]
    assert [file["outputs"] for file in found["files"]][2] == [f"{tmp_path}/out/c.png"]
    assert found["passed_over"] == {f"{source}/.hidden.png": "hidden", f"{source}/notes.txt": "no image"}
    code, out, err = restore(source, tmp_path / "quiet", "--quiet")
    assert (code, out, err) == (0, [], [])


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("in/a.jpg", "is an input or an output"),
        ("out/a.png", "is an input or an output"),
        ("in", "cannot be written (a folder of this name exists)"),
        ("in/a.jpg/report.json", "a.jpg is no folder"),
        ("link.json", "is a link, which would be replaced"),
    ],
)
def test_a_report_is_written_over_no_picture_and_no_folder(restore, tmp_path, name, problem):
    source = save(tmp_path / "in" / "a.jpg")
    before = source.read_bytes()
    (tmp_path / "link.json").symlink_to("/dev/null")
    code, _, [line] = restore(source, tmp_path / "out" / "a.png", "--report", tmp_path / name)
    assert code == 2 and f"{tmp_path / name}: " in line and problem in line
    assert source.read_bytes() == before and not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_read_is_not_passed_over_in_silence(restore, tmp_path, monkeypatch):
    save(tmp_path / "in" / "a.jpg")
    closed = tmp_path / "in" / "closed"
    others = {closed: "unreadable folder (Permission denied)"}
    monkeypatch.setattr(files, "find_images", lambda folder, recursive: ([tmp_path / "in" / "a.jpg"], others))
    code, out, err = restore(tmp_path / "in", tmp_path / "out")
    assert code == 2 and err == [f"tfar: {closed}: unreadable folder (Permission denied)"]
    assert files_below(tmp_path / "out") == ["a.png"]


def test_same_keeps_formats(restore, tmp_path):
    save(tmp_path / "in" / "a.jpg")
    save(tmp_path / "in" / "b.webp")
    save(tmp_path / "in" / "c.gif")
    code, _, [line] = restore(tmp_path / "in", tmp_path / "out", "--format", "same")
    assert code == 2 and "c.gif" in line and "GIF cannot be written; choose another --format" in line
    assert {path.name: Image.open(path).format for path in (tmp_path / "out").iterdir()} == {
        "a.jpg": "JPEG",
        "b.webp": "WEBP",
    }


def test_a_jpeg_that_was_cut_short(restore, tmp_path):
    whole = save(tmp_path / "a.jpg").read_bytes()
    source = tmp_path / "cut.jpg"
    source.write_bytes(whole[: len(whole) * 3 // 4])
    code, _, [line] = restore(source, tmp_path / "out.png")
    assert code == 2 and "cut short, its data end early; --partial restores what is there" in line
    code, [line], _ = restore(source, tmp_path / "out.png", "--partial")
    assert code == 0 and "cut short; taken as far as it decodes" in line
    whole = save(tmp_path / "fine.jpg", quality=100).read_bytes()
    source.write_bytes(whole[: len(whole) // 2])
    said = "cut short; taken as far as it decodes; pass through: nothing lost: JPEG of quality 100; --force restores it"
    code, [line], _ = restore(source, tmp_path / "fine.png", "--partial")
    assert (code, line) == (0, f"{source} -> {tmp_path}/fine.png  ({said})")
    code, [line], _ = restore(source, "--in-place", "--partial")
    assert (code, line) == (0, f"{source}: skipped, {said}")
    code, _, [line] = restore(tmp_path / "a.jpg", tmp_path / "small.png", "--max-megapixels", 0.001)
    assert code == 2 and "33x40 are 0 megapixels, the limit is 0.001; --max-megapixels changes it" in line


def test_names_of_any_bytes(fused_file, tmp_path):
    name = os.fsdecode(b"caf\xe9 \xf0\x9f\x98\x80.jpg")
    save(tmp_path / "a.jpg").rename(tmp_path / name)
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = start(fused_file, tmp_path, tmp_path / "out", env=environment).communicate()
    assert done[1] == b"" and b"caf\\udce9 \\U0001f600.jpg -> " in done[0]
    assert len(list((tmp_path / "out").iterdir())) == 1


CODE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started without it
from tfar.cli import main
raise SystemExit(main())
"""


def start(fused_file, *arguments, **options):
    command = [sys.executable, "-c", CODE, "restore", *arguments]
    command += ["--preset", fused_file, "--engine", "keras"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.PIPE}
    return subprocess.Popen([str(part) for part in command], **pipes, **options)


@pytest.mark.parametrize("form", ["webp", "tiff"])
def test_standard_input_and_output(fused_file, tmp_path, form):
    source = save(tmp_path / "a.jpg")
    out, err = start(fused_file, "-", "-", "--format", form).communicate(source.read_bytes())
    assert err == b"- -> -\n"
    [picture] = read_pictures(out)
    assert picture.format == form.upper() and picture.metadata.note and picture.pixels.shape == PHOTO.shape


def test_what_has_lost_nothing_goes_from_standard_input_to_standard_output(fused_file, tmp_path):
    given = save(tmp_path / "a.png").read_bytes()
    out, err = start(fused_file, "-", "-").communicate(given)
    assert out == given and b"pass through: nothing lost" in err


@pytest.mark.parametrize("target", ["out.jpg", "-"])
def test_metadata_that_a_format_cannot_hold(restore, tmp_path, target):
    source = save(tmp_path / "a.png", exif=with_exif(ImageDescription="x" * 70000))
    path = tmp_path / target if target != "-" else target
    code, out, [line] = restore(source, path, "--format", "jpeg", "--force")
    assert (code, out) == (2, [])
    assert line == f"tfar: {path}: cannot be written (EXIF data is too long); --strip leaves metadata out"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_whole_files_only(fused_file, tmp_path, number):
    for i in range(100):
        save(tmp_path / "in" / f"{i:02}.jpg", np.tile(PHOTO, (6, 6, 1)))
    process = start(fused_file, tmp_path / "in", tmp_path / "out")
    while not (tmp_path / "out" / "01.png").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate()
    assert process.returncode == 130
    assert err == b"tfar: interrupted\n"
    left = files_below(tmp_path / "out")
    assert 1 <= len(left) < 100
    assert all(read_image(tmp_path / "out" / name).shape == (240, 198, 3) for name in left)


def test_a_full_disk_stops_the_run(restore, tmp_path, monkeypatch):
    for name in "abc":
        save(tmp_path / "in" / f"{name}.jpg")
    begun = []

    def full(image, file, *_, **__):
        begun.append(file)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    code, out, [line] = restore(tmp_path / "in", tmp_path / "out")
    assert (code, out) == (2, [])
    assert line.endswith("out/a.png: cannot be written (No space left on device); the run stops here")
    assert files_below(tmp_path / "out") == [] and len(begun) < 3


def test_what_is_known_of_the_quality(restore, tmp_path, monkeypatch):
    monkeypatch.setattr(presets, "qualities", lambda name: (10, 40))
    for quality, warned in ((12, False), (44, False), (75, True)):
        source = save(tmp_path / f"{quality}.jpg", quality=quality)
        code, [line], _ = restore(source, tmp_path / f"{quality}.png")
        assert code == 0 and (f"its quality is {quality}, but" in line) == warned
        assert ("is for 10 to 40: try --preset general" in line) == warned
    code, [line], _ = restore(source, tmp_path / "told.png", "--quality", 30)
    assert code == 0 and "its quality is" not in line
    code, [line], _ = restore(save(tmp_path / "98.jpg", quality=98), tmp_path / "98.png", "--verbose")
    assert code == 0 and "pass through: nothing lost: JPEG of quality 98; --force restores it" in line
    np.testing.assert_array_equal(read_image(tmp_path / "98.png"), read_image(tmp_path / "98.jpg"))
    assert not metadata(tmp_path / "98.png").note


def test_consistency_can_be_turned_off(restore, tmp_path):
    source = save(tmp_path / "a.jpg", quality=60)
    for name, arguments in (("with.png", []), ("without.png", ["--no-consistency"])):
        assert restore(source, tmp_path / name, *arguments)[0] == 0
    coded = coded_planes(source.read_bytes())
    found = {name: read_image(tmp_path / f"{name}.png") for name in ("with", "without")}
    moved = project(found["without"], coded)
    assert (moved != found["without"]).mean() > 0.1
    np.testing.assert_array_equal(found["with"], moved)


def test_tiles_lie_on_the_grid_that_was_found(restore, tmp_path, monkeypatch):
    offsets = []
    call = Restorer.__call__

    def record(self, image, *, offset, **options):
        offsets.append(offset)
        return call(self, image, offset=offset, **options)

    monkeypatch.setattr(Restorer, "__call__", record)
    whole = Image.open(save(tmp_path / "a.jpg", data.astronaut()[:250, :250], quality=40))
    save(tmp_path / "crop.png", whole.crop((3, 6, 240, 240)))
    for name in ("a.jpg", "crop.png"):
        assert restore(tmp_path / name, tmp_path / f"out-{name}.png")[0] == 0
    assert offsets == [(0, 0), (2, 5)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.jpg"], "restore needs an input and an output"),
        (["a.jpg", "--in-place", "--format", "webp"], "--in-place goes with neither --candidates nor --format"),
        (["a.jpg", "b.png", "--candidates", 2, "--frames", "all"], "--candidates goes with --frames first only"),
        (["a.jpg", "b.png", "--candidates", 2, "--depth", 16], "--candidates goes with --depth 8 only"),
    ],
)
def test_arguments_that_do_not_go_together(restore, arguments, message):
    code, _, [line] = restore(*arguments)
    assert code == 2 and message in line
