import csv
import io
import json
import re

import numpy as np
import pytest
from helpers import decode, headless_chromium, save_image, wait_for
from skimage import data

from tfar import jpeg
from tfar.errors import TfarError
from tfar.pixels import as_rgb
from tfar.reports.study import Opinion, folder_pictures, format_images, format_table, score_votes, write_study

CAT, CUP = data.chelsea()[:96, :128], data.coffee()[:200, :150, 1]
PICTURES = {
    "cat.png": {"original": CAT, "JPEG": jpeg.compress(CAT, 10), "region-aware-q10": jpeg.compress(CAT, 60)},
    "cup, gray": {"original": CUP, "JPEG": jpeg.compress(CUP, 10), "region-aware-q10": jpeg.compress(CUP, 60)},
}
NAMES = "JPEG|region-aware|q10|cat.png|cup, gray|tfar"
IDS = {"a1": ("cat", "JPEG"), "a2": ("cat", "mine"), "b1": ("cup", "JPEG"), "b2": ("cup", "mine")}


def without_pictures(page):
    """The page's text with its data URIs, in which any four letters may occur, left out."""
    return re.sub(r"data:image/webp;base64,[A-Za-z0-9+/=]+", "", page)


def embedded(page):
    return json.loads(re.search(r'<script type="application/json" id="study">(.*?)</script>', page, re.DOTALL)[1])


def test_page_and_key(tmp_path):
    key_file = write_study(tmp_path / "new" / "test.html", PICTURES, seed=3, title="Which <is> it?")
    assert key_file == tmp_path / "new" / "test.key.json"
    page, key = (tmp_path / "new" / "test.html").read_text(encoding="utf-8"), json.loads(key_file.read_text())
    study = embedded(page)
    assert page.count("Which &lt;is&gt; it?") == 2 and "<is>" not in page
    assert key["study"] == study["id"] and key["seed"] == 3 and key["title"] == "Which <is> it?"
    assert [trial["id"] for trial in study["trials"]] == sorted(key["trials"]) == list(key["trials"])
    assert sorted((trial["image"], trial["candidate"]) for trial in key["trials"].values()) == [
        ("cat.png", "JPEG"),
        ("cat.png", "region-aware-q10"),
        ("cup, gray", "JPEG"),
        ("cup, gray", "region-aware-q10"),
    ]


def test_page_holds_the_exact_pictures(tmp_path):
    key = json.loads(write_study(tmp_path / "test.html", PICTURES).read_text())
    study = embedded((tmp_path / "test.html").read_text(encoding="utf-8"))

    for trial in study["trials"]:
        image, candidate = key["trials"][trial["id"]].values()
        np.testing.assert_array_equal(decode(trial["picture"]), as_rgb(PICTURES[image][candidate]))
        np.testing.assert_array_equal(decode(study["sources"][trial["source"]]), as_rgb(PICTURES[image]["original"]))


def test_a_script_in_a_file_name_or_a_title_stays_text(tmp_path):
    name = "<script>alert(1)<br>"
    for folder in "abc":
        save_image(tmp_path / folder / f"{name}.png", CAT[:20, :20])
    pictures = folder_pictures(tmp_path / "a", {"JPEG": tmp_path / "b", name: tmp_path / "c"})
    key = json.loads(write_study(tmp_path / "test.html", pictures, title="<script>alert(2)").read_text())
    assert {(trial["image"], trial["candidate"]) for trial in key["trials"].values()} == {(name, "JPEG"), (name, name)}
    page = (tmp_path / "test.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page and page.count("&lt;script&gt;alert(2)") == 2
    assert embedded(page)["trials"]


def test_page_names_nothing_and_needs_no_network(tmp_path):
    write_study(tmp_path / "test.html", PICTURES)
    page = without_pictures((tmp_path / "test.html").read_text(encoding="utf-8"))
    assert not re.search(NAMES, page, re.IGNORECASE)
    assert "http:" not in page and "https:" not in page and "src=" not in page
    assert "default-src 'none'" in page and "script-src 'sha256-" in page


def test_same_input_same_page_and_another_seed_other_ids(tmp_path):
    pages, ids = [], []
    for name, pictures, seed in [
        ("a", PICTURES, 1),
        ("b", PICTURES, 1),
        ("c", PICTURES, 2),
        ("d", {"cat.png": PICTURES["cat.png"]}, 1),
    ]:
        key = write_study(tmp_path / f"{name}.html", pictures, seed=seed)
        pages.append((tmp_path / f"{name}.html").read_bytes())
        ids.append(set(json.loads(key.read_text())["trials"]))
    assert pages[0] == pages[1]
    assert not ids[0] & ids[2] and not ids[0] & ids[3]


@pytest.mark.parametrize(
    ("pictures", "title", "message"),
    [
        ({}, "", "at least one image"),
        ({"a": {"JPEG": CAT}}, "", 'a: .*"original"'),
        ({"a": {"original": CAT}}, "", "a: .*candidate"),
        ({"a": {"original": CAT, "mine": CAT[1:]}}, "", r"a, mine: its size \(95, 128\)"),
        ({"a": {"original": CAT, "mine": CAT / 255}}, "", "a, mine: expected uint8"),
        ({"a": {"original": CAT, "mine": CAT[..., :2]}}, "", "a, mine: expected uint8"),
        (PICTURES, "jpeg against ours", "gives the candidate 'JPEG' away"),
    ],
)
def test_unfit_studies_are_refused(tmp_path, pictures, title, message):
    with pytest.raises(TfarError, match=message):
        write_study(tmp_path / "test.html", pictures, title=title)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def saved(tmp_path):
    """A function that writes a votes file, by default with the columns that are needed, beside its key."""
    trials = {id: {"image": image, "candidate": candidate} for id, (image, candidate) in IDS.items()}
    (tmp_path / "test.key.json").write_text(json.dumps({"study": "s", "trials": trials}))

    def save(name, rows, header="study,participant,trial,score", encoding="utf-8"):
        file = tmp_path / f"{name}.csv"
        file.write_bytes("\r\n".join([header, *rows, ""]).encode(encoding))
        return file

    save.key = tmp_path / "test.key.json"
    return save


def test_opinions_reckoned_by_hand(saved):
    # JPEG has the votes 40, 60 and 80 on the cat: mean 60, deviation 20, Student's t for two degrees of freedom
    # 4.302653, so the interval is 4.302653 x 20 / sqrt(3). With 20 and 30 on the cup: mean 46, deviation
    # sqrt((36 + 196 + 1156 + 676 + 256) / 4) = 24.083189, t for four degrees of freedom 2.776445.
    files = [
        saved("ana", ["s,ana,a1,40", "s,ana,b1,20", "s,ana,a2,90"]),
        saved("both", ["s,ben,a1,60", "s,ben,b1,30", "s,eve,a1,80", "s,eve,a2,91.5"], encoding="utf-8-sig"),
    ]
    scores = score_votes(files, saved.key)
    assert scores.participants == 3
    cat, cup = scores.images["cat"], scores.images["cup"]
    assert cat["JPEG"] == Opinion(60, pytest.approx(49.682755, abs=1e-5), 3)
    assert cat["mine"] == Opinion(90.75, pytest.approx(12.706205 * 1.0606602 / np.sqrt(2), abs=1e-5), 2)
    assert (cup["mine"].count, np.isnan(cup["mine"].mean), np.isnan(cup["mine"].interval)) == (0, True, True)
    assert scores.candidates["JPEG"] == Opinion(46, pytest.approx(2.776445 * 24.083189 / np.sqrt(5), abs=1e-5), 5)
    assert format_table(scores).splitlines() == [
        "|  | MOS (95% interval) | votes |",
        "| --- | ---: | ---: |",
        "| mine | 90.8 ± 9.5 | 2 |",
        "| JPEG | 46.0 ± 29.9 | 5 |",
    ]
    assert format_images(scores).splitlines() == [
        "|  | JPEG | mine |",
        "| --- | ---: | ---: |",
        "| cat | 60.0 ± 49.7 | 90.8 ± 9.5 |",
        "| cup | 25.0 ± 63.5 | - |",
    ]


def test_one_vote_has_no_interval(saved):
    scores = score_votes([saved("votes", ["s,ana,a1,0"])], saved.key)
    assert scores.candidates["JPEG"].mean == 0 and np.isnan(scores.candidates["JPEG"].interval)
    assert format_table(scores).splitlines()[2:] == ["| JPEG | 0.0 | 1 |", "| mine | - | 0 |"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("s,ana,a1,100.5", "'100.5' is not a number from 0 to 100"),
        ("s,ana,a1,-1", "'-1' is not"),
        ("s,ana,a1,nan", "'nan' is not"),
        ("s,ana,a1,good", "'good' is not"),
        ("s,ana,a1,", "'' is not"),
        ("s,ana,a1", "None is not"),
        ("s,ana,a9,50", "unknown trial a9"),
        ("t,ana,a1,50", "study t, .* that of s"),
        ("s, ,a1,50", "no participant"),
        ("s,ben,a1,50", r"ben has voted in trial a1 already \(.*ben.csv: line 3\)"),
    ],
)
def test_broken_votes_are_named_with_their_line(saved, row, message):
    files = [saved("ben", ["s,ben,b1,3", "s,ben,a1,3"]), saved("votes", ["s,ana,a2,5", row, "s,ana,b2,7"])]
    with pytest.raises(TfarError, match=f"votes.csv: line 3: .*{message}") as caught:
        score_votes(files, saved.key)
    assert "\n" not in str(caught.value)


def test_broken_files_are_named(saved, tmp_path):
    with pytest.raises(TfarError, match="votes.csv: line 1: no column trial, score"):
        score_votes([saved("votes", [], header="study,participant")], saved.key)
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(TfarError, match="empty.csv: line 1: no column"):
        score_votes([tmp_path / "empty.csv"], saved.key)
    with pytest.raises(TfarError, match="absent.csv: cannot be read"):
        score_votes([tmp_path / "absent.csv"], saved.key)
    with pytest.raises(TfarError, match="votes.csv: not a CSV file in UTF-8"):
        score_votes([saved("votes", ["s,Zoë,a1,3"], encoding="latin-1")], saved.key)
    with pytest.raises(TfarError, match="votes.csv: line 2: not CSV"):
        score_votes([saved("votes", [f"s,{'x' * 200_000},a1,3"])], saved.key)
    with pytest.raises(TfarError, match="no votes"):
        score_votes([saved("votes", [])], saved.key)
    votes = saved("votes", ["s,ana,a1,3"])
    for content in ("", "[]", '{"study": "s"}', '{"study": "s", "trials": {"a1": {}}}', '{"study": "s", "trials": []}'):
        saved.key.write_text(content)
        with pytest.raises(TfarError, match="test.key.json: not the key"):
            score_votes([votes], saved.key)
    with pytest.raises(TfarError, match="absent.key.json: cannot be read"):
        score_votes([votes], tmp_path / "absent.key.json")


@pytest.fixture
def browser(tmp_path):
    with headless_chromium(tmp_path, size="1000,700") as browser:
        yield browser


class Person:
    """Someone who takes a study with nothing but the keyboard."""

    def __init__(self, browser):
        self.browser = browser

    def text(self, id):
        return self.browser.execute_script("return document.getElementById(arguments[0]).textContent", id)

    def press(self, *keys):
        from selenium.webdriver.common.keys import Keys

        for key in keys:
            self.browser.switch_to.active_element.send_keys(getattr(Keys, key, key))

    def enter(self, name):
        self.press(name, "ENTER")

    def vote(self, number, *keys):
        """Wait for the trial of that number, move the slider and go on; gives the pictures and how they stood."""
        wait_for(lambda: self.text("progress") == f"{number} of 4" and self.browser.execute_script("return ready"))
        state = self.browser.execute_script("""
            const [original, candidate] = ["original", "candidate"].map(id => document.getElementById(id));
            return {pictures: [original.src, candidate.src], value: document.getElementById("slider").value,
                    boxes: [original, candidate].map(image => image.getBoundingClientRect().toJSON()),
                    natural: [candidate.naturalWidth, candidate.naturalHeight]}""")
        assert state["value"] == "50"
        self.press("ENTER")  # without a vote, nothing happens
        assert self.text("progress") == f"{number} of 4"
        self.press(*keys, "ENTER")
        return state

    def would_be_warned(self):
        """Whether the page asks back when one leaves it; chromedriver says yes to that question by itself."""
        return self.browser.execute_script(
            "return !window.dispatchEvent(new Event('beforeunload', {cancelable: true}))"
        )


VOTES = [(["HOME"], 0), (["END"], 100), (["ARROW_RIGHT"], 51), (["PAGE_DOWN", "ARROW_LEFT"], 39)]


def test_a_whole_study_with_the_keyboard(browser, tmp_path):
    key_file = write_study(tmp_path / "test.html", PICTURES, seed=5, title="A test")
    key = json.loads(key_file.read_text())
    browser.get((tmp_path / "test.html").as_uri())
    person = Person(browser)
    assert not re.search(NAMES, without_pictures(browser.page_source), re.IGNORECASE)
    assert person.would_be_warned() is False
    person.enter('Zoë "Z", é')
    seen = [person.vote(1, *VOTES[0][0]), person.vote(2, *VOTES[1][0])]

    assert person.would_be_warned() is True
    browser.refresh()
    wait_for(lambda: "2 of 4 votes are kept" in person.text("kept"))
    person.press("ENTER")
    seen += [person.vote(3, *VOTES[2][0]), person.vote(4, *VOTES[3][0])]
    for state in seen:  # original and candidate beside each other, pixel for pixel
        original, candidate = state["boxes"]
        assert original["right"] <= candidate["left"] and original["top"] == candidate["top"]
        assert [original["width"], original["height"]] == state["natural"]
        assert [candidate["width"], candidate["height"]] == state["natural"]

    wait_for(lambda: browser.execute_script("return !document.getElementById('end').hidden"))
    text = browser.execute_script("return csv()")
    assert browser.execute_script("return document.getElementById('text').value") == text.replace("\r\n", "\n")
    person.press("ENTER")
    wait_for(lambda: list((tmp_path / "downloads").glob("*.csv")))
    (downloaded,) = (tmp_path / "downloads").glob("*.csv")
    assert downloaded.name == f"votes-{key['study']}-Zoë-Z-é.csv"
    assert downloaded.read_bytes().decode() == text
    assert person.would_be_warned() is False

    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["position"] for row in rows] == ["1", "2", "3", "4"]
    assert {row["participant"] for row in rows} == {'Zoë "Z", é'}
    assert {row["zoom"] for row in rows} == {"1"} and len({row["order_seed"] for row in rows}) == 1
    assert [float(row["score"]) for row in rows] == [score for _, score in VOTES]
    images = [key["trials"][row["trial"]]["image"] for row in rows]
    assert all(one != other for one, other in zip(images, images[1:]))
    study = embedded((tmp_path / "test.html").read_text(encoding="utf-8"))
    trials = {trial["id"]: trial for trial in study["trials"]}
    for row, state in zip(rows, seen):
        trial = trials[row["trial"]]
        assert state["pictures"] == [study["sources"][trial["source"]], trial["picture"]]

    scores = score_votes([downloaded], key_file)
    for candidate, opinion in scores.candidates.items():
        given = [score for row, (_, score) in zip(rows, VOTES) if key["trials"][row["trial"]]["candidate"] == candidate]
        assert (opinion.mean, opinion.count) == (np.mean(given), 2)
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def test_every_participant_has_an_order_of_their_own(browser, tmp_path):
    pictures = {name: {"original": CAT, **{label: CAT // i for i, label in enumerate("xyz", 1)}} for name in "abcd"}
    key = json.loads(write_study(tmp_path / "test.html", pictures).read_text())
    browser.get((tmp_path / "test.html").as_uri())
    orders = browser.execute_script("""
        return [...Array(40).keys()].map(i => shuffled(orderSeed("person " + i)).map(trial => trial.id))""")
    assert len({tuple(order) for order in orders}) == 40
    for order in orders:
        assert sorted(order) == sorted(key["trials"])
        images = [key["trials"][id]["image"] for id in order]
        assert all(one != other for one, other in zip(images, images[1:]))
    first = [key["trials"][order[0]]["candidate"] for order in orders]
    assert min(first.count(label) for label in "xyz") >= 5


def test_pages_without_storage_work_and_warn(browser, tmp_path):
    write_study(tmp_path / "test.html", PICTURES)
    refusing = 'Object.defineProperty(window, "localStorage", {get() { throw new DOMException("refused"); }});'
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": refusing})
    browser.get((tmp_path / "test.html").as_uri())
    person = Person(browser)
    person.enter("ana")
    person.vote(1, "END")
    person.vote(2, "HOME")
    wait_for(lambda: person.text("progress") == "3 of 4")
    assert person.would_be_warned() is True
    browser.refresh()
    wait_for(lambda: browser.execute_script("return document.activeElement.id") == "name")
    assert person.text("kept") == ""
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def test_small_windows_shrink_or_stack_both_pictures_alike(browser, tmp_path):
    wide = data.astronaut()[:160]
    write_study(tmp_path / "test.html", {"a": {"original": wide, "mine": wide // 2}})
    browser.set_window_size(700, 800)
    browser.get((tmp_path / "test.html").as_uri())
    Person(browser).enter("ana")
    wait_for(lambda: browser.execute_script("return ready"))
    boxes = browser.execute_script("""
        return ["original", "candidate"].map(id => document.getElementById(id).getBoundingClientRect().toJSON())""")
    assert boxes[0]["bottom"] < boxes[1]["top"] and boxes[0]["left"] == boxes[1]["left"]
    assert {(box["width"], box["height"]) for box in boxes} == {(512, 160)}
    browser.set_window_size(500, 500)
    wait_for(lambda: "larger window" in browser.execute_script("return document.getElementById('hint').textContent"))
    assert 0 < browser.execute_script("return zoom") < 1
