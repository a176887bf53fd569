"""Restoring files and folders of files."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tfar.data.sources import image_files, read_image
from tfar.errors import ImageError
from tfar.storage import write_atomically

WRITABLE = {".png": {}, ".tif": {}, ".tiff": {}, ".bmp": {}, ".webp": {"lossless": True},
            ".jpg": {"quality": 95, "subsampling": "4:4:4"}, ".jpeg": {"quality": 95, "subsampling": "4:4:4"}}


def write_image(path: str | Path, image: np.ndarray):
    """Write a uint8 image, RGB or gray, in the format of the extension; the file appears whole or not at all.

    Raises:
        ImageError: for an extension that is not in ``WRITABLE``, or a path that cannot be written.
    """
    path = Path(path)
    _check_writable(path)
    if path.is_dir():
        raise ImageError(f"{path}: cannot be written (a folder of this name exists)")
    try:
        write_atomically(path, lambda part: Image.fromarray(image).save(part, **WRITABLE[path.suffix.lower()]))
    except OSError as error:
        raise ImageError(f"{path}: cannot be written ({error.strerror or error})") from error


def plan(source: str | Path, target: str | Path) -> list[tuple[Path, Path]]:
    """Pairs of an image file to restore and the file to write.

    Args:
        source: an image file, or a folder, of which all images below are taken.
        target: for a file, the file to write, or an existing folder; for a folder, the folder in which the same
            tree is made, as PNG files. Two files that differ in the extension only keep it: ``a.jpg.png``.

    Raises:
        ImageError: when the source does not exist or holds no images, the target cannot be of that kind, or a file of
            the folder would be overwritten.
    """
    source, target = Path(source), Path(target)
    if not source.is_dir():
        if not source.exists():
            raise ImageError(f"{source}: no such file or folder")
        target = target / f"{source.stem}.png" if target.is_dir() else target
        _check_writable(target)
        return [(source, target)]
    if target.exists() and not target.is_dir():
        raise ImageError(f"{target}: the input is a folder, so the output must be one")
    files = image_files(source)
    stems = [file.with_suffix("") for file in files]
    taken = Counter(stems) + Counter(files)
    names = [stem if taken[stem] == 1 else file for file, stem in zip(files, stems)]
    pairs = [(file, target / f"{name.relative_to(source)}.png") for file, name in zip(files, names)]
    inputs = {file.resolve() for file in files}
    for _, written in pairs:
        if written.resolve() in inputs:
            raise ImageError(f"{written}: is one of the inputs; choose another output folder")
    return pairs


def restore_files(pairs: list[tuple[Path, Path]], restorer: Callable[[np.ndarray], np.ndarray]
                  ) -> Iterator[tuple[Path, Path, ImageError | None]]:
    """Restore one file after the other; yields source, target and the error that kept it from being restored."""
    for source, target in pairs:
        try:
            write_image(target, _restored(source, restorer))
        except ImageError as error:
            yield source, target, error
        else:
            yield source, target, None


def _restored(source: Path, restorer: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    image = read_image(source)
    try:
        return restorer(image)
    except ImageError as error:
        raise ImageError(f"{source}: {error}") from error


def _check_writable(path: Path):
    if path.suffix.lower() not in WRITABLE:
        raise ImageError(f"{path}: cannot write this format; use one of {' '.join(WRITABLE)}")
