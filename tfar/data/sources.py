"""Where training images come from, and which of them are held out.

An image is known by its file before any of its pixels is read, and splits are made by file, never by patch.
"""

import bisect
import hashlib
import io
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from tfar.data.shards import Shards
from tfar.errors import ImageError, first_line
from tfar.images.read import image_files, image_size, read_image

NAMED = 3  # files that a warning names; of more it gives the number
DEMO_TRAINING = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "coffee.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "moon.png",
    "motorcycle_left.png",
)
DEMO_HELD_OUT = ("chelsea.png", "rocket.jpg", "coins.png")


@dataclass(frozen=True)
class SourceImage:
    """An image that can be loaded: its name, its size ``(height, width)`` and a function that returns its pixels."""

    name: str
    size: tuple[int, int]
    load: Callable[[], np.ndarray]


class ShardImages(Sequence[SourceImage]):
    """Photographs of shards, each of which is known by a row of the index and made when it is asked for.

    Args:
        shards: the packed photographs.
        numbers: which of them, in order.
    """

    def __init__(self, shards: Shards, numbers: Sequence[int]):
        self.shards = shards
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return ShardImages(self.shards, self.numbers[index])
        number = int(self.numbers[index])
        row = self.shards.rows[number]
        load = partial(_packed, self.shards, number)
        return SourceImage(self.shards.name(number), (int(row["height"]), int(row["width"])), load)


def load_split(source: str, validation: float, patch: int) -> tuple[Sequence[SourceImage], Sequence[SourceImage]]:
    """Find the images of a source and split them into training and held-out images.

    Args:
        source: a folder, ``shards:FOLDER``, ``demo`` or ``tfds:NAME``, as in :class:`tfar.recipes.Data`.
        validation: share of the files to hold out. The demo set has a fixed split.
        patch: images smaller than this on either side are left out of both parts with a warning that names the first
            of them; which of the others are held out does not depend on it, as long as each part has some.

    Raises:
        ImageError: when the source does not exist or nothing usable is left to train on.
        ShardError: when shards are missing or cut short.
    """
    training: Sequence[SourceImage]
    held_out: Sequence[SourceImage]
    if source == "demo":
        training, held_out = _demo_parts(patch)
    elif source.startswith("shards:"):
        training, held_out = _shard_parts(source.removeprefix("shards:"), validation, patch)
    else:
        images = _tfds_images(source.removeprefix("tfds:")) if source.startswith("tfds:") else _folder_images(source)
        training, held_out = split(images, validation, patch)
    if not training:
        raise ImageError(f"{source}: no usable image of at least {patch}x{patch} pixels to train on")
    return training, held_out


def split(
    images: Sequence[SourceImage], validation: float, patch: int = 1
) -> tuple[list[SourceImage], list[SourceImage]]:
    """Split images into training and held-out ones by a hash of the name, so that other files do not matter.

    Images smaller than ``patch`` on either side are left out with one warning. At least one image is left to train on
    and, when ``validation`` is above 0, another one is held out.
    """
    _warn_of_small(images, patch)
    ordered = _in_order(images)
    training, held_out = _parted(np.bool_([min(image.size) >= patch for image in ordered]), validation)
    return [ordered[number] for number in training], [ordered[number] for number in held_out]


def photographs_to_pack(folder: str | Path) -> list[tuple[Path, tuple[int, int]]]:
    """The images of a folder with their sizes, in the order in which they are split.

    Shards in this order are split as the folder is, without a look at their names.
    """
    return [(Path(image.name), image.size) for image in _in_order(_folder_images(folder))]


def _in_order(images: Sequence[SourceImage]) -> list[SourceImage]:
    return sorted(images, key=lambda image: hashlib.sha256(os.fsencode(Path(image.name).name)).hexdigest())


def _parted(fits: np.ndarray, validation: float) -> tuple[Sequence[int], Sequence[int]]:
    """Numbers of the images to train on and of those held out, out of the images that fit, in their order.

    Held out are the first ones, up to a share of all images, so that it does not matter which of them fit; but one at
    least, and one is left to train on.
    """
    numbers = range(len(fits)) if fits.all() else np.flatnonzero(fits)
    share = max(round(validation * len(fits)), 1) if validation > 0 else 0
    count = max(bisect.bisect_left(numbers, share), 1) if share else 0
    count = min(count, max(len(numbers) - 1, 0))
    return numbers[count:], numbers[:count]


def demo_folder() -> Path:
    """The folder of photographs that the scikit-image wheel carries."""
    import skimage.data

    return Path(skimage.data.__file__).parent


def _demo_parts(patch: int) -> list[list[SourceImage]]:
    parts = [[_from_file(demo_folder() / name) for name in names] for names in (DEMO_TRAINING, DEMO_HELD_OUT)]
    _warn_of_small([image for part in parts for image in part], patch)
    return [[image for image in part if min(image.size) >= patch] for part in parts]


def _from_file(path: Path) -> SourceImage:
    """The image of a file, of which only the header is read now."""
    return SourceImage(str(path), image_size(path), partial(read_image, path))


def _folder_images(folder: str | Path) -> list[SourceImage]:
    images = []
    for path in image_files(folder):
        try:
            images.append(_from_file(path))
        except ImageError as error:
            warnings.warn(f"skipped {error}", stacklevel=2)
    return images


def _shard_parts(folder: str, validation: float, patch: int) -> list[ShardImages]:
    """The parts of a split of shards, of photographs that a patch fits into; one warning says how many are left out."""
    shards = Shards(folder)
    fits = np.minimum(shards.rows["height"], shards.rows["width"]) >= patch
    if small := len(shards) - np.count_nonzero(fits):
        problem = f"{small} of {len(shards)} photographs are smaller than the {patch}x{patch} patch"
        warnings.warn(f"skipped in {folder}: {problem}", stacklevel=2)
    return [ShardImages(shards, numbers) for numbers in _parted(fits, validation)]


def _packed(shards: Shards, number: int) -> np.ndarray:
    """The pixels of a packed photograph, as :func:`tfar.images.read.read_image` gives them."""
    file = io.BytesIO(shards.read(number))
    file.name = shards.name(number)
    return read_image(file)


def _tfds_images(name: str) -> list[SourceImage]:
    """The training images of a TensorFlow Datasets builder; its feature is ``image`` or ``hr``.

    The dataset lies on the disk, in a format with random access, and an image is decoded when it is loaded: of all
    images only the size is kept in memory, for which they are gone through once.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ImageError(f"tfds:{name}: not installed, run: pip install 'tfar[tfds]'") from error
    try:
        builder = tfds.builder(name, file_format="array_record")
        builder.download_and_prepare()
        features = builder.info.features
        images_in = [key for key, kind in features.items() if isinstance(kind, tfds.features.Image)]
        encoded = dict.fromkeys(images_in, tfds.decode.SkipDecoding())
        records = builder.as_data_source(split="train", decoders=encoded)
    except tfds.core.DatasetNotFoundError as error:
        raise ImageError(f"tfds:{name}: no such dataset") from error
    except (NotImplementedError, ValueError) as error:
        problem = first_line(error)
        raise ImageError(f"tfds:{name}: no random access ({problem}); remove a copy in another format first") from error
    key = "image" if "image" in features else "hr"
    images = []
    for index in range(len(records)):
        load = partial(_decoded, records, index, key)
        images.append(SourceImage(f"tfds:{name}/{index:08d}", image_size(records[index][key]), load))
    return images


def _decoded(records: Sequence, index: int, key: str) -> np.ndarray:
    """The pixels of one record's image file, as :func:`tfar.images.read.read_image` gives them."""
    return read_image(records[index][key])


def _warn_of_small(images: Sequence[SourceImage], patch: int):
    """Name the first of the images that a patch does not fit into, in one warning."""
    small = [image for image in images if min(image.size) < patch]
    if small:
        named = ", ".join(f"{image.name} ({image.size[1]}x{image.size[0]})" for image in small[:NAMED])
        more = f" and {len(small) - NAMED} more" if len(small) > NAMED else ""
        problem = f"{len(small)} of {len(images)} images are smaller than the {patch}x{patch} patch"
        warnings.warn(f"skipped {named}{more}: {problem}", stacklevel=2)
