"""Opinion tests: a page on which people judge restored images without knowing which is which, and their mean opinion.

Two questions can be asked.

How similar is a picture to the original? This is the double-stimulus impairment scale (DSIS) of ITU-R BT.500 as
Galteri et al. (ICCV 2017, Section 4.5) ran it: original and candidate are seen beside each other, as long as one likes,
and a continuous scale from 0 to 100 shows neither marks nor numbers, so that nobody can prefer some.

Which is the favourite? All candidates of an image are seen at once with the original, as in the figures of Guo and Chao
(one-to-many, CVPR 2017, Section 4.2), who show them with their PSNR to the reader and had nobody vote.
"""

import csv
import dataclasses
import hashlib
import json
import math
import random
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from tfar.errors import ImageError, TfarError
from tfar.images.read import image_files, read_image
from tfar.metrics.fidelity import psnr
from tfar.pixels import as_rgb, studio_luma
from tfar.reports.figures import write_intervals
from tfar.reports.html import data_uri, template_text, write_html
from tfar.reports.tables import markdown_table
from tfar.storage import write_text

REFERENCE = "original"
SIMILARITY, FAVOURITE = "similarity", "favourite"  # what is asked
HEADINGS = {SIMILARITY: "MOS", FAVOURITE: "favourite, %"}  # of the mean opinion
NEEDED = ("study", "participant", "picture", "score")  # the columns of the votes that scores are made of


@dataclass(frozen=True)
class Opinion:
    """Mean opinion score of some votes.

    Args:
        mean: in [0, 100]: of the similarity, 100 is the original itself; or how often the picture was the favourite, in
            percent. NaN without votes.
        deviation: standard deviation of the votes, of a sample; NaN for fewer than two votes.
        interval: half the width of the 95% confidence interval of the mean; NaN for fewer than two votes.
        count: number of votes.
    """

    mean: float
    deviation: float
    interval: float
    count: int


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The result of a study.

    Args:
        ask: what was asked, ``similarity`` or ``favourite``.
        participants: number of people who voted.
        candidates: candidate -> opinion over all observers and images.
        images: image -> candidate -> opinion over all observers.
        won: candidate -> on how many images its mean opinion is above that of every other candidate.
        compared: number of images on which all candidates have votes, the ones that can be won.
        psnr: candidate -> mean PSNR of luma in dB over the images, without pictures that equal the original; NaN
            without others.
    """

    ask: str
    participants: int
    candidates: dict[str, Opinion]
    images: dict[str, dict[str, Opinion]]
    won: dict[str, int]
    compared: int
    psnr: dict[str, float]


@dataclass(frozen=True)
class _Shown:
    """A picture of a study: of which image and candidate, and its PSNR, None where it equals the original."""

    image: str
    candidate: str
    psnr: float | None


def folder_pictures(
    original: str | Path, candidates: Mapping[str, str | Path], *, count: int | None = None, seed: int = 0
) -> dict[str, dict[str, np.ndarray]]:
    """The pictures of a blind comparison: those of a folder of originals, each with the candidates of its name.

    Args:
        original: a folder of images.
        candidates: label -> folder with an image of the same name, whatever its extension, for each original.
        count: take so many originals only, drawn at random; all where there are no more, or by default.
        seed: of the drawing.

    Raises:
        ImageError: when a folder or an image is missing or cannot be read, or a name is there twice.
        TfarError: when a candidate has the label ``original``.
    """
    if REFERENCE in candidates:
        raise TfarError(f"no candidate may be called {REFERENCE}, as the reference is")
    folders = {REFERENCE: original, **candidates}
    found: dict[str, dict[str, Path]] = {label: {} for label in folders}
    for label, folder in folders.items():
        for file in image_files(folder):
            if found[label].setdefault(file.stem, file) != file:
                raise ImageError(f"{folder}: two images are called {file.stem}")
    for label, files in found.items():
        for missing in found[REFERENCE].keys() - files.keys():
            raise ImageError(f"{folders[label]}: no image {missing}, which is among the originals")
    stems = sorted(found[REFERENCE])
    if count is not None and count < len(stems):
        stems = sorted(random.Random(seed).sample(stems, count))
    return {stem: {label: read_image(files[stem]) for label, files in found.items()} for stem in stems}


def key_of(page: str | Path) -> Path:
    """The file beside a page that holds the key to its votes."""
    return Path(page).with_name(f"{Path(page).stem}.key.json")


def write_study(
    file: str | Path,
    pictures: Mapping[str, Mapping[str, np.ndarray]],
    *,
    ask: str = SIMILARITY,
    seed: int = 0,
    title: str = "Picture comparison",
) -> Path:
    """Write the page of a study, one HTML file that needs no network, and beside it the key to its votes.

    The page holds no names of images or candidates, only ids that tell nothing without the key, so keep the key from
    those who vote. Each of them judges all candidates of all images, in an order of their own: random, fixed by the
    page and their name, and, as BT.500 wants it, without the same image twice in a row where that is possible. With
    ``favourite``, the places of the candidates are random, too.

    Args:
        file: the page, ``NAME.html``; the key becomes ``NAME.key.json``.
        pictures: image -> label -> uint8 ``(H, W)`` or ``(H, W, 3)`` RGB; the label ``original`` is what the others,
            the candidates, are shown beside. All pictures of an image have its height and width.
        ask: ``similarity``, a mark on a scale for one candidate at a time, or ``favourite``, one of all candidates.
        seed: of the ids, and with them of the orders.
        title: heading of the page; may not name a candidate.

    Returns:
        The key file.

    Raises:
        TfarError: for no images, an image without original or candidates, or with a single one where the favourite is
            asked for, pictures that differ in size, or a title that gives a candidate away.
    """
    key_file = key_of(file)
    _check(pictures, title, ask)
    identity = _digest(pictures, seed, title, ask)
    pairs = [(image, label) for image, labels in pictures.items() for label in labels]
    numbers = random.Random(identity).sample(range(16**8), len(pairs))
    ids = {pair: f"{number:08x}" for pair, number in zip(pairs, numbers)}
    shown = {ids[image, label]: (image, label) for image, label in sorted(pairs, key=ids.get) if label != REFERENCE}
    sets: dict[str, list[str]] = {}  # what is seen at once: all pictures of an image, or each by itself
    for id, (image, _) in shown.items():
        sets.setdefault(ids[image, REFERENCE] if ask == FAVOURITE else id, []).append(id)
    page = {
        "id": identity[:12],
        "ask": ask,
        "sources": {ids[image, REFERENCE]: data_uri(labels[REFERENCE]) for image, labels in pictures.items()},
        "pictures": {id: data_uri(pictures[image][label]) for id, (image, label) in shown.items()},
        "trials": [
            {"id": id, "source": ids[shown[own[0]][0], REFERENCE], "pictures": own} for id, own in sorted(sets.items())
        ],
    }
    key = {
        "study": page["id"],
        "ask": ask,
        "title": title,
        "seed": seed,
        "pictures": {id: vars(_shown(pictures[image], image, label)) for id, (image, label) in shown.items()},
    }
    write_text(key_file, json.dumps(key, indent=1) + "\n")
    write_html(file, "study.html", scripts=[template_text("study.js")], title=title, study=page)
    return key_file


def score_votes(files: Iterable[str | Path], key: str | Path) -> Scores:
    """Mean opinion scores of the votes that the participants saved.

    As in ITU-R BT.500, the opinion on a candidate is the mean over observers and images, and its interval comes from
    the standard deviation S of these N = observers x images votes: t S / sqrt(N), where t is Student's for N - 1
    degrees of freedom in place of 1.96. The opinion on one image takes that image's votes alone, N = observers. All
    votes count as independent; those of one person are not quite, so a wide panel says more than many images.

    Args:
        files: CSV files of any number of participants, in UTF-8.
        key: the key file that :func:`write_study` wrote.

    Returns:
        The opinions, images and candidates in the key's order of names; those without votes are there too.

    Raises:
        TfarError: naming the file, and the line where there is one: not readable, a column missing, votes of another
            study, an unknown picture, a score that is no number in [0, 100], two votes of a participant on one picture.
    """
    study, ask, shown = _read_key(key)
    votes: dict[tuple[str, str], float] = {}
    places: dict[tuple[str, str], str] = {}
    for file in files:
        for line, row in _read_rows(file):
            place = f"{file}: line {line}"
            participant, picture, score = _vote(row, place, study, shown)
            if (participant, picture) in votes:
                earlier = places[participant, picture]
                raise TfarError(f"{place}: {participant} has voted on picture {picture} already ({earlier})")
            votes[participant, picture], places[participant, picture] = score, place
    if not votes:
        raise TfarError("no votes to score")
    by_pair: dict[tuple[str, str], list[float]] = {
        pair: [] for pair in sorted((i.image, i.candidate) for i in shown.values())
    }
    for (_, picture), score in votes.items():
        by_pair[shown[picture].image, shown[picture].candidate].append(score)
    images = sorted({image for image, _ in by_pair})
    candidates = sorted({candidate for _, candidate in by_pair})
    opinions = {
        image: {name: _opinion(by_pair[image, name]) for name in candidates if (image, name) in by_pair}
        for image in images
    }
    complete = [own for own in opinions.values() if len(own) == len(candidates) and all(o.count for o in own.values())]
    psnrs = {
        name: [i.psnr for i in shown.values() if i.candidate == name and i.psnr is not None] for name in candidates
    }
    return Scores(
        ask=ask,
        participants=len({participant for participant, _ in votes}),
        candidates={
            name: _opinion([score for image in images for score in by_pair.get((image, name), [])])
            for name in candidates
        },
        images=opinions,
        won={name: sum(_wins(name, own) for own in complete) for name in candidates},
        compared=len(complete),
        psnr={name: float(np.mean(values)) if values else math.nan for name, values in psnrs.items()},
    )


def format_table(scores: Scores) -> str:
    """Markdown table of the opinions on the candidates, the best first."""
    rows = sorted(scores.candidates.items(), key=lambda item: -item[1].mean if item[1].count else math.inf)
    return markdown_table(
        ["", HEADINGS[scores.ask], "std. dev.", "95% interval", "images won", "PSNR", "votes"],
        [
            [
                name,
                _number(opinion.mean),
                _number(opinion.deviation),
                "-" if math.isnan(opinion.interval) else f"± {opinion.interval:.2f}",
                f"{scores.won[name] / scores.compared:.0%} ({scores.won[name]} of {scores.compared})"
                if scores.compared
                else "-",
                _number(scores.psnr[name]),
                str(opinion.count),
            ]
            for name, opinion in rows
        ],
    )


def format_images(scores: Scores) -> str:
    """Markdown table of the opinions on every image: one line per image, one column per candidate."""
    return markdown_table(
        ["", *scores.candidates],
        [
            [image, *(_cell(opinions[name]) if name in opinions else "-" for name in scores.candidates)]
            for image, opinions in scores.images.items()
        ],
    )


def markdown(scores: Scores) -> str:
    """Who voted, and the tables of the candidates and of the images."""
    people = f"{scores.participants} participant{'' if scores.participants == 1 else 's'}"
    title = f"**{people}, {len(scores.images)} image{'' if len(scores.images) == 1 else 's'}**"
    return f"{title}\n\n{format_table(scores)}\n\n{format_images(scores)}"


def study_report(folder: str | Path, scores: Scores) -> list[Path]:
    """Write opinions.md, opinions.json and, where matplotlib is installed, opinions.png; returns the files.

    The figure has the mean opinion and its 95% interval for every image, in the order of the table, as Fig. 7 of
    Galteri et al. has them.
    """
    files = [Path(folder, f"opinions.{extension}") for extension in ("md", "json", "png")]
    texts = f"{markdown(scores)}\n", json.dumps(_without_nan(dataclasses.asdict(scores)), indent=1) + "\n"
    for file, text in zip(files, texts):
        write_text(file, text)
    nothing = Opinion(math.nan, math.nan, math.nan, 0)
    values = {
        name: [(own.mean, own.interval) for own in (image.get(name, nothing) for image in scores.images.values())]
        for name in scores.candidates
    }
    try:
        write_intervals(files[2], values, x="image", y=f"{HEADINGS[scores.ask]} (95% interval)")
    except TfarError as error:
        warnings.warn(f"no figure: {error}", stacklevel=2)
        return files[:2]
    return files


def _without_nan(value):
    """What JSON can hold: None in place of NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def _check(pictures: Mapping[str, Mapping[str, np.ndarray]], title: str, ask: str):
    if not pictures:
        raise TfarError("a study needs at least one image")
    for image, labels in pictures.items():
        if ask == FAVOURITE and len(labels) == 2:
            raise TfarError(f"{image}: a favourite can be chosen among two candidates or more")
        if REFERENCE not in labels or len(labels) < 2:
            raise TfarError(f'{image}: a study needs a picture "{REFERENCE}" and at least one candidate')
        for label, picture in labels.items():
            if picture.dtype != np.uint8 or picture.ndim < 2 or picture.shape[2:] not in ((), (3,)):
                raise TfarError(
                    f"{image}, {label}: expected uint8 (H, W) or (H, W, 3), got {picture.dtype} {picture.shape}"
                )
            if picture.shape[:2] != labels[REFERENCE].shape[:2]:
                raise TfarError(
                    f"{image}, {label}: its size {picture.shape[:2]} is not that of the original, "
                    f"{labels[REFERENCE].shape[:2]}"
                )
            if label != REFERENCE and re.search(rf"(?<!\w){re.escape(label)}(?!\w)", title, re.IGNORECASE):
                raise TfarError(f"the title {title!r} gives the candidate {label!r} away")


def _digest(pictures: Mapping[str, Mapping[str, np.ndarray]], seed: int, title: str, ask: str) -> str:
    """Hexadecimal digest of all that makes a study."""
    digest = hashlib.sha256(json.dumps([seed, title, ask]).encode())
    for image, labels in pictures.items():
        for label, picture in labels.items():
            digest.update(json.dumps([image, label, picture.shape]).encode() + picture.tobytes())
    return digest.hexdigest()


def _shown(labels: Mapping[str, np.ndarray], image: str, candidate: str) -> _Shown:
    pair = [labels[REFERENCE], labels[candidate]]
    if pair[0].ndim != pair[1].ndim:  # one is gray, which counts as luma only beside luma
        pair = [*map(as_rgb, pair)]
    value = psnr(*map(studio_luma, pair))
    return _Shown(image, candidate, value if math.isfinite(value) else None)


def _read_key(file: str | Path) -> tuple[str, str, dict[str, _Shown]]:
    """The study's id, what it asks, and id -> picture."""
    try:
        key = json.loads(Path(file).read_text(encoding="utf-8"))
        HEADINGS[key["ask"]]
        return key["study"], key["ask"], {id: _Shown(**shown) for id, shown in key["pictures"].items()}
    except OSError as error:
        raise TfarError(f"{file}: cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise TfarError(f"{file}: not the key of a study") from error


def _read_rows(file: str | Path) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file with the number of the line on which each ends."""
    try:
        with open(file, newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            missing = [column for column in NEEDED if column not in (reader.fieldnames or ())]
            if missing:
                raise TfarError(f"{file}: line 1: no column {', '.join(missing)}")
            return [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise TfarError(f"{file}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise TfarError(f"{file}: not a CSV file in UTF-8") from error
    except csv.Error as error:
        raise TfarError(f"{file}: line {reader.reader.line_num}: not CSV ({error})") from error


def _vote(row: Mapping[str, str], place: str, study: str, shown: Mapping) -> tuple[str, str, float]:
    """Participant, picture and score of a row."""
    participant, picture = (row["participant"] or "").strip(), row["picture"]
    if not participant:
        raise TfarError(f"{place}: no participant")
    if row["study"] != study:
        raise TfarError(f"{place}: a vote of study {row['study']}, but the key is that of {study}")
    if picture not in shown:
        raise TfarError(f"{place}: unknown picture {picture}")
    try:
        score = float(row["score"] or "")
    except ValueError:
        score = math.nan
    if not 0 <= score <= 100:
        raise TfarError(f"{place}: the score {row['score']!r} is not a number from 0 to 100")
    return participant, picture, score


def _opinion(votes: Sequence[float]) -> Opinion:
    count = len(votes)
    if count < 2:
        return Opinion(float(votes[0]) if votes else math.nan, math.nan, math.nan, count)
    deviation = float(np.std(votes, ddof=1))
    interval = float(stats.t.ppf(0.975, count - 1)) * deviation / math.sqrt(count)
    return Opinion(float(np.mean(votes)), deviation, interval, count)


def _wins(name: str, opinions: Mapping[str, Opinion]) -> bool:
    return all(opinions[name].mean > opinion.mean for other, opinion in opinions.items() if other != name)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _cell(opinion: Opinion) -> str:
    if not opinion.count:
        return "-"
    return f"{opinion.mean:.1f}" if math.isnan(opinion.interval) else f"{opinion.mean:.1f} ± {opinion.interval:.1f}"
