"""From an image file to the file of its restored picture, with everything else that the file holds."""

import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tfar.errors import ImageError
from tfar.images.metadata import Metadata
from tfar.images.read import MAX_MEGAPIXELS, Picture, read_pictures
from tfar.images.write import WRITABLE, check_fits, encode, write_pictures
from tfar.restoration.files import STDIO, Job, Outcome, raise_if_full
from tfar.restoration.inspection import Inspection, inspect_picture
from tfar.restoration.projection import CodedPlanes, coded_planes, project
from tfar.restoration.restorer import Restorer

JPEG_FORMATS = ("JPEG", "MPO")

Restore = Callable[[np.ndarray, Inspection, Callable[[int, int], None]], Sequence[np.ndarray]]


def pictures_of(restorers: Sequence[Restorer], depth: int) -> Restore:
    """What makes a picture of ``depth`` bits with each of some restorers, for :class:`FileRestorer`."""

    def restore(image: np.ndarray, found: Inspection, progress: Callable[[int, int], None]) -> list[np.ndarray]:
        offset = found.offset or (0, 0)
        return [restorer(image, offset=offset, depth=depth, progress=progress) for restorer in restorers]

    return restore


@dataclasses.dataclass(frozen=True)
class FileRestorer:
    """Does the jobs of :func:`tfar.restoration.files.plan`.

    Attributes:
        restore: from an upright picture ``(H, W[, 3])`` uint8, what was found out about its file, and a function that
            is called with the tiles done and all tiles, to the pictures to write, one for each target.
        version: of tfar, and
        preset: the network's name, for the note in the results.
        qualities: lowest and highest JPEG quality that the network is for; outside it a note says so.
        quality: of the JPEG, in place of what is found.
        consistency: move the results into the quantization intervals of their JPEG, see
            :mod:`tfar.restoration.projection`.
        depth: bits a channel of the results, 8 or 16.
        frames: ``first`` or ``all`` of animations and pages.
        partial: restore a JPEG that was cut short as far as it decodes.
        max_megapixels: size from which a file is refused.
        strip: write no metadata but the color profile.
        again: restore what carries tfar's note, too.
        force: restore what has lost nothing, too.
        existing: with ``skip``, jobs whose targets are all there are skipped.
        form: Pillow's name of the format where a target's name does not tell; None for that of the source.
        progress: called with the job, and the tiles done and all tiles of its picture.
    """

    restore: Restore
    version: str
    preset: str
    qualities: tuple[int, int] | None = None
    quality: int | None = None
    consistency: bool = True
    depth: int = 8
    frames: str = "first"
    partial: bool = False
    max_megapixels: float = MAX_MEGAPIXELS
    strip: bool = False
    again: bool = False
    force: bool = False
    existing: str = "refuse"
    form: str | None = None
    progress: Callable[[Job, int, int], None] = lambda job, done, total: None

    def __call__(self, job: Job, check: Callable[[], None]) -> Outcome:
        """Do a job; ``check`` is called after every tile and may raise to end it.

        Raises:
            Stopped: when the disk is full.
        """
        begun = time.perf_counter()
        try:
            outcome = self._outcome(job, check)
        except ImageError as error:
            raise_if_full(error)
            outcome = Outcome(job, "failed", (str(error),))
        return dataclasses.replace(outcome, seconds=time.perf_counter() - begun)

    def _outcome(self, job: Job, check: Callable[[], None]) -> Outcome:
        if self.existing == "skip" and all(target.exists() for target in job.targets):
            return Outcome(job, "skipped", ("exists",))
        data = sys.stdin.buffer.read() if job.source == STDIO else job.source
        pictures = read_pictures(data, frames=self.frames, partial=self.partial, max_megapixels=self.max_megapixels)
        first = pictures[0]
        if first.metadata.note and not self.again:
            return Outcome(job, "skipped", (f"is a result already ({first.metadata.note}); --again restores it",))
        if job.source in job.targets:
            self._check_in_place(job.source, first)
        forms = [self._form(target, job, first) for target in job.targets]
        blank = [dataclasses.replace(picture, pixels=self._blank(picture)) for picture in pictures]
        for target, form in zip(job.targets, forms):
            check_fits(target, form, blank)
        found = inspect_picture(first, data, quality=self.quality)
        notes = self._notes(first, found)
        if found.untouched and not self.force:
            notes += (f"{found.advice}; --force restores it",)
            if job.source in job.targets:
                return Outcome(job, "skipped", notes, found.as_dict())
            kept = [dataclasses.replace(picture, metadata=self._metadata(picture)) for picture in pictures]
            self._write(job, forms, [kept] * len(forms))
            return Outcome(job, "passed through", notes, found.as_dict())

        def step(done: int, total: int):
            check()
            self.progress(job, done, total)

        coded = [self._coded(first, data), *[None] * (len(pictures) - 1)]  # of the other pictures it is not known
        restored = [self._restored(picture, found, step, planes) for picture, planes in zip(pictures, coded)]
        check()
        self._write(job, forms, list(zip(*restored)))
        return Outcome(job, "restored", notes, found.as_dict())

    def _coded(self, picture: Picture, data: Path | bytes) -> CodedPlanes | None:
        """The planes that a JPEG holds, for consistency; None for other files, or where it is not asked for."""
        if not self.consistency or picture.format not in JPEG_FORMATS:
            return None
        return coded_planes(data if isinstance(data, bytes) else data.read_bytes(), picture.orientation)

    def _restored(
        self, picture: Picture, found: Inspection, step: Callable[[int, int], None], coded: CodedPlanes | None
    ) -> list[Picture]:
        """The pictures to write of one that was read."""
        made = []
        for result in self.restore(picture.pixels, found, step):
            if coded is not None and result.shape[:2] == picture.pixels.shape[:2]:  # a contact sheet is larger
                result = project(result, coded)
            made.append(self._finished(picture, result))
        return made

    def _finished(self, picture: Picture, result: np.ndarray) -> Picture:
        alpha = picture.alpha if result.shape[:2] == picture.pixels.shape[:2] else None
        if alpha is not None:
            scale = result.dtype.type(np.iinfo(result.dtype).max // 255)
            hidden = alpha == 0
            result = result.copy()
            result[hidden] = picture.pixels[hidden] * scale
            alpha = alpha * scale
        metadata = self._metadata(picture)
        metadata = metadata if self.strip else metadata.with_note(self.version, self.preset)
        return dataclasses.replace(picture, pixels=result, alpha=alpha, metadata=metadata)

    def _write(self, job: Job, forms: Sequence[str], versions: Sequence[Sequence[Picture]]):
        for target, form, pictures in zip(job.targets, forms, versions, strict=True):
            if target == STDIO:
                encode(sys.stdout.buffer, pictures, form)
            else:
                write_pictures(target, pictures, form=form, verify=target == job.source)

    def _metadata(self, picture: Picture) -> Metadata:
        return picture.metadata.stripped() if self.strip else picture.metadata

    def _notes(self, picture: Picture, found: Inspection) -> tuple[str, ...]:
        notes = picture.notes
        if picture.frames > 1 and self.frames == "first":
            notes += (f"{picture.frames} frames or pages, of which the first is taken (--frames all takes all)",)
        if picture.bits > self.depth:
            notes += (f"{picture.bits} bits a channel, restored to 8 (--depth 16 writes 16)",)
        if found.quality is not None and self.qualities:
            low, high = self.qualities
            if not low - 5 <= found.quality <= high + 5:
                span = f"{low}" if low == high else f"{low} to {high}"
                notes += (f"its quality is {found.quality}, but {self.preset} is for {span}: try --preset general",)
        return notes

    def _check_in_place(self, source: Path, picture: Picture):
        """Raise for a file of which its result would hold less."""
        if picture.frames > 1 and self.frames == "first":
            raise ImageError(f"{source}: has {picture.frames} frames or pages; in place it needs --frames all")
        if picture.bits > self.depth:
            raise ImageError(f"{source}: has {picture.bits} bits a channel; in place it needs --depth 16")

    def _form(self, target: Path, job: Job, picture: Picture) -> str:
        """Pillow's name of the format to write."""
        known = WRITABLE.get(target.suffix.lower())
        own = "JPEG" if picture.format in JPEG_FORMATS else picture.format
        form = known or self.form or own
        if form not in WRITABLE.values():
            raise ImageError(f"{job.source}: {form} cannot be written; choose another --format")
        return form

    def _blank(self, picture: Picture) -> np.ndarray:
        """Stands for the result, whose shape and type are known before it is computed."""
        return np.broadcast_to(np.uint16(0) if self.depth == 16 else np.uint8(0), picture.pixels.shape)
