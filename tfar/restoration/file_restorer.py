"""From an image file to the file of its restored picture, with everything else that the file holds."""

import dataclasses
import io
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tfar import presets
from tfar.errors import ImageError, TfarError, first_line
from tfar.images.metadata import Metadata
from tfar.images.read import CUT_SHORT, DROPPED, MAX_MEGAPIXELS, Picture, read_pictures
from tfar.images.segments import stripped, unread
from tfar.images.write import (
    LOSSY,
    OPTIONS,
    WRITABLE,
    check_fits,
    encode,
    is_written_gray,
    write_bytes,
    write_pictures,
)
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
        preset: the network's name, file or folder, for the note in the results.
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

        Whatever goes wrong with a file is its outcome, so that the others are done.

        Raises:
            Stopped: when the disk is full.
            TfarError: for what is wrong with more than this file.
            BrokenPipeError: when nobody reads standard output.
        """
        begun = time.perf_counter()
        try:
            outcome = self._outcome(job, check)
        except BrokenPipeError:
            raise
        except Exception as error:
            raise_if_full(error)
            if isinstance(error, TfarError) and not isinstance(error, ImageError):
                raise
            if isinstance(error, ImageError):
                problem = f"{error}; {error.advice}" if error.advice else str(error)
            else:
                problem = f"{job.source}: {type(error).__name__}: {first_line(error)}"
            outcome = Outcome(job, "failed", (problem,))
        return dataclasses.replace(outcome, seconds=time.perf_counter() - begun)

    def _outcome(self, job: Job, check: Callable[[], None]) -> Outcome:
        if self.existing == "skip" and all(target.exists() for target in job.targets):
            return Outcome(job, "skipped", ("exists",))
        data = sys.stdin.buffer.read() if job.source == STDIO else job.source
        pictures = read_pictures(data, frames=self.frames, partial=self.partial, max_megapixels=self.max_megapixels)
        first = pictures[0]
        note = None if self.again else first.metadata.note
        already = f"is a result already ({note}); --again restores it"
        if note and not self.strip:
            return Outcome(job, "skipped", (already,))
        found = [
            inspect_picture(picture, data, quality=self.quality, page=page) for page, picture in enumerate(pictures)
        ]
        untouched = note is not None or (not self.force and all(each.untouched for each in found))
        advice = already if note else f"{found[0].advice}; --force restores it"
        as_it_is = job.in_place and _whole(pictures) and not (self.strip and _is_strippable(pictures, data))
        if untouched and (len(job.targets) > 1 or as_it_is):
            cut = [note for note in first.notes if note == CUT_SHORT]
            return Outcome(job, "skipped", (*cut, advice), found[0].as_dict())
        forms = [self._form(target, job, first) for target in job.targets]
        besides = unread(_content(data)) if first.format == "JPEG" and not self.strip else ()
        if job.in_place:
            self._check_in_place(job.source, first, besides)
        if untouched:
            notes = self._pass_through(job, forms[0], pictures, data, besides)
            return Outcome(job, "passed through", (*notes, advice), found[0].as_dict())
        written = [self._blank(picture) for picture in pictures]
        for target, form in zip(job.targets, forms):
            check_fits(target, form, written)

        def step(done: int, total: int):
            check()
            self.progress(job, done, total)

        coded = [self._coded(first, data), *[None] * (len(pictures) - 1)]  # of the other pictures it is not known
        restored = [self._restored(*each, step) for each in zip(pictures, found, coded, strict=True)]
        check()
        self._write(job, forms, list(zip(*restored)))
        damaged = next((each for each in found if not each.untouched), found[0])
        notes = self._notes(first, damaged, (*first.notes, *self._left_out(first, forms[0], besides)))
        return Outcome(job, "restored", notes, damaged.as_dict())

    def _pass_through(
        self, job: Job, form: str, pictures: Sequence[Picture], data: Path | bytes, besides: tuple[str, ...]
    ) -> tuple[str, ...]:
        """Write what has lost nothing: the file itself where its format stays, its pictures otherwise; gives notes."""
        [target], first = job.targets, pictures[0]
        if self._is_copied(pictures, form):
            content = stripped(_content(data)) if self.strip else _content(data)
            if target == STDIO:
                sys.stdout.buffer.write(content)
            else:
                write_bytes(target, content, same=pictures if job.in_place else None)
            return self._frames_left_out(first) if self.strip else ()
        if first.bits > 8 and self.depth == 16:
            problem = f"has lost nothing, but of its {first.bits} bits 8 would be written"
            raise ImageError(f"{job.source}: {problem}", "--force writes 16, as PNG")
        kept = [dataclasses.replace(picture, metadata=self._metadata(picture)) for picture in pictures]
        check_fits(target, form, kept)
        self._write_file(job, target, form, kept)
        notes = (*first.notes, *self._left_out(first, form, besides))
        if first.bits > 8:
            notes += (f"{first.bits} bits a channel, of which 8 are written",)
        if form in LOSSY and form == _own_form(first):
            notes += (f"coded anew at quality {OPTIONS[form]['quality']}",)
        return notes

    def _is_copied(self, pictures: Sequence[Picture], form: str) -> bool:
        """Whether what has lost nothing is written as the bytes of its file, or, of a JPEG, those without metadata."""
        first = pictures[0]
        if form != _own_form(first) or not _whole(pictures) or CUT_SHORT in first.notes:
            return False
        return not self.strip or (form == "JPEG" and first.orientation == 1 and len(pictures) == 1)

    def _coded(self, picture: Picture, data: Path | bytes) -> CodedPlanes | None:
        """The planes that a JPEG holds, for consistency; None for other files, or where it is not asked for."""
        if not self.consistency or picture.format not in JPEG_FORMATS:
            return None
        return coded_planes(_content(data), picture.orientation)

    def _restored(
        self, picture: Picture, found: Inspection, coded: CodedPlanes | None, step: Callable[[int, int], None]
    ) -> list[Picture]:
        """The pictures to write of one that was read; a page that has lost nothing stays among others that have."""
        if found.untouched and not self.force:
            return [self._finished(picture, picture.pixels)]
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
        metadata = metadata if self.strip else metadata.with_note(self.version, presets.title(self.preset))
        return dataclasses.replace(picture, pixels=result, alpha=alpha, metadata=metadata)

    def _write(self, job: Job, forms: Sequence[str], versions: Sequence[Sequence[Picture]]):
        for target, form, pictures in zip(job.targets, forms, versions, strict=True):
            self._write_file(job, target, form, pictures)

    def _write_file(self, job: Job, target: Path, form: str, pictures: Sequence[Picture]):
        if target == STDIO:
            whole = io.BytesIO()  # a pipe cannot be sought
            encode(whole, pictures, form, target)
            sys.stdout.buffer.write(whole.getbuffer())
        else:
            write_pictures(target, pictures, form=form, verify=target == job.source)

    def _metadata(self, picture: Picture) -> Metadata:
        return picture.metadata.stripped() if self.strip else picture.metadata

    def _notes(self, picture: Picture, found: Inspection, notes: tuple[str, ...]) -> tuple[str, ...]:
        if picture.bits > self.depth:
            notes += (f"{picture.bits} bits a channel, restored to 8 (--depth 16 writes 16)",)
        if found.quality is not None and self.qualities:
            low, high = self.qualities
            if not low - 5 <= found.quality <= high + 5:
                span = f"{low}" if low == high else f"{low} to {high}"
                notes += (f"its quality is {found.quality}, but {self.preset} is for {span}: try --preset general",)
        return notes

    def _left_out(self, picture: Picture, form: str, besides: tuple[str, ...]) -> tuple[str, ...]:
        """Notes on what a file holds and its result does not."""
        notes = self._frames_left_out(picture)
        if besides:
            notes += (f"left out: {', '.join(besides)}",)
        profile_fits = picture.metadata.profile_fits(gray=is_written_gray(picture, form))
        if picture.metadata.profile and not profile_fits and form != "BMP":
            notes += ("its color profile is of another kind than its pixels and left out",)
        return notes

    def _frames_left_out(self, picture: Picture) -> tuple[str, ...]:
        if picture.frames == 1 or self.frames == "all":
            return ()
        return (f"{picture.frames} frames or pages, of which the first is taken (--frames all takes all)",)

    def _check_in_place(self, source: Path, picture: Picture, besides: tuple[str, ...]):
        """Raise for a file of which its result would hold less."""
        if picture.format == "MPO":
            raise ImageError(f"{source}: holds {picture.frames} pictures (MPO), its result one; it is not replaced")
        if besides:
            problem = f"holds {', '.join(besides)}, which would be lost; it is not replaced"
            raise ImageError(f"{source}: {problem}", "--strip does without")
        if DROPPED in picture.notes and not self.strip:
            raise ImageError(f"{source}: its metadata cannot be read and would be lost; it is not replaced")
        if picture.frames > 1 and self.frames == "first":
            raise ImageError(f"{source}: has {picture.frames} frames or pages; in place it needs --frames all")
        if picture.bits > 8 and picture.format != "PNG":
            what = f"has {picture.bits} bits a channel, of which {picture.format} is written with 8"
            raise ImageError(f"{source}: {what}; it is not replaced")
        if picture.bits > self.depth:
            raise ImageError(f"{source}: has {picture.bits} bits a channel; in place it needs --depth 16")

    def _form(self, target: Path, job: Job, picture: Picture) -> str:
        """Pillow's name of the format to write."""
        form = WRITABLE.get(target.suffix.lower()) or self.form or _own_form(picture)
        if form not in WRITABLE.values():
            if job.in_place:
                problem = f"{form} cannot be written, so it is not replaced; restore it into another file"
            else:
                problem = f"{form} cannot be written; choose another --format"
            raise ImageError(f"{job.source}: {problem}")
        return form

    def _blank(self, picture: Picture) -> Picture:
        """Stands for the result, whose shape and type are known before it is computed."""
        kind = np.uint16 if self.depth == 16 else np.uint8
        return dataclasses.replace(picture, pixels=np.broadcast_to(kind(0), picture.pixels.shape))


def _whole(pictures: Sequence[Picture]) -> bool:
    """Whether these are all that their file holds; what an MPO holds besides its first picture does not count."""
    return len(pictures) == pictures[0].frames or pictures[0].format == "MPO"


def _is_strippable(pictures: Sequence[Picture], data: Path | bytes) -> bool:
    """Whether a file holds anything that ``strip`` leaves out."""
    if pictures[0].format in JPEG_FORMATS:
        content = _content(data)
        return stripped(content) != content
    return any(picture.metadata != picture.metadata.stripped() for picture in pictures)


def _own_form(picture: Picture) -> str:
    """Pillow's name of the format in which a picture is stored."""
    return "JPEG" if picture.format in JPEG_FORMATS else picture.format


def _content(data: Path | bytes) -> bytes:
    return data if isinstance(data, bytes) else data.read_bytes()
