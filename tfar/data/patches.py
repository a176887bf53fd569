"""From images to batches of (JPEG, original) patches, the same for every backend.

:class:`Patches` computes batch number ``i`` from the seed and ``i`` alone. :func:`tf_dataset` runs it in a tf.data
pipeline; :class:`PatchDataset`, its backend-free twin, runs it in the worker threads of a ``keras.utils.PyDataset``.
Same seed, same patches, whichever of them is used and wherever a run was interrupted.

A JPEG codes its blocks one by one, so only a window around each patch is coded: it is aligned to the coding units and
one unit wider than the patch on each side, which makes its pixels equal to those of the whole image's JPEG.
"""

import dataclasses
import threading
import warnings
from collections import OrderedDict
from collections.abc import Sequence

import keras
import numpy as np

from tfar import jpeg, pixels, recipes
from tfar.data.sources import SourceImage
from tfar.errors import ImageError

CODING_UNIT = 16  # pixels: the block pair of 4:2:0 chroma, a multiple of every other subsampling's unit
CACHE_BYTES = 2 << 30


class Patches:
    """Random access to the batches of a training.

    Args:
        images: the images to draw from; those that turn out to be unreadable are skipped with a warning.
        data: patch size, batch size, JPEG quality and so on.
        seed: of everything that is drawn.
        channels: 3 for RGB batches (gray images are repeated), 1 for luma.
    """

    def __init__(self, images: Sequence[SourceImage], data: recipes.Data, *, seed: int = 0, channels: int = 3):
        self.images = list(images)
        self.data = data
        self.seed = seed
        self.channels = channels
        self._pixels = _PixelCache(CACHE_BYTES)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the two arrays of a batch."""
        return (self.data.batch, self.data.patch, self.data.patch, self.channels)

    def batch(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Batch number ``index`` as uint8 arrays ``(JPEG, original)`` of :attr:`shape`.

        Raises:
            ImageError: when no image can be read.
        """
        rng = np.random.default_rng((self.seed, index))
        pairs = []
        while len(pairs) < self.data.batch:
            image = self._draw_image(rng)
            count = min(self.data.patches_per_image, self.data.batch - len(pairs))
            pairs += [self._draw_patch(image, rng) for _ in range(count)]
        compressed, original = zip(*pairs)
        return np.stack(compressed), np.stack(original)

    def _draw_image(self, rng) -> np.ndarray:
        for index in rng.permutation(len(self.images)):
            image = self._pixels.get(self.images[index])
            if image is not None:
                return image
        raise ImageError("none of the training images can be read")

    def _draw_patch(self, image: np.ndarray, rng) -> tuple[np.ndarray, np.ndarray]:
        data = self.data
        quality = int(rng.integers(data.quality[0], data.quality[1], endpoint=True))
        gray = self.channels == 1 or rng.random() < data.gray
        grid = 8 if data.aligned else 1
        top, left = (int(rng.integers((side - data.patch) // grid + 1)) * grid for side in image.shape[:2])
        turns, flip = int(rng.integers(4)), bool(rng.integers(2))

        rows, top = _window(top, data.patch, image.shape[0])
        columns, left = _window(left, data.patch, image.shape[1])
        original = image[rows, columns]
        if gray:
            original = pixels.studio_luma(original)
        compressed = jpeg.compress(original, quality, data.subsampling)
        return tuple(self._finish(p[top : top + data.patch, left : left + data.patch], turns, flip)
                     for p in (compressed, original))

    def _finish(self, patch: np.ndarray, turns: int, flip: bool) -> np.ndarray:
        if self.data.augment:
            patch = np.rot90(patch[:, ::-1] if flip else patch, turns)
        return patch[..., None] if self.channels == 1 else pixels.as_rgb(patch)


def tf_dataset(patches: Patches, start: int, stop: int):
    """The batches ``start`` to ``stop - 1`` as a ``tf.data.Dataset`` of uint8 pairs, computed ahead in parallel.

    Under a multi-worker strategy every worker takes its share of each batch.
    """
    import tensorflow as tf

    def load(index):
        pair = tf.numpy_function(patches.batch, [index], (tf.uint8, tf.uint8))
        return tuple(tf.ensure_shape(array, patches.shape) for array in pair)

    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    dataset = tf.data.Dataset.range(start, stop).map(load, num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)


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


def validation_pairs(images: Sequence[SourceImage], data: recipes.Data, *, channels: int = 3):
    """A fixed pair of uint8 arrays ``(JPEG, original)``, one batch of patches of the held-out images.

    There are four times as many patches as images (at least 16, at most 256), cut without augmentation.
    """
    count = min(max(4 * len(images), 16), 256)
    fixed = dataclasses.replace(data, batch=count, patches_per_image=1, augment=False)
    return Patches(images, fixed, seed=0, channels=channels).batch(0)


def _window(start: int, size: int, side: int) -> tuple[slice, int]:
    """The stretch of coding units around ``start .. start + size``, and where ``start`` lies in it."""
    first = max(start // CODING_UNIT - 1, 0) * CODING_UNIT
    last = min((-(-(start + size) // CODING_UNIT) + 1) * CODING_UNIT, side)
    return slice(first, last), start - first


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
