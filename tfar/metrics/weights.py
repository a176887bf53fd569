"""The metrics that need weights, from a folder that holds them (``scripts/perceptual_weights.py`` makes one)."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from tfar.metrics.dists import Dists
from tfar.metrics.lpips import Lpips

VGG16 = "vgg16_notop.weights.h5"
BUILDERS: dict[str, Callable[[Path], Callable[[np.ndarray, np.ndarray], float]]] = {
    "lpips": lambda folder: Lpips(folder / "lpips_alex.npz"),
    "lpips_vgg": lambda folder: Lpips(folder / "lpips_vgg.npz", vgg16=folder / VGG16),
    "dists": lambda folder: Dists(folder / "dists.npz", vgg16=folder / VGG16),
}


def perceptual_metrics(
    folder: str | Path, names: Iterable[str]
) -> dict[str, Callable[[np.ndarray, np.ndarray], float]]:
    """Those of the named metrics that need weights, as functions of ``(original, restored)``.

    Args:
        folder: holds ``lpips_alex.npz`` for ``lpips``; ``vgg16_notop.weights.h5`` with ``lpips_vgg.npz`` for
            ``lpips_vgg`` and with ``dists.npz`` for ``dists``.
        names: of metrics; those that need no weights are left out.

    Raises:
        CheckpointError: when a file that is needed is missing or holds something else.
    """
    return {name: BUILDERS[name](Path(folder)) for name in names if name in BUILDERS}
