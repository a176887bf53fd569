"""Training of the region-aware system: Edge-CNN, then Texture-GAN, then the fused network."""

import json
from pathlib import Path
from typing import Any, Literal

import keras

from tfar import presets, recipes
from tfar.errors import TfarError
from tfar.models import build
from tfar.models.region_aware import region_aware
from tfar.recipes import Data, RegionAware
from tfar.storage import write_text
from tfar.training.distribution import choose_strategy, is_chief
from tfar.training.runs import Run, recipe_of


class RegionAwareRun:
    """A run folder of the whole system: ``recipe.json`` and the runs ``base/`` and ``texture/``.

    Args:
        folder: made when it does not exist.
        recipe: what to train; without it the folder's own is read.

    Raises:
        CheckpointError: when no recipe is given and the folder has none, or holds a run of another one.
    """

    def __init__(self, folder: str | Path, recipe: RegionAware | None = None):
        self.folder = Path(folder)
        self.recipe = recipe = recipe_of(self.folder, RegionAware, recipe)
        self.base = Run(self.folder / "base", recipe.base)
        self.texture = Run(self.folder / "texture", recipe.texture)

    def train(
        self,
        *,
        strategy=None,
        minutes: float | None = None,
        initial: keras.Model | None = None,
        on_nan: Literal["stop", "rollback"] = "stop",
        verbose: str | int = "auto",
    ) -> bool:
        """Train what is left to train; arguments and result as :meth:`tfar.training.runs.Run.train`.

        With ``minutes``, each of the two trainings stops after the epoch in which that time has passed, so the texture
        network may start from a base network that is not finished; a later call goes on with both as they are. The base
        network starts from ``initial``.
        """
        strategy = strategy or choose_strategy()
        self.base.check(strategy, initial)
        self.texture.check(strategy, build(self.recipe.base.generator) if self.recipe.texture_from_base else None)
        if is_chief(strategy):
            write_text(self.folder / "recipe.json", recipes.to_json(self.recipe))
        options: dict[str, Any] = {"strategy": strategy, "minutes": minutes, "on_nan": on_nan, "verbose": verbose}
        finished = self.base.train(initial=initial, **options)
        initial = self.base.best_generator() if self.recipe.texture_from_base else None
        return self.texture.train(initial=initial, **options) and finished

    @property
    def data(self) -> Data:
        """Images and patches of the base network."""
        return self.recipe.base.data

    @property
    def unfinished(self) -> bool:
        """Whether one of the two trainings is."""
        return self.base.unfinished or self.texture.unfinished

    def network(self) -> keras.Model:
        """The fused network of the best weights of both trainings, in float32."""
        return region_aware(self.base.best_generator(), self.texture.best_generator(), self.recipe.mask)


def in_training(folder: str | Path) -> bool:
    """Whether a folder is a run that is not finished; a ``model.keras`` in it may be of an earlier epoch.

    A run without checkpoints is finished where it has a ``model.keras``, and so is one that cannot be gone on with.
    """
    folder = Path(folder)
    if not (folder / "recipe.json").is_file():
        return False
    if not (folder / "model.keras").is_file():
        return True
    try:
        return open_run(folder).unfinished
    except TfarError:
        return False


def network_of(name: str | Path) -> keras.Model:
    """The network of a run in training, of a preset, a folder or a ``.keras`` file; see :func:`tfar.presets.load`."""
    return open_run(name).network() if in_training(name) else presets.load(name)


def open_run(folder: str | Path) -> Run | RegionAwareRun:
    """The run that a folder holds; raises :class:`CheckpointError` when it holds none."""
    try:
        whole = "base" in json.loads(Path(folder, "recipe.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # of which a run says what it is
        whole = False
    return RegionAwareRun(folder) if whole else Run(folder)
