"""The one engine: every paper's training is a recipe that this ``train_step`` carries out."""

from typing import Any

import keras
from keras import ops

from tfar import pixels
from tfar.errors import RecipeError
from tfar.losses import adversarial, blocking, edge, fidelity, perceptual, similarity, texture
from tfar.losses.diversity import diversity_loss
from tfar.losses.jpeg import jpeg_loss
from tfar.models import build, call, channels, input_names
from tfar.models.features import LARGEST_STRIDE, vgg_features
from tfar.quantization import BLOCK, STANDARD_LUMA_TABLE, table_scale
from tfar.recipes import Network, Phase, Recipe
from tfar.training.averaging import update_average
from tfar.training.gradients import GradientTape
from tfar.training.muon import ConvolutionMuon

FADING_QUALITIES = 40, 95  # up to the first a fading term has its full weight, from the second on none


class Step:
    """What the loss terms of one step are computed from; features and judgements are computed once, when needed.

    Args:
        trainer: whose networks are used.
        batch: as :meth:`tfar.data.patches.Patches.batch` gives it.
        generator: the network that restores.
        training: whether the networks learn from this step.

    ``functools.cached_property`` will not do: in Python 3.11 it holds a lock that all instances share, on which the
    replicas of a mirrored strategy wait for each other for ever.
    """

    def __init__(self, trainer: "Trainer", batch, generator: keras.Model, training: bool):
        x, original = batch
        self.trainer = trainer
        self.training = training
        self.original = pixels.to_float(original)
        self.jpeg = pixels.to_float(x["jpeg"])
        self.table, self.offset = x["table"], x["offset"]
        self._generator, self._given = generator, {**x, "jpeg": self.jpeg}
        outputs = call(generator, self._given, training=training)
        self.restored = outputs["image"]
        self.edges = outputs.get("edges")
        self._computed: dict[str, Any] = {}

    @property
    def original_features(self) -> dict:
        return self._once("original_features", lambda: self._features(self.original))

    @property
    def restored_features(self) -> dict:
        return self._once("restored_features", lambda: self._features(self.restored))

    @property
    def other_features(self) -> dict:
        return self._once("other_features", lambda: self._features(self.other_restored))

    @property
    def original_edges(self):
        return self._once("original_edges", lambda: edge.sobel_edges(self.original))

    @property
    def other_restored(self):
        """Another restoration of the same JPEGs, from the noise turned by half a turn."""
        given = {**self._given, "noise": ops.flip(self._given["noise"], axis=(1, 2))}
        return self._once("other_restored", lambda: call(self._generator, given, training=self.training)["image"])

    def weights(self, term: str):
        """By what a term multiplies each image's part, ``(B,)``; None where it does not fade (``Phase.fading``)."""
        if term not in self.trainer.phase.fading:
            return None
        full, none = map(table_scale, FADING_QUALITIES)
        scale = ops.mean(ops.cast(self.table, "float32"), axis=(1, 2)) / STANDARD_LUMA_TABLE.mean()
        return ops.clip((scale - none) / (full - none), 0.0, 1.0)

    @property
    def restored_logits(self):
        return self._once("restored_logits", lambda: self.judge(self.restored))

    def judge(self, image):
        """The discriminator's logits for an image, under the conditions that its inputs name."""
        given = {"image": image, "edges": self.original_edges, "jpeg": self.jpeg}
        return call(self.trainer.discriminator, given, training=self.training)

    def _features(self, image):
        rgb = image if image.shape[-1] == 3 else ops.repeat(image, 3, axis=-1)
        return self.trainer.features(rgb)

    def _once(self, name: str, compute):
        if name not in self._computed:
            self._computed[name] = compute()
        return self._computed[name]


def _perceptual(step: Step):
    layer = step.trainer.recipe.features.perceptual
    features = step.original_features[layer], step.restored_features[layer]
    return perceptual.perceptual(*features, step.weights("perceptual"))


def _feature_diversity(step: Step):
    layer = step.trainer.recipe.features.perceptual
    return diversity_loss(step.restored_features[layer], step.other_features[layer])


def _texture(step: Step):
    options = step.trainer.recipe.features
    total = 0.0
    for layer in options.texture:
        stride = step.original.shape[1] // step.original_features[layer].shape[1]
        patch = options.texture_patch // stride
        features = step.original_features[layer], step.restored_features[layer]
        total += texture.texture_matching(*features, patch, step.weights("texture"), size=options.texture_size)
    return total


TERMS = {
    "mse": lambda step: fidelity.mse(step.original, step.restored),
    "l1": lambda step: fidelity.l1(step.original, step.restored),
    "relative_mse": lambda step: fidelity.mse(
        step.original, step.restored, fidelity.relative_weights(step.original, step.jpeg)
    ),
    "ssim": lambda step: similarity.ssim_loss(step.original, step.restored),
    "edge": lambda step: edge.edge_fidelity(step.original, step.edges),
    "blocking": lambda step: blocking.blocking_effect(step.restored),
    "jpeg": lambda step: jpeg_loss(step.jpeg, step.restored, step.table, step.offset),
    "diversity": lambda step: diversity_loss(step.restored, step.other_restored),
    "feature_diversity": _feature_diversity,
    "perceptual": _perceptual,
    "texture": _texture,
    "adversarial": lambda step: adversarial.generator_loss(step.restored_logits, step.weights("adversarial")),
    "saturating": lambda step: adversarial.saturating_generator_loss(step.restored_logits, step.weights("saturating")),
}
DEEP_TERMS = ("perceptual", "feature_diversity")  # on ``features.perceptual``
FEATURE_TERMS = (*DEEP_TERMS, "texture")
DIVERSITY_TERMS = ("diversity", "feature_diversity")
ADVERSARIAL_TERMS = ("adversarial", "saturating")
FADING_TERMS = ("perceptual", "texture", *ADVERSARIAL_TERMS)


class Trainer(keras.Model):
    """Trains a generator, and its discriminator in adversarial phases, as a recipe says.

    Each step divides its losses by the number of replicas, because the optimizers add the replicas' gradients up.
    Every loss term is logged by its name, without its weight in the phase; ``psnr`` (dB) is logged too; both are means
    over the patches, however many of them a batch has. Validation uses :attr:`averaged_generator`.

    Args:
        recipe: what to train and how.
        replicas: number of replicas of the distribution strategy in whose scope the trainer is made.
        workers: number of machines among which they are spread.

    Raises:
        RecipeError: when the recipe names unknown networks or terms, or terms its networks cannot give.
    """

    def __init__(self, recipe: Recipe, *, replicas: int = 1, workers: int = 1):
        super().__init__(name="trainer")
        keras.utils.set_random_seed(recipe.seed)
        self.recipe = recipe
        self.replicas = replicas
        self.workers = workers
        keras.config.set_dtype_policy(recipe.precision)
        try:
            self._build_networks()
        finally:
            keras.config.set_dtype_policy("float32")
        self._means = {name: keras.metrics.Mean(name=name) for name in term_names(recipe) + ["psnr"]}
        self.built = True

    def _build_networks(self):
        recipe = self.recipe
        self.generator = build(recipe.generator)
        self.discriminator = build_discriminator(recipe, channels(self.generator))
        self.averaged_generator = self.generator
        if recipe.optimizer.average is not None:
            self.averaged_generator = build(recipe.generator)
            self.averaged_generator.set_weights(self.generator.get_weights())
        check_terms(recipe, self.generator)
        self.features = build_features(recipe)

    @property
    def metrics(self):
        return list(self._means.values())

    def begin(self, phase: Phase, updates: int = 0):
        """Set the terms of a phase and give both networks fresh optimizers.

        Args:
            phase: what is learned, and at which rates.
            updates: of the generator in this run before the phase, so that its average does not begin anew. Where the
                optimizer's state goes on, too, some count twice, which changes nothing once the average has begun.
        """
        self.phase, self._updates_before = phase, updates
        self.adversarial = not phase.terms.keys().isdisjoint(ADVERSARIAL_TERMS)
        self.discriminator_optimizer = self._discriminator_optimizer() if self.adversarial else None
        self.compile(optimizer=self._generator_optimizer(), jit_compile=False)

    def set_rates(self):
        """Give the optimizers the phase's rates, where these are constant: a checkpoint may have an earlier phase's."""
        phase = self.phase
        if phase.decay == "constant" and not phase.warmup:
            self.optimizer.learning_rate = phase.learning_rate
            if self.adversarial:
                self.discriminator_optimizer.learning_rate = phase.discriminator_rate or phase.learning_rate

    def train_step(self, batch):
        values = {}
        with GradientTape() as tape:
            # 1. Restore; both networks learn from this one restoration.
            step = Step(self, batch, self.generator, training=True)
            # 2. Teach the discriminator to tell originals from restorations.
            if self.adversarial:
                values["discriminator"] = self.discriminator_step(step)
            # 3. Judge the restoration, by the improved discriminator among others.
            values |= self._terms(step)
            scaled = self.optimizer.scale_loss(values["loss"] / self.replicas)
        # 4. Teach the generator.
        variables = self.generator.trainable_variables
        self.optimizer.apply(tape.gradient(scaled, variables), variables)
        # 5. Average the generators of all steps.
        if self.averaged_generator is not self.generator:
            decay, updates = self.recipe.optimizer.average, self.optimizer.iterations + self._updates_before
            update_average(self.averaged_generator, self.generator, decay, updates)
        return self._log(values, step)

    def test_step(self, batch):
        step = Step(self, batch, self.averaged_generator, training=False)
        return self._log(self._terms(step), step)

    def _terms(self, step: Step) -> dict:
        """The phase's loss terms by name, and their weighted sum as ``loss``."""
        values = {name: TERMS[name](step) for name in self.phase.terms}
        return {**values, "loss": sum(weight * values[name] for name, weight in self.phase.terms.items())}

    def discriminator_step(self, step: Step):
        """Teach the discriminator to tell originals from restorations; returns its loss."""
        with GradientTape() as tape:
            original_logits = step.judge(step.original)
            restored_logits = step.judge(ops.stop_gradient(step.restored))
            loss = adversarial.discriminator_loss(original_logits, restored_logits, self.recipe.label_smoothing)
            scaled = self.discriminator_optimizer.scale_loss(loss / self.replicas)
        variables = self.discriminator.trainable_variables
        self.discriminator_optimizer.apply(tape.gradient(scaled, variables), variables)
        return loss

    def _log(self, values: dict, step: Step) -> dict:
        values["psnr"] = _mean_psnr(step.original, ops.clip(step.restored, -1.0, 1.0))
        patches = ops.shape(step.original)[0]
        for name, value in values.items():
            self._means[name].update_state(ops.stop_gradient(value), sample_weight=patches)
        # Keras averages the logs of several workers along an axis, which scalars lack.
        shape = (1,) if self.workers > 1 else ()
        return {name: ops.reshape(self._means[name].result(), shape) for name in values}

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Nothing is left to build, and what Keras does here fails with several workers."""

    def _generator_optimizer(self):
        options = self.recipe.optimizer
        rate = self._schedule(self.phase.learning_rate)
        if options.kind == "adam":
            return self._adam(rate, self.generator)
        return self._ready(
            ConvolutionMuon(
                rate,
                adam_ratio=options.adam_ratio,
                beta_1=options.beta_1,
                beta_2=options.beta_2,
                weight_decay=options.weight_decay,
                global_clipnorm=self._clip_norm,
            ),
            self.generator,
        )

    def _discriminator_optimizer(self):
        rate = self.phase.discriminator_rate or self.phase.learning_rate
        return self._adam(self._schedule(rate), self.discriminator)

    def _adam(self, rate, network: keras.Model):
        options = self.recipe.optimizer
        return self._ready(
            keras.optimizers.Adam(rate, beta_1=options.beta_1, beta_2=options.beta_2, global_clipnorm=self._clip_norm),
            network,
        )

    @property
    def _clip_norm(self) -> float | None:
        """For the gradients of one replica, which are those of its part of the batch over the number of replicas."""
        clip_norm = self.recipe.optimizer.clip_norm
        return clip_norm and clip_norm / self.replicas

    def _ready(self, optimizer, network: keras.Model):
        if self.recipe.precision == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        optimizer.build(network.trainable_variables)
        return optimizer

    def _schedule(self, rate: float):
        """The rate of every step of the phase, as Keras's optimizers take it."""
        phase = self.phase
        if phase.decay == "constant" and not phase.warmup:
            return rate
        steps = phase.epochs * self.recipe.steps_per_epoch - phase.warmup
        warm = {"warmup_target": rate, "warmup_steps": phase.warmup} if phase.warmup else {}
        return keras.optimizers.schedules.CosineDecay(
            0.0 if phase.warmup else rate, max(steps, 1), alpha=1.0 if phase.decay == "constant" else 0.0, **warm
        )


def build_discriminator(recipe: Recipe, channels: int) -> keras.Model | None:
    """The discriminator of a recipe, for patches of the recipe's size and a generator's number of channels.

    :class:`RecipeError` for an unknown one, or one of other channels.
    """
    if recipe.discriminator is None:
        return None
    options = {"patch": recipe.data.patch, "channels": channels, **recipe.discriminator.options}
    if options["channels"] != channels:
        raise RecipeError(f"the discriminator takes {options['channels']} channels, the generator gives {channels}")
    return build(Network(builder=recipe.discriminator.builder, options=options))


def build_features(recipe: Recipe) -> keras.Model | None:
    """The frozen VGG behind the terms of a recipe, or None when none of them needs it."""
    layers: set[str] = set()
    if not set(DEEP_TERMS).isdisjoint(term_names(recipe)):
        layers.add(recipe.features.perceptual)
    if "texture" in term_names(recipe):
        layers.update(recipe.features.texture)
    if not layers:
        return None
    features = vgg_features(recipe.features.network, recipe.features.weights, layers)
    _check_patches(recipe, features)
    return features


def _check_patches(recipe: Recipe, features: keras.Model):
    """Raise :class:`RecipeError` for patches that a layer makes nothing of, or of which the texture term's patches do
    not fill the maps of its layers.
    """
    patch, side = recipe.features.texture_patch, recipe.data.patch
    shapes = features.compute_output_shape((None, LARGEST_STRIDE, LARGEST_STRIDE, 3))
    for layer, shape in shapes.items():
        stride = LARGEST_STRIDE // shape[1]
        if side < stride:
            raise RecipeError(f"the features of {layer} need a data.patch of at least {stride}, got {side}")
        if "texture" in term_names(recipe) and layer in recipe.features.texture and (side % patch or patch % stride):
            needs = f"divide data.patch, {side}, and be a multiple of {layer}'s stride, {stride}"
            raise RecipeError(f"features.texture_patch must {needs}, got {patch}")


def check_warmups(recipe: Recipe):
    """Raise :class:`RecipeError` when the rate of a phase would still rise at its end."""
    for number, phase in enumerate(recipe.phases):
        steps = phase.epochs * recipe.steps_per_epoch
        if phase.warmup >= steps:
            raise RecipeError(f"phases.{number}.warmup must be below the phase's {steps} steps, got {phase.warmup}")


def term_names(recipe: Recipe) -> list[str]:
    """What the phases of a recipe log besides the PSNR: the weighted sum, every loss term, the discriminator's loss."""
    terms = list(dict.fromkeys(name for phase in recipe.phases for name in phase.terms))
    judged = not set(terms).isdisjoint(ADVERSARIAL_TERMS)
    return ["loss", *terms, "discriminator"] if judged else ["loss", *terms]


def check_terms(recipe: Recipe, generator: keras.Model):
    """Raise :class:`RecipeError` when a recipe names terms that do not exist or that its networks cannot give."""
    on_grid = recipe.data.aligned > 0 and recipe.data.patch % BLOCK == 0
    needs = (
        (("edge",), "edges" in generator.output_names, "a generator with an edge branch"),
        (("ssim",), recipe.data.patch >= similarity.WINDOW, f"a data.patch of at least {similarity.WINDOW}"),
        (
            ("blocking",),
            recipe.data.aligned == 1 and on_grid and recipe.data.patch >= 2 * BLOCK,
            "data.aligned=1 and a data.patch that is a multiple of 8, of at least 16",
        ),
        (("jpeg",), on_grid, "data.aligned above 0 and a data.patch that is a multiple of 8"),
        (DIVERSITY_TERMS, "noise" in input_names(generator), "a generator that takes noise"),
        (ADVERSARIAL_TERMS, recipe.discriminator is not None, "a discriminator"),
        (FEATURE_TERMS, recipe.features is not None, "features"),
    )
    for name in dict.fromkeys(name for phase in recipe.phases for name in phase.terms):
        if name not in TERMS:
            raise RecipeError(f"unknown loss term {name!r}; known: {', '.join(TERMS)}")
        for names, given, what in needs:
            if name in names and not given:
                raise RecipeError(f"the loss term {name!r} needs {what} in the recipe")
    for name in (name for phase in recipe.phases for name in phase.fading):
        if name not in FADING_TERMS:
            raise RecipeError(f"the loss term {name!r} cannot fade; these can: {', '.join(FADING_TERMS)}")
    monitored = {name for name, _ in set.intersection(*map(_faded_terms, recipe.phases))}
    first = recipe.phases[0]
    if all((phase.terms, set(phase.fading)) == (first.terms, set(first.fading)) for phase in recipe.phases):
        monitored.add("loss")
    if recipe.monitor not in ("psnr", "last", *monitored):
        known = "psnr, last, a term of every phase or, where all phases have the same terms and weights, loss"
        raise RecipeError(f"monitor must be {known}, got {recipe.monitor!r}")


def _faded_terms(phase: Phase) -> set[tuple[str, bool]]:
    """The terms of a phase, each with whether it fades: what can be compared among phases."""
    return {(name, name in phase.fading) for name in phase.terms}


def _mean_psnr(original, restored):
    """Mean over the patches ``(B, H, W, C)`` in [-1, 1] of their PSNR in dB; a patch without error has 100."""
    error = ops.mean(ops.square(original - restored), axis=(1, 2, 3))
    return ops.mean(ops.minimum(10.0 * ops.log10(4.0 / ops.maximum(error, 1e-30)), 100.0))
