"""Pictures of results."""

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw

from tfar import pixels

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
