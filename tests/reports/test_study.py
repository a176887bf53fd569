import csv
import io
import json
import os
import re

import numpy as np
import pytest
from helpers import decode, headless_chromium, save_image, wait_for
from PIL import Image
from skimage import data

from tfar import jpeg
from tfar.errors import TfarError
from tfar.metrics.fidelity import psnr
from tfar.pixels import as_rgb, studio_luma
from tfar.reports.study import (
    Opinion,
    folder_pictures,
    format_images,
    format_table,
    markdown,
    score_votes,
    study_report,
    write_study,
)

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
    assert study["ask"] == key["ask"] == "similarity"
    assert [trial["id"] for trial in study["trials"]] == sorted(key["pictures"]) == list(key["pictures"])
    assert [trial["pictures"] for trial in study["trials"]] == [[trial["id"]] for trial in study["trials"]]
    assert sorted((shown["image"], shown["candidate"]) for shown in key["pictures"].values()) == [
        ("cat.png", "JPEG"),
        ("cat.png", "region-aware-q10"),
        ("cup, gray", "JPEG"),
        ("cup, gray", "region-aware-q10"),
    ]


def test_page_holds_the_exact_pictures(tmp_path):
    key = json.loads(write_study(tmp_path / "test.html", PICTURES).read_text())
    study = embedded((tmp_path / "test.html").read_text(encoding="utf-8"))

    for trial in study["trials"]:
        image, candidate, quality = key["pictures"][trial["id"]].values()
        original = PICTURES[image]["original"]
        np.testing.assert_array_equal(decode(study["pictures"][trial["id"]]), as_rgb(PICTURES[image][candidate]))
        np.testing.assert_array_equal(decode(study["sources"][trial["source"]]), as_rgb(original))
        assert quality == pytest.approx(psnr(studio_luma(original), studio_luma(PICTURES[image][candidate])))


def test_the_psnr_beside_a_gray_original_is_that_of_both_in_rgb(tmp_path):
    gray = CAT[..., 1]
    pictures = {
        "a": {"original": as_rgb(gray), "gray file": gray, "mine": jpeg.compress(gray, 10)},
        "b": {"original": gray, "mine": as_rgb(jpeg.compress(gray, 10))},
    }
    shown = json.loads(write_study(tmp_path / "test.html", pictures).read_text())["pictures"].values()
    scores = {(one["image"], one["candidate"]): one["psnr"] for one in shown}
    assert scores["a", "gray file"] is None  # which is the original
    expected = psnr(studio_luma(as_rgb(gray)), studio_luma(as_rgb(jpeg.compress(gray, 10))))
    assert scores["a", "mine"] == scores["b", "mine"] == pytest.approx(expected)


def test_a_candidate_does_not_take_the_place_of_the_original(tmp_path):
    with pytest.raises(TfarError, match="no candidate may be called original"):
        folder_pictures(tmp_path, {"original": tmp_path})


def test_a_favourite_is_chosen_among_all_pictures_of_an_image(tmp_path):
    key = json.loads(write_study(tmp_path / "test.html", PICTURES, ask="favourite").read_text())
    page = (tmp_path / "test.html").read_text(encoding="utf-8")
    study = embedded(page)
    assert study["ask"] == key["ask"] == "favourite" and len(study["trials"]) == 2 and 'type="range"' not in page
    for trial in study["trials"]:
        image = {key["pictures"][id]["image"] for id in trial["pictures"]}
        assert len(image) == 1 and len(trial["pictures"]) == 2 and trial["pictures"] == sorted(trial["pictures"])
        np.testing.assert_array_equal(
            decode(study["sources"][trial["source"]]), as_rgb(PICTURES[image.pop()]["original"])
        )
    with pytest.raises(TfarError, match="a: a favourite"):
        write_study(tmp_path / "test.html", {"a": {"original": CAT, "mine": CAT}}, ask="favourite")


def test_the_scale_has_no_marks_and_no_numbers(tmp_path):
    write_study(tmp_path / "test.html", PICTURES)
    page = without_pictures((tmp_path / "test.html").read_text(encoding="utf-8"))
    trial = re.search(r'<div id="vote">(.*?)</div>\s*</main>', page, re.DOTALL)[1]
    text = re.sub(r"<[^>]*>", " ", trial)
    assert "Not similar at all" in text and "Exactly like the original" in text
    assert not re.search(r"\d", text) and "<output" not in trial and "<datalist" not in page and "value=" not in trial


def test_images_are_drawn_at_random_by_the_seed(tmp_path):
    for label in ("original", "mine"):
        for number in range(12):
            save_image(tmp_path / label / f"{number:02}.png", CAT + np.uint8(number))

    def drawn(**arguments):
        return list(folder_pictures(tmp_path / "original", {"mine": tmp_path / "mine"}, **arguments))

    names = [f"{number:02}" for number in range(12)]
    assert drawn() == drawn(count=12) == drawn(count=50) == names
    assert drawn(count=5) == drawn(count=5, seed=0) == sorted(drawn(count=5)) and len({*drawn(count=5)}) == 5
    draws = [tuple(drawn(count=5, seed=seed)) for seed in range(20)]
    assert len({*draws}) > 15 and {name for draw in draws for name in draw} == {*names}
    chosen = folder_pictures(tmp_path / "original", {"mine": tmp_path / "mine"}, count=1, seed=3)
    [(name, pictures)] = chosen.items()
    np.testing.assert_array_equal(pictures["original"], CAT + np.uint8(int(name)))


def test_a_script_in_a_file_name_or_a_title_stays_text(tmp_path):
    name = "<script>alert(1)<br>"
    for folder in "abc":
        save_image(tmp_path / folder / f"{name}.png", CAT[:20, :20])
    pictures = folder_pictures(tmp_path / "a", {"JPEG": tmp_path / "b", name: tmp_path / "c"})
    key = json.loads(write_study(tmp_path / "test.html", pictures, title="<script>alert(2)").read_text())
    assert {(picture["image"], picture["candidate"]) for picture in key["pictures"].values()} == {
        (name, "JPEG"),
        (name, name),
    }
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
        ids.append(set(json.loads(key.read_text())["pictures"]))
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
    shown = {id: {"image": image, "candidate": name, "psnr": 30.0} for id, (image, name) in IDS.items()}
    shown["b2"]["psnr"], shown["a1"]["psnr"] = None, 27.0  # one equals the original
    (tmp_path / "test.key.json").write_text(json.dumps({"study": "s", "ask": "similarity", "pictures": shown}))

    def save(name, rows, header="study,participant,picture,score", encoding="utf-8"):
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
    assert cat["JPEG"] == Opinion(60, 20, pytest.approx(49.682755, abs=1e-5), 3)
    deviation = 1.0606602
    assert cat["mine"] == Opinion(
        90.75, pytest.approx(deviation, abs=1e-6), pytest.approx(12.706205 * deviation / np.sqrt(2), abs=1e-5), 2
    )
    assert cup["mine"].count == 0
    assert all(np.isnan([cup["mine"].mean, cup["mine"].deviation, cup["mine"].interval]))
    deviation = 24.083189
    assert scores.candidates["JPEG"] == Opinion(
        46, pytest.approx(deviation, abs=1e-5), pytest.approx(2.776445 * deviation / np.sqrt(5), abs=1e-5), 5
    )
    assert (scores.won, scores.compared) == ({"JPEG": 0, "mine": 1}, 1)  # nobody voted on mine of the cup
    assert scores.psnr == {"JPEG": 28.5, "mine": 30}
    assert format_table(scores).splitlines() == [
        "|  | MOS | std. dev. | 95% interval | images won | PSNR | votes |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| mine | 90.75 | 1.06 | ± 9.53 | 100% (1 of 1) | 30.00 | 2 |",
        "| JPEG | 46.00 | 24.08 | ± 29.90 | 0% (0 of 1) | 28.50 | 5 |",
    ]
    assert format_images(scores).splitlines() == [
        "|  | JPEG | mine |",
        "| --- | ---: | ---: |",
        "| cat | 60.0 ± 49.7 | 90.8 ± 9.5 |",
        "| cup | 25.0 ± 63.5 | - |",
    ]
    assert markdown(scores).startswith("**3 participants, 2 images**\n\n|  | MOS |")


def test_an_image_is_won_by_the_best_mean_and_by_nobody_in_a_tie(saved):
    votes = ["s,ana,a1,40", "s,ben,a1,60", "s,ana,a2,10", "s,ben,a2,91", "s,ana,b1,70", "s,ana,b2,70"]
    scores = score_votes([saved("votes", votes)], saved.key)
    assert (scores.won, scores.compared) == ({"JPEG": 0, "mine": 1}, 2)
    assert "| mine | 57.00 | 42.04 | ± 104.42 | 50% (1 of 2) |" in format_table(scores)


def test_how_often_a_picture_was_the_favourite(saved):
    saved.key.write_text(saved.key.read_text().replace("similarity", "favourite"))
    votes = [
        f"s,{who},{picture},{score}" for who in ("ana", "ben", "eve") for picture, score in (("a1", 0), ("a2", 100))
    ]
    votes += ["s,ana,b1,100", "s,ana,b2,0"]
    scores = score_votes([saved("votes", votes)], saved.key)
    assert format_table(scores).splitlines()[::2] == [
        "|  | favourite, % | std. dev. | 95% interval | images won | PSNR | votes |",
        "| mine | 75.00 | 50.00 | ± 79.56 | 50% (1 of 2) | 30.00 | 4 |",
    ]


def test_one_vote_has_no_interval(saved):
    scores = score_votes([saved("votes", ["s,ana,a1,0"])], saved.key)
    assert scores.candidates["JPEG"].mean == 0 and np.isnan(scores.candidates["JPEG"].interval)
    assert format_table(scores).splitlines()[2:] == [
        "| JPEG | 0.00 | - | - | - | 28.50 | 1 |",
        "| mine | - | - | - | - | 30.00 | 0 |",
    ]
    assert markdown(scores).startswith("**1 participant, 2 images**")


def test_report(saved, tmp_path):
    pytest.importorskip("matplotlib")
    scores = score_votes([saved("votes", ["s,ana,a1,0", "s,ben,a1,50", "s,ana,a2,70"])], saved.key)
    files = study_report(tmp_path / "new", scores)
    assert [file.name for file in files] == ["opinions.md", "opinions.json", "opinions.png"]
    assert files[0].read_text(encoding="utf-8") == markdown(scores) + "\n"
    content = json.loads(files[1].read_text(), parse_constant=pytest.fail)
    assert content["images"]["cat"]["mine"] == {"mean": 70, "deviation": None, "interval": None, "count": 1}
    assert content["won"] == {"JPEG": 0, "mine": 1}
    with Image.open(files[2]) as image:
        assert image.format == "PNG" and np.ptp(np.asarray(image.convert("L"))) > 200


def test_a_report_on_an_image_whose_name_is_no_text(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    key = write_study(tmp_path / "test.html", {name: {"original": CAT, "JPEG": jpeg.compress(CAT, 10)}})
    study, [picture] = (json.loads(key.read_text())[field] for field in ("study", "pictures"))
    (tmp_path / "ana.csv").write_text(f"study,participant,picture,score\n{study},ana,{picture},40\n")
    files = study_report(tmp_path / "new", score_votes([tmp_path / "ana.csv"], key))
    assert r"| caf\udce9 | 40.0 |" in files[0].read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("s,ana,a1,100.5", "'100.5' is not a number from 0 to 100"),
        ("s,ana,a1,-1", "'-1' is not"),
        ("s,ana,a1,nan", "'nan' is not"),
        ("s,ana,a1,good", "'good' is not"),
        ("s,ana,a1,", "'' is not"),
        ("s,ana,a1", "None is not"),
        ("s,ana,a9,50", "unknown picture a9"),
        ("t,ana,a1,50", "study t, .* that of s"),
        ("s, ,a1,50", "no participant"),
        ("s,ben,a1,50", r"ben has voted on picture a1 already \(.*ben.csv: line 3\)"),
    ],
)
def test_broken_votes_are_named_with_their_line(saved, row, message):
    files = [saved("ben", ["s,ben,b1,3", "s,ben,a1,3"]), saved("votes", ["s,ana,a2,5", row, "s,ana,b2,7"])]
    with pytest.raises(TfarError, match=f"votes.csv: line 3: .*{message}") as caught:
        score_votes(files, saved.key)
    assert "\n" not in str(caught.value)


def test_broken_files_are_named(saved, tmp_path):
    with pytest.raises(TfarError, match="votes.csv: line 1: no column picture, score"):
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
    for content in (
        "",
        "[]",
        '{"study": "s"}',
        '{"study": "s", "ask": "similarity", "pictures": {"a1": {}}}',
        '{"study": "s", "ask": "age", "pictures": {}}',
    ):
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
    """Someone who takes a study."""

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

    def wait_for_trial(self, number, count=4):
        wait_for(
            lambda: self.text("progress") == f"{number} of {count}" and self.browser.execute_script("return ready")
        )

    def can_go_on(self):
        return self.browser.execute_script("return !document.getElementById('next').disabled")

    def vote(self, number, *keys):
        """Wait for the trial of that number, move the mark and go on; gives the pictures and how they stood."""
        self.wait_for_trial(number)
        state = self.browser.execute_script("""
            const [original, candidate] = document.querySelectorAll("#stage img");
            const slider = document.getElementById("slider");
            return {pictures: [original.src, candidate.src], start: slider.valueAsNumber,
                    boxes: [original, candidate].map(image => image.getBoundingClientRect().toJSON()),
                    natural: [candidate.naturalWidth, candidate.naturalHeight]}""")
        assert not self.can_go_on()
        self.press("ENTER")  # without a vote, nothing happens
        assert self.text("progress") == f"{number} of 4"
        self.press(*keys)
        assert self.can_go_on() and not re.search(r"\d", self.text("vote"))
        self.press("ENTER")
        return state

    def would_be_warned(self):
        """Whether the page asks back when one leaves it; chromedriver says yes to that question by itself."""
        return self.browser.execute_script(
            "return !window.dispatchEvent(new Event('beforeunload', {cancelable: true}))"
        )


VOTES = [(["HOME"], 0), (["END"], 100), (["HOME", "ARROW_RIGHT"], 1), (["END", "PAGE_DOWN", "ARROW_LEFT"], 89)]


def test_a_whole_study_with_the_keyboard(browser, tmp_path):
    key_file = write_study(tmp_path / "test.html", PICTURES, seed=5, title="A test")
    key = json.loads(key_file.read_text())
    browser.get((tmp_path / "test.html").as_uri())
    person = Person(browser)
    assert not re.search(NAMES, without_pictures(browser.page_source), re.IGNORECASE)
    assert person.would_be_warned() is False
    person.enter('Zoë "Z", é')
    seen = [person.vote(1, *VOTES[0][0]), person.vote(2, *VOTES[1][0])]

    person.wait_for_trial(3)
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
    images = [key["pictures"][row["picture"]]["image"] for row in rows]
    assert all(one != other for one, other in zip(images, images[1:]))
    study = embedded((tmp_path / "test.html").read_text(encoding="utf-8"))
    trials = {trial["id"]: trial for trial in study["trials"]}
    for row, state in zip(rows, seen):
        trial = trials[row["picture"]]
        assert state["pictures"] == [study["sources"][trial["source"]], study["pictures"][trial["id"]]]
    assert len({state["start"] for state in seen}) > 1  # the keys begin anywhere
    assert all(0 < state["start"] < 100 for state in seen)

    scores = score_votes([downloaded], key_file)
    for candidate, opinion in scores.candidates.items():
        given = [
            score for row, (_, score) in zip(rows, VOTES) if key["pictures"][row["picture"]]["candidate"] == candidate
        ]
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
        assert sorted(order) == sorted(key["pictures"])
        images = [key["pictures"][id]["image"] for id in order]
        assert all(one != other for one, other in zip(images, images[1:]))
    first = [key["pictures"][order[0]]["candidate"] for order in orders]
    assert min(first.count(label) for label in "xyz") >= 5


def test_the_mark_is_unseen_until_the_line_is_touched(browser, tmp_path):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    write_study(tmp_path / "test.html", PICTURES)
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 3, "mobile": True}
    )
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    browser.get((tmp_path / "test.html").as_uri())
    person = Person(browser)
    person.enter("ana")
    person.wait_for_trial(1)
    slider = browser.find_element(By.ID, "slider")
    colours = "#0b5cad", "#79b8ff"  # of the mark, in either scheme

    def mark():
        image = np.asarray(Image.open(io.BytesIO(slider.screenshot_as_png)).convert("RGB")).astype(int)
        return max(
            (abs(image - [int(colour[i : i + 2], 16) for i in (1, 3, 5)]).max(axis=2) < 9).sum() for colour in colours
        )

    browser.execute_script("arguments[0].blur()", slider)
    assert mark() == 0 and not person.can_go_on()
    box, start = slider.rect, browser.execute_script("return arguments[0].valueAsNumber", slider)
    aim = 0.2 if start > 50 else 0.8
    where = {"x": box["x"] + aim * box["width"], "y": box["y"] + box["height"] / 2}
    browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [where]})
    browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    wait_for(person.can_go_on)
    assert browser.execute_script("return arguments[0].valueAsNumber", slider) == pytest.approx(100 * aim, abs=3)
    assert mark() > 100
    height = "return document.getElementById('stage').clientHeight"
    before = browser.execute_script(height)
    ActionChains(browser).click(browser.find_element(By.ID, "next")).perform()
    person.wait_for_trial(2)
    assert browser.execute_script(height) == before and not person.can_go_on()
    browser.execute_script("arguments[0].click()", slider)  # where the mark is already: a vote, too
    assert person.can_go_on()
    width = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1]


def test_the_favourite_by_keys_and_by_clicks(browser, tmp_path):
    from selenium.webdriver.common.by import By

    pictures = {name: {"original": CAT, **{label: CAT // i for i, label in enumerate("xyz", 1)}} for name in "ab"}
    key_file = write_study(tmp_path / "test.html", pictures, ask="favourite")
    key = json.loads(key_file.read_text())
    browser.get((tmp_path / "test.html").as_uri())
    person = Person(browser)
    person.enter("ana")
    person.wait_for_trial(1, 2)
    assert not person.can_go_on()
    person.press("ENTER")
    person.wait_for_trial(1, 2)
    person.press("3", "ENTER")
    person.wait_for_trial(2, 2)
    assert not person.can_go_on()
    browser.find_elements(By.CSS_SELECTOR, "#stage img")[1].click()  # the first is the original
    chosen = browser.execute_script("return document.querySelector(':checked').value")
    assert browser.execute_script("return study.pictures[arguments[0]]", chosen) == browser.execute_script(
        "return document.querySelectorAll('#stage img')[1].src"
    )
    person.press("ENTER")
    wait_for(lambda: browser.execute_script("return !document.getElementById('end').hidden"))
    rows = list(csv.DictReader(io.StringIO(browser.execute_script("return csv()"))))
    assert [(row["position"], row["place"], row["score"]) for row in rows] == [
        *(("1", "1", "0"), ("1", "2", "0"), ("1", "3", "100")),
        *(("2", "1", "100"), ("2", "2", "0"), ("2", "3", "0")),
    ]
    assert rows[3]["picture"] == chosen and {row["picture"] for row in rows} == {*key["pictures"]}
    (tmp_path / "votes.csv").write_text(browser.execute_script("return csv()"))
    scores = score_votes([tmp_path / "votes.csv"], key_file)
    assert sum(opinion.mean for opinion in scores.candidates.values()) == 100 and scores.compared == 2
    orders = browser.execute_script("""
        return [...Array(40).keys()].map(i => places(orderSeed("person " + i), study.trials[0]))""")
    assert {len({*order}) for order in orders} == {3} and len({tuple(order) for order in orders}) == 6
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


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
        return [...document.querySelectorAll("#stage img")].map(image => image.getBoundingClientRect().toJSON())""")
    assert boxes[0]["bottom"] < boxes[1]["top"] and boxes[0]["left"] == boxes[1]["left"]
    assert {(box["width"], box["height"]) for box in boxes} == {(512, 160)}
    browser.set_window_size(500, 500)
    wait_for(lambda: "larger window" in browser.execute_script("return document.getElementById('hint').textContent"))
    assert 0 < browser.execute_script("return zoom") < 1
