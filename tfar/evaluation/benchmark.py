"""Restore and score folders of images: the engine of ``tfar evaluate``.

Images are spread over threads, which code and score them in parallel; the networks use all cores by themselves, so one
image is restored at a time. A score that was computed before for the same image, model and protocol, by the same
program and weights, is taken from the cache. What goes wrong with an image is noted and does not keep the others from
being scored.
"""

import functools
import hashlib
import itertools
import json
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import keras
import numpy as np

from tfar import jpeg
from tfar.errors import ImageError, TfarError, first_line
from tfar.evaluation import protocols
from tfar.evaluation.codecs import CODECS
from tfar.evaluation.contestants import Contestant, check_names
from tfar.evaluation.results import BASELINE, OUTSIDE, Row
from tfar.images.read import image_files, read_image
from tfar.machine import cores
from tfar.metrics.catalogue import DEFAULT_METRICS, Metric, choose, score
from tfar.restoration.consistency import share_outside_interval
from tfar.restoration.restorer import layer_restorers
from tfar.storage import sha256, write_text
from tfar.terminal import track

FULL_REFERENCE: dict[str, Callable[[np.ndarray, int], protocols.Trial]] = {
    "gray": protocols.gray,
    "color": protocols.color,
    "color-444": functools.partial(protocols.color, subsampling="4:4:4"),
    "double": protocols.double,
    **{name: functools.partial(protocols.other_codec, name) for name in CODECS},
}
PROTOCOLS = (*FULL_REFERENCE, "real")
COMPUTING = (  # distributions that scores come from, beside tfar
    "ai-edge-litert",
    "flip-evaluator",
    "keras",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "pillow-heif",
    "tensorflow",
)
AS_FOUND = 0  # the quality of the rows of ``real``, whose files are taken as they are

_unrestored = Contestant((BASELINE,), "", lambda image: {BASELINE: image})


@dataclass(frozen=True)
class Failure:
    """An image that could not be scored, and why."""

    image: str
    problem: str


@dataclass(frozen=True)
class Job:
    """One image under one protocol at one quality."""

    folder: Path
    file: Path
    protocol: str
    quality: int


class Cache:
    """Scores that were computed before, a small JSON file for each image, model and protocol.

    Args:
        folder: where they lie; None keeps nothing.
    """

    def __init__(self, folder: Path | None):
        self.folder = folder

    def get(self, key: str) -> dict | None:
        """What was put under a key, or None."""
        folder = self.folder
        try:
            return json.loads(_cached(folder, key).read_text()) if folder else None
        except (OSError, json.JSONDecodeError):
            return None

    def put(self, key: str, entry: dict):
        """Keep an entry; where that is not possible, nothing is kept any more, and a warning says so."""
        folder = self.folder
        if not folder:
            return
        try:
            write_text(_cached(folder, key), json.dumps(entry))
        except OSError as error:
            warnings.warn(f"scores are not kept: {error}; XDG_CACHE_HOME names another folder", stacklevel=2)
            self.folder = None


def _cached(folder: Path, key: str) -> Path:
    return folder / key[:2] / f"{key}.json"


@functools.cache
def _program() -> str:
    """What scores are computed by: a digest of the sources of tfar, and the versions of :data:`COMPUTING`."""
    sources = sha256(*sorted(Path(__file__).parent.parent.rglob("*.py")))
    return " ".join([sources, *map(_version, COMPUTING)])


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def evaluate(
    contestants: Sequence[Contestant],
    folders: Sequence[str | Path],
    *,
    names: Sequence[str],
    qualities: Sequence[int],
    metrics: Mapping[str, Metric],
    limit: int | None = None,
    cache: Cache = Cache(None),
    workers: int | None = None,
) -> tuple[list[Row], list[Failure]]:
    """Score models on folders of images.

    Args:
        contestants: the models; the rows of the JPEGs without restoration are added in front.
        folders: of originals, or of JPEG files for the protocol ``real``.
        names: of the protocols, out of ``PROTOCOLS``.
        qualities: JPEG quality factors, for all protocols but ``real``.
        metrics: what to compute for the protocols with an original; ``real`` gives ``outside``, the share of DCT
            coefficients that left their quantisation interval, of files with luma.
        limit: take the first so many images of each folder only.
        cache: of scores.
        workers: threads; by default one per core.

    Returns:
        The rows, ordered by dataset, protocol, quality, model and image, and the images that failed.

    Raises:
        ImageError: when a folder is missing or holds no images.
        TfarError: when two models or two folders have the same name.
    """
    roots = [*map(dataset, folders)]
    if len({root.name for root in roots}) < len(roots):
        raise TfarError(f"two folders have the same name: {', '.join(map(str, roots))}")
    jobs = [
        Job(folder, file, name, quality)
        for folder in roots
        for name in names
        for quality in (qualities if name in FULL_REFERENCE else (AS_FOUND,))
        for file in image_files(folder)[:limit]
    ]
    labels = [label for contestant in (_unrestored, *contestants) for label in contestant.names]
    check_names(labels[1:])
    scorer = _Scorer([_unrestored, *contestants], metrics, cache)
    rows, failures = [], []
    with ThreadPoolExecutor(workers or cores()) as pool:
        for scored, failed in track(pool.map(scorer, jobs), len(jobs), "images"):
            rows += scored
            failures += failed
    order = [(job.folder.name, job.protocol, job.quality) for job in jobs]
    places = {key: place for place, key in reversed([*enumerate(order)])}
    rows.sort(key=lambda row: (places[row.dataset, row.protocol, row.quality], labels.index(row.model)))
    return rows, failures


class _Scorer:
    def __init__(self, contestants: list[Contestant], metrics: Mapping[str, Metric], cache: Cache):
        self.contestants = contestants
        self.metrics = metrics
        self.cache = cache
        self.restoring = threading.Lock()

    def __call__(self, job: Job) -> tuple[list[Row], list[Failure]]:
        try:
            digest = hashlib.sha256(job.file.read_bytes()).hexdigest()
            later = functools.cache(lambda: trial(job.file, job.protocol, job.quality))
            rows = []
            for contestant in self.contestants:
                entry, seconds = self._entry(contestant, job, digest, later)
                for name, scores in zip(contestant.names, entry["scores"], strict=True):
                    rows.append(
                        Row(
                            dataset=job.folder.name,
                            image=str(job.file.relative_to(job.folder)),
                            protocol=job.protocol,
                            quality=job.quality,
                            model=name,
                            bpp=entry["bpp"],
                            seconds=seconds,
                            scores={metric: scores[metric] for metric in self._wanted(job) if metric in scores},
                        )
                    )
            return rows, []
        except (OSError, ValueError) as error:
            return [], [Failure(f"{job.file} ({job.protocol})", str(error).removeprefix(f"{job.file}: "))]

    def _wanted(self, job: Job) -> dict[str, str]:
        """The versions of the metrics to compute, by their names."""
        if job.protocol not in FULL_REFERENCE:
            return {OUTSIDE: ""}
        return {name: metric.version for name, metric in self.metrics.items()}

    def _entry(
        self, contestant: Contestant, job: Job, digest: str, later: Callable[[], protocols.Trial]
    ) -> tuple[dict, float | None]:
        """Size and the scores of each row of a contestant, and the time that it took to restore the image.

        They come from the cache, without a time, where it has all metrics wanted in their versions.
        """
        parts = (_program(), digest, contestant.digest, job.protocol, str(job.quality))
        key = hashlib.sha256("|".join(parts).encode()).hexdigest()
        known = self.cache.get(key)
        if known and known["metrics"].items() >= self._wanted(job).items():
            return known, None
        entry, seconds = self._score(contestant, job, later())
        if known:
            entry["metrics"] = known["metrics"] | entry["metrics"]
            entry["scores"] = [before | now for before, now in zip(known["scores"], entry["scores"], strict=True)]
        self.cache.put(key, entry)
        return entry, seconds

    def _score(self, contestant: Contestant, job: Job, trial: protocols.Trial) -> tuple[dict, float]:
        with self.restoring:
            start = time.perf_counter()
            try:
                restored = contestant.restore(trial.jpeg)
            except (TfarError, RuntimeError, MemoryError) as error:  # such as an exported file of another size
                raise ImageError(first_line(error)) from error
            seconds = time.perf_counter() - start
        scores = [self._scores(trial, restored[name]) for name in contestant.names]
        return {"bpp": trial.bpp, "metrics": self._wanted(job), "scores": scores}, seconds

    def _scores(self, trial: protocols.Trial, image: np.ndarray) -> dict[str, float]:
        if trial.original is None:
            share = outside(trial, image)
            return {} if share is None else {OUTSIDE: share}
        return score(self.metrics, trial.original, image)


def outside(trial: protocols.Trial, image: np.ndarray) -> float | None:
    """Share of the luma's DCT coefficients that an image has outside the intervals of the file, which is None where
    that is no JPEG with luma; see :func:`tfar.restoration.consistency.share_outside_interval`.
    """
    table = jpeg.file_luma_table(trial.file)
    return None if table is None else share_outside_interval(trial.jpeg, image, table)


def dataset(folder: str | Path) -> Path:
    """The whole path of a folder of images, links kept: its last part is the name of the dataset."""
    return Path(os.path.abspath(folder))


def trial(file: Path, protocol: str, quality: int) -> protocols.Trial:
    """What a protocol makes of an image file.

    Args:
        file: an original, or a JPEG file for the protocol ``real``.
        protocol: one of ``PROTOCOLS``.
        quality: JPEG quality factor, for all protocols but ``real``.

    Raises:
        OSError: when the file cannot be read.
        ValueError: when it is no image, or none that the protocol takes.
    """
    if protocol == "real":
        return protocols.real(file.read_bytes())
    return FULL_REFERENCE[protocol](read_image(file), quality)


def score_layers(
    model: keras.Model,
    images: Sequence[tuple[str, np.ndarray]],
    *,
    qualities: Iterable[int],
    names: Sequence[str] = ("gray", "color"),
) -> list[Row]:
    """Score a network that was just trained on originals under the named protocols, at each quality factor.

    A region-aware network is scored layer by layer, any other one as a whole; the rows of the JPEGs are added.

    Args:
        model: as the builders of ``tfar.models`` give it.
        images: name and original of each, uint8 ``(H, W, 3)`` RGB or ``(H, W)``.
        qualities: JPEG quality factors.
        names: of the protocols, out of ``FULL_REFERENCE``.

    Raises:
        ValueError: for an image that a protocol does not take.
    """
    chosen = choose(DEFAULT_METRICS)
    restorers: dict[str, Callable[[np.ndarray], np.ndarray]] = {BASELINE: np.asarray, **layer_restorers(model)}
    rows = []
    for quality, name, (image, original) in itertools.product(sorted(qualities), names, images):
        trial = FULL_REFERENCE[name](original, quality)
        for label, restore in restorers.items():
            start = time.perf_counter()
            restored = restore(trial.jpeg)
            rows.append(
                Row(
                    dataset="held-out",
                    image=Path(image).name,
                    protocol=name,
                    quality=quality,
                    model=label,
                    bpp=trial.bpp,
                    seconds=time.perf_counter() - start,
                    scores=score(chosen, trial.original, restored),
                )
            )
    return rows
