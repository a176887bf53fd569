import contextlib
import functools
import hashlib
import http.server
import io
import json
import re
import shutil
import struct
import tarfile
import threading

import numpy as np
import pytest
from helpers import NOISE_GENERATOR, headless_chromium, largest_difference, perturb, wait_for
from PIL import Image, ImageCms, ImageOps
from skimage import data

import tfar
from tfar.errors import TfarError
from tfar.export.saved_model import export_saved_model
from tfar.export.web import PAGE, RUNTIME, export_web, server
from tfar.export.web import TILE as TILE_OF_DEFAULT
from tfar.models import main_output
from tfar.models.one_to_many import proposal_network
from tfar.restoration.restorer import Restorer

TILE = 112
ORIENTATION = 0x0112


@pytest.fixture(scope="module")
def page(single_model, tmp_path_factory):
    """The page of the tiny network, in small tiles."""
    folder = tmp_path_factory.mktemp("page")
    export_saved_model(single_model, folder / "saved_model", output="image")
    export_web(folder / "saved_model", folder / "web", preset="tiny", version="1.2", quantize="none", tile=TILE)
    return folder / "web"


@contextlib.contextmanager
def serving(http):
    """The address of a server that runs."""
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}/"
    finally:
        http.shutdown()
        http.server_close()


def plain_server(folder, cached="no-cache"):
    """A server such as any static host: without the headers that isolate a page; ``cached`` is its Cache-Control."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def end_headers(self):
            self.send_header("Cache-Control", cached)
            super().end_headers()

        def log_message(self, *arguments):
            pass

    return http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))


def one(within, selector):
    return within.find_element("css selector", selector)


def every(within, selector):
    return within.find_elements("css selector", selector)


def open_page(browser, address):
    browser.get(address)
    wait_for(lambda: one(browser, "#status").text.startswith("Ready"), 60)


def restore(browser, *files):
    """Choose files, and wait for their cards to end; returns these."""
    before = len(every(browser, ".card"))
    one(browser, "#choose").send_keys("\n".join(map(str, files)))
    wait_for(lambda: len(every(browser, ".card[data-state]")) == before + len(files), 240)
    return every(browser, ".card")[before:]


def downloaded(folder, name):
    """A PNG once it is there; Chromium reserves its name with an empty file, over which it moves the finished one."""
    file = folder / "downloads" / name
    wait_for(lambda: file.is_file() and file.stat().st_size)
    return Image.open(file)


def download(browser, folder, card):
    link = one(card, ".download")
    link.click()
    return downloaded(folder, link.get_attribute("download"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def opened(page, folder):
    """A browser that shows the page."""
    with serving(server(page, 0)) as address, headless_chromium(folder, "1000,900") as browser:
        open_page(browser, address)
        yield browser


def swapped_profile():
    """The profile of a colour space with sRGB's red and green exchanged, in which colours look entirely different."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"none").replace(b"gXYZ", b"rXYZ").replace(b"none", b"gXYZ")


PROFILE = swapped_profile()
GRAY_PROFILE = PROFILE.replace(b"RGB ", b"GRAY")
PHOTO = data.coffee()[:250, :300]
JPEGS = {
    "several tiles, 4:2:0": (PHOTO[:171, :205], {}),
    "4:4:4 in whole blocks": (PHOTO[:160, :176], {"subsampling": 0}),
    "progressive": (PHOTO[:115, :113], {"progressive": True}),
    "gray": (data.camera()[:133, :150], {"icc_profile": GRAY_PROFILE}),
    "as long as a tile": (PHOTO[:TILE, :TILE], {}),
    "with a profile": (PHOTO[:130, :120], {"icc_profile": PROFILE}),
}


def size_seen(size):
    return size if size % 8 == 0 else size - 16


@pytest.mark.parametrize("name", JPEGS)
def test_the_page_restores_as_tfar_does(opened, folder, single_model, tmp_path, name):
    pixels, options = JPEGS[name]
    file = tmp_path / f"{name.replace(' ', '-').replace(':', '').replace(',', '')}.jpg"
    Image.fromarray(pixels).save(file, quality=30, **options)
    [card] = restore(opened, file)
    assert card.get_attribute("data-state") == "done", card.text
    png = download(opened, folder, card)
    given = np.asarray(Image.open(file))
    same, expected = np.asarray(png), Restorer(single_model)(given)
    assert same.shape == expected.shape
    # This network sees the very end of an image, which a tile has only where that is on a multiple of 8.
    seen = np.s_[: size_seen(given.shape[0]), : size_seen(given.shape[1])]
    assert largest_difference(same[seen], expected[seen]) <= 1
    assert largest_difference(same, given) > 2
    assert (png.mode, png.info.get("icc_profile")) == ("L" if name == "gray" else "RGB", options.get("icc_profile"))
    assert one(card, ".size").text == f"{png.width} × {png.height}"


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_jpeg_is_restored_on_its_grid(opened, folder, single_model, tmp_path, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    file = tmp_path / f"turned-{orientation}.jpg"
    Image.fromarray(PHOTO[:121, :151]).save(file, quality=30, exif=exif)
    [card] = restore(opened, file)
    restored = np.asarray(download(opened, folder, card))
    on_grid = Image.fromarray(Restorer(single_model)(np.asarray(Image.open(file))))
    on_grid.getexif()[ORIENTATION] = orientation
    expected = np.asarray(ImageOps.exif_transpose(on_grid))
    assert restored.shape == expected.shape
    assert one(card, ".size").text == f"{expected.shape[1]} × {expected.shape[0]}"
    inner = np.s_[16:-16, 16:-16]  # see above
    assert largest_difference(restored[inner], expected[inner]) <= 1


@pytest.mark.parametrize(
    "mode, profile, mode_of_png", [("CMYK", PROFILE, "RGB"), ("L", PROFILE, "L"), ("RGB", GRAY_PROFILE, "RGB")]
)
def test_a_profile_that_the_png_cannot_have_is_left_out(opened, folder, tmp_path, mode, profile, mode_of_png):
    file = tmp_path / f"{mode}-with-a-profile.jpg"
    Image.fromarray(PHOTO[:80, :100]).convert(mode).save(file, quality=90, icc_profile=profile)
    [card] = restore(opened, file)
    png = download(opened, folder, card)
    assert (png.mode, png.size, png.info.get("icc_profile")) == (mode_of_png, (100, 80), None)


def test_stray_bytes_between_segments_are_passed_over(opened, folder, tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    content = io.BytesIO()
    Image.fromarray(PHOTO[:80, :100]).save(content, "JPEG", exif=exif)
    stray = content.getvalue().replace(b"\xff\xe1", b"\0\x17\xff\0\xff\xff\xe1").replace(b"\xff\xc0", b"\0\xff\xc0")
    assert len(stray) == len(content.getvalue()) + 6
    (tmp_path / "stray.jpg").write_bytes(stray)
    [card] = restore(opened, tmp_path / "stray.jpg")
    assert card.get_attribute("data-state") == "done", card.text
    assert download(opened, folder, card).size == (80, 100)


def with_exif_behind_the_frame(content):
    """A JPEG with its EXIF moved behind the frame header, where it may stand, too."""
    start = content.index(b"\xff\xe1")
    end = start + 2 + int.from_bytes(content[start + 2 : start + 4], "big")
    frame = content.index(b"\xff\xc0", end)
    behind = frame + 2 + int.from_bytes(content[frame + 2 : frame + 4], "big")
    return content[:start] + content[end:behind] + content[start:end] + content[behind:]


def with_a_long_orientation(content):
    """A JPEG of which EXIF holds the orientation in four bytes; browsers then take the picture as it is stored."""
    short, long = (struct.pack("<HHI", ORIENTATION, kind, 1) for kind in (3, 4))
    assert content.count(short) == 1
    return content.replace(short, long)


@pytest.mark.parametrize(
    "changed, size", [(with_exif_behind_the_frame, (80, 100)), (with_a_long_orientation, (100, 80))]
)
def test_a_jpeg_is_turned_as_the_browser_turns_it(opened, folder, tmp_path, changed, size):
    exif = Image.Exif()
    exif.endian, exif[ORIENTATION] = "<", 6
    content = io.BytesIO()
    Image.fromarray(PHOTO[:80, :100]).save(content, "JPEG", exif=exif)
    file = tmp_path / f"{changed.__name__}.jpg"
    file.write_bytes(changed(content.getvalue()))
    [card] = restore(opened, file)
    assert card.get_attribute("data-state") == "done", card.text
    shown = opened.execute_script(
        "return [arguments[0].naturalWidth, arguments[0].naturalHeight]", one(card, ".before")
    )
    assert (download(opened, folder, card).size, tuple(shown)) == (size, size)


def test_the_png_has_no_extension_of_the_jpeg(opened, tmp_path):
    Image.fromarray(PHOTO[:80, :100]).save(tmp_path / "photo.jpe")
    [card] = restore(opened, tmp_path / "photo.jpe")
    assert one(card, ".download").get_attribute("download") == "photo.png"


def test_what_is_in_a_card_is_named_after_its_file(opened, tmp_path):
    Image.fromarray(PHOTO[:80, :100]).save(tmp_path / "named.jpg")
    [card] = restore(opened, tmp_path / "named.jpg")
    assert [element.accessible_name for element in every(card, "a, button, input")] == [
        "Download PNG of named.jpg",
        "Remove named.jpg",
        "Divide of named.jpg",
        "Actual pixels of named.jpg",
    ]


def test_damaged_exif_is_none(opened, tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    content = io.BytesIO()
    Image.fromarray(PHOTO[:80, :100]).save(content, "JPEG", exif=exif)
    damaged = content.getvalue().replace(b"MM\0*\0\0\0\x08", b"MM\0*\0\0\xff\x08")
    assert damaged != content.getvalue()
    (tmp_path / "damaged-exif.jpg").write_bytes(damaged)
    [card] = restore(opened, tmp_path / "damaged-exif.jpg")
    assert one(card, ".size").text == "100 × 80", card.text


def test_an_image_smaller_than_a_tile(opened, folder, single_model, tmp_path):
    Image.fromarray(PHOTO[:61, :43]).save(tmp_path / "small.jpg", quality=30)
    [card] = restore(opened, tmp_path / "small.jpg")
    restored = np.asarray(download(opened, folder, card))
    expected = Restorer(single_model)(np.asarray(Image.open(tmp_path / "small.jpg")))
    assert restored.shape == expected.shape
    assert largest_difference(restored[:-16, :-16], expected[:-16, :-16]) <= 1  # the network sees no end of the image


def test_several_files_are_restored_one_after_the_other_and_downloaded_at_once(opened, folder, tmp_path):
    opened.execute_script(
        """window.states = [];
        new MutationObserver((changes) => changes.forEach(({target}) => target.matches?.(".state") &&
            states.push(target.closest(".card").querySelector(".name").textContent + ": " + target.textContent)))
        .observe(document.querySelector("#files"), {subtree: true, childList: true});"""
    )
    for name in ("first", "second"):
        Image.fromarray(PHOTO[:120, :150]).save(tmp_path / f"{name}.jpg")
    restore(opened, tmp_path / "first.jpg", tmp_path / "second.jpg")
    seen = opened.execute_script("return states")
    assert seen == [f"{name}: {done} of 4 tiles" for name in ("first.jpg", "second.jpg") for done in range(5)]
    one(opened, "#download-all").click()
    for name in ("first", "second"):
        png = downloaded(folder, f"{name}.png")
        png.load()
        assert png.size == (150, 120)


def test_files_are_removed_while_they_are_computed_and_afterwards(opened, tmp_path):
    opened.execute_script("window.heard = []; worker.addEventListener('message', ({data}) => heard.push(data))")
    for name, pixels in (("long", np.tile(PHOTO, (6, 5, 1))), ("waiting", PHOTO), ("short", PHOTO[:80, :100])):
        Image.fromarray(pixels).save(tmp_path / f"{name}.jpg")
    one(opened, "#choose").send_keys("\n".join(str(tmp_path / f"{name}.jpg") for name in ("long", "waiting", "short")))
    long, waiting, short = every(opened, ".card")[-3:]
    wait_for(lambda: "tiles" in one(long, ".state").text)
    for card, name in ((waiting, "waiting"), (long, "long")):
        button = one(card, ".remove")
        assert button.accessible_name == f"Remove {name}.jpg"
        button.click()
    wait_for(lambda: short.get_attribute("data-state") == "done")
    assert every(opened, ".card")[-1] == short and waiting not in every(opened, ".card")
    heard = opened.execute_script("return heard.map(({id, done, total, png}) => [id, done, total, !!png])")
    first = heard[0][0]
    assert {id for id, *_ in heard} == {first, first + 2}
    assert [id for id, *_, png in heard if png] == [first + 2]
    assert all(done < total for id, done, total, _ in heard if id == first)
    assert opened.switch_to.active_element == one(short, ".remove")

    url = one(short, ".download").get_attribute("href")
    loads = """const image = new Image();
        image.onload = () => arguments[1](true);
        image.onerror = () => arguments[1](false);
        image.src = arguments[0];"""
    assert opened.execute_async_script(loads, url)
    one(short, ".remove").click()
    assert short not in every(opened, ".card")
    assert not opened.execute_async_script(loads, url)


def test_what_cannot_be_restored_fails_alone(opened, tmp_path):
    content = io.BytesIO()
    Image.fromarray(PHOTO).save(content, "JPEG")
    Image.fromarray(PHOTO).save(tmp_path / "drawing.jpg", "PNG")
    (tmp_path / "damaged.jpg").write_bytes(content.getvalue()[:400] + b"\xff\xd9")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "whole.jpg").write_bytes(content.getvalue())
    cards = restore(opened, *(tmp_path / f"{name}.jpg" for name in ("drawing", "damaged", "empty", "whole")))
    assert [card.get_attribute("data-state") for card in cards] == ["failed"] * 3 + ["done"]
    no_jpeg, undecodable = (
        "This is not a JPEG file.",
        "This browser cannot decode the file: it is damaged, or too large.",
    )
    assert [one(card, ".state").text for card in cards[:3]] == [no_jpeg, undecodable, no_jpeg]
    told = [one(card, ".told") for card in cards]
    assert {element.aria_role for element in told} == {"status"}
    assert [element.get_attribute("textContent") for element in told] == [
        f"drawing.jpg: {no_jpeg}",
        f"damaged.jpg: {undecodable}",
        f"empty.jpg: {no_jpeg}",
        "whole.jpg is restored.",
    ]


def test_the_divide_is_moved_by_keyboard(opened, tmp_path):
    from selenium.webdriver import Keys

    Image.fromarray(PHOTO).save(tmp_path / "photo.jpg")
    [card] = restore(opened, tmp_path / "photo.jpg")
    view, slider = one(card, ".view"), one(card, ".view input")
    assert (slider.aria_role, slider.accessible_name) == ("slider", "Divide of photo.jpg")
    clipped = "return getComputedStyle(arguments[0].querySelector('.before')).clipPath"
    for key, path, text in (
        (Keys.HOME, "inset(0px 100% 0px 0px)", "0 % JPEG, 100 % restored"),
        (Keys.END, "inset(0px 0% 0px 0px)", "100 % JPEG, 0 % restored"),
    ):
        slider.send_keys(key)
        assert opened.execute_script(clipped, view) == path
        assert slider.get_attribute("aria-valuetext") == text
    sizes = opened.execute_script("return [...arguments[0].querySelectorAll('img')].map(i => i.naturalWidth)", view)
    assert sizes == [300, 300]


def test_files_are_dropped(opened):
    before = len(every(opened, ".card"))
    opened.execute_script(
        """const data = new DataTransfer();
        data.items.add(new File(["no image"], "dropped.jpg"));
        document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));"""
    )
    wait_for(lambda: len(every(opened, ".card")) == before + 1)
    card = every(opened, ".card")[-1]
    assert one(card, ".name").text == "dropped.jpg"
    wait_for(lambda: card.get_attribute("data-state") == "failed")


@pytest.mark.parametrize("place", ["page", "worker"])
def test_nothing_can_be_sent_elsewhere(opened, tmp_path, place):
    with serving(plain_server(tmp_path)) as elsewhere:
        fetched = f"fetch('{elsewhere}', {{mode: 'no-cors'}}).then(() => 'sent', () => 'refused')"
        script = {
            "page": f"{fetched}.then(arguments[0])",
            "worker": f"""const worker = new Worker(URL.createObjectURL(
                new Blob([`{fetched}.then((text) => postMessage(text))`], {{type: "text/javascript"}})));
                worker.onmessage = ({{data}}) => arguments[0](data);""",
        }
        assert opened.execute_async_script(script[place]) == "refused"


def test_the_worker_is_under_the_policy_of_the_page(page):
    script = (page / "page.js").read_text(encoding="utf-8")
    assert re.findall(r"new Worker\((.*)\);", script) == ["URL.createObjectURL(script)"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone_in_light_and_dark(opened, scheme):
    width = {"width": 360, "height": 700, "deviceScaleFactor": 1, "mobile": True}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", width)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        assert opened.execute_script("return document.documentElement.scrollWidth") <= 360
        paper = opened.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (int(re.search(r"\d+", paper).group()) > 127) == (scheme == "light")
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_several_threads_where_the_page_is_isolated(opened):
    assert opened.execute_script("return crossOriginIsolated")
    cores = opened.execute_script("return navigator.hardwareConcurrency")
    assert int(one(opened, "html").get_attribute("data-threads")) == min(cores, 8)


def test_works_offline_from_any_static_server(page, single_model, tmp_path):
    Image.fromarray(PHOTO[:120, :150]).save(tmp_path / "photo.jpg")
    with headless_chromium(tmp_path, "800,700") as browser:
        with serving(plain_server(page)) as address:
            open_page(browser, f"{address}index.html?from=elsewhere")
            assert one(browser, "#about").text == "Network: tiny of tfar 1.2, computed by LiteRT.js."
        open_page(browser, address)
        open_page(browser, f"{address}index.html?from=elsewhere")
        assert one(browser, "html").get_attribute("data-threads") == "1"
        [card] = restore(browser, tmp_path / "photo.jpg")
        restored = np.asarray(download(browser, tmp_path, card))
    expected = Restorer(single_model)(np.asarray(Image.open(tmp_path / "photo.jpg")))
    assert largest_difference(restored[:, :-16], expected[:, :-16]) <= 1


def test_a_page_that_is_exported_anew_is_taken(page, tmp_path):
    new = shutil.copytree(page, tmp_path / "new")
    with serving(plain_server(new, "max-age=3600")) as address, headless_chromium(tmp_path, "800,700") as browser:
        open_page(browser, address)
        for name in ("index.html", "settings.json"):
            text = (new / name).read_text(encoding="utf-8")
            (new / name).write_text(text.replace("Restore JPEGs", "Anew").replace("tiny", "another"), encoding="utf-8")
        open_page(browser, address)
        assert one(browser, "h1").text == "Anew"
        assert one(browser, "#about").text.startswith("Network: another of tfar")


def is_kept(browser, name):
    return browser.execute_async_script("caches.match(arguments[0]).then((kept) => arguments[1](!!kept))", name)


@pytest.mark.parametrize("bytes_granted", [1, 1_000_000], ids=["nothing", "all but the runtime"])
def test_works_where_the_browser_grants_little_storage(page, tmp_path, bytes_granted):
    Image.fromarray(PHOTO[:60, :80]).save(tmp_path / "photo.jpg")
    with serving(plain_server(page)) as address, headless_chromium(tmp_path, "800,700") as browser:
        quota = {"origin": address.strip("/"), "quotaSize": bytes_granted}
        browser.execute_cdp_cmd("Storage.overrideQuotaForOrigin", quota)
        open_page(browser, address)
        assert one(browser, "#status").text == "Ready."
        assert is_kept(browser, "page.js") == (bytes_granted > 1)
        assert not is_kept(browser, "vendor/litert_wasm_internal.wasm")
        [card] = restore(browser, tmp_path / "photo.jpg")
        assert card.get_attribute("data-state") == "done"


def test_says_that_it_works_offline_once_it_does(page, tmp_path):
    late = shutil.copytree(page, tmp_path / "late")
    script = (page / "sw.js").read_text(encoding="utf-8")
    claim = "self.clients.claim()"
    later = script.replace(claim, f"new Promise((done) => setTimeout(done, 2000)).then(() => {claim})")
    assert later != script
    (late / "sw.js").write_text(later, encoding="utf-8")
    with serving(plain_server(late)) as address, headless_chromium(tmp_path, "800,700") as browser:
        open_page(browser, address)
        assert one(browser, "#status").text == "Ready. Works offline from now on."
        assert is_kept(browser, "model.tflite") and is_kept(browser, "vendor/litert_wasm_internal.wasm")


PHOTOGRAPHS = {  # file -> pixels, and options of the JPEG
    "chelsea": (data.chelsea()[:300], {"quality": 60, "subsampling": 0}),
    "coffee": (data.coffee()[:400, :600], {"quality": 20}),
    "astronaut": (data.astronaut()[:, :500], {"quality": 40}),
    "camera": (data.camera()[:300, :333], {"quality": 30}),
    "progressive": (data.coffee()[:300, :300], {"quality": 15, "progressive": True}),
    "small": (data.coffee()[100:230, 200:301], {"quality": 15}),
}


@pytest.fixture(scope="module")
def default_page(tmp_path_factory):
    """The page of the default preset, in the form that it has by default."""
    folder = tmp_path_factory.mktemp("default")
    export_saved_model(tfar.load(), folder / "saved_model", output=main_output(tfar.load()))
    export_web(folder / "saved_model", folder / "web", preset="general", version="1")
    return folder / "web"


@pytest.mark.parametrize(
    "names", [["chelsea"], pytest.param([*PHOTOGRAPHS], marks=pytest.mark.slow)], ids=["one", "all"]
)
def test_the_default_preset_on_photographs(default_page, tmp_path, names):
    files = [tmp_path / f"{name}.jpg" for name in names]
    for name, file in zip(names, files):
        pixels, options = PHOTOGRAPHS[name]
        Image.fromarray(pixels).save(file, **options)
    with serving(server(default_page, 0)) as address, headless_chromium(tmp_path, "800,700") as browser:
        open_page(browser, address)
        cards = restore(browser, *files)
        images = [np.asarray(download(browser, tmp_path, card)) for card in cards]
    for name, file, restored in zip(names, files, images):
        apart = abs(np.int16(restored) - tfar.restore(file, exact=True))
        share = (apart > 2).mean()
        print(f"{name}, {restored.shape}: {apart.max()} levels apart at most, {share:.4%} more than 2")
        if min(restored.shape[:2]) >= TILE_OF_DEFAULT:
            assert apart.max() <= 6 and share <= 5e-4  # 8 bits against 32


@pytest.mark.slow
def test_a_network_that_takes_noise(tmp_path):
    model = perturb(proposal_network(**NOISE_GENERATOR), 3)
    export_saved_model(model, tmp_path / "saved_model", output="image")
    export_web(tmp_path / "saved_model", tmp_path / "web", preset="noisy", version="1", tile=TILE)
    pixels = PHOTO[:131, :150]
    Image.fromarray(pixels).save(tmp_path / "photo.jpg")
    with serving(server(tmp_path / "web", 0)) as address, headless_chromium(tmp_path, "800,700") as browser:
        open_page(browser, address)
        [card] = restore(browser, tmp_path / "photo.jpg")
        restored = np.float32(download(browser, tmp_path, card))
    given = np.asarray(Image.open(tmp_path / "photo.jpg"))
    drawn = [np.float32(Restorer(model, seed=seed)(given)) for seed in range(3)]
    apart = abs(drawn[0] - drawn[1]).mean()  # two restorations with noise of their own
    assert abs(restored - drawn[2]).mean() == pytest.approx(apart, rel=0.2)


def test_the_vendored_runtime_is_the_one_that_its_readme_names():
    named = re.findall(r"^(\w{64})  (\S+)$", (PAGE / "vendor" / "README.md").read_text(encoding="utf-8"), re.M)
    with tarfile.open(RUNTIME) as archive:
        held = {(hashlib.sha256(archive.extractfile(one).read()).hexdigest(), one.name) for one in archive}
    assert set(named) == held and len(held) == 6


def test_the_folder_holds_what_the_page_loads(page):
    script = (page / "sw.js").read_text(encoding="utf-8")
    shell = set(json.loads(re.search(r"SHELL = (\[.*\])", script)[1])) - {"./"}
    runtime = {f"litert_wasm_{build}internal.{end}" for build in ("", "compat_", "threaded_") for end in ("js", "wasm")}
    assert {path.name for path in (page / "vendor").iterdir()} == {"LICENSE", "README.md", "litert.js"} | runtime
    assert {path.name for path in page.iterdir()} == shell | {
        *("index.html", "model.tflite", "settings.json", "sw.js", "vendor")
    }
    settings = {"name": "tiny", "version": "1.2", "tile": TILE, "margin": 32, "noise": False}
    assert json.loads((page / "settings.json").read_text(encoding="utf-8")) == settings


@pytest.mark.parametrize("tile", [80, 100])
def test_tiles_that_the_page_cannot_have(tmp_path, tile):
    with pytest.raises(TfarError, match=f"a multiple of 16 from 96 up, got {tile}"):
        export_web(tmp_path, tmp_path / "web", preset="tiny", version="1", tile=tile)


def test_a_port_that_is_taken(tmp_path):
    with serving(server(tmp_path, 0)) as address, pytest.raises(TfarError, match=r"^port \d+ of this machine: "):
        server(tmp_path, int(address.split(":")[2].strip("/")))
