"""What JPEG left in the pixels of a picture: the grid of its blocks, and the table that quantized them.

After a JPEG was decoded, the DCT coefficients of its blocks still are multiples of the steps of its table, but for the
rounding of pixels; those of blocks cut elsewhere are not. So each of the 64 offsets of the grid, with each of the
tables that encoders use, is a hypothesis. Its evidence is the sum, over coefficients, of the logarithm of a likelihood
ratio: how much likelier is a coefficient so near to a multiple of the step than anywhere around it? The hypothesis with
the most evidence is believed when it has more than chance gives, and far more than there is at any other offset.

After Z. Fan and R. L. de Queiroz, "Identification of bitmap compression history: JPEG detection and quantizer
estimation", IEEE Transactions on Image Processing 12 (2003), for the likelihood of tables; and T. Nikoukhah, J. Anger,
M. Colom, J.-M. Morel and R. Grompone von Gioi, "ZERO: a local JPEG grid origin detector based on the number of DCT
zeros and its applications in image forensics", Image Processing On Line 11 (2021), for the 64 offsets and a threshold
that bounds the false alarms.

Deviations and choices: coefficients below half a step never speak for the step, since most coefficients of most
pictures are small; they speak against it where they are not near zero. Coefficients that a clipped pixel touches are
left out. Of a large picture the tiles with most detail are taken. Beneath a JPEG file an earlier JPEG is looked for
among stronger tables only, since otherwise the file's own table is what matters. A picture that was resized after the
JPEG has no such multiples any more, and no grid.

Needs NumPy and Pillow only.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tfar.quantization import BLOCK, TABLES, as_blocks, dct, dct_basis, known_luma_tables, nearest_quality

EVIDENCE = 50.0  # that a hypothesis must have; were coefficients independent, exp(-50) would bound its false alarms
PER_BLOCK = 0.05  # that it must have in addition for each block that was searched, since they are not
CONTRAST = 2.0  # how many times as much as at any other offset
OUTLIERS = 0.02  # share of the coefficients that may be anywhere: in flat blocks all pixels are rounded alike
ROUNDING = 0.32  # standard deviation of what the rounding of pixels adds to coefficients
BLURS = (1.0, 2.0, 4.0)  # times that, for pictures that were altered a little after the JPEG
SPREADS = (0.8, 1.1, 1.6)  # times the error that a JPEG file's own table is expected to add
PRIOR = math.log(255)  # what each step costs that may be any
KNOWN = 0.6  # a known table is taken from this share of the evidence on that any steps have
STRONGER = 0.3  # mean logarithm of the ratio of steps from which on a table is stronger than another
LEVELS, BINS = 256, 4  # a histogram holds the magnitudes below so many levels, with so many bins per level
TILE = 128
SEARCHED, MEASURED, COMPARED = 16, 64, 1024  # tiles: for the offset; for the table; of which those are chosen
FREQUENCIES = [(v, u) for v in range(BLOCK) for u in range(BLOCK) if v + u]  # all but the mean
LOW = [(v, u) for v, u in FREQUENCIES if v + u <= 4]


@dataclass(frozen=True)
class Encoding:
    """A luma table that encoders use.

    Attributes:
        tables: whose table it is, one of :data:`tfar.quantization.TABLES`.
        table: uint8 ``(8, 8)``, as it lies in the picture: transposed if that was turned by 90 degrees after the JPEG.
    """

    tables: str
    table: np.ndarray


@dataclass(frozen=True)
class Trace(Encoding):
    """An earlier JPEG that was found in the pixels of a picture.

    Where its table is none of those that are known, ``tables`` is ``other``, and ``table`` has a 0 for each step that
    could not be told.

    Attributes:
        quality: libjpeg's quality factor whose luma table is nearest; see :func:`tfar.quantization.nearest_quality`.
        offset: row and column, 0 to 7 each, of the first corner of a block: ``image[row:, column:]`` is on the grid.
        evidence: natural logarithm of the likelihood ratio to there being no such grid.
    """

    quality: int
    offset: tuple[int, int]
    evidence: float


def find_trace(image: np.ndarray) -> Trace | None:
    """The JPEG that a picture was, which is stored in another way now.

    Args:
        image: uint8 ``(H, W, 3)`` RGB or ``(H, W)`` gray, of any size.

    Returns:
        Its offset and table; None when no grid can be told from chance.

    Raises:
        ValueError: for another dtype or shape.
    """
    _check(image)
    counts = _sliding_counts(image)
    spreads = [np.full((BLOCK, BLOCK), ROUNDING * blur) for blur in BLURS]
    found = [_search(counts, spreads, candidates) for candidates in (encodings(), None)]
    best = max(filter(None, found), key=lambda one: one[0], default=None)
    if best is None:
        return None
    _, offset, spread = best
    counts = _grid_counts(_coefficients(image, offset))
    known, other = _known_table(counts, spread, encodings(), offset), _other_table(counts, spread, offset)
    return known if known and (other is None or known.evidence > KNOWN * other.evidence) else other


def find_trace_beneath(image: np.ndarray, table: np.ndarray, offset: tuple[int, int] = (0, 0)) -> Trace | None:
    """A stronger JPEG that a JPEG file was before, on the same grid or on another.

    Args:
        image: the decoded file, uint8 ``(H, W, 3)`` RGB or ``(H, W)`` gray.
        table: the file's own luma table ``(8, 8)``, as it lies in the picture.
        offset: of the file's own grid in the picture.

    Returns:
        The offset and table of the earlier JPEG; None when there is none that can be told from chance.

    Raises:
        ValueError: for another dtype or shape of the image.
    """
    _check(image)
    table = np.maximum(np.asarray(table, np.float64), 1)  # a damaged file may hold zeros
    stronger = [e for e in encodings() if np.log(e.table / table)[:4, :4].mean() > STRONGER]
    if not stronger:
        return None
    coefficients = _coefficients(image, offset)
    errors = _leakage() @ _quantization_errors(coefficients, table) @ _leakage().T
    spreads = [np.sqrt(ROUNDING**2 + spread**2 * errors) for spread in SPREADS]
    traces = [_aligned(coefficients, stronger, table, offset)]
    found = _search(_sliding_counts(image), spreads, stronger, own=offset)
    if found:
        _, other, spread = found
        traces.append(_known_table(_grid_counts(_coefficients(image, other)), spread, stronger, other))
    return max(filter(None, traces), key=lambda trace: trace.evidence, default=None)


@functools.cache
def encodings() -> tuple[Encoding, ...]:
    """All tables that are looked for, as they are and transposed."""
    found = []
    for tables in TABLES:
        for table in known_luma_tables(tables):
            variants = [table] if np.array_equal(table, table.T) else [table, table.T]
            found += [Encoding(tables, variant) for variant in variants]
    return tuple(found)


def _search(
    counts: np.ndarray,
    spreads: Sequence[np.ndarray],
    candidates: Sequence[Encoding] | None,
    own: tuple[int, int] | None = None,
) -> tuple[float, tuple[int, int], np.ndarray] | None:
    """The most evidence for any table, if it is to be believed, with its offset and spread.

    Args:
        counts: what :func:`_sliding_counts` gives.
        spreads: standard deviations ``(8, 8)`` of coefficients around the multiples; the best of them is taken.
        candidates: the tables; None for any steps whatever.
        own: an offset to leave out.
    """
    found = [_evidence(counts, LOW, spread, candidates) for spread in spreads]
    best = np.stack([evidence.max(axis=1) for evidence in found])
    if own:
        best[:, own[0] * BLOCK + own[1]] = -np.inf
    spread, phase = np.unravel_index(best.argmax(), best.shape)
    evidence = float(best[spread, phase])
    needed = EVIDENCE + PER_BLOCK * counts[phase, 0].sum()
    if evidence < max(needed, CONTRAST * np.delete(best, phase, axis=1).max()):
        return None
    return evidence, (int(phase) // BLOCK, int(phase) % BLOCK), spreads[spread]


def _known_table(
    counts: np.ndarray, spread: np.ndarray, candidates: Sequence[Encoding], offset: tuple[int, int]
) -> Trace | None:
    """The table with the most evidence in the histograms of a grid; None if it is not to be believed."""
    return _believed(_evidence(counts, FREQUENCIES, spread, candidates)[0], candidates, offset)


def _other_table(counts: np.ndarray, spread: np.ndarray, offset: tuple[int, int]) -> Trace | None:
    """A table whose steps are told one by one, each if it has evidence."""
    table, total = np.zeros((BLOCK, BLOCK), np.uint8), 0.0
    for number, (v, u) in enumerate(FREQUENCIES):
        evidence = _products(counts[:, number], _ratios(_quarter_octaves(spread[v, u]))[1:])[0] - PRIOR
        step = int(evidence.argmax()) + 1
        if evidence.max() > 0 and (step > 1 or (v, u) in LOW):  # rounding alone looks like steps of 1
            table[v, u] = step
            total += float(evidence.max())
    return Trace("other", table, nearest_quality(table), offset, total) if table.any() else None


def _aligned(
    coefficients: np.ndarray, candidates: Sequence[Encoding], table: np.ndarray, offset: tuple[int, int]
) -> Trace | None:
    """An earlier table on the same grid as a file's own.

    There a coefficient is a multiple of the file's step, namely the one nearest to a multiple of the earlier step.
    """
    evidence = np.zeros(len(candidates))
    for v, u in LOW:
        multiples = np.round(np.abs(coefficients[:, v, u]) / table[v, u]).astype(np.int32)
        counts = np.bincount(multiples[multiples * table[v, u] < LEVELS], minlength=1)
        steps = np.asarray([[candidate.table[v, u]] for candidate in candidates], np.float64)
        sizes = np.arange(len(counts)) * table[v, u]
        order = np.round(sizes / steps)
        low, high = (
            _normal_distribution((sizes - order * steps + side * table[v, u] / 2) / ROUNDING) for side in (-1, 1)
        )
        ratios = np.log((1 - OUTLIERS) * (high - low) * np.maximum(steps / table[v, u], 1) + OUTLIERS)
        ratios = np.where(order > 0, ratios, np.where(sizes > 0, np.log(OUTLIERS), 0))
        evidence += (ratios * counts).sum(axis=1)
    return _believed(evidence, candidates, offset)


def _believed(evidence: np.ndarray, candidates: Sequence[Encoding], offset: tuple[int, int]) -> Trace | None:
    best = int(evidence.argmax())
    if evidence[best] < EVIDENCE:
        return None
    found = candidates[best]
    return Trace(found.tables, found.table, nearest_quality(found.table), offset, float(evidence[best]))


def _evidence(
    counts: np.ndarray,
    frequencies: Sequence[tuple[int, int]],
    spread: np.ndarray,
    candidates: Sequence[Encoding] | None,
) -> np.ndarray:
    """Logarithms of likelihood ratios ``(N, candidates)``, of histograms ``(N, frequencies, LEVELS * BINS)``.

    Without candidates it is ``(N, 1)``, for whatever steps have the most.
    """
    total = np.zeros((len(counts), len(candidates) if candidates else 1))
    for number, (v, u) in enumerate(frequencies):
        ratios = _ratios(_quarter_octaves(spread[v, u]))
        if candidates:
            steps, which = np.unique([candidate.table[v, u] for candidate in candidates], return_inverse=True)
            total += _products(counts[:, number], ratios[steps])[:, which]
        else:
            best = _products(counts[:, number], ratios[1:]).max(axis=1, keepdims=True)
            total += np.maximum(best - PRIOR, 0)
    return total


def _products(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """``rows @ others.T``, in parts so small that no BLAS wakes its threads: on a busy machine they wait for each other
    far longer than the product takes."""
    rows, others = (array.reshape(len(array), -1, 16).swapaxes(0, 1) for array in (rows, others))
    return (rows @ others.swapaxes(1, 2)).sum(axis=0)


def _quarter_octaves(spread: float) -> int:
    return round(4 * math.log2(spread))


@functools.cache
def _ratios(quarter_octaves: int) -> np.ndarray:
    """What a coefficient of a bin says for a step of 0 to 255: float32 ``(256, LEVELS * BINS)``.

    It is spread around the multiples of the step normally, by a standard deviation of ``2 ** (quarter_octaves / 4)``.
    """
    spread = 2 ** (quarter_octaves / 4)
    sizes = np.arange(LEVELS * BINS, dtype=np.float32) / BINS
    steps = np.arange(256, dtype=np.float32)[:, None]
    order = np.round(sizes / np.maximum(steps, 1))
    distance = sizes - order * steps
    density = np.exp(-0.5 * (distance / spread) ** 2)
    blurred = slice(0, math.ceil(8 * spread))  # steps so small that the neighbouring multiples count, too
    for neighbor in (-1, 1):
        shifted = distance[blurred] + neighbor * steps[blurred]
        density[blurred] += np.exp(-0.5 * (shifted / spread) ** 2)
    around = np.log((1 - OUTLIERS) * steps / (math.sqrt(2 * math.pi) * spread) * density + OUTLIERS)
    below = np.clip(2 - 0.5 * (sizes / spread) ** 2, math.log(OUTLIERS), 0)  # nothing within two standard deviations
    return np.where(order > 0, around, below)


def _quantization_errors(coefficients: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Variances ``(8, 8)`` of what a table took from coefficients of which it left ``(N, 8, 8)``.

    Those of a uniform distribution, or less where it left next to nothing: as of a Laplace distribution, of which it
    left that much.
    """
    left = (np.abs(coefficients) > table / 2).sum(axis=0) / max(len(coefficients), 1)
    scale = table / 2 / -np.log(np.clip(left, 1e-4, 1 - 1e-4))
    return np.minimum(table**2 / 12, 2 * scale**2)


@functools.cache
def _leakage() -> np.ndarray:
    """Share of each frequency's energy that is at another one when the grid is shifted: ``(8, 8)``, rows the latter.

    Along one axis, the mean over the shifts by 1 to 7.
    """
    basis = dct_basis().astype(np.float64)
    energies = [
        (basis[:, : BLOCK - n] @ basis[:, n:].T) ** 2 + (basis[:, BLOCK - n :] @ basis[:, :n].T) ** 2
        for n in range(1, BLOCK)
    ]
    return np.mean(energies, axis=0)


def _sliding_counts(image: np.ndarray) -> np.ndarray:
    """Histograms of the magnitudes at low frequencies, for each offset: ``(64, frequencies, LEVELS * BINS)``."""
    counts = np.zeros((len(LOW), BLOCK * BLOCK * (LEVELS * BINS + 1)))
    for rows, columns in _tiles(image, SEARCHED):
        tile = image[rows, columns]
        if min(tile.shape[:2]) < BLOCK:
            continue
        luma, touched = _luma(tile), _window_sums(_window_sums(_clipped(tile), 0), 1) > 0
        row, column = (np.arange(n, dtype=np.int32) % BLOCK for n in touched.shape)
        first = (row[:, None] * BLOCK + column) * (LEVELS * BINS + 1)
        for v in {v for v, _ in LOW}:
            wave = _window_sums(luma, 0, dct_basis()[v])
            for number, u in [(number, u) for number, (row_, u) in enumerate(LOW) if row_ == v]:
                index = _bins(np.abs(_window_sums(wave, 1, dct_basis()[u]))) + first
                counts[number] += np.bincount(index[~touched], minlength=counts.shape[1])
    return np.float32(counts.reshape(len(LOW), BLOCK * BLOCK, -1).swapaxes(0, 1)[..., :-1])


def _window_sums(plane: np.ndarray, axis: int, weights: Sequence[float] = (1,) * BLOCK) -> np.ndarray:
    """Weighted sums of every 8 neighbours along an axis; 7 fewer than there are."""
    length = plane.shape[axis] - BLOCK + 1
    parts = (plane[n : n + length] if axis == 0 else plane[:, n : n + length] for n in range(BLOCK))
    return functools.reduce(np.add, (weight * part for weight, part in zip(weights, parts)))


def _coefficients(image: np.ndarray, offset: tuple[int, int]) -> np.ndarray:
    """DCT coefficients of the blocks on a grid, float32 ``(N, 8, 8)``, of the blocks that no clipped pixel touches."""
    found = []
    for rows, columns in _tiles(image, MEASURED):
        tile = image[rows, columns][offset[0] :, offset[1] :]
        height, width = (side // BLOCK for side in tile.shape[:2])
        tile = tile[: height * BLOCK, : width * BLOCK]
        luma, clipped = (as_blocks(plane).reshape(-1, BLOCK, BLOCK) for plane in (_luma(tile), _clipped(tile)))
        found.append(dct(luma[~clipped.any(axis=(1, 2))]))
    return np.concatenate(found)


def _bins(sizes: np.ndarray) -> np.ndarray:
    """Bin of each magnitude; the last one, ``LEVELS * BINS``, is for what is larger."""
    return np.int32(np.minimum(sizes * BINS + 0.5, LEVELS * BINS))


def _grid_counts(coefficients: np.ndarray) -> np.ndarray:
    """Histograms of the magnitudes of coefficients ``(N, 8, 8)``: ``(1, frequencies, LEVELS * BINS)``."""
    bins = _bins(np.abs(coefficients))
    size = LEVELS * BINS
    return np.float32([[np.bincount(bins[:, v, u], minlength=size + 1)[:size] for v, u in FREQUENCIES]])


def _tiles(image: np.ndarray, count: int) -> list[tuple[slice, slice]]:
    """At most so many tiles of a picture, those with most detail, or a whole small picture; their corners are on the
    grid of 8, and they overlap by what a block needs."""
    height, width = image.shape[:2]
    if height * width <= count * TILE**2:
        return [(slice(0, height), slice(0, width))]
    side = TILE + BLOCK - 1
    tops, lefts = (range(0, max(length - side, 0) + 1, TILE) for length in (height, width))
    tiles = [(slice(top, top + side), slice(left, left + side)) for top in tops for left in lefts]
    return sorted(tiles[:: -(-len(tiles) // COMPARED)], key=lambda tile: _detail(image[tile]))[-count:]


def _detail(tile: np.ndarray) -> float:
    """How much neighbours differ in every 16th row, less where pixels are clipped."""
    rows = np.int16(tile[::16])
    if tile.shape[1] == 1:
        return 0.0
    clipped = np.mean((rows == 0) | (rows == 255))
    return float(np.abs(np.diff(rows, axis=1)).clip(0, 32).mean() * (1 - clipped))


def _luma(tile: np.ndarray) -> np.ndarray:
    """Luma as JPEG codes it: whole numbers, less 128, float32 ``(H, W)``."""
    luma = tile if tile.ndim == 2 else Image.fromarray(np.ascontiguousarray(tile)).convert("L")
    return np.float32(luma) - 128


def _clipped(tile: np.ndarray) -> np.ndarray:
    clipped = (tile == 0) | (tile == 255)
    return clipped if tile.ndim == 2 else clipped.any(axis=2)


def _normal_distribution(z: np.ndarray) -> np.ndarray:
    """Share of the standard normal distribution below z, within 0.0003 (as in approximations of GELU)."""
    return 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))


def _check(image: np.ndarray):
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise ValueError(f"expected a uint8 image (H, W) or (H, W, 3), got {image.dtype} {image.shape}")
