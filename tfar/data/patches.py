"""From images to batches of JPEG and original patches, the same for every backend.

A batch is a pair ``(x, original)``, where ``x`` holds the JPEG patches and what is known of them (:class:`Patches`).

:class:`Patches` computes batch number ``i``, or the part of it that one of several workers needs, from the seed and
``i`` alone. :func:`tf_dataset` runs it in a tf.data pipeline; :class:`PatchDataset`, its backend-free twin, runs it in
the worker threads of a ``keras.utils.PyDataset``. Same seed, same patches, whichever of them is used, however many
workers share the batches, and wherever a run was interrupted.

Photographs are flipped and turned before they are coded, so that every patch is what a real encoder gives. A JPEG codes
its blocks one by one, so only a window around each patch is coded: it is aligned to the coding units and one unit wider
than the patch on each side, which makes its pixels equal to those of the whole image's JPEG.
"""

import dataclasses
import math
import threading
import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tfar import jpeg, pixels, quantization, recipes
from tfar.data.drawn import drawn_picture
from tfar.data.sources import SourceImage
from tfar.errors import ImageError, TfarError
from tfar.models import channels, input_names

CODING_UNIT = 16  # pixels: the block pair of 4:2:0 chroma, a multiple of every other subsampling's unit
CACHE_BYTES = 2 << 30
DRAWS = 16  # of images that cannot be read, before all images are tried in turn


class Patches:
    """Random access to the batches of a training.

    Args:
        images: the images to draw from; those that turn out to be unreadable are skipped with a warning. They may be
            too many for a list.
        data: patch size, batch size, JPEG quality and so on.
        seed: of everything that is drawn.
        channels: 3 for RGB batches (gray images are repeated), 1 for luma.
        noise: draw the noise that a one-to-many network takes, too.

    Attributes:
        failure: the error that ended a batch, which tf.data wraps in one of its own.

    The places of a batch share the images out: place 3 of 8 draws from the fourth eighth. Every image is drawn equally
    often, and a worker that computes the first half of every batch reads the first half of the images only.
    """

    def __init__(
        self,
        images: Sequence[SourceImage],
        data: recipes.Data,
        *,
        seed: int = 0,
        channels: int = 3,
        noise: bool = False,
    ):
        self.images = images
        self.data = data
        self.seed = seed
        self.channels = channels
        self.noise = noise
        self.failure: TfarError | None = None
        self._pixels = _PixelCache(CACHE_BYTES)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the JPEG and the original patches of a batch."""
        return (self.data.batch, self.data.patch, self.data.patch, self.channels)

    def batch(self, index: int, part: range | None = None) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Batch number ``index``, or some places in a row of it, as a pair ``(x, original)``.

        ``original`` is uint8 of :attr:`shape`, of the part's length; ``x`` is a dictionary of

        - ``jpeg``: the decoded JPEG patches, uint8 of :attr:`shape`;
        - ``table``: the quantisation tables of their luma, uint8 ``(B, 8, 8)``;
        - ``offset``: where in its 8x8 block the upper left pixel of a patch lies, uint8 ``(B, 2)`` in 0 to 7;
        - ``noise``: when asked for, as :func:`draw_noise` gives it.

        Raises:
            ImageError: when no image can be read.
            ShardError: when a shard is not as it was packed.
        """
        size, together = self.data.batch, self.data.patches_per_image
        part = part or range(size)
        arrays: list[tuple[np.ndarray, ...]] = []
        for group in range(part.start // together, -(-part.stop // together)):
            places = range(group * together, min((group + 1) * together, size))
            drawn = self._draw_group(index, group, places)
            arrays += [patch for place, patch in zip(places, drawn) if place in part]
        original, *known = map(np.stack, zip(*arrays))
        return dict(zip(("jpeg", "table", "offset", "noise"), known)), original

    def _draw_group(self, index: int, group: int, places: range) -> list[tuple[np.ndarray, ...]]:
        """The patches of a batch that are cut from one image, for these places, each with what is known of it."""
        rng = np.random.default_rng((self.seed, index, group))
        image = self._draw_image(rng, places.start / self.data.batch, len(places) / self.data.batch)
        patches = [self._draw_patch(image, rng) for _ in places]
        if self.noise:
            noise = draw_noise(rng, len(places), self.data.patch, self.data.patch)
            return [(*patch, own) for patch, own in zip(patches, noise)]
        return patches

    def _draw_image(self, rng, start: float, share: float) -> np.ndarray:
        """An image of the stretch that begins behind ``start`` of all images, and is ``share`` of them long."""
        if self.data.drawn and rng.random() < self.data.drawn:
            return drawn_picture(rng, self.data.patch)
        count = len(self.images)
        for _ in range(DRAWS):
            image = self._pixels.get(self.images[min(int((start + share * rng.random()) * count), count - 1)])
            if image is not None:
                return image
        for index in rng.permutation(count):
            image = self._pixels.get(self.images[index])
            if image is not None:
                return image
        raise ImageError("none of the training images can be read")

    def _draw_patch(self, image: np.ndarray, rng) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        data = self.data
        gray = self.channels == 1 or rng.random() < data.gray
        coding = self._draw_coding(rng, data.quality[1])
        earlier, shift = self._draw_earlier_coding(rng, coding)
        aligned = data.aligned == 1 or (data.aligned > 0 and rng.random() < data.aligned)
        if data.augment:
            image = np.rot90(image[:, ::-1] if rng.integers(2) else image, rng.integers(4))
        grid = quantization.BLOCK if aligned else 1
        place = [
            int(rng.integers(max(side - moved - data.patch, 0) // grid + 1)) * grid
            for side, moved in zip(image.shape[:2], shift)
        ]
        room = (side - data.patch - start for side, start in zip(image.shape[:2], place))
        shift = tuple(map(min, shift, room))

        uncoded = _Original(image, gray)
        source = uncoded if earlier is None else _Cropped(_Coded(uncoded, earlier), shift)
        box = (*place, data.patch, data.patch)
        pair = (_Coded(source, coding).cut(*box), _Cropped(uncoded, shift).cut(*box))
        compressed, original = (p[..., None] if self.channels == 1 else pixels.as_rgb(p) for p in pair)
        offset = np.uint8([start % quantization.BLOCK for start in place])
        return original, compressed, coding.luma_table, offset

    def _draw_coding(self, rng, best: int) -> "_Coding":
        """How a JPEG is coded, with a quality of at most ``best``."""
        data, worst = self.data, self.data.quality[0]
        if data.quality_law == "uniform":
            quality = int(rng.integers(worst, best, endpoint=True))
        else:
            low, high = (math.log(quantization.table_scale(quality)) for quality in (best, worst))
            quality = round(quantization.quality_of_scale(math.exp(rng.uniform(low, high))))
        return _Coding(quality, _draw(rng, data.subsampling), _draw(rng, data.tables))

    def _draw_earlier_coding(self, rng, coding: "_Coding") -> tuple["_Coding | None", tuple[int, int]]:
        """What a patch was coded with before, and by how much the later grid is shifted against that one's."""
        if not self.data.double or rng.random() >= self.data.double:
            return None, (0, 0)
        earlier = self._draw_coding(rng, coding.quality)
        shifted = rng.random() < 0.5
        return earlier, tuple(map(int, rng.integers(1, CODING_UNIT, 2))) if shifted else (0, 0)


@dataclasses.dataclass(frozen=True)
class _Coding:
    """How an encoder is told to code an image."""

    quality: int
    subsampling: str
    tables: str

    @property
    def luma_table(self) -> np.ndarray:
        return quantization.luma_table(self.quality, self.tables)


class _Original:
    """The pixels of a photograph, or its luma, computed where they are asked for."""

    def __init__(self, image: np.ndarray, gray: bool):
        self.image = image
        self.gray = gray
        self.size = image.shape[:2]

    def cut(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        part = self.image[top : top + height, left : left + width]
        return pixels.studio_luma(part) if self.gray else np.ascontiguousarray(part)


class _Cropped:
    """What is left of an image when its first rows and columns are cut off."""

    def __init__(self, source, shift: Sequence[int]):
        self.source = source
        self.shift = shift
        self.size = tuple(side - moved for side, moved in zip(source.size, shift))

    def cut(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        return self.source.cut(top + self.shift[0], left + self.shift[1], height, width)


class _Coded:
    """The decoded JPEG of an image, of which only a window around the part that is asked for is coded."""

    def __init__(self, source, coding: _Coding):
        self.source = source
        self.coding = coding
        self.size = source.size

    def cut(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        rows, columns = _window(top, height, self.size[0]), _window(left, width, self.size[1])
        window = self.source.cut(rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start)
        coded = jpeg.compress(window, self.coding.quality, self.coding.subsampling, self.coding.tables)
        top, left = top - rows.start, left - columns.start
        return coded[top : top + height, left : left + width]


def _draw(rng, shares: Mapping[str, float]) -> str:
    """One of the names, each as often as its share says."""
    names, weights = zip(*shares.items())
    return names[0] if len(names) == 1 else str(rng.choice(names, p=np.float64(weights) / sum(weights)))


def draw_noise(rng: np.random.Generator, count: int, height: int, width: int) -> np.ndarray:
    """Standard normal noise for images of a height and width: float32 ``(count, ceil(H/2), ceil(W/2), 1)``."""
    return rng.standard_normal((count, -(-height // 2), -(-width // 2), 1), dtype=np.float32)


def tf_dataset(patches: Patches, start: int, stop: int, parts: Sequence[range] = ()):
    """The batches ``start`` to ``stop - 1`` as a ``tf.data.Dataset``, computed ahead in parallel.

    Args:
        patches: the batches.
        start: the first batch.
        stop: the batch behind the last one.
        parts: places of a batch; each of them makes an element of its own, and other places are not computed.
    """
    import tensorflow as tf

    parts = parts or [range(patches.data.batch)]
    example = patches.batch(start, parts[0])
    leading = None if len({len(part) for part in parts}) > 1 else len(parts[0])

    def compute(number):
        try:
            return tf.nest.flatten(patches.batch(start + number // len(parts), parts[number % len(parts)]))
        except TfarError as error:
            patches.failure = error
            raise

    def load(number):
        arrays = tf.nest.flatten(example)
        loaded = tf.numpy_function(compute, [number], [array.dtype for array in arrays])
        shaped = [tf.ensure_shape(tensor, (leading, *array.shape[1:])) for tensor, array in zip(loaded, arrays)]
        return tf.nest.pack_sequence_as(example, shaped)

    dataset = tf.data.Dataset.range((stop - start) * len(parts)).map(load, num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.prefetch(tf.data.AUTOTUNE)


class PatchDataset(keras.utils.PyDataset):
    """The batches ``start`` to ``start + length - 1`` of each epoch, for any Keras backend.

    Args:
        patches: the batches.
        start: the first batch of the first epoch that is run.
        length: batches per epoch; every epoch goes on where the last one ended.
        workers: threads that prepare batches.
    """

    def __init__(self, patches: Patches, start: int, length: int, workers: int = 2):
        super().__init__(workers=workers, max_queue_size=2 * workers)
        self.patches = patches
        self.start = start
        self.length = length
        self._within_epoch = False

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return self.patches.batch(self.start + index)

    def on_epoch_begin(self):
        self._within_epoch = True

    def on_epoch_end(self):
        if self._within_epoch:  # fit calls this before the first epoch, too
            self.start += self.length
        self._within_epoch = False


def drawn_for(network: keras.Model) -> dict[str, Any]:
    """The arguments of :class:`Patches` and :func:`validation_batch` that follow from a network's inputs."""
    return {"channels": channels(network), "noise": "noise" in input_names(network)}


def validation_batch(images: Sequence[SourceImage], data: recipes.Data, *, channels: int = 3, noise: bool = False):
    """A fixed batch ``(x, original)`` of patches of the held-out images.

    There are four times as many patches as images (at least 16, at most 256), of photographs only and not augmented.
    """
    count = min(max(4 * len(images), 16), 256)
    fixed = dataclasses.replace(data, batch=count, patches_per_image=1, augment=False, drawn=0.0)
    return Patches(images, fixed, seed=0, channels=channels, noise=noise).batch(0)


def _window(start: int, size: int, side: int) -> range:
    """The stretch of coding units around ``start .. start + size``."""
    first = max(start // CODING_UNIT - 1, 0) * CODING_UNIT
    return range(first, min((-(-(start + size) // CODING_UNIT) + 1) * CODING_UNIT, side))


class _PixelCache:
    """Decoded images, least recently used ones forgotten first; shared by the worker threads."""

    def __init__(self, capacity: int):
        self.capacity = capacity
        self._entries: OrderedDict[str, np.ndarray] = OrderedDict()
        self._unreadable: set[str] = set()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, source: SourceImage) -> np.ndarray | None:
        """The pixels of an image, or None, after one warning, when it cannot be read."""
        with self._lock:
            if source.name in self._unreadable:
                return None
            if source.name in self._entries:
                self._entries.move_to_end(source.name)
                return self._entries[source.name]
        try:
            image = source.load()
        except ImageError as error:
            with self._lock:
                if source.name not in self._unreadable:
                    self._unreadable.add(source.name)
                    warnings.warn(f"skipped {error}", stacklevel=2)
            return None
        with self._lock:
            if source.name not in self._entries:
                self._entries[source.name] = image
                self._bytes += image.nbytes
            while self._bytes > self.capacity and len(self._entries) > 1:
                self._bytes -= self._entries.popitem(last=False)[1].nbytes
        return image
