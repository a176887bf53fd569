"""Pictures of results side by side."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from tfar import pixels
from tfar.evaluation import protocols
from tfar.restoration.restorer import LAYER_NAMES, layer_restorers, region_mask

if TYPE_CHECKING:
    import keras

LABEL_HEIGHT = 18


def side_by_side(images: Mapping[str, np.ndarray], *, columns: int | None = None) -> np.ndarray:
    """Lay labelled images of one size out in rows.

    Args:
        images: label -> uint8 image ``(H, W)`` or ``(H, W, 3)``, all of the same height and width.
        columns: images per row; all in one row by default.

    Returns:
        uint8 RGB picture.

    Raises:
        ValueError: for no images, or images of different sizes.
    """
    sizes = {image.shape[:2] for image in images.values()}
    if len(sizes) != 1:
        raise ValueError(f"expected images of one size, got {sorted(sizes)}")
    height, width = sizes.pop()
    columns = columns or len(images)
    rows = -(-len(images) // columns)
    picture = Image.new("RGB", (columns * width, rows * (height + LABEL_HEIGHT)), "white")
    draw = ImageDraw.Draw(picture)
    for i, (label, image) in enumerate(images.items()):
        left, top = i % columns * width, i // columns * (height + LABEL_HEIGHT)
        draw.text((left + 4, top + 3), label, fill="black")
        picture.paste(Image.fromarray(pixels.as_rgb(image)), (left, top + LABEL_HEIGHT))
    return np.asarray(picture)


def comparison(model: "keras.Model", original: np.ndarray, quality: int) -> np.ndarray:
    """The picture original | JPEG | restored of an original under the colour protocol.

    Of a region-aware network it shows L_B, L_T, the mask and the fused image, in two rows.

    Args:
        model: any network that restores.
        original: uint8 ``(H, W)`` or ``(H, W, 3)``.
        quality: JPEG quality factor.

    Returns:
        uint8 RGB picture with labels.
    """
    from tfar.models import main_output

    trial = protocols.color(original, quality)
    images = {"original": trial.original, f"JPEG QF{quality}": trial.jpeg}
    images |= {name: restore(trial.jpeg) for name, restore in layer_restorers(model).items()}
    if main_output(model) == "fused":
        fused = images.pop(LAYER_NAMES["fused"])
        images |= {"mask": region_mask(model, trial.jpeg), LAYER_NAMES["fused"]: fused}
    return side_by_side(images, columns=3)
