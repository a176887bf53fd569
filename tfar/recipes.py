"""Recipes: everything that decides a training, as frozen dataclasses with a JSON form.

A recipe names its networks by the builder in ``tfar.models`` and its loss terms by their key in
``tfar.training.trainer.TERMS``; both are checked when the training is set up. Unknown fields and values of the wrong
type raise :class:`~tfar.errors.RecipeError`, in files and on the command line alike.
"""

import dataclasses
import json
import types
import typing
from dataclasses import dataclass, field
from typing import Any

from tfar.errors import RecipeError

SUBSAMPLINGS = ("4:2:0", "4:2:2", "4:4:4")
TABLES = ("standard", "mozjpeg", "photoshop")
QUALITY_LAWS = ("uniform", "log-uniform")
LAYERS = ("fused", "base", "texture")  # what the region-aware system can give
# Mappings whose keys are checked where they are used.
OPEN_FIELDS = (["options"], ["terms"], ["subsampling"], ["tables"])


@dataclass(frozen=True, kw_only=True)
class Data:
    """Where images come from and how patches are made of them.

    Args:
        source: a folder, ``demo`` (photographs of the scikit-image wheel) or ``tfds:NAME`` (TensorFlow Datasets).
        validation: share of the files held out, in [0, 1); the split is by file and depends on file names only.
        quality: lowest and highest JPEG quality factor; one is drawn per patch.
        quality_law: how it is drawn: ``uniform``, or ``log-uniform`` in the factor by which libjpeg multiplies its
            tables, so that quality 90 is as likely as quality 45 and quality 10 (where the factor is 0.2, 1.1, 5).
        gray: share of the patches that are coded as grayscale JPEG, in [0, 1]; the others are coded in colour.
        subsampling: chroma subsampling of the colour patches: ``4:2:0``, ``4:2:2`` or ``4:4:4``, each with its share;
            one name stands for all of them.
        tables: whose quantisation tables: ``standard`` (libjpeg's), ``mozjpeg`` or ``photoshop``, each with its
            share; see :func:`tfar.jpeg.quantization_tables`.
        double: share of the patches that were a JPEG before, in [0, 1], of at most the quality of the last one; half
            of them on the same grid, half of them on one that is shifted by 1 to 15 pixels each way, as after a crop.
        patch: side of the square patches, in pixels.
        batch: patches per step, over all replicas.
        patches_per_image: patches of a batch that are cut from one image before the next is drawn; raise it when the
            photographs are large or do not fit into memory.
        aligned: share of the patches that are cut on the 8x8 grid of the JPEG, in [0, 1]; the others are cut at any
            offset, which one in 64 times is on the grid, too.
        augment: random flips and quarter turns of the originals, before they are coded.
    """

    source: str = "demo"
    validation: float = 0.1
    quality: tuple[int, int] = (10, 10)
    quality_law: str = "uniform"
    gray: float = 0.0
    subsampling: dict[str, float] = field(default_factory=lambda: {"4:2:0": 1.0})
    tables: dict[str, float] = field(default_factory=lambda: {"standard": 1.0})
    double: float = 0.0
    patch: int = 48
    batch: int = 16
    patches_per_image: int = 1
    aligned: float = 0.0
    augment: bool = True

    def __post_init__(self):
        low, high = self.quality
        _require(1 <= low <= high <= 100, f"data.quality must be 1 <= low <= high <= 100, got {self.quality}")
        _require(0 <= self.validation < 1, f"data.validation must be in [0, 1), got {self.validation}")
        _require(0 <= self.gray <= 1, f"data.gray must be in [0, 1], got {self.gray}")
        _require(0 <= self.double <= 1, f"data.double must be in [0, 1], got {self.double}")
        _require(0 <= self.aligned <= 1, f"data.aligned must be in [0, 1], got {self.aligned}")
        known = self.quality_law in QUALITY_LAWS
        _require(known, f"data.quality_law must be one of {', '.join(QUALITY_LAWS)}, got {self.quality_law!r}")
        _require(self.quality_law == "uniform" or high < 100, "data.quality must end below 100 to be log-uniform")
        _require_shares("data.subsampling", self.subsampling, SUBSAMPLINGS)
        _require_shares("data.tables", self.tables, TABLES)
        _require(self.patch > 0, f"data.patch must be positive, got {self.patch}")
        _require(self.batch > 0, f"data.batch must be positive, got {self.batch}")
        _require(self.patches_per_image > 0, f"data.patches_per_image must be positive, got {self.patches_per_image}")


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network as the name of its builder in ``tfar.models`` and the builder's keyword arguments."""

    builder: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Features:
    """The frozen VGG of the perceptual and texture losses; see :func:`tfar.models.features.vgg_features`.

    Args:
        network: ``vgg19`` or ``vgg16``.
        weights: ``imagenet`` (Keras downloads it), a ``.weights.h5`` file, or ``random``.
        perceptual: the Keras layer of the perceptual loss.
        texture: the Keras layers of the texture matching loss.
        texture_patch: side of the texture patches, in image pixels (the papers' P).
    """

    network: str = "vgg19"
    weights: str = "imagenet"
    perceptual: str = "block4_pool"
    texture: tuple[str, ...] = ("block1_conv1", "block2_conv1", "block3_conv1")
    texture_patch: int = 16


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of training with one weighted sum of losses and fresh optimizers.

    Args:
        epochs: length of the phase.
        terms: weight of each loss term; ``adversarial`` or ``saturating`` among them brings the discriminator in.
        fading: terms whose weight falls with the quality of a patch's JPEG, from the full one at quality 40 and below
            to nothing at 95, in proportion to the factor of its tables: the better the JPEG, the less to invent.
        learning_rate: the generator's peak rate.
        discriminator_rate: the discriminator's; the generator's when null.
        decay: ``constant`` or ``cosine`` (to zero at the end of the phase).
        warmup: steps over which the rate rises linearly from zero.
    """

    epochs: int
    terms: dict[str, float]
    fading: tuple[str, ...] = ()
    learning_rate: float = 1e-4
    discriminator_rate: float | None = None
    decay: str = "constant"
    warmup: int = 0

    def __post_init__(self):
        _require(self.epochs > 0, f"phase.epochs must be positive, got {self.epochs}")
        _require(bool(self.terms), "phase.terms must name at least one loss")
        _require(self.learning_rate > 0, f"phase.learning_rate must be positive, got {self.learning_rate}")
        rate = self.discriminator_rate
        _require(rate is None or rate > 0, f"phase.discriminator_rate must be positive, got {rate}")
        faded = set(self.fading) - self.terms.keys()
        _require(not faded, f"phase.fading names terms that the phase does not have: {', '.join(sorted(faded))}")
        _require(self.warmup >= 0, f"phase.warmup must not be negative, got {self.warmup}")
        _require(self.decay in ("constant", "cosine"), f"phase.decay must be constant or cosine, got {self.decay!r}")


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """The optimizers, gradient clipping and weight averaging.

    Args:
        kind: of the generator: ``adam``, or ``muon`` for the kernels of its convolutions, with Adam for everything
            else; see :class:`tfar.training.muon.ConvolutionMuon`. A discriminator is always taught by Adam.
        adam_ratio: with Muon: Adam's learning rate in units of Muon's.
        beta_1: decay of the first moment.
        beta_2: decay of the second moment.
        clip_norm: largest global norm of the gradients, per replica; none when null.
        average: decay of the exponential moving average of the generator's weights (EMA), for example 0.999; the
            averaged network is the one that is validated and saved. None when null.
    """

    kind: str = "adam"
    adam_ratio: float = 0.5
    beta_1: float = 0.9
    beta_2: float = 0.999
    clip_norm: float | None = None
    average: float | None = None

    def __post_init__(self):
        kinds = ("adam", "muon")
        _require(self.kind in kinds, f"optimizer.kind must be one of {', '.join(kinds)}, got {self.kind!r}")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training of one generator.

    Args:
        generator: the network that restores.
        discriminator: its opponent in adversarial phases.
        features: the frozen network behind the terms ``perceptual`` and ``texture``.
        data: images and patches.
        optimizer: Adam.
        phases: what is minimised, in order.
        steps_per_epoch: batches between two validations (and checkpoints).
        monitor: the validation figure whose best epoch is kept: ``psnr`` (highest) or a loss term (lowest); ``last``
            keeps the last epoch.
        label_smoothing: one-sided label smoothing (Salimans et al., 2016): the discriminator is taught that originals
            are originals with a probability of 1 minus this.
        precision: Keras dtype policy: ``float32``, ``mixed_bfloat16`` or ``mixed_float16``.
        seed: of initial weights and patches.
    """

    generator: Network
    discriminator: Network | None = None
    features: Features | None = None
    data: Data = field(default_factory=Data)
    optimizer: Optimizer = field(default_factory=Optimizer)
    phases: tuple[Phase, ...]
    steps_per_epoch: int = 1000
    monitor: str = "psnr"
    label_smoothing: float = 0.0
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self):
        _require(bool(self.phases), "phases must not be empty")
        _require(self.steps_per_epoch > 0, f"steps_per_epoch must be positive, got {self.steps_per_epoch}")
        _require(0 <= self.label_smoothing < 0.5, f"label_smoothing must be in [0, 0.5), got {self.label_smoothing}")
        _require(self.seed >= 0, f"seed must not be negative, got {self.seed}")
        policies = ("float32", "mixed_bfloat16", "mixed_float16")
        _require(self.precision in policies, f"precision must be one of {', '.join(policies)}, got {self.precision!r}")

    @property
    def epochs(self) -> int:
        """Epochs of all phases together."""
        return sum(phase.epochs for phase in self.phases)


@dataclass(frozen=True, kw_only=True)
class Mask:
    """Parameters of the orientation-diversity mask; see :class:`tfar.models.region_aware.OrientationDiversityMask`."""

    threshold: int = 5
    gradient_floor: float = 5.0
    majority: int = 1


@dataclass(frozen=True, kw_only=True)
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
    return json.dumps(dataclasses.asdict(recipe), indent=2) + "\n"


def from_json(kind: type, text: str):
    """Read a recipe of class ``kind`` from JSON text; :class:`RecipeError` names an unknown or mistyped field."""
    try:
        return _parse(kind, json.loads(text), "recipe")
    except json.JSONDecodeError as error:
        raise RecipeError(f"recipe is not valid JSON: {error}") from error


def override(recipe, assignments: typing.Iterable[str]):
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
        _require(bool(equals), f"expected FIELD=VALUE, got {assignment!r}")
        *parents, last = path.split(".")
        node = tree
        for name in parents:
            node = _child(node, name, path)
        if parents[-1:] not in OPEN_FIELDS or not isinstance(node, dict):
            _child(node, last, path)
        node[int(last) if isinstance(node, list) else last] = _value(value)
    return _parse(type(recipe), tree, "recipe")


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


def _parse(kind, value, path: str):
    """Build a value of the annotated type ``kind`` from plain JSON values."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        _require(isinstance(value, dict), f"{path}: expected fields, got {value!r}")
        hints = typing.get_type_hints(kind)
        for name in value:
            _require(name in hints, f"{path} has no field {name!r}; it has: {', '.join(hints)}")
        for f in dataclasses.fields(kind):
            required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
            _require(f.name in value or not required, f"{path} lacks the field {f.name!r}")
        return kind(**{name: _parse(hints[name], item, f"{path}.{name}") for name, item in value.items()})
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        return _parse(next(a for a in arguments if a is not type(None)), value, path)
    if origin is tuple:
        _require(isinstance(value, (list, tuple)), f"{path}: expected a list, got {value!r}")
        repeated = arguments[-1] is Ellipsis
        _require(repeated or len(value) == len(arguments), f"{path}: expected {len(arguments)} values, got {value!r}")
        kinds = [arguments[0]] * len(value) if repeated else arguments
        return tuple(_parse(k, item, f"{path}.{i}") for i, (k, item) in enumerate(zip(kinds, value)))
    if origin is dict:
        if isinstance(value, str) and arguments[1] is float:
            value = {value: 1.0}  # one name for all of the shares
        _require(isinstance(value, dict), f"{path}: expected a mapping, got {value!r}")
        return {name: _parse(arguments[1], item, f"{path}.{name}") for name, item in value.items()}
    if kind is Any:
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    _require(type(value) is kind, f"{path}: expected {kind.__name__}, got {value!r}")
    return value


def _require_shares(name: str, shares: dict[str, float], known: tuple[str, ...]):
    unknown = [key for key in shares if key not in known]
    _require(not unknown, f"{name} must be one of {', '.join(known)}, got {', '.join(map(repr, unknown))}")
    _require(
        min(shares.values(), default=0) >= 0 and sum(shares.values()) > 0,
        f"{name} needs shares of which none is negative and one is positive, got {shares}",
    )


def _require(condition: bool, message: str):
    if not condition:
        raise RecipeError(message)
