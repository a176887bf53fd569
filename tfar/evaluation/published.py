"""What the papers print, to stand beside what was measured: scores, detection rates and opinions, each with its source.

A method has one line for each paper that prints it, because the papers do not agree. ``repositories`` are the tables of
later methods' repositories.
"""

import csv
from importlib import resources


def scores() -> list[dict]:
    """Results under the protocol ``gray``: ``method``, ``dataset``, ``quality``, metrics and ``source``.

    ``psnr``, ``psnr_b``, ``ssim`` (8x8 window) and ``e_psnr`` are floats where the source gives them. The lines of the
    method ``JPEG`` are what a paper starts from. Before the first comma of ``source`` stands the paper, behind it the
    table.
    """
    metrics = dict.fromkeys(("psnr", "psnr_b", "ssim", "e_psnr"), float)
    return _lines("published.csv", {"quality": int, **metrics})


def detections() -> list[dict]:
    """Average precisions of Faster R-CNN on PASCAL VOC 2007, JPEGs of quality 20: ``method``, ``source``, the mean
    ``map``, and ``classes``, a mapping from each class to its own, all in [0, 1].
    """
    lines = _lines("published_detections.csv", {})
    return [
        {
            "method": line.pop("method"),
            "source": line.pop("source"),
            "map": float(line.pop("map")),
            "classes": {name: float(value) for name, value in line.items()},
        }
        for line in lines
    ]


def opinions() -> list[dict]:
    """Mean opinion scores, 0 to 100: ``method``, ``dataset``, ``mos``, its standard ``deviation`` and ``source``."""
    return _lines("published_opinions.csv", {"mos": float, "deviation": float})


def paper(line: dict) -> str:
    """The paper that prints a line."""
    return line["source"].split(", ")[0]


def _lines(file: str, numbers: dict) -> list[dict]:
    text = resources.files("tfar.evaluation").joinpath(file).read_text(encoding="utf-8")
    return [
        {name: numbers.get(name, str)(value) for name, value in line.items() if value}
        for line in csv.DictReader(text.splitlines())
    ]
