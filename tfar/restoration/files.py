"""Restoring files and folders of files."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from tfar.errors import ImageError
from tfar.images.read import image_files, read_image
from tfar.images.write import check_writable, write_image


def plan(source: str | Path, target: str | Path, *, candidates: int | None = None) -> list[tuple[Path, list[Path]]]:
    """The image files to restore, each with the files to write.

    Args:
        source: an image file, or a folder, of which all images below are taken.
        target: for a file, the file to write, or an existing folder; for a folder, the folder in which the same
            tree is made, as PNG files. Two files that differ in the extension only keep it: ``a.jpg.png``.
        candidates: write so many restorations of each image, ``a-1.png``, ``a-2.png`` ..., and last a contact sheet
            ``a-candidates.png``.

    Raises:
        ImageError: when the source does not exist or holds no images, the target cannot be of that kind, or an input
            would be overwritten.
    """
    source, target = Path(source), Path(target)
    if not source.is_dir():
        if not source.exists():
            raise ImageError(f"{source}: no such file or folder")
        target = target / f"{source.stem}.png" if target.is_dir() else target
        check_writable(target)
        targets = _names(target, candidates)
        _check_not_among(targets, [source])
        return [(source, targets)]
    if target.exists() and not target.is_dir():
        raise ImageError(f"{target}: the input is a folder, so the output must be one")
    files = image_files(source)
    stems = [file.with_suffix("") for file in files]
    taken = Counter(stems) + Counter(files)
    names = [stem if taken[stem] == 1 else file for file, stem in zip(files, stems)]
    planned = [
        (file, _names(target / f"{name.relative_to(source)}.png", candidates)) for file, name in zip(files, names)
    ]
    _check_not_among([written for _, targets in planned for written in targets], files)
    return planned


def restore_files(
    planned: list[tuple[Path, list[Path]]], restore: Callable[[np.ndarray], Sequence[np.ndarray]]
) -> Iterator[tuple[Path, ImageError | None]]:
    """Restore one file after the other; yields each source and the error that kept it from being restored.

    Args:
        planned: what :func:`plan` gives.
        restore: from an image to the images to write, one for each target.
    """
    for source, targets in planned:
        try:
            for target, image in zip(targets, _restored(source, restore), strict=True):
                write_image(target, image)
        except ImageError as error:
            yield source, error
        else:
            yield source, None


def _names(target: Path, candidates: int | None) -> list[Path]:
    if candidates is None:
        return [target]
    labels = [*range(1, candidates + 1), "candidates"]
    return [target.with_name(f"{target.stem}-{label}{target.suffix}") for label in labels]


def _restored(source: Path, restore: Callable[[np.ndarray], Sequence[np.ndarray]]) -> Sequence[np.ndarray]:
    image = read_image(source)
    try:
        return restore(image)
    except ImageError as error:
        raise ImageError(f"{source}: {error}") from error


def _check_not_among(targets: Sequence[Path], sources: Sequence[Path]):
    inputs = {source.resolve() for source in sources}
    for written in targets:
        if written.resolve() in inputs:
            raise ImageError(f"{written}: is one of the inputs; choose another output")
