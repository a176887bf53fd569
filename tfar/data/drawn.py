"""Drawn pictures, as screenshots and scanned pages are: text, boxes, lines and flat colors, of which photographs hold
little.

A network that has seen photographs alone takes the sharp edges of text for damage where a JPEG has kept them.
"""

import functools
import string

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LETTERS = string.ascii_letters + string.digits + ".,:;-()"
SIZES = (9, 28)  # of letters, in pixels
MARGIN = 64  # pixels by which a picture is larger than asked for, so that patches lie anywhere in it


def drawn_picture(rng: np.random.Generator, side: int) -> np.ndarray:
    """A picture of text, boxes and lines, uint8 ``(side + 64, side + 64, 3)`` RGB.

    One in two has black letters on white, the others two colors; one in four has letters without smooth edges.
    """
    side += MARGIN
    ground, ink = ((255,) * 3, (0,) * 3) if rng.integers(2) else (_color(rng), _color(rng))
    picture = Image.new("RGB", (side, side), ground)
    pen = ImageDraw.Draw(picture)
    pen.fontmode = "1" if rng.integers(4) == 0 else "L"
    for _ in range(rng.integers(4)):
        left, right = sorted(rng.integers(side, size=2).tolist())
        top, bottom = sorted(rng.integers(side, size=2).tolist())
        pen.rectangle((left, top, right, bottom), fill=_color(rng), outline=ink if rng.integers(2) else None)
    for _ in range(rng.integers(3)):
        pen.line(rng.integers(side, size=4).tolist(), fill=_color(rng), width=int(rng.integers(1, 4)))
    top = int(rng.integers(-SIZES[0], SIZES[0]))
    while top < side:
        size = int(rng.integers(*SIZES, endpoint=True))
        words = ["".join(rng.choice(list(LETTERS), rng.integers(1, 9))) for _ in range(side // size)]
        pen.text((int(rng.integers(-size, size)), top), " ".join(words), fill=ink, font=_font(size))
        top += round(size * rng.uniform(1.1, 1.8))
    return np.asarray(picture)


@functools.cache
def _font(size: int):
    return ImageFont.load_default(size)


def _color(rng: np.random.Generator) -> tuple[int, int, int]:
    """Any color, or, one in two times, a gray."""
    red, green, blue = rng.integers(256, size=3).tolist()
    return (red, green, blue) if rng.integers(2) else (red,) * 3
