"""Self-contained HTML files: Jinja2 templates, scripts that are allowed by their digests, pictures within the text."""

import base64
import hashlib
import io
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import jinja2
import numpy as np
from markupsafe import Markup
from PIL import Image

from tfar.images.write import LARGEST_SIDE
from tfar.storage import write_text

TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("tfar.reports"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)


def write_html(file: str | Path, template: str, *, scripts: Sequence[str], **values):
    """Write an HTML file that needs no other file and no network.

    Args:
        file: to write.
        template: name of the template, which extends ``base.html``.
        scripts: all that may run on the page, one after the other: JavaScript, with line feeds alone.
        values: name -> value in the template.
    """
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    page = TEMPLATES.get_template(template).render(values, scripts=map(Markup, scripts), digests=digests)
    write_text(file, page)


def template_text(name: str) -> str:
    """The text of a file among the templates as it is."""
    return resources.files("tfar.reports").joinpath("templates", name).read_text(encoding="utf-8")


def data_uri(image: np.ndarray) -> str:
    """An image as lossless WebP in a data URI, or as PNG where a side is too long for WebP.

    Args:
        image: uint8 ``(H, W)`` or ``(H, W, 3)`` RGB, in [0, 255].
    """
    form = "webp" if max(image.shape[:2]) <= LARGEST_SIDE["WEBP"] else "png"
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, form, lossless=True, method=2, quality=0)  # WebP as quick as PNG, and smaller
    return f"data:image/{form};base64,{base64.b64encode(buffer.getvalue()).decode()}"
