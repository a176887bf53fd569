import itertools

import numpy as np
import pytest

from tfar.data.patches import draw_noise
from tfar.restoration import tiles
from tfar.restoration.tiles import ALIGN, MARGIN, SMALLEST, Noise, cut, side_that_fits, turned, turned_back


@pytest.mark.parametrize("side", [SMALLEST, 364, 512, 704])
@pytest.mark.parametrize("size", [(1, 1), (320, 319), (321, 900), (1111, 64), (701, 1410)], ids=str)
def test_tiles_keep_every_pixel_once_and_see_its_margin(size, side):
    kept = np.zeros(size, int)
    found = list(tiles.tiles(*size, side))
    for tile in found:
        kept[tile.kept] += 1
        for seen, inner, length in zip(tile.seen, tile.kept, size):
            assert seen.start % ALIGN == 0 and seen.stop - seen.start <= side
            assert inner.start - seen.start >= MARGIN or seen.start == inner.start == 0
            assert seen.stop - inner.stop >= MARGIN or seen.stop == inner.stop == length
        rows, columns = tile.inner
        numbers = np.arange(size[0] * size[1]).reshape(size)
        np.testing.assert_array_equal(numbers[tile.seen][rows, columns], numbers[tile.kept])
    assert (kept == 1).all()
    assert len({tuple(part.stop - part.start for part in tile.seen) for tile in found}) == 1
    assert (len(found) == 1) == (max(size) <= side)


@pytest.mark.parametrize("size", range(257, 1500, 41))
def test_tiles_are_no_larger_than_their_number_asks_for(size):
    found = list(tiles.tiles(size, 8, 512))
    shorter = 512 - ALIGN
    height = found[0].seen[0].stop
    assert SMALLEST - ALIGN <= height <= 512
    if height > shorter:
        assert len(list(tiles.tiles(size, 8, shorter))) > len(found)


@pytest.mark.parametrize("size", range(1000, 1064, 7))
def test_the_smallest_tiles_are_128_pixels_apart_at_least(size):
    starts = [tile.seen[0].start for tile in tiles.tiles(size, 8, SMALLEST)]
    assert min(np.diff(starts[:-1])) >= 128  # the last one lies where the image ends


def test_the_parts_of_an_extended_image():
    image = np.random.default_rng(0).integers(0, 256, (400, 380, 3), dtype=np.uint8)
    extended = np.pad(image, ((5, 0), (2, 0), (0, 0)), mode="reflect")
    for tile in tiles.tiles(405, 382, SMALLEST):
        np.testing.assert_array_equal(cut(image, tile, (5, 2)), extended[tile.seen])
    [tile] = tiles.tiles(6, 1, SMALLEST)
    assert (cut(image[:1, :1], tile, (5, 0)) == image[:1, :1]).all()


@pytest.mark.parametrize("size", [(401, 550), (320, 321), (7, 1), (1001, 400)])
def test_noise_in_parts_is_the_noise_of_the_whole_image(size):
    whole = draw_noise(np.random.default_rng(5), 1, *size)[0]
    noise = Noise(5, size[1])
    for tile in tiles.tiles(*size, SMALLEST):
        top, left = (seen.start // 2 for seen in tile.seen)
        part = noise.cut(tile)
        assert part.shape[:2] == tuple(-(-(seen.stop - seen.start) // 2) for seen in tile.seen)
        np.testing.assert_array_equal(part, whole[top : top + part.shape[0], left : left + part.shape[1]])
    assert noise._rows.nbytes <= 4 * SMALLEST // 2 * whole.shape[1]


def test_the_eight_ways():
    part = np.arange(6).reshape(2, 3, 1)
    ways = [turned(part, way) for way in range(8)]
    for a, b in itertools.combinations(ways, 2):
        assert a.shape != b.shape or (a != b).any()
    for way, array in enumerate(ways):
        np.testing.assert_array_equal(turned_back(array, way), part)


def test_tiles_take_half_of_the_free_memory_and_no_more_than_they_may(monkeypatch):
    monkeypatch.setattr(tiles, "free_memory", lambda: 2000 * 700**2)
    assert side_that_fits(1000, 10**12) == 640
    assert side_that_fits(1000, 1000 * 500**2) == 448
    assert side_that_fits(1, 10**12) == tiles.LARGEST
    assert side_that_fits(10**6, 10**12) == SMALLEST
