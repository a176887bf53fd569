"""From a network to a function on the images people have."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfar import pixels
from tfar.errors import ImageError, TfarError
from tfar.recipes import LAYERS
from tfar.restoration import engines, tiles

if TYPE_CHECKING:
    import keras

SINGLE = "restored"  # the row of a network that has no layers
LAYER_NAMES = {"base": "L_B (base)", "texture": "L_T (texture)", "fused": "fused"}
WAYS = 8  # in which a square can be turned and mirrored
BLOCK = 8  # side of JPEG's blocks

Progress = Callable[[int, int], object]


class Restorer:
    """Restores uint8 images of any size with a network.

    A large image is restored in tiles that overlap, so that beside the image and its result it takes no more memory
    than a small one. A network for luma restores the luma of a colour image and keeps its chroma. A gray image goes
    through a network for RGB three times alike, and the mean of the three is the result.

    Threads may share a restorer; they are served one after the other, each on all cores. A process that was forked
    from the one that made the restorer cannot use it; nor can it use Keras when the other had imported it.

    Args:
        model: name of a preset, folder of a run, or ``.keras`` file; or a ``keras.Model``: a fused region-aware
            network, or a generator whose output is ``{"image": ...}``; input in [-1, 1].
        layer: of a fused network: ``fused``, ``base`` (L_B, most faithful) or ``texture`` (L_T, most texture). A
            network that the layer does not need is not computed.
        seed: of the noise that a one-to-many network takes; another seed gives another restoration. Other networks
            have no use for it.
        texture: of the fused layer: how much of L_T is taken inside the mask, from 0 (L_B everywhere) to 1.
        strength: how much of what the network changes is taken, from 0 (the image as it is) to 1.
        ensemble: restore the image turned and mirrored in all 8 ways and take the mean; 8 times as slow.
        engine: ``litert`` or ``keras``; by default LiteRT on CPUs for a network in a file, Keras otherwise. The first
            use of a network by LiteRT converts it, which takes some seconds.
        exact: have LiteRT take the weights in float32 in any case; otherwise it takes them in 8 bits where the
            processor is faster with these (:func:`tfar.restoration.engines.eight_bit_weights`).
        tile: side of the largest part of an image that is computed at a time, in pixels, at least 320; by default it
            follows from the memory that is free.

    Raises:
        ValueError: for an unknown layer or engine, a layer or texture of a network that has none, a negative seed, or
            a number outside its range.
        CheckpointError: when there is no such preset or file, or it cannot be read.

    Example:
        restored = Restorer("region-aware-q10", "base")(image)
    """

    def __init__(
        self,
        model: "keras.Model | str | Path",
        layer: str | None = None,
        *,
        seed: int = 0,
        texture: float = 1.0,
        strength: float = 1.0,
        ensemble: bool = False,
        engine: str | None = None,
        exact: bool = False,
        tile: int | None = None,
    ):
        if layer not in (None, *LAYERS):
            raise ValueError(f"layer must be one of {', '.join(LAYERS)}, got {layer!r}")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        for name, value in (("texture", texture), ("strength", strength)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {value}")
        if tile is not None and (tile < tiles.SMALLEST or tile % 1):
            raise ValueError(f"tile must be a whole number of at least {tiles.SMALLEST}, got {tile}")
        self.tile = None if tile is None else int(tile)
        self._engine = engines.choose(model, engine, exact)
        if layer and not self._engine.layered:
            raise ValueError(f"{self._engine.name} is a single network and has no layer {layer!r}")
        self._layer = layer or ("fused" if self._engine.layered else "image")
        if texture != 1 and self._layer != "fused":
            raise ValueError(f"texture is of the fused layer; {self._engine.name} gives the layer {self._layer!r}")
        self.seed = seed
        self.texture = texture
        self.strength = strength
        self.ensemble = ensemble
        self.name = self._engine.name
        self.channels = self._engine.channels
        self.takes_noise = self._engine.takes_noise
        self.layered = self._engine.layered

    def __call__(
        self,
        image: np.ndarray,
        *,
        offset: tuple[int, int] = (0, 0),
        depth: int = 8,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """Restore one image.

        Args:
            image: uint8 array ``(H, W, 3)`` RGB, or ``(H, W)`` or ``(H, W, 1)`` gray, from 1x1 pixel up.
            offset: row and column, 0 to 7, at which the first whole block of the JPEG's 8x8 grid starts; other than 0
                where an image was cropped after it was coded.
            depth: bits of the result: 8, or 16 for what the network gives between the levels of 8 bits.
            progress: called with the number of tiles that are done and the number of all after each tile. Both start
                anew where the memory does not suffice for tiles of the size that was chosen.

        Returns:
            The restored image, uint8 or uint16 (65535 is white), of the same shape.

        Raises:
            ImageError: for another dtype or shape.
            ValueError: for another offset or depth.
            ProcessError: in a process that was forked from the one that made the restorer.
            TfarError: when the memory does not suffice for the smallest tiles.
        """
        if depth not in (8, 16):
            raise ValueError(f"depth must be 8 or 16, got {depth}")
        planes = _planes(image)
        restored = np.empty(planes.shape, f"uint{depth}")

        def compute(part: np.ndarray, noise: np.ndarray | None) -> dict[str, np.ndarray]:
            return {"restored": pixels.as_levels(self._restored(part, noise), depth)}

        self._fill({"restored": restored}, planes, compute, offset, progress)
        return restored.reshape(image.shape)

    def layers(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """All layers of a fused network and its mask, from one call; the dials play no part.

        Returns:
            ``base``, ``texture`` and ``fused``, uint8 of the image's shape, and ``mask``, uint8 ``(H, W)``: how much of
            the texture layer is taken, from 0 to 255 for all of it.

        Raises:
            ValueError: when the network is a single one.
        """
        if not self.layered:
            raise ValueError(f"{self.name} is a single network, which has no layers")
        planes = _planes(image)
        found = {layer: np.empty(planes.shape, np.uint8) for layer in LAYERS}
        mask = np.empty((*planes.shape[:2], 1), np.uint8)

        def compute(part: np.ndarray, noise: np.ndarray | None) -> dict[str, np.ndarray]:
            outputs = self._outputs("fused", pixels.as_float(part), noise)
            layers = {layer: pixels.as_levels(_merged(outputs, layer, 1.0)) for layer in LAYERS}
            return layers | {"mask": np.uint8(255 * outputs["mask"])}

        self._fill({**found, "mask": mask}, planes, compute)
        return {layer: restored.reshape(image.shape) for layer, restored in found.items()} | {"mask": mask[..., 0]}

    def _fill(
        self,
        targets: Mapping[str, np.ndarray],
        planes: np.ndarray,
        compute: Callable[[np.ndarray, np.ndarray | None], dict[str, np.ndarray]],
        offset: tuple[int, int] = (0, 0),
        progress: Progress | None = None,
    ):
        """Compute an image ``(H, W, C)`` tile by tile and write what that gives into arrays of its height and width.

        The image is extended at its top and left to whole blocks of the grid, which are not written.
        """
        if np.shape(offset) != (2,) or any(place not in range(BLOCK) for place in offset):
            raise ValueError(f"offset must be two numbers from 0 to {BLOCK - 1}, got {offset}")
        top, left = before = tuple(-int(place) % BLOCK for place in offset)
        height, width = planes.shape[0] + top, planes.shape[1] + left
        side = max(min(self.tile or self._tile(max(height, width)), max(height, width)), tiles.SMALLEST)
        while True:
            noise = tiles.Noise(self.seed, width) if self.takes_noise else None
            cut = list(tiles.tiles(height, width, side))
            try:
                for done, tile in enumerate(cut, start=1):
                    part = tiles.cut(planes, tile, before)
                    results = compute(part, noise.cut(tile) if noise else None)
                    rows, columns = (slice(max(k.start - b, 0), k.stop - b) for k, b in zip(tile.kept, before))
                    for name, target in targets.items():
                        kept = results[name][tile.inner]
                        target[rows, columns] = kept[rows.start - rows.stop :, columns.start - columns.stop :]
                    if progress:
                        progress(done, len(cut))
                return
            except MemoryError as error:
                if side == tiles.SMALLEST:
                    raise TfarError(f"not enough memory for parts of {side}x{side} pixels") from error
                side = max(side // 2, tiles.SMALLEST)

    def _tile(self, needed: int) -> int:
        """Side of the tiles for an image whose longer side is ``needed``; only large ones are worth a measurement."""
        layer, memory = self._computed(), self._engine.memory
        side = tiles.side_that_fits(engines.pixel_bytes(layer), memory)
        if side >= needed:
            return side
        return tiles.side_that_fits(engines.measured_pixel_bytes(self._engine, layer), memory)

    def _computed(self) -> str:
        """The layer that the dials need of the network."""
        return "base" if self._layer == "fused" and self.texture == 0 else self._layer

    def _restored(self, part: np.ndarray, noise: np.ndarray | None) -> np.ndarray:
        """The restoration of a part ``(h, w, C)`` of an image that starts on the grid, float32 in [-1, 1]."""
        given = pixels.as_float(part)
        if self.ensemble:
            restored = sum(self._in_one_way(given, noise, way) for way in range(WAYS)) / np.float32(WAYS)
        else:
            restored = self._in_one_way(given, noise, 0)
        return given + np.float32(self.strength) * (restored - given)

    def _in_one_way(self, given: np.ndarray, noise: np.ndarray | None, way: int) -> np.ndarray:
        """The restoration of a part turned in one of 8 ways, turned back.

        What is turned is extended at its top and left by reflection, so that it starts on the grid, too.
        """
        turned = tiles.turned(given, way)
        top, left = (-side % BLOCK if way else 0 for side in turned.shape[:2])
        turned = np.pad(turned, ((top, 0), (left, 0), (0, 0)), mode="reflect")
        if noise is not None:
            noise = tiles.turned(noise, way)
            missing = [-(-side // 2) - drawn for side, drawn in zip(turned.shape, noise.shape[:2])]
            noise = np.pad(noise, ((missing[0], 0), (missing[1], 0), (0, 0)), mode="symmetric")
        layer = self._computed()
        restored = _merged(self._outputs(layer, turned, noise), layer, self.texture)
        return tiles.turned_back(restored[top:, left:], way)

    def _outputs(self, layer: str, given: np.ndarray, noise: np.ndarray | None) -> dict[str, np.ndarray]:
        """What a network gives for an image ``(h, w, C)``, whatever the channels of both: images of its shape, mask."""
        color = given.shape[-1] == 3
        taken = pixels.as_luma(given) if color and self.channels == 1 else given
        taken = np.repeat(taken, self.channels // taken.shape[-1], axis=-1)
        outputs = self._engine.run(layer, np.ascontiguousarray(taken), noise)
        for name, image in outputs.items():
            if name == "mask":
                continue
            if not color:
                outputs[name] = image.mean(axis=-1, keepdims=True)
            elif self.channels == 1:
                outputs[name] = given + (image - taken)
        return outputs


def candidate_restorers(model: "keras.Model | str | Path", seeds: Sequence[int], **dials: Any) -> list[Restorer]:
    """Restorers that give different restorations of an image, one for each seed; ``dials`` as of :class:`Restorer`.

    Raises:
        TfarError: for a network that takes no noise, and so gives one restoration of an image only.
    """
    restorers = [Restorer(model, seed=seed, **dials) for seed in seeds]
    if not restorers[0].takes_noise:
        raise TfarError(
            f"{restorers[0].name} gives one restoration of an image; a one-to-many network gives candidates"
        )
    return restorers


def restore_layers(model: "keras.Model | str | Path", image: np.ndarray) -> dict[str, np.ndarray]:
    """All layers of a fused region-aware network, from one call.

    Image, results and errors are those of :class:`Restorer`.
    """
    found = Restorer(model).layers(image)
    return {layer: found[layer] for layer in LAYERS}


def layer_restorers(model: "keras.Model | str | Path") -> Mapping[str, Restorer]:
    """A restorer per layer of a region-aware network, under the name of its row; of another network the one it has."""
    restorer = Restorer(model)
    if restorer.layered:
        return {name: Restorer(model, layer) for layer, name in LAYER_NAMES.items()}
    return {SINGLE: restorer}


def region_mask(model: "keras.Model | str | Path", image: np.ndarray) -> np.ndarray:
    """How much of the texture layer a fused region-aware network takes: uint8 ``(H, W)``, from 0 to 255 for all."""
    return Restorer(model).layers(image)["mask"]


def _merged(outputs: Mapping[str, np.ndarray], layer: str, texture: float) -> np.ndarray:
    """A layer of a network's outputs; fused is L_B, and inside the mask a share of L_T."""
    if layer != "fused":
        return outputs[layer]
    base = outputs["base"]
    return base + np.float32(texture) * outputs["mask"] * (outputs["texture"] - base)


def _planes(image: np.ndarray) -> np.ndarray:
    """A uint8 image as ``(H, W, C)``."""
    if image.dtype != np.uint8:
        raise ImageError(f"expected a uint8 image in [0, 255], got {image.dtype}")
    if image.ndim not in (2, 3) or image.shape[2:] not in ((), (1,), (3,)) or 0 in image.shape:
        raise ImageError(f"expected an image (H, W), (H, W, 1) or (H, W, 3), got {image.shape}")
    return image.reshape(*image.shape[:2], -1)
