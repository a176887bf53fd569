"""The client against the stand-in of ``scripts/serving_stand_in.py``: no server of TF Serving can be installed here."""

import http.server
import socket
import threading
import time

import numpy as np
import pytest
import serve_client
from helpers import files_below, largest_difference
from PIL import Image, ImageCms, ImageOps
from skimage import data

from tfar import cli
from tfar.images.read import read_pictures
from tfar.restoration.restorer import Restorer

PHOTO = data.astronaut()[100:164, 180:270]  # 64x90
GRAY = data.camera()[:40, :56]
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
NOT_READ = {"broken.jpg": "the data of the JPEG end early", "other.webp": "neither a JPEG nor a PNG"}


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"  # orientation: to be turned clockwise
    Image.fromarray(PHOTO).save(folder / "color.jpg", quality=20)
    Image.fromarray(PHOTO).save(folder / "turned.jpg", quality=20, exif=exif, icc_profile=PROFILE)
    Image.fromarray(GRAY).save(folder / "sub" / "gray.jpg", quality=20)
    Image.fromarray(np.dstack([PHOTO, PHOTO[..., 0]])).save(folder / "transparent.png")
    Image.fromarray(PHOTO).save(folder / "other.webp")
    (folder / "broken.jpg").write_bytes((folder / "color.jpg").read_bytes()[:-200])
    return folder


@pytest.fixture
def client(capsys):  # capfd would see what libjpeg says in the server, too
    """Run the client in this process; returns the exit code and the lines on stdout and stderr."""

    def client(*options):
        capsys.readouterr()
        parsed = serve_client.arguments().parse_args([str(option) for option in options])
        code = cli.exit_code(serve_client.run, parsed)
        out, err = capsys.readouterr()
        return code, out.splitlines(), err.splitlines()

    return client


@pytest.fixture(params=["rest", "grpc"])
def address(request, addresses):
    return addresses[request.param]


def stored(file):
    """Colors of an image file as they lie in it."""
    return np.asarray(Image.open(file).convert("RGB"))


def test_files_are_restored_and_those_that_cannot_be_are_named(client, address, photos, tmp_path, fused_model):
    code, out, err = client(photos, tmp_path / "out", *address, "--batch", "4")
    assert (code, err) == (2, [f"tfar: {photos / name}: {reason}" for name, reason in NOT_READ.items()])
    names = ["color", "sub/gray", "transparent", "turned"]
    assert files_below(tmp_path / "out") == [f"{name}.png" for name in names]
    assert sorted(out) == sorted(
        f"{photos / file} -> {tmp_path / 'out' / file[:-4]}.png"
        for file in ("color.jpg", "sub/gray.jpg", "transparent.png", "turned.jpg")
    )
    restored = {name: read_pictures(tmp_path / "out" / f"{name}.png")[0] for name in names}
    expected = {name: Restorer(fused_model)(stored(photos / f"{name}.jpg")) for name in ("color", "turned")}
    assert largest_difference(restored["color"].pixels, expected["color"]) <= 1
    assert largest_difference(expected["color"], stored(photos / "color.jpg")) > 1
    assert largest_difference(restored["turned"].pixels, np.rot90(expected["turned"], -1)) <= 1
    given = read_pictures(photos / "turned.jpg")[0].metadata
    assert restored["turned"].metadata.profile == given.profile == PROFILE
    assert restored["turned"].orientation == 1
    assert Image.open(tmp_path / "out" / "turned.png").getexif()[0x010F] == "Maker"
    assert restored["turned"].metadata.note.endswith("preset tfar")
    gray = Restorer(fused_model)(np.asarray(Image.open(photos / "sub" / "gray.jpg")))
    assert largest_difference(restored["sub/gray"].pixels, gray) <= 1
    np.testing.assert_array_equal(restored["transparent"].alpha, PHOTO[..., 0])
    assert restored["color"].alpha is None


def test_what_a_result_does_not_hold_is_said(client, addresses, tmp_path):
    first, second = (Image.fromarray(picture) for picture in (PHOTO, 255 - PHOTO))
    first.save(tmp_path / "moving.png", save_all=True, append_images=[second])
    Image.fromarray(np.uint16(GRAY) * 257).save(tmp_path / "deep.png")
    code, out, err = client(tmp_path / "moving.png", tmp_path / "deep.png", tmp_path / "out", *addresses["rest"])
    assert (code, err) == (0, [])
    assert any(line.endswith("moving.png  (2 frames or pages, of which the first is taken)") for line in out)
    assert any(line.endswith("deep.png  (16 bits a channel, restored to 8)") for line in out)


def test_the_server_does_not_use_the_profile_of_cmyk(client, addresses, tmp_path, fused_model):
    for name, options in (("plain", {}), ("profiled", {"icc_profile": PROFILE})):
        Image.fromarray(PHOTO).convert("CMYK").save(tmp_path / f"{name}.jpg", quality=20, **options)
    files, where = (tmp_path / "plain.jpg", tmp_path / "profiled.jpg"), addresses["grpc"]
    code, [told], [line] = client(*files, tmp_path / "out", *where)
    assert code == 2 and told.endswith("(CMYK without a usable profile, converted to RGB by the plain formula)")
    assert line.startswith(f"tfar: {files[1]}: CMYK with a color profile, which the server does not use")
    plain, profiled = (Restorer(fused_model)(read_pictures(file)[0].pixels) for file in files)
    assert abs(np.float32(stored(tmp_path / "out" / "plain.png")) - plain).mean() < 1  # the formula rounds another way
    assert client(files[1], tmp_path / "out" / "profiled.png", *where, "--strength=1", "--texture=1")[0] == 0
    assert largest_difference(stored(tmp_path / "out" / "profiled.png"), profiled) <= 1


def test_dials(client, address, photos, tmp_path, fused_model):
    file = photos / "color.jpg"
    for dials in ({"texture": 0.0}, {"texture": 0.25, "strength": 0.5}):
        target, options = tmp_path / "out.png", [f"--{name}={value}" for name, value in dials.items()]
        assert client(file, target, *address, *options, "--overwrite")[0] == 0
        restored = read_pictures(target)[0].pixels
        assert largest_difference(restored, Restorer(fused_model, **dials)(stored(file))) <= 1
    assert largest_difference(restored, Restorer(fused_model)(stored(file))) > 1
    code, _, err = client(photos / "sub", photos / "broken.jpg", tmp_path / "out", *address, "--texture=1")
    assert (code, err) == (2, [f"tfar: {photos / 'broken.jpg'}: cut short, its data end early"])
    assert Image.open(tmp_path / "out" / "sub" / "gray.png").mode == "L"


@pytest.mark.parametrize("orientation", range(2, 9))
def test_turned_pictures_are_restored_on_the_grid_of_their_jpegs(client, addresses, tmp_path, fused_model, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PHOTO[:61, :87]).save(tmp_path / "turned.jpg", quality=20, exif=exif)
    assert client(tmp_path / "turned.jpg", tmp_path / "out.png", *addresses["grpc"], "--texture=0.5")[0] == 0
    on_grid = Image.fromarray(Restorer(fused_model, texture=0.5)(stored(tmp_path / "turned.jpg")))
    on_grid.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(on_grid))
    assert largest_difference(read_pictures(tmp_path / "out.png")[0].pixels, expected) <= 1


def test_what_the_server_says_is_told_of_each_file(client, address, photos, tmp_path):
    code, out, err = client(photos / "color.jpg", photos / "turned.jpg", tmp_path / "out", *address, "--strength=1")
    assert (code, out, len(err)) == (2, [], 2)  # the model has layers, whose dials are two
    assert all(str(photos / name) in line for name, line in zip(("color.jpg", "turned.jpg"), err))
    assert all("texture" in line for line in err)
    assert not (tmp_path / "out").exists()


def test_several_files_are_in_a_request(client, addresses, photos, tmp_path, monkeypatch):
    sizes, restore_bytes = [], serve_client.restore_bytes

    def counted(server, contents):
        sizes.append(len(contents))
        return restore_bytes(server, contents)

    monkeypatch.setattr(serve_client, "restore_bytes", counted)
    assert client(photos, tmp_path / "out", *addresses["grpc"], "--batch", "5")[0] == 2
    assert sorted(sizes) == [1, 5]


def test_what_exists_is_left_unless_asked_for(client, addresses, photos, tmp_path):
    target = tmp_path / "color.png"
    target.write_text("mine")
    command = (photos / "color.jpg", target, *addresses["grpc"])
    code, _, [line] = client(*command)
    assert code == 2 and line.startswith(f"tfar: {target}: exists")
    assert client(*command, "--skip-existing") == (0, [], [])
    assert target.read_text() == "mine"
    assert client(*command, "--overwrite")[0] == 0
    assert stored(target).shape == PHOTO.shape
    code, _, [line] = client(photos / "color.jpg", photos / "color.jpg", *addresses["grpc"], "--overwrite")
    assert code == 2 and "is one of the inputs" in line


def test_replies_of_more_than_4_megabytes(client, addresses, tmp_path, noise, monkeypatch):
    import grpc

    Image.fromarray(noise(1100, 1400)).save(tmp_path / "noise.jpg", quality=90)
    assert client(tmp_path / "noise.jpg", tmp_path / "out.png", *addresses["grpc"])[0] == 0
    assert stored(tmp_path / "out.png").shape == (1100, 1400, 3)
    assert (tmp_path / "out.png").stat().st_size > 4 << 20
    channel = grpc.insecure_channel
    monkeypatch.setattr(grpc, "insecure_channel", lambda address, options: channel(address))
    code, _, [line] = client(tmp_path / "noise.jpg", tmp_path / "out2.png", *addresses["grpc"])
    assert code == 2 and "larger than max" in line and line.endswith("(RESOURCE_EXHAUSTED)")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--model-name", "other"], "Servable not found for request: other"),
        (["--model-name", "an other"], "Servable not found for request: an"),
        (["--model-version", "2"], "Servable not found for request: tfar, version 2"),
    ],
)
def test_no_such_model_ends_the_run(client, address, photos, tmp_path, options, reason):
    code, out, [line] = client(photos, tmp_path / "out", *address, *options)
    assert (code, out) == (2, []) and reason in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--model-version=3", "--timeout=1e12"])
def test_the_version_that_is_served_and_any_time(client, address, photos, tmp_path, option):
    assert client(photos / "color.jpg", tmp_path / "out.png", *address, option)[0] == 0


@pytest.mark.parametrize("kind", ["rest", "grpc"])
def test_no_server_ends_the_run(client, photos, tmp_path, kind):
    with socket.socket() as unused:
        unused.bind(("localhost", 0))
        address = f"localhost:{unused.getsockname()[1]}"
        where = ["--rest", f"http://{address}"] if kind == "rest" else ["--grpc", address]
        code, out, [line] = client(photos, tmp_path / "out", *where, "--timeout", "2")
    assert (code, out) == (2, []) and f"{address}" in line and "cannot be reached" in line


@pytest.mark.parametrize("where", ["myhost", "http://[::1", "http://localhost:port"])
def test_what_is_no_address_ends_the_run(client, photos, tmp_path, where):
    code, out, [line] = client(photos, tmp_path / "out", "--rest", where)
    assert (code, out) == (2, []) and f"{where}/v1/models/tfar: not an address" in line


class Strange(http.server.BaseHTTPRequestHandler):
    """Says that a model is there, then answers late, not at all, or nonsense."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if "late" in self.path:
            time.sleep(2)
        elif "nonsense" in self.path:
            self.do_GET()
        # otherwise the connection ends here

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("late", "no answer within 0.5 s"),
        ("nonsense", "not a reply of TF Serving"),
        ("gone", "the connection was lost"),
    ],
)
def test_requests_without_an_answer_fail_their_files(client, photos, tmp_path, model, reason):
    with http.server.ThreadingHTTPServer(("localhost", 0), Strange) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = ["--rest", f"http://localhost:{server.server_port}", "--timeout", "0.5", "--model-name", model]
        code, out, err = client(photos, tmp_path / "out", *where)
        server.shutdown()
    assert (code, out, len(err)) == (2, [], 6)
    assert all(reason in line for line in err)


def test_a_deadline_of_grpc(client, addresses, photos, tmp_path):
    code, _, [line] = client(photos / "color.jpg", tmp_path / "out.png", *addresses["grpc"], "--timeout", "0.001")
    assert code == 2 and ("no answer within 0.001 s" in line or "cannot be reached" in line)


def test_standard_input_is_refused(client, addresses, photos):
    code, _, [line] = client(photos / "color.jpg", "-", *addresses["grpc"])
    assert code == 2 and "standard input and output are not served" in line
