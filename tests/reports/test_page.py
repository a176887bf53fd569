import io
import itertools
import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from helpers import decode, headless_chromium, wait_for
from PIL import Image
from plotly.offline import get_plotlyjs

from tfar import pixels
from tfar.evaluation.results import Row
from tfar.reports.page import ERROR_COLORS, ERROR_LIMIT, Picture, error_map, extremes, write_page

NASTY = """<img src=x onerror="alert(1)">&amp;'</script>.png"""
VOID = {"img", "input", "link", "meta"}


class Page(HTMLParser):
    """The page as a list of elements, each a dict with its tag, attributes, text and the tags it lies in."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)
        self.close()
        assert not self.open, "elements without an end"

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "text": "", "within": [outer["tag"] for outer in self.open]} | dict(attributes)
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def close(self):
        super().close()
        for element in self.elements:
            element["text"] = " ".join(element["text"].split())

    def all(self, tag, **attributes):
        return [
            element
            for element in self.elements
            if element["tag"] == tag and all(element.get(name) == value for name, value in attributes.items())
        ]

    def table(self, label):
        """Texts of the cells of the table in the region of that label, one list per line."""
        start = next(i for i, element in enumerate(self.elements) if element.get("aria-label") == label)
        lines = []
        for element in self.elements[start + 1 :]:
            if element.get("role") == "region":
                break
            if element["tag"] == "tr":
                lines.append([])
            elif element["tag"] in ("td", "th"):
                lines[-1].append(element["text"])
        return lines


def row(image="a.png", model="JPEG", *, quality=10, protocol="gray", dataset="LIVE1", seconds=0.125, **scores):
    return Row(
        dataset=dataset,
        image=image,
        protocol=protocol,
        quality=quality,
        model=model,
        bpp=quality / 50,
        seconds=seconds,
        scores=scores,
    )


ROWS = [
    row("a.png", psnr=28.0, lpips=0.3),
    row("a.png", "net", psnr=29.5, lpips=0.25),
    row("b.png", psnr=30.0, lpips=0.2),
    row("b.png", "net", psnr=30.25, lpips=0.22),
    row("c.png", psnr=26.0, lpips=0.4),
    row("c.png", "net", psnr=25.0, lpips=0.3),
]


@pytest.fixture
def page(tmp_path):
    """Write a page and parse it."""

    def page(rows, pictures=(), *, title="Report", published=()):
        write_page(tmp_path / "page.html", rows, pictures, title=title, published=published)
        return Page((tmp_path / "page.html").read_text(encoding="utf-8"))

    return page


def sample(shape=(20, 30), labels=("original", "JPEG", "net"), **place):
    """A picture of random images."""
    rng = np.random.default_rng(1)
    images = {label: rng.integers(0, 256, shape, dtype=np.uint8) for label in labels}
    return Picture(**{"dataset": "LIVE1", "image": "a.png", "protocol": "gray", "quality": 10} | place, images=images)


def charts(page):
    """The data of the plots on a page."""
    return [json.loads(element["text"]) for element in page.all("script", type="application/json")]


def test_means_of_the_scores(page):
    assert page(ROWS).table("Scores on LIVE1, gray") == [
        ["model", "quality", "images", "size bpp", "PSNR dB", "LPIPS", "time s"],
        ["JPEG", "10", "3", "0.200", "28.00", "0.300", "0.125"],
        ["net", "10", "3", "0.200", "28.25", "0.257", "0.125"],
    ]


def test_the_time_is_empty_where_it_was_not_measured(page):
    rows = [row(psnr=28.0), row(model="net", seconds=None, psnr=29.0)]
    assert [line[-1] for line in page(rows).table("Scores on LIVE1, gray")] == ["time s", "0.125", ""]


def test_the_best_of_each_quality_is_strong(page):
    rows = [*ROWS, row(quality=20, psnr=33.0), row(model="net", quality=20, psnr=32.0), row(protocol="color", psnr=9.0)]
    assert [element["text"] for element in page(rows).all("strong")] == ["28.25", "0.257", "33.00"]


def test_missing_and_infinite_scores(page):
    rows = [
        row("a.png", psnr=28.0),
        row("b.png", psnr=math.inf),
        row("a.png", "net", psnr=math.inf),
        row("b.png", "net", psnr=math.inf, unheard=1.5),
    ]
    result = page(rows)
    assert [line[4:6] for line in result.table("Scores on LIVE1, gray")] == [
        ["PSNR dB", "unheard"],
        ["28.00", ""],
        ["∞", "1.500"],
    ]
    assert [element["text"] for element in result.all("li") if "infinite" in element["text"]] == [
        "JPEG, quality 10: PSNR infinite for 1 of 2 images, left out of the mean.",
        "net, quality 10: PSNR infinite for 2 of 2 images.",
    ]
    assert next(e for e in result.all("td") if e["text"] == "∞")["data-sort"] == "inf"
    assert [len(trace["x"]) for chart in charts(result) for trace in chart["data"]] == [1, 1]


PUBLISHED = [
    {
        "method": "AR-CNN",
        "dataset": "live-1",
        "quality": 10,
        "psnr": 28.96,
        "psnr_b": 28.68,
        "ssim": 0.8217,
        "source": "Dong et al., 2015",
    },
    {
        "method": "DnCNN-3",
        "dataset": "LIVE1",
        "quality": 10,
        "psnr": 29.19,
        "psnr_b": None,
        "ssim": 0.8123,
        "source": "https://arxiv.org/abs/1608.03981",
    },
    {"method": "elsewhere", "dataset": "Classic5", "quality": 10, "psnr": 1.0, "source": ""},
    {"method": "unmeasured quality", "dataset": "LIVE1", "quality": 40, "psnr": 1.0, "source": ""},
]


def test_published_scores_of_one_method_are_told_apart_by_their_papers(page):
    other = {**PUBLISHED[0], "source": "Somebody, 2017", "psnr": 29.13}
    result = page(ROWS, published=[*PUBLISHED, other])
    names = [element["text"] for element in result.all("th", scope="row") if element["text"].endswith("published")]
    assert names == ["AR-CNN Dong et al. published", "DnCNN-3 published", "AR-CNN Somebody published"]


def test_published_scores_stand_marked_beside_the_gray_ones(page):
    rows = [row(psnr=27.8, psnr_b=25.3), row(protocol="color", psnr=28.4, psnr_b=25.9)]
    result = page(rows, published=PUBLISHED)
    assert result.table("Scores on LIVE1, gray")[2:] == [
        ["AR-CNN published", "10", "", "", "28.96", "28.68", ""],
        ["DnCNN-3 published", "10", "", "", "29.19", "", ""],
    ]
    assert len(result.table("Scores on LIVE1, color")) == 2
    assert len(result.all("tr", **{"class": "published"})) == 2
    notes = [element["text"] for element in result.all("li") if ", published: " in element["text"]]
    assert notes == ["AR-CNN, published: Dong et al., 2015", "DnCNN-3, published: https://arxiv.org/abs/1608.03981"]
    assert result.all("a", href="https://arxiv.org/abs/1608.03981")


def test_the_page_needs_nothing_else(page, tmp_path):
    page(ROWS, [sample()], published=PUBLISHED)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count(get_plotlyjs()) == 1
    own = re.sub(r'<a href="[^"]*">[^<]*</a>', "", text.replace(get_plotlyjs(), ""))
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", own)
    result = Page(text)
    assert not result.all("iframe") and not [e for e in result.all("script") if "src" in e]
    assert [e["href"] for e in result.all("link")] == ["data:,"]
    assert all(e["src"].startswith("data:") for e in result.all("img"))
    assert "default-src 'none'" in text and "unsafe-eval" not in text
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_all_names_are_escaped(page):
    rows = [row(NASTY, model, protocol=NASTY, dataset=NASTY, psnr=28.0, **{NASTY: 1.0}) for model in ("JPEG", NASTY)]
    picture = sample(labels=("original", "JPEG", NASTY, f"mask of {NASTY}"), image=NASTY, protocol=NASTY, dataset=NASTY)
    published = [{"method": NASTY, "dataset": "LIVE1", "quality": 10, "source": f"https://{NASTY}"}]
    result = page([*rows, row(psnr=1.0)], [picture], title=NASTY, published=published)
    assert not [element for element in result.elements if "onerror" in element]
    assert [element.get("type") for element in result.all("script")][-2:] == [None, None]
    assert {element.get("type") for element in result.all("script")[:-2]} == {"application/json"}
    assert NASTY in {trace["customdata"][0].split(", QF")[0] for chart in charts(result) for trace in chart["data"]}
    assert [element["text"] for element in result.all("title") + result.all("h1")] == [NASTY] * 2
    assert {"original", "JPEG", NASTY, f"error of {NASTY}", f"mask of {NASTY}"} <= {
        element["text"] for element in result.all("option")
    }
    assert f"{NASTY} as restored by {NASTY}" in [element["alt"] for element in result.all("img")]
    assert f"https://{NASTY}" in [element.get("href") for element in result.all("a")]


def test_a_script_in_a_file_name_stays_text(page, tmp_path):
    name = "<script>alert(1)<br>.png"
    result = page([row(name, psnr=28.0), row(name, "net", psnr=29.0)], [sample(image=name)])
    assert "<script>alert" not in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert f"{name} as restored by net" in [element["alt"] for element in result.all("img")]


def test_anchors_and_ids(page):
    result = page(ROWS, [sample(), sample(image="b.png")])
    ids = [element["id"] for element in result.elements if "id" in element]
    assert len(ids) == len(set(ids))
    targets = {element["href"] for element in result.all("a") if "href" in element}
    assert {"#picture-0", "#picture-1", "#scores", "#plots", "#extremes", "#pictures"} <= targets
    assert targets <= {f"#{name}" for name in ids}
    for element in result.elements:
        for name in ("aria-labelledby", "aria-describedby"):
            assert element.get(name, ids[0]) in ids


@pytest.mark.parametrize("rows", [[], ROWS[:1], [row()], [row(model="net", psnr=math.inf)]])
@pytest.mark.parametrize("pictures", [[], [sample(labels=("net",))]])
def test_little_to_show(page, rows, pictures):
    result = page(rows, pictures)
    assert [e["text"] for e in result.all("h2") if e["text"] == "Pictures"] == ["Pictures"] * len(pictures)
    assert not [e for e in result.all("h2") if e["text"] == "Best and worst images"]
    assert len(result.all("img")) == len(pictures)


def test_another_codec_is_not_called_jpeg(page, tmp_path):
    rows = [row(model=model, protocol="webp", psnr=28.0 + len(model)) for model in ("JPEG", "net")]
    picture = sample(protocol="webp")
    assert "a.png as it was coded: webp, quality 10" in [e["alt"] for e in page(rows, [picture]).all("img")]
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "as a JPEG" not in text and "Of the JPEG" not in text and "JPEG size" not in text


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)])
def test_pictures_are_embedded_exactly(page, shape):
    labels = ("original", "JPEG", "net")
    picture = sample(shape, labels)
    mask = np.uint8(np.indices((20, 30)).sum(0) * 5)
    picture = Picture("LIVE1", "a.png", "gray", 10, picture.images | {"mask of net": mask})
    images = {element["alt"]: decode(element["src"]) for element in page(ROWS, [picture]).all("img")}
    alts = ["a.png, the original", "a.png as it was coded: gray, quality 10", "a.png as restored by net"]
    errors = ["a.png: where JPEG differs from the original", "a.png: where net differs from the original"]
    assert list(images) == [*alts, *errors, "a.png: region mask of net"]
    for alt, label in zip(alts, labels):
        np.testing.assert_array_equal(images[alt], pixels.as_rgb(picture.images[label]))
    np.testing.assert_array_equal(images["a.png: region mask of net"], pixels.as_rgb(mask))
    for alt, label in zip(errors, labels[1:]):
        expected = error_map(picture.images["original"], picture.images[label])
        assert (images[alt][expected == 0] == ERROR_COLORS[0]).all()
        assert (images[alt][expected == ERROR_LIMIT // 2] == ERROR_COLORS[2]).all()
        assert (images[alt][expected == ERROR_LIMIT] == ERROR_COLORS[-1]).all()
        assert len(np.unique(images[alt].reshape(-1, 3), axis=0)) == len(np.unique(expected))


def test_error_maps_are_absolute_luma_differences_up_to_a_limit():
    original, restored = np.uint8([[10, 10, 200, 0]]), np.uint8([[10, 13, 195, 255]])
    np.testing.assert_array_equal(error_map(original, restored), [[0, 3, 5, ERROR_LIMIT]])
    rng = np.random.default_rng(2)
    original, restored = rng.integers(100, 120, (2, 5, 6, 3), dtype=np.uint8)
    luma = [pixels.studio_luma(image).astype(int) for image in (original, restored)]
    np.testing.assert_array_equal(error_map(original, restored), np.abs(luma[0] - luma[1]))


def test_first_choice_is_the_jpeg_and_the_first_model(page):
    def chosen(*labels):
        return [e["text"] for e in page([], [sample(labels=labels)]).all("option") if "selected" in e]

    assert chosen("original", "JPEG", "net", "other", "mask of net") == ["JPEG", "net"]
    assert chosen("original", "JPEG", "mask of net") == ["original", "JPEG"]
    assert chosen("original") == ["original", "original"]


@pytest.mark.parametrize(
    "images",
    [
        {},
        {"original": np.zeros((8, 8), np.uint8), "JPEG": np.zeros((8, 9), np.uint8)},
        {"original": np.zeros((8, 8))},
        {"original": np.zeros((8, 8, 4), np.uint8)},
    ],
)
def test_pictures_that_do_not_fit_are_refused(images):
    with pytest.raises(ValueError, match=r"^a\.png"):
        Picture("LIVE1", "a.png", "gray", 10, images)


def named(found):
    return [(extreme.row.image, round(extreme.gain, 6), extreme.best) for extreme in found]


def test_extremes_are_gains_over_the_jpeg():
    assert named(extremes(ROWS, "psnr", True, 1)) == [("a.png", 1.5, True), ("c.png", -1.0, False)]
    assert named(extremes(ROWS, "lpips", False, 1)) == [("c.png", 0.1, True), ("b.png", -0.02, False)]


@pytest.mark.parametrize(("count", "best", "worst"), [(0, "", ""), (1, "a", "e"), (2, "ab", "ed"), (9, "abc", "ed")])
def test_extremes_do_not_name_an_image_twice(count, best, worst):
    rows = [
        row(name, model, psnr=30.0 + (5 - i) * (model == "net"))
        for i, name in enumerate("abcde")
        for model in ("JPEG", "net")
    ]
    found = extremes(rows, "psnr", True, count)
    assert "".join(extreme.row.image for extreme in found if extreme.best) == best
    assert "".join(extreme.row.image for extreme in found if not extreme.best) == worst


def test_extremes_of_each_dataset_protocol_quality_and_model():
    rows = [
        row(model=model, quality=quality, protocol=protocol, dataset=dataset, psnr=quality + len(model))
        for quality in (10, 20)
        for protocol in ("gray", "color")
        for dataset in ("x", "y")
        for model in ("JPEG", "net-1", "net-22")
    ]
    found = extremes(rows, "psnr", True, 3)
    assert [extreme.row for extreme in found] == [one for one in rows if one.model != "JPEG"]
    assert {extreme.gain for extreme in found} == {1, 2}


def test_extremes_with_exact_restorations_and_without_a_score():
    rows = [
        row("exact", psnr=30.0),
        row("exact", "net", psnr=math.inf),
        row("harmed", psnr=math.inf),
        row("harmed", "net", psnr=40.0),
        row("both", psnr=math.inf),
        row("both", "net", psnr=math.inf),
        row("no jpeg", "net", psnr=30.0),
        row("no score"),
        row("no score", "net", psnr=1.0),
    ]
    assert named(extremes(rows, "psnr", True, 2)) == [
        ("exact", math.inf, True),
        ("both", 0.0, True),
        ("harmed", -math.inf, False),
    ]


def test_table_of_extremes_links_to_the_pictures(page):
    result = page(ROWS, [sample(image="c.png")])
    assert result.table("Best and worst images of LIVE1, gray, quality 10")[1:] == [
        ["net", "PSNR dB", "a.png +1.50b.png +0.25", "c.png −1.00"],
        ["net", "LPIPS", "c.png +0.100a.png +0.050", "b.png −0.020"],
    ]
    assert [e["text"] for e in result.all("a", href="#picture-0")] == ["c.png", "c.png"]


def test_scores_of_a_picture(page):
    result = page([*ROWS, row("a.png", quality=20, psnr=1.0)], [sample()])
    assert result.table("Scores of a.png, gray, quality 10") == [
        ["model", "PSNR dB", "LPIPS"],
        ["JPEG", "28.00", "0.300"],
        ["net", "29.50", "0.250"],
    ]


# In the browser

DARK, BRIGHT = 40, 220


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with headless_chromium(tmp_path_factory.mktemp("browser"), size="1000,900") as browser:
        yield browser


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A page with a picture whose JPEG is dark and whose restored image is bright, and one with a name to escape."""
    height, width = 48, 64
    ramp = np.uint8(np.linspace(0, 255, width)[None].repeat(height, axis=0))
    images = {
        "original": ramp,
        "JPEG": np.full_like(ramp, DARK),
        "net": np.full_like(ramp, BRIGHT),
        "mask of net": np.uint8(255 * (ramp > 128)),
    }
    color = sample((30, 20, 3), image=NASTY, protocol="color")
    rows = [
        row(image, model, quality=quality, psnr=base + quality / 10, lpips=0.3 - 0.01 * base)
        for quality in (10, 20)
        for model, base in (("net", 28.0), ("JPEG", 9.0), ("other", 17.5))
        for image in ("a.png", "b.png")
    ]
    rows.append(row("b.png", "exact", psnr=math.inf))
    file = tmp_path_factory.mktemp("page") / "page.html"
    write_page(file, rows, [Picture("LIVE1", "a.png", "gray", 10, images), color], title=NASTY, published=PUBLISHED)
    return file


@pytest.fixture
def shown(browser, file):
    """The page, freshly opened from its file; afterwards the browser's log must be empty."""
    browser.get(file.as_uri())
    wait_for(lambda: browser.execute_script("return [...document.images].every(image => image.complete)"))
    yield browser
    assert browser.get_log("browser") == []


def one(parent, selector):
    return parent.find_element("css selector", selector)


def every(parent, selector):
    return parent.find_elements("css selector", selector)


def brightness(element, x, y=0.25):
    """Mean of some pixels of an element as the browser draws it, at fractions of its width and height."""
    image = np.asarray(Image.open(io.BytesIO(element.screenshot_as_png)).convert("L"))
    row, column = int(y * image.shape[0]), int(x * image.shape[1])
    return image[row - 2 : row + 3, column - 2 : column + 3].mean()


def magnifications(comparison):
    """Scale and offsets (as fractions of the panel) of every image of a comparison."""
    return comparison.parent.execute_script(
        """return [...arguments[0].querySelectorAll(".panel img")].map(image => {
             const matrix = new DOMMatrix(getComputedStyle(image).transform);
             const panel = image.closest(".panel").getBoundingClientRect();
             return [matrix.a, matrix.e / panel.width, matrix.f / panel.height];
           })""",
        comparison,
    )


def drag(browser, element, start, end):
    """Drag with the mouse between fractions of an element's width and height."""
    from selenium.webdriver import ActionChains

    size = element.size
    (x0, y0), (x1, y1) = (((x - 0.5) * size["width"], (y - 0.5) * size["height"]) for x, y in (start, end))
    actions = ActionChains(browser, duration=50).move_to_element_with_offset(element, round(x0), round(y0))
    actions.click_and_hold().move_by_offset(round(x1 - x0), round(y1 - y0)).release().perform()


def test_all_images_load_and_nothing_else_does(shown):
    sizes = shown.execute_script("return [...document.images].map(image => [image.naturalWidth, image.naturalHeight])")
    assert sizes == [[64, 48]] * (2 + 6) + [[20, 30]] * (2 + 5)
    loaded = shown.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert [name for name in loaded if not name.startswith("data:")] == []
    assert shown.title == NASTY


def test_the_slider_moves_the_divide_by_keyboard(shown):
    from selenium.webdriver import Keys

    view, slider = one(shown, ".view"), one(shown, ".slider")
    assert (slider.aria_role, slider.accessible_name) == ("slider", "Divide of a.png")
    assert slider.get_attribute("aria-valuetext") == "50 % JPEG, 50 % net"
    assert [brightness(view, x) for x in (0.25, 0.75)] == pytest.approx([DARK, BRIGHT], abs=2)
    slider.send_keys(Keys.HOME)
    assert [brightness(view, x) for x in (0.25, 0.75)] == pytest.approx([BRIGHT, BRIGHT], abs=2)
    slider.send_keys(Keys.END)
    assert [brightness(view, x) for x in (0.25, 0.75)] == pytest.approx([DARK, DARK], abs=2)
    slider.send_keys(Keys.ARROW_LEFT * 40)
    assert slider.get_attribute("value") == "60"
    assert [brightness(view, x) for x in (0.55, 0.65)] == pytest.approx([DARK, BRIGHT], abs=2)


def test_the_divide_is_dragged_with_the_mouse(shown):
    view, slider = one(shown, ".view"), one(shown, ".slider")
    drag(shown, view, (0.5, 0.5), (0.2, 0.6))
    assert float(slider.get_attribute("value")) == pytest.approx(20, abs=1)
    assert [brightness(view, x) for x in (0.1, 0.3)] == pytest.approx([DARK, BRIGHT], abs=2)
    drag(shown, slider, (0.2, 0.5), (0.9, 0.5))
    assert float(slider.get_attribute("value")) > 80
    assert brightness(view, 0.7) == pytest.approx(DARK, abs=2)


def test_select_boxes_change_the_pictures(shown):
    from selenium.webdriver.support.select import Select

    view, (left, right) = one(shown, ".view"), map(Select, every(shown, ".viewer select")[:2])
    assert [option.text for option in left.options] == [
        "original",
        "JPEG",
        "net",
        "error of JPEG",
        "error of net",
        "mask of net",
    ]
    left.select_by_visible_text("net")
    assert brightness(view, 0.25) == pytest.approx(BRIGHT, abs=2)
    right.select_by_visible_text("original")
    assert brightness(view, 0.75) == pytest.approx(0.75 * 255, abs=6)
    right.select_by_visible_text("mask of net")
    assert brightness(view, 0.75) == pytest.approx(255, abs=2)
    assert [image.get_attribute("alt") for image in every(view, "img")] == [
        "a.png as restored by net",
        "a.png: region mask of net",
    ]
    assert [name.text for name in every(view, ".name")] == ["net", "mask of net"]
    assert one(shown, ".slider").get_attribute("aria-valuetext") == "50 % net, 50 % mask of net"


def test_keys_zoom_and_move_all_pictures_of_a_comparison(shown):
    from selenium.webdriver import Keys

    first, second = every(shown, ".comparison")
    view = one(first, ".view")
    assert magnifications(first) == [[1, 0, 0]] * 8
    view.send_keys("++")
    assert np.allclose(magnifications(first), [2.25, -0.625, -0.625], atol=1e-3)
    assert one(first, "output").text == "2.3×"
    assert magnifications(second) == [[1, 0, 0]] * 7
    view.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert np.allclose(magnifications(first), [2.25, -0.775, -0.925], atol=1e-3)
    view.send_keys(Keys.ARROW_RIGHT * 20)
    assert np.allclose(magnifications(first), [2.25, -1.25, -0.925], atol=1e-3)
    view.send_keys("-")
    assert np.allclose(magnifications(first)[0], [1.5, -0.5, -0.45], atol=2e-3)
    view.send_keys("0")
    assert np.allclose(magnifications(first), [1, 0, 0])
    one(first, ".slider").send_keys("+")
    assert np.allclose(magnifications(first), [1.5, -0.25, -0.25], atol=1e-3)


def test_buttons_zoom_within_limits(shown):
    comparison = one(shown, ".comparison")
    smaller, larger, fit = every(comparison, ".zoom button")
    assert [button.accessible_name for button in (smaller, larger, fit)] == ["Zoom out", "Zoom in", "Fit"]
    smaller.click()
    assert magnifications(comparison) == [[1, 0, 0]] * 8
    for _ in range(12):
        larger.click()
    assert magnifications(comparison)[0][0] == 32
    fit.click()
    assert magnifications(comparison) == [[1, 0, 0]] * 8


def test_the_mouse_moves_and_the_wheel_zooms_a_focused_picture(shown):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

    comparison, panel = one(shown, ".comparison"), every(shown, ".pictures .panel")[2]

    def wheel(amount):
        ActionChains(shown).scroll_from_origin(ScrollOrigin.from_element(panel), 0, amount).perform()

    shown.execute_script("arguments[0].scrollIntoView({block: 'center'})", panel)
    wheel(-10)
    assert magnifications(comparison)[0][0] == 1  # it scrolls the page
    shown.execute_script("arguments[0].scrollIntoView({block: 'center'})", panel)
    panel.click()
    wheel(-100)
    wait_for(lambda: magnifications(comparison)[0][0] > 1)
    scale, left, top = magnifications(comparison)[0]
    assert (scale, left, top) == pytest.approx((1.5, -0.25, -0.25), abs=0.01)
    drag(shown, panel, (0.5, 0.5), (0.6, 0.4))
    assert np.allclose(magnifications(comparison), [1.5, -0.15, -0.35], atol=0.01)
    assert one(shown, ".slider").get_attribute("value") == "50"
    wheel(200)
    wait_for(lambda: magnifications(comparison)[0][0] == 1)


def test_two_fingers_zoom(shown):
    comparison, view = one(shown, ".comparison"), one(shown, ".view")
    shown.execute_script("arguments[0].scrollIntoView({block: 'center'})", view)
    box = shown.execute_script("const box = arguments[0].getBoundingClientRect(); return [box.x, box.y]", view)

    def touch(kind, *offsets):
        fingers = [{"x": box[0] + 300 + offset, "y": box[1] + 200, "id": i} for i, offset in enumerate(offsets)]
        shown.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    touch("touchStart", -20)
    touch("touchStart", -20, 20)
    for distance in range(20, 65, 5):
        touch("touchMove", -distance, distance)
    touch("touchEnd")
    assert magnifications(comparison)[0][0] == pytest.approx(3, abs=0.5)


def test_magnified_pixels_are_squares(shown):
    rendering = "return getComputedStyle(document.querySelector('.view img')).imageRendering"
    assert shown.execute_script(rendering) == "pixelated"  # 64 pixels on some 900
    shown.execute_script("document.querySelector('.frame').style.width = '60px'")
    wait_for(lambda: shown.execute_script(rendering) == "auto")
    one(shown, ".view").send_keys("++")
    assert shown.execute_script(rendering) == "pixelated"


def first_column(browser):
    return [header.text.removesuffix(" published") for header in every(one(browser, "table"), "tbody th")]


def test_tables_sort_by_click_and_by_keyboard(shown):
    from selenium.webdriver import Keys

    quality, psnr = every(shown, "thead th")[1], every(shown, "thead th")[4]
    assert first_column(shown) == ["net", "JPEG", "other", "exact", "AR-CNN", "DnCNN-3", "net", "JPEG", "other"]
    one(psnr, "button").click()
    assert psnr.get_attribute("aria-sort") == "descending"
    assert first_column(shown) == ["exact", "net", "DnCNN-3", "net", "AR-CNN", "other", "other", "JPEG", "JPEG"]
    one(psnr, "button").send_keys(Keys.ENTER)
    assert psnr.get_attribute("aria-sort") == "ascending"
    assert first_column(shown) == ["JPEG", "JPEG", "other", "other", "AR-CNN", "net", "DnCNN-3", "net", "exact"]
    one(quality, "button").send_keys(Keys.SPACE)
    assert (quality.get_attribute("aria-sort"), psnr.get_attribute("aria-sort")) == ("ascending", None)
    assert first_column(shown)[-3:] == ["JPEG", "other", "net"]


def test_empty_cells_stay_last(shown):
    lpips = every(shown, "thead th")[5]
    for _ in range(2):
        one(lpips, "button").click()
        assert sorted(first_column(shown)[-3:]) == ["AR-CNN", "DnCNN-3", "exact"]


def hover_labels(plot):
    """The lines of the labels that Plotly shows in a plot, without the spaces that it adds."""
    return [" ".join(line.text.split()) for line in every(plot, ".hoverlayer .hovertext tspan.line")]


def test_points_of_a_plot_show_their_values_by_keyboard(shown):
    from selenium.webdriver import Keys

    plot, other = every(shown, ".plot")[:2]
    slider = one(plot, "input")
    assert (slider.aria_role, slider.accessible_name) == ("slider", "Points of PSNR against JPEG quality: LIVE1, gray")
    assert hover_labels(plot) == []
    shown.execute_script("arguments[0].focus()", slider)
    values = {"net": (29, 30), "JPEG": (10, 11), "other": (18.5, 19.5)}
    for model, number in itertools.product(values, (0, 1)):
        head, text = f"{model}, QF {(10, 20)[number]}", f"PSNR {values[model][number]:.2f} dB"
        assert slider.get_attribute("aria-valuetext") == f"{head}: {text}"
        wait_for(lambda: hover_labels(plot) == [head, text])
        slider.send_keys(Keys.ARROW_RIGHT)
    assert slider.get_attribute("value") == "5"
    slider.send_keys(Keys.HOME)
    wait_for(lambda: hover_labels(plot) == ["net, QF 10", "PSNR 29.00 dB"])
    slider.send_keys(Keys.ESCAPE)
    wait_for(lambda: hover_labels(plot) == [])
    slider.send_keys(Keys.ARROW_RIGHT)
    wait_for(lambda: hover_labels(plot) == ["net, QF 20", "PSNR 30.00 dB"])
    slider.send_keys(Keys.TAB)
    assert shown.switch_to.active_element == one(other, "input")
    wait_for(lambda: hover_labels(plot) == [])
    wait_for(lambda: hover_labels(other) == ["net, QF 10", "PSNR 29.00 dB at size 0.200 bpp"])


def test_points_of_a_plot_show_their_values_under_the_mouse(shown):
    from selenium.webdriver import ActionChains

    plot = one(shown, ".plot")
    shown.execute_script("arguments[0].scrollIntoView({block: 'center'})", plot)
    points = every(plot, ".scatterlayer .point")
    assert len(points) == 6
    ActionChains(shown).move_to_element(points[3]).perform()
    wait_for(lambda: hover_labels(plot) == ["JPEG, QF 20", "PSNR 11.00 dB"])


def test_plots_show_names_as_they_are(browser, tmp_path):
    name = """<b>&amp;"'</b> $x$ <a href="javascript:alert(1)">%{x}"""
    write_page(tmp_path / "page.html", [row(model=name, psnr=30.0)], [], title="")
    browser.get((tmp_path / "page.html").as_uri())
    plot = one(browser, ".plot")
    assert one(plot, ".legendtext").text == name
    browser.execute_script("arguments[0].focus()", one(plot, "input"))
    wait_for(lambda: hover_labels(plot) == [f"{name}, QF 10", "PSNR 30.00 dB"])
    assert not every(plot, "svg a") and not every(plot, "svg [style*='bold']")
    assert browser.get_log("browser") == []


def test_the_page_fits_a_phone_and_keeps_the_first_column(shown):
    shown.set_window_size(500, 800)
    try:
        width = {"width": 360, "height": 700, "deviceScaleFactor": 1, "mobile": True}
        shown.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", width)
        assert shown.execute_script("return document.documentElement.scrollWidth") <= 360
        scroll, header = one(shown, ".scroll"), one(shown, "tbody th")
        before = header.rect["x"]
        shown.execute_script("arguments[0].scrollLeft = 200", scroll)
        assert shown.execute_script("return arguments[0].scrollLeft", scroll) > 50
        assert header.rect["x"] == pytest.approx(before, abs=1)
    finally:
        shown.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        shown.set_window_size(1000, 900)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_are_readable_in_light_and_dark(shown, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    shown.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def colors(selector, name):
        script = "return [...document.querySelectorAll(arguments[0])].map(one => getComputedStyle(one)[arguments[1]])"
        return shown.execute_script(script, selector, name)

    def readable():
        texts = colors("body, .quiet, a[href], thead th, tr.published th, .note", "color")
        texts += colors(".xtick text, .ytick text, .xtitle, .ytitle, .legendtext", "fill")
        series = colors(".scatterlayer .point", "fill")
        assert len(texts) > 40 and len(series) == 24
        return all(contrast(color, paper) >= 4.5 for color in texts) and all(contrast(c, paper) >= 3 for c in series)

    (paper,) = colors("body", "backgroundColor")
    assert (luminance(paper) > 0.5) == (scheme == "light")
    wait_for(readable)  # Plotly draws anew
    shown.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def luminance(color):
    """Relative luminance of a CSS colour, as the Web Content Accessibility Guidelines define it."""
    channels = np.float64(re.findall(r"[\d.]+", color)[:3]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(a, b):
    dark, bright = sorted((luminance(a), luminance(b)))
    return (bright + 0.05) / (dark + 0.05)
