"""Opinion tests: a page on which people judge restored images without knowing which is which, and their mean opinion.

The test is the double-stimulus impairment scale (DSIS) method of ITU-R BT.500 in the form that papers on restoration
use: original and candidate are seen beside each other and as long as one likes, in place of one after the other for ten
seconds, and the five grades, from "imperceptible" to "very annoying", are ranges of 20 on a continuous scale from 100
down to 0. There are no dummy presentations at the start, and no observers are screened out.
"""

import csv
import hashlib
import json
import math
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from tfar.errors import ImageError, TfarError
from tfar.images.read import image_files, read_image
from tfar.reports.html import data_uri, template_text, write_html
from tfar.reports.tables import markdown_table
from tfar.storage import write_atomically

REFERENCE = "original"
NEEDED = ("study", "participant", "trial", "score")  # the columns of the votes that scores are made of


@dataclass(frozen=True)
class Opinion:
    """Mean opinion score of some votes.

    Args:
        mean: in [0, 100], 100 is imperceptible; NaN without votes.
        interval: half the width of the 95% confidence interval; NaN for fewer than two votes.
        count: number of votes.
    """

    mean: float
    interval: float
    count: int


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The result of a study.

    Args:
        participants: number of people who voted.
        candidates: candidate -> opinion over all observers and images.
        images: image -> candidate -> opinion over all observers.
    """

    participants: int
    candidates: dict[str, Opinion]
    images: dict[str, dict[str, Opinion]]


def folder_pictures(original: str | Path, candidates: Mapping[str, str | Path]) -> dict[str, dict[str, np.ndarray]]:
    """The pictures of a blind comparison: those of a folder of originals, each with the candidates of its name.

    Args:
        original: a folder of images.
        candidates: label -> folder with an image of the same name, whatever its extension, for each original.

    Raises:
        ImageError: when a folder or an image is missing or cannot be read, or a name is there twice.
    """
    folders = {"original": original, **candidates}
    found: dict[str, dict[str, Path]] = {label: {} for label in folders}
    for label, folder in folders.items():
        for file in image_files(folder):
            if found[label].setdefault(file.stem, file) != file:
                raise ImageError(f"{folder}: two images are called {file.stem}")
    for label, files in found.items():
        for missing in found["original"].keys() - files.keys():
            raise ImageError(f"{folders[label]}: no image {missing}, which is among the originals")
    return {stem: {label: read_image(files[stem]) for label, files in found.items()} for stem in found["original"]}


def write_study(
    file: str | Path,
    pictures: Mapping[str, Mapping[str, np.ndarray]],
    *,
    seed: int = 0,
    title: str = "Picture comparison",
) -> Path:
    """Write the page of a study, one HTML file that needs no network, and beside it the key to its votes.

    The page holds no names of images or candidates, only ids that tell nothing without the key, so keep the key from
    those who vote. Each of them judges all candidates of all images, in an order of their own: random, fixed by the
    page and their name, and without the same image twice in a row where that is possible.

    Args:
        file: the page, ``NAME.html``; the key becomes ``NAME.key.json``.
        pictures: image -> label -> uint8 ``(H, W)`` or ``(H, W, 3)`` RGB; the label ``original`` is what the others,
            the candidates, are shown beside. All pictures of an image have its height and width.
        seed: of the ids, and with them of the orders.
        title: heading of the page; may not name a candidate.

    Returns:
        The key file.

    Raises:
        TfarError: for no images, an image without original or candidates, pictures that differ in size, or a title
            that gives a candidate away.
    """
    file = Path(file)
    key_file = file.with_name(f"{file.stem}.key.json")
    _check(pictures, title)
    identity = _digest(pictures, seed, title)
    pairs = [(image, label) for image, labels in pictures.items() for label in labels]
    numbers = random.Random(identity).sample(range(16**8), len(pairs))
    ids = {pair: f"{number:08x}" for pair, number in zip(pairs, numbers)}
    trials = {ids[image, label]: (image, label) for image, label in sorted(pairs, key=ids.get) if label != REFERENCE}
    page = {
        "id": identity[:12],
        "sources": {ids[image, REFERENCE]: data_uri(labels[REFERENCE]) for image, labels in pictures.items()},
        "trials": [
            {"id": id, "source": ids[image, REFERENCE], "picture": data_uri(pictures[image][label])}
            for id, (image, label) in trials.items()
        ],
    }
    key = {
        "study": page["id"],
        "title": title,
        "seed": seed,
        "trials": {id: {"image": image, "candidate": label} for id, (image, label) in trials.items()},
    }
    write_atomically(key_file, lambda part: part.write_text(json.dumps(key, indent=1) + "\n", encoding="utf-8"))
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
            study, an unknown trial, a score that is no number in [0, 100], two votes of a participant in one trial.
    """
    study, trials = _read_key(key)
    votes: dict[tuple[str, str], float] = {}
    places: dict[tuple[str, str], str] = {}
    for file in files:
        for line, row in _read_rows(file):
            place = f"{file}: line {line}"
            participant, trial, score = _vote(row, place, study, trials)
            if (participant, trial) in votes:
                earlier = places[participant, trial]
                raise TfarError(f"{place}: {participant} has voted in trial {trial} already ({earlier})")
            votes[participant, trial], places[participant, trial] = score, place
    if not votes:
        raise TfarError("no votes to score")
    by_pair: dict[tuple[str, str], list[float]] = {pair: [] for pair in sorted(trials.values())}
    for (_, trial), score in votes.items():
        by_pair[trials[trial]].append(score)
    images = sorted({image for image, _ in by_pair})
    candidates = sorted({candidate for _, candidate in by_pair})
    return Scores(
        participants=len({participant for participant, _ in votes}),
        candidates={
            name: _opinion([score for image in images for score in by_pair.get((image, name), [])])
            for name in candidates
        },
        images={
            image: {name: _opinion(by_pair[image, name]) for name in candidates if (image, name) in by_pair}
            for image in images
        },
    )


def format_table(scores: Scores) -> str:
    """Markdown table of the opinions on the candidates, the best first."""
    rows = sorted(scores.candidates.items(), key=lambda item: -item[1].mean if item[1].count else math.inf)
    return markdown_table(
        ["", "MOS (95% interval)", "votes"], [[name, _cell(opinion), str(opinion.count)] for name, opinion in rows]
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


def _check(pictures: Mapping[str, Mapping[str, np.ndarray]], title: str):
    if not pictures:
        raise TfarError("a study needs at least one image")
    for image, labels in pictures.items():
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


def _digest(pictures: Mapping[str, Mapping[str, np.ndarray]], seed: int, title: str) -> str:
    """Hexadecimal digest of all that makes a study."""
    digest = hashlib.sha256(json.dumps([seed, title]).encode())
    for image, labels in pictures.items():
        for label, picture in labels.items():
            digest.update(json.dumps([image, label, picture.shape]).encode() + picture.tobytes())
    return digest.hexdigest()


def _read_key(file: str | Path) -> tuple[str, dict[str, tuple[str, str]]]:
    """The study's id, and trial -> image and candidate."""
    try:
        key = json.loads(Path(file).read_text(encoding="utf-8"))
        study = key["study"]
        return study, {id: (trial["image"], trial["candidate"]) for id, trial in key["trials"].items()}
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


def _vote(row: Mapping[str, str], place: str, study: str, trials: Mapping) -> tuple[str, str, float]:
    """Participant, trial and score of a row."""
    participant, trial = (row["participant"] or "").strip(), row["trial"]
    if not participant:
        raise TfarError(f"{place}: no participant")
    if row["study"] != study:
        raise TfarError(f"{place}: a vote of study {row['study']}, but the key is that of {study}")
    if trial not in trials:
        raise TfarError(f"{place}: unknown trial {trial}")
    try:
        score = float(row["score"] or "")
    except ValueError:
        score = math.nan
    if not 0 <= score <= 100:
        raise TfarError(f"{place}: the score {row['score']!r} is not a number from 0 to 100")
    return participant, trial, score


def _opinion(votes: Sequence[float]) -> Opinion:
    count = len(votes)
    if count < 2:
        return Opinion(float(votes[0]) if votes else math.nan, math.nan, count)
    error = float(np.std(votes, ddof=1)) / math.sqrt(count)
    return Opinion(float(np.mean(votes)), float(stats.t.ppf(0.975, count - 1)) * error, count)


def _cell(opinion: Opinion) -> str:
    if not opinion.count:
        return "-"
    return f"{opinion.mean:.1f}" if math.isnan(opinion.interval) else f"{opinion.mean:.1f} ± {opinion.interval:.1f}"
