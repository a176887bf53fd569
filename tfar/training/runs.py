"""A run: a folder with everything a training writes, from which it goes on where it was interrupted.

recipe.json          what is trained
checkpoints/000012/  after epoch 12: networks, optimizers, state.json; the newest two are kept
best.weights.h5      the (averaged) generator at the best epoch on the held-out patches
rollbacks.json       after which epochs, and why, the training went back and halved its rates; there when it did
log.csv              one row per epoch: losses, and the CPU-seconds of its steps
tensorboard/         the same, with sample images: tensorboard --logdir RUN
"""

import contextlib
import dataclasses
import json
import shutil
import warnings
from pathlib import Path
from typing import Literal

import keras
import numpy as np

from tfar import recipes
from tfar.data.patches import PatchDataset, Patches, drawn_for, validation_batch
from tfar.data.sources import load_split
from tfar.errors import CheckpointError, NonFiniteLoss, RecipeError, first_line
from tfar.machine import cores
from tfar.models import build, channels
from tfar.recipes import Data, Phase, Recipe
from tfar.storage import load_weights, remove_parts, save_weights, write_atomically, write_text
from tfar.training.callbacks import Checkpoint, EpochLog, StopAfter, StopOnNonFinite
from tfar.training.distribution import (
    barrier,
    batches,
    check_batch,
    check_precision,
    check_same_epoch,
    choose_strategy,
    is_chief,
    shareable,
    watch_workers,
    worker_count,
)
from tfar.training.trainer import Trainer, build_discriminator, build_features, check_terms, check_warmups

KEPT_CHECKPOINTS = 2
ROLLBACKS = 4  # of a run; a training that needs more has another fault than its rate


class Run:
    """A training in a folder.

    Args:
        folder: the run folder; made when it does not exist.
        recipe: what to train. Without it the folder's ``recipe.json`` is read.

    Raises:
        CheckpointError: when the folder holds no recipe and none is given, or holds another one.
    """

    def __init__(self, folder: str | Path, recipe: Recipe | None = None):
        self.folder = Path(folder)
        self.recipe = recipe_of(self.folder, Recipe, recipe)

    @property
    def data(self) -> Data:
        """Images and patches of the training."""
        return self.recipe.data

    def check(self, strategy, initial: keras.Model | None = None):
        """Raise what :meth:`train` would for its recipe, images, strategy or ``initial``, and write nothing."""
        data = self.recipe.data
        check_batch(strategy, data.batch)
        check_precision(strategy, self.recipe.precision)
        check_warmups(self.recipe)
        generator = build(self.recipe.generator)
        check_terms(self.recipe, generator)
        build_discriminator(self.recipe, channels(generator))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they name is named again when the training starts
            if initial is not None:
                copy_matching_weights(initial, generator)
            build_features(self.recipe)
            load_split(data.source, data.validation, data.patch)

    def train(
        self,
        *,
        strategy=None,
        minutes: float | None = None,
        initial: keras.Model | None = None,
        on_nan: Literal["stop", "rollback"] = "stop",
        verbose: str | int = "auto",
    ) -> bool:
        """Train from the newest checkpoint, or from the start, to the end of the recipe.

        Args:
            strategy: made by :func:`tfar.training.distribution.choose_strategy`; by default its ``auto``.
            minutes: stop after the epoch in which this time has passed, on one worker of a cluster at least; a later
                call goes on from there.
            initial: a network whose weights a new run starts from, layer by layer where name and shapes agree; of a
                fused region-aware network its part of the generator's name.
            on_nan: what to do when a loss term becomes NaN or infinite: ``stop``, or ``rollback``, which goes on from
                the newest checkpoint at half the rates, for this and all later epochs, and stops at the fifth time.
            verbose: progress bar of Keras: ``auto``, 0, 1 or 2.

        Returns:
            Whether the recipe was trained to its end.

        Raises:
            ImageError: when there are no images to train on.
            ShardError: when packed photographs are not as they were packed.
            RecipeError: when the devices of the strategy cannot get equal parts of the batches.
            NonFiniteLoss: when a loss term becomes NaN or infinite.
            CheckpointError: when a checkpoint cannot be written; the one before is whole. When no layer of ``initial``
                agrees.
            LostWorker: when another worker of the cluster is gone.
        """
        strategy = strategy or choose_strategy()
        self.check(strategy, initial)
        if is_chief(strategy):
            remove_parts(self.folder)
            remove_parts(self.folder / "checkpoints")
            write_text(self.folder / "recipe.json", recipes.to_json(self.recipe))
        stop = StopAfter(minutes, strategy)
        while True:
            try:
                with watch_workers(strategy, f"{self.folder} goes on from its newest checkpoint"):
                    return self._go_on(strategy, initial, stop, verbose)
            except NonFiniteLoss as error:
                if on_nan != "rollback" or len(self.rollbacks()) >= ROLLBACKS:
                    raise
                self._roll_back(strategy, error)

    def _go_on(self, strategy, initial: keras.Model | None, stop: StopAfter, verbose: str | int) -> bool:
        """Train from the newest checkpoint to the end of the recipe, or to the first fault."""
        recipe = self.recipe
        with strategy.scope():
            trainer = Trainer(recipe, replicas=strategy.num_replicas_in_sync, workers=worker_count(strategy))
            if initial is not None:
                copy_matching_weights(initial, trainer.generator)
                trainer.averaged_generator.set_weights(trainer.generator.get_weights())
            callbacks: list[keras.callbacks.Callback] = [StopOnNonFinite(self)]
        drawn = drawn_for(trainer.generator)
        training, held_out = load_split(recipe.data.source, recipe.data.validation, recipe.data.patch)
        patches = Patches(training, recipe.data, seed=recipe.seed, **drawn)
        patches.batch(0, range(1))  # when no image can be read, this says so before anything is compiled
        validation = validation_batch(held_out or training, recipe.data, **drawn)
        count = shareable(strategy, len(validation[1]))
        validation = keras.tree.map_structure(lambda array: array[:count], validation)
        if is_chief(strategy):
            callbacks += [EpochLog(self, validation), Checkpoint(self)]  # the checkpoint says that all is written
        callbacks.append(stop)

        done, end = self.latest_epoch() or 0, 0
        check_same_epoch(strategy, done, self.folder)
        rates = 0.5 ** len(self.rollbacks())
        for before, phase in zip((None, *recipe.phases), recipe.phases):
            goes_on = before is not None and phase.continues(before)
            begin, end = end, end + phase.epochs
            if done >= end:
                continue
            with strategy.scope():
                trainer.begin(_slower(phase, rates), begin * recipe.steps_per_epoch)
                if done == self.latest_epoch():
                    self._restore(trainer, done, optimizers=done > begin or goes_on)
            steps = recipe.steps_per_epoch
            if keras.backend.backend() == "tensorflow":
                data = {"x": batches(strategy, patches, done * steps, end * steps), "steps_per_epoch": steps}
            else:
                data = {"x": PatchDataset(patches, done * steps, steps, workers=cores())}
            try:
                trainer.fit(
                    **data,
                    initial_epoch=done,
                    epochs=end,
                    validation_data=validation,
                    validation_batch_size=recipe.data.batch,
                    shuffle=False,
                    callbacks=callbacks,
                    verbose=verbose,
                )
                barrier(strategy)
            except Exception as error:
                if patches.failure:
                    raise patches.failure from error
                raise
            if trainer.stop_training and self.latest_epoch() != recipe.epochs:
                return False
            done = end
        return True

    def rollbacks(self) -> list[dict]:
        """How often the training went back: the epochs that were done then, and the reason."""
        file = self.folder / "rollbacks.json"
        return json.loads(file.read_text()) if file.exists() else []

    def _roll_back(self, strategy, error: NonFiniteLoss):
        epochs, before = self.latest_epoch() or 0, self.rollbacks()
        barrier(strategy)  # every worker has counted
        rows = [*before, {"epoch": epochs, "reason": str(error)}]
        if is_chief(strategy):
            text = json.dumps(rows, indent=2) + "\n"
            write_text(self.folder / "rollbacks.json", text)
            rate = f"the rates are now {0.5 ** len(rows):g} of the recipe's"
            warnings.warn(f"{error}; back to epoch {epochs}, {rate} ({len(rows)} of {ROLLBACKS})", stacklevel=2)
        barrier(strategy)

    def network(self) -> keras.Model:
        """What the training is for: the generator of the best epoch."""
        return self.best_generator()

    def best_generator(self) -> keras.Model:
        """The generator of the best epoch, in float32; :class:`CheckpointError` before the first epoch's end."""
        generator = build(self.recipe.generator)
        load_weights(generator, self.folder / "best.weights.h5")
        return generator

    def latest_epoch(self) -> int | None:
        """Number of epochs behind the newest checkpoint, or None when there is none."""
        return max((int(path.name) for path in self._checkpoints()), default=None)

    @property
    def unfinished(self) -> bool:
        """Whether there are checkpoints, and none of the recipe's end."""
        return 0 < (self.latest_epoch() or 0) < self.recipe.epochs

    def checkpoint(self, epochs: int) -> Path:
        """Folder of the checkpoint after a number of epochs."""
        return self.folder / "checkpoints" / f"{epochs:06d}"

    def _checkpoints(self) -> list[Path]:
        return [path for path in self.folder.glob("checkpoints/*") if path.name.isdigit()]

    def save(self, trainer: Trainer, epochs: int, best: float | None):
        """Write the checkpoint of a trainer after a number of epochs and forget all but the newest ones.

        It appears whole or not at all, so whenever the process is killed, the newest one can be resumed.
        """

        def write(part: Path):
            part.mkdir(parents=True)
            for name, network in _networks(trainer).items():
                save_weights(network, part / f"{name}.weights.h5")
            for name, optimizer in _optimizers(trainer).items():
                state: dict[str, np.ndarray] = {}
                optimizer.save_own_variables(state)
                np.savez(part / f"{name}.npz", **state)
            (part / "state.json").write_text(json.dumps({"epochs": epochs, "best": best}))

        write_atomically(self.checkpoint(epochs), write)
        for path in sorted(self._checkpoints())[:-KEPT_CHECKPOINTS]:
            shutil.rmtree(path)

    def _restore(self, trainer: Trainer, epochs: int, *, optimizers: bool):
        """Load a checkpoint; without the optimizers at the start of a phase in which they are fresh."""
        folder = self.checkpoint(epochs)
        for name, network in _networks(trainer).items():
            load_weights(network, folder / f"{name}.weights.h5")
        for name, optimizer in _optimizers(trainer).items() if optimizers else ():
            with np.load(folder / f"{name}.npz", allow_pickle=False) as state:
                optimizer.load_own_variables(dict(state))
        if optimizers:
            trainer.set_rates()

    def best_value(self) -> float | None:
        """The monitored figure behind ``best.weights.h5``, or None before the first epoch's end."""
        epochs = self.latest_epoch()
        if epochs is None:
            return None
        return json.loads((self.checkpoint(epochs) / "state.json").read_text())["best"]

    @contextlib.contextmanager
    def writing(self, path: Path):
        """Around what writes into the run folder: a full disk becomes one line that names the last good checkpoint."""
        try:
            yield
        except OSError as error:
            reason = error.strerror or first_line(error)
            raise CheckpointError(f"{path}: cannot be written ({reason}); {self.kept()}") from error

    def kept(self) -> str:
        """What is left of the training when it stops now, for messages."""
        epochs = self.latest_epoch()
        return f"the last good checkpoint is {self.checkpoint(epochs)}" if epochs else "there is no checkpoint"


def recipe_of(folder: Path, kind: type, given=None):
    """The recipe of a run folder: what its ``recipe.json`` holds, or the given one in a folder without.

    Raises:
        CheckpointError: when there is neither, or the folder holds another recipe than the given one.
        RecipeError: naming the file, when none is given and it holds no recipe of class ``kind``.
    """
    file = folder / "recipe.json"
    if not file.exists():
        if given is None:
            raise CheckpointError(f"{folder}: no recipe.json, so no run to resume")
        return given
    try:
        stored = recipes.from_json(kind, file.read_text(encoding="utf-8"))
    except RecipeError as error:
        if given is None:
            raise RecipeError(f"{file}: {error}") from error
        stored = None
    if given not in (None, stored):
        raise CheckpointError(f"{folder}: this run was made with another recipe; choose a new folder")
    return stored


def _networks(trainer: Trainer) -> dict[str, keras.Model]:
    networks = {
        "generator": trainer.generator,
        "averaged_generator": trainer.averaged_generator,
        "discriminator": trainer.discriminator,
    }
    return {name: network for name, network in networks.items() if network is not None}


def _optimizers(trainer: Trainer) -> dict[str, keras.optimizers.Optimizer]:
    optimizers = {"generator_optimizer": trainer.optimizer, "discriminator_optimizer": trainer.discriminator_optimizer}
    return {name: optimizer for name, optimizer in optimizers.items() if optimizer is not None}


def _slower(phase: Phase, factor: float) -> Phase:
    """A phase with its rates multiplied by a factor."""
    discriminator_rate = phase.discriminator_rate and phase.discriminator_rate * factor
    return dataclasses.replace(phase, learning_rate=phase.learning_rate * factor, discriminator_rate=discriminator_rate)


def copy_matching_weights(source: keras.Model, target: keras.Model) -> list[str]:
    """Copy the weights of layers that have the same name and shapes in both networks.

    Of a fused region-aware network the part is taken that has the target's name, such as ``edge_cnn``. A warning names
    the layers of a network of the same kind that have no place in the target, which then does not do what that one did.

    Returns:
        The names of the target's layers that keep their weights.

    Raises:
        CheckpointError: when no layer agrees, or one has ReLU where the other has LeakyReLU: weights taught with the
            one give networks with the other whose outputs are thousands of times too large.
    """
    parts = {layer.name: layer for layer in source.layers if isinstance(layer, keras.Model)}
    source = parts.get(target.name, source)
    sources = {layer.name: layer for layer in source.layers}
    for layer in target.layers:
        theirs, ours = _activation(sources.get(layer.name)), _activation(layer)
        if theirs and ours and theirs != ours:
            advice = f"train with --set generator.options.activation={theirs}"
            raise CheckpointError(f"the units of {source.name} are {theirs}, those of the recipe {ours}; {advice}")
    weighted = [layer for layer in target.layers if layer.weights]
    kept = []
    for layer in weighted:
        given = sources[layer.name].get_weights() if layer.name in sources else []
        if [w.shape for w in given] == [w.shape for w in layer.get_weights()]:
            layer.set_weights(given)
        else:
            kept.append(layer.name)
    if len(kept) == len(weighted):
        raise CheckpointError(f"no layer of {source.name} has the name and shapes of one of {target.name}'s")
    names = {layer.name for layer in weighted}
    dropped = [name for name, layer in sources.items() if layer.weights and name not in names]
    if dropped and source.name == target.name:
        warnings.warn(
            f"the network to start from has layers that this recipe's lacks, and does worse without them: "
            f"{', '.join(dropped)}; generator.options of its recipe.json keep them",
            stacklevel=2,
        )
    return kept


def _activation(layer: keras.layers.Layer | None) -> str | None:
    """What a layer that is an activation is."""
    kinds = {keras.layers.ReLU: "relu", keras.layers.LeakyReLU: "leaky_relu"}
    return kinds.get(type(layer))
