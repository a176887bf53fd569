"""Recipes: everything that decides a training, as frozen dataclasses with a JSON form.

A recipe names its networks by the builder in ``tfar.models`` and its loss terms by their key in
``tfar.training.trainer.TERMS``; both are checked when the training is set up. Unknown fields and values of the wrong
type raise :class:`~tfar.errors.RecipeError`, in files and on the command line alike.
"""

import dataclasses
import json
import reprlib
from collections.abc import Iterable
from dataclasses import field
from typing import Annotated, Any, Literal, TypeVar, get_args

import pydantic
from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from tfar.errors import RecipeError
from tfar.quantization import Tables

Subsampling = Literal["4:2:0", "4:2:2", "4:4:4"]
Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
SUBSAMPLINGS = get_args(Subsampling)
LAYERS = ("fused", "base", "texture")  # what the region-aware system can give
OPEN_FIELDS = (["options"], ["terms"], ["subsampling"], ["tables"])  # mappings to which overrides may add keys


def _alone(value):
    """One name stands for all of the weights or shares."""
    return {value: 1.0} if isinstance(value, str) else value


def _drawable(shares: dict) -> dict:
    if sum(shares.values()) <= 0:
        raise ValueError("must have a share above 0")
    return shares


def _not_empty(values):
    if not values:
        raise ValueError("must not be empty")
    return values


def _rising(points):
    starts = [start for start, _ in points]
    if len(points) == 1 or any(one >= other for one, other in zip(starts, starts[1:])):
        raise ValueError("must be two or more points, rising in their first number")
    return points


Name = TypeVar("Name")
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]
Points = Annotated[tuple[tuple[float, Share], ...], AfterValidator(_rising)]
Quality = Annotated[int, Field(ge=1, le=100)]
Terms = Annotated[dict[str, float], AfterValidator(_not_empty), BeforeValidator(_alone)]
Shares = Annotated[dict[Name, Annotated[float, Field(ge=0)]], AfterValidator(_drawable), BeforeValidator(_alone)]

STRICT = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Data:
    """Where images come from and how patches are made of them.

    Args:
        source: a folder, ``shards:FOLDER`` (a folder that ``tfar pack`` packed), ``demo`` (photographs of the
            scikit-image wheel) or ``tfds:NAME`` (TensorFlow Datasets).
        validation: share of the files held out, in [0, 1); the split is by file and depends on the files' names only.
        quality: lowest and highest JPEG quality factor; one is drawn per patch.
        quality_law: how it is drawn: ``uniform``, or ``log-uniform`` in the factor by which libjpeg multiplies its
            tables: as many patches have a factor from 0.2 to 0.4 (quality 90 to 80) as from 2 to 4 (25 to 13). Quality
            q is drawn in proportion to 1/q up to 50, and to 1/(100 - q) above.
        gray: share of the patches that are coded as grayscale JPEG, in [0, 1]; the others are coded in colour.
        subsampling: chroma subsampling of the colour patches: ``4:2:0``, ``4:2:2`` or ``4:4:4``, each with its share;
            one name stands for all of them.
        tables: whose quantisation tables: ``standard`` (libjpeg's), ``mozjpeg`` or ``photoshop``, each with its
            share; see :func:`tfar.quantization.quantization_tables`.
        double: share of the patches that were a JPEG before, in [0, 1], of at most the quality of the last one; half
            of them on the same grid, half of them on one that is shifted by 1 to 15 pixels each way, as after a crop.
        patch: side of the square patches, in pixels.
        batch: patches per step, over all replicas; each of them takes an equal part.
        patches_per_image: patches of a batch that are cut from one image before the next is drawn; raise it when the
            photographs are large or do not fit into memory.
        aligned: share of the patches that are cut on the 8x8 grid of the JPEG, in [0, 1]; the others are cut at any
            offset, which one in 64 times is on the grid, too.
        augment: random flips and quarter turns of the originals, before they are coded.
        drawn: share of the pictures that are not photographs but drawn text, boxes and lines, in [0, 1]; see
            :mod:`tfar.data.drawn`. The held-out patches are of photographs only.
    """

    source: str = "demo"
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    quality: tuple[Quality, Quality] = (10, 10)
    quality_law: Literal["uniform", "log-uniform"] = "uniform"
    gray: Share = 0.0
    subsampling: Shares[Subsampling] = field(default_factory=lambda: {"4:2:0": 1.0})
    tables: Shares[Tables] = field(default_factory=lambda: {"standard": 1.0})
    double: Share = 0.0
    patch: Count = 48
    batch: Count = 16
    patches_per_image: Count = 1
    aligned: Share = 0.0
    augment: bool = True
    drawn: Share = 0.0

    def __post_init__(self):
        low, high = self.quality
        if low > high:
            raise ValueError("quality must be the lowest and the highest factor")
        if self.quality_law == "log-uniform" and high == 100:
            raise ValueError("quality must end below 100 to be log-uniform")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Network:
    """A network as the name of its builder in ``tfar.models`` and the builder's keyword arguments."""

    builder: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Features:
    """The frozen VGG of the perceptual and texture losses; see :func:`tfar.models.features.vgg_features`.

    Args:
        network: ``vgg19`` or ``vgg16``.
        weights: ``imagenet`` (Keras downloads it), a ``.weights.h5`` file, ``random``, or ``imagenet-or-random``, which
            is random where there is nothing to download from, as in the demo.
        perceptual: the Keras layer of the perceptual loss and of ``feature_diversity``.
        texture: the Keras layers of the texture matching loss.
        texture_patch: side of the texture patches, in image pixels (the paper's P).
        texture_size: the size M by whose square the texture matching loss is divided: that of the whole feature ``map``
            as in the paper, or of a ``patch``; see :func:`tfar.losses.texture.texture_matching`.
    """

    network: str = "vgg19"
    weights: str = "imagenet"
    perceptual: str = "block4_pool"
    texture: tuple[str, ...] = ("block1_conv1", "block2_conv1", "block3_conv1")
    texture_patch: Count = 16
    texture_size: Literal["map", "patch"] = "patch"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Phase:
    """A stretch of training with one weighted sum of losses.

    Args:
        epochs: length of the phase.
        terms: weight of each loss term; ``adversarial`` or ``saturating`` among them brings the discriminator in.
        fading: terms whose weight falls with the quality of a patch's JPEG, from the full one at quality 40 and below
            to nothing at 95, in proportion to the factor of its tables: the better the JPEG, the less to invent.
        learning_rate: the generator's peak rate.
        discriminator_rate: the discriminator's; the generator's when null.
        decay: ``constant`` or ``cosine`` (to zero at the end of the phase).
        warmup: steps over which the rate rises linearly from zero, fewer than the phase has.

    The optimizers of a phase are fresh, unless it differs from the one before in its constant rates alone: then they
    keep their moments.
    """

    epochs: Count
    terms: Terms
    fading: tuple[str, ...] = ()
    learning_rate: Rate = 1e-4
    discriminator_rate: Rate | None = None
    decay: Literal["constant", "cosine"] = "constant"
    warmup: NotNegative = 0

    def __post_init__(self):
        if faded := set(self.fading) - self.terms.keys():
            raise ValueError(f"fading names terms that the phase does not have: {', '.join(sorted(faded))}")

    def continues(self, before: "Phase") -> bool:
        """Whether the phase differs from the one before in its constant rates alone."""
        rates = ("epochs", "learning_rate", "discriminator_rate")
        alike = dataclasses.replace(self, **{name: getattr(before, name) for name in rates}) == before
        return alike and self.decay == "constant" and not self.warmup


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Optimizer:
    """The optimizers, gradient clipping and weight averaging.

    Args:
        kind: of the generator: ``adam``, or ``muon`` for the kernels of its convolutions, with Adam for everything
            else; see :class:`tfar.training.muon.ConvolutionMuon`. A discriminator is always taught by Adam.
        adam_ratio: of Muon alone: Adam's learning rate in units of Muon's.
        beta_1: decay of the first moment.
        beta_2: decay of the second moment.
        weight_decay: of Muon alone: what every kernel loses in a step, in units of the learning rate.
        clip_norm: largest global norm of the gradients of a batch; every replica clips its part of them at its share of
            this. None when null.
        average: decay of the exponential moving average of the generator's weights (EMA), for example 0.999; the
            averaged network is the one that is validated and saved. None when null.
    """

    kind: Literal["adam", "muon"] = "adam"
    adam_ratio: Rate = 0.5
    beta_1: Share = 0.9
    beta_2: Share = 0.999
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip_norm: Rate | None = None
    average: Share | None = None

    def __post_init__(self):
        if self.kind == "adam" and self.weight_decay:
            raise ValueError(f"weight_decay is of muon, adam has none: set it to 0, not {self.weight_decay:g}")
        if self.kind == "adam" and self.adam_ratio != Optimizer.adam_ratio:
            unset = f"leave it at {Optimizer.adam_ratio:g}"
            raise ValueError(f"adam_ratio is of muon, adam has none: {unset}, not {self.adam_ratio:g}")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Recipe:
    """One training of one generator.

    Args:
        generator: the network that restores.
        discriminator: its opponent in adversarial phases.
        features: the frozen network behind the terms ``perceptual``, ``feature_diversity`` and ``texture``.
        data: images and patches.
        optimizer: how both networks are taught, and how weights are averaged.
        phases: what is minimised, in order.
        steps_per_epoch: batches between two validations (and checkpoints).
        monitor: the validation figure whose best epoch is kept: ``psnr`` (highest), or a term of every phase or, where
            all phases have the same terms and weights, ``loss`` (lowest); ``last`` keeps the last epoch.
        label_smoothing: one-sided label smoothing (Salimans et al., 2016): the discriminator is taught that originals
            are originals with a probability of 1 minus this.
        precision: Keras dtype policy: ``float32``, ``mixed_bfloat16`` or, on one device only, ``mixed_float16``.
        seed: of initial weights and patches.
    """

    generator: Network
    discriminator: Network | None = None
    features: Features | None = None
    data: Data = field(default_factory=Data)
    optimizer: Optimizer = field(default_factory=Optimizer)
    phases: Annotated[tuple[Phase, ...], AfterValidator(_not_empty)]
    steps_per_epoch: Count = 1000
    monitor: str = "psnr"
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    precision: Precision = "float32"
    seed: NotNegative = 0

    @property
    def epochs(self) -> int:
        """Epochs of all phases together."""
        return sum(phase.epochs for phase in self.phases)


def for_cpus(recipe: Recipe, *, weight_decay: float = 0.0) -> Recipe:
    """The recipe with the data and the optimizer that teach most per hour of a CPU (docs/train.md): small batches of
    patches on the JPEG's grid, Muon without clipping and with this ``weight_decay``, which keeps units of
    LeakyReLU networks at work (docs/training.md).
    """
    return dataclasses.replace(
        recipe,
        data=dataclasses.replace(recipe.data, batch=8, aligned=0.9),
        optimizer=Optimizer(kind="muon", average=0.999, weight_decay=weight_decay),
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Mask:
    """Where L_T is taken: parameters of :class:`tfar.models.region_mask.OrientationDiversityMask`, and in ``damage``
    the points of :class:`tfar.models.region_mask.DamageShare`, with which the mask is multiplied, or none.
    """

    threshold: int = 5
    gradient_floor: float = 5.0
    majority: Count = 1
    feather: Count = 1
    outside: Share = 0.0
    damage: Points = ()


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RegionAware:
    """The region-aware system: a base network, a texture network and the mask that chooses between them.

    Args:
        base: training of Edge-CNN, which gives the base fidelity layer L_B.
        texture: training of the Texture-GAN, which gives the texture enhancement layer L_T.
        mask: where L_T is taken.
        texture_from_base: start the texture generator from the base network's weights wherever the shapes agree.
    """

    base: Recipe
    texture: Recipe
    mask: Mask = field(default_factory=Mask)
    texture_from_base: bool = False


def to_json(recipe) -> str:
    """The recipe as indented JSON text."""
    return TypeAdapter(type(recipe)).dump_json(recipe, indent=2).decode() + "\n"


def from_json(kind: type, text: str):
    """Read a recipe of class ``kind`` from JSON text.

    Raises:
        RecipeError: one line that names every field that is unknown, missing or has a value it cannot have.
    """
    try:
        return TypeAdapter(kind).validate_json(text)
    except pydantic.ValidationError as error:
        raise RecipeError("; ".join(map(_problem, error.errors()))) from error


def schema() -> str:
    """The JSON schema of recipe files, for editors: of one training, or of the region-aware system's two."""
    return json.dumps(TypeAdapter(RegionAware | Recipe).json_schema(), indent=2) + "\n"


def override(recipe, assignments: Iterable[str]):
    """Return a copy of a recipe with fields replaced.

    Args:
        recipe: any recipe dataclass.
        assignments: texts ``path=value``, such as ``base.data.patch=64``, ``base.phases.0.learning_rate=1e-4`` or
            ``base.generator.options.blocks=8``. The value is JSON; what is not JSON is taken as text.

    Raises:
        RecipeError: when the path does not exist or the value does not fit it.
    """
    tree = json.loads(to_json(recipe))
    for assignment in assignments:
        path, equals, value = assignment.partition("=")
        if not equals:
            raise RecipeError(f"expected FIELD=VALUE, got {assignment!r}")
        *parents, last = path.split(".")
        node = tree
        for name in parents:
            node = _child(node, name, path)
        if parents[-1:] not in OPEN_FIELDS or not isinstance(node, dict):
            _child(node, last, path)
        node[int(last) if isinstance(node, list) else last] = _value(value)
    return from_json(type(recipe), json.dumps(tree))


def _child(node, name: str, path: str):
    if isinstance(node, dict) and name in node:
        return node[name]
    if isinstance(node, list) and name.isdecimal() and int(name) < len(node):
        return node[int(name)]
    known = node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    raise RecipeError(f"recipe has no field {path!r}: {name!r} is not among: {', '.join(map(str, known)) or 'none'}")


def _value(text: str):
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _problem(details) -> str:
    """One of pydantic's findings, for somebody who looks at a recipe."""
    *parents, last = place = ["recipe", *(part for part in details["loc"] if part != "[key]")]
    parent, path = ".".join(map(str, parents)), ".".join(map(str, place))
    if details["type"] == "json_invalid":
        return f"recipe is not valid JSON: {details['ctx']['error']}"
    if details["type"] == "unexpected_keyword_argument":
        return f"{parent} has no field {last!r}"
    if details["type"] == "missing":
        return f"{parent} lacks the field {last!r}"
    message = details["msg"].removeprefix("Value error, ").replace("Input should", "must", 1)
    return f"{path}: {message}, got {reprlib.repr(details['input'])}"
