"""Pictures whose history the tests make: scikit-image's photographs that were never JPEGs, coded, cut and altered."""

import io

import numpy as np
import pytest
from PIL import Image
from skimage import data

from tfar import jpeg, traces
from tfar.quantization import luma_table, nearest_quality
from tfar.traces import find_trace, find_trace_beneath

COLOR = data.astronaut()[:250, 60:330]
GRAY = data.camera()[:250, 60:330]


def cut(image, top, left):
    """An image less some rows and columns, and where the grid of 8 is in what is left."""
    return np.ascontiguousarray(image[top:, left:]), (-top % 8, -left % 8)


def told(trace):
    """Offset and quality."""
    return trace and (trace.offset, trace.quality)


def recoded(image, form, **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, form, **options)
    return np.asarray(Image.open(file).convert(Image.fromarray(image).mode))


@pytest.mark.parametrize("image", [COLOR, GRAY], ids=["color", "gray"])
@pytest.mark.parametrize("quality, top, left", [(10, 3, 5), (30, 0, 7), (50, 1, 0), (75, 6, 2), (90, 4, 4)])
def test_offset_and_table_of_a_picture_that_was_a_jpeg(image, quality, top, left):
    picture, offset = cut(jpeg.compress(image, quality), top, left)
    trace = find_trace(picture)
    assert (trace.offset, trace.tables) == (offset, "standard")
    assert abs(trace.quality - quality) <= 1
    low = np.s_[:3, :3]
    np.testing.assert_array_equal(trace.table[low], luma_table(trace.quality)[low])
    assert find_trace(image) is None


@pytest.mark.parametrize("subsampling", ["4:2:2", "4:4:4"])
def test_the_subsampling_does_not_matter(subsampling):
    assert told(find_trace(jpeg.compress(COLOR, 60, subsampling))) == ((0, 0), 60)


@pytest.mark.parametrize("tables, quality", [("mozjpeg", 75), ("photoshop", 85)])
def test_the_tables_of_other_encoders(tables, quality):
    trace = find_trace(jpeg.compress(COLOR, quality, tables=tables))
    assert (trace.tables, trace.offset) == (tables, (0, 0))
    assert abs(trace.quality - nearest_quality(luma_table(quality, tables))) <= 3


def test_a_table_that_nobody_knows():
    table = np.int32(luma_table(50) * np.random.default_rng(0).uniform(0.6, 1.5, (8, 8)))
    options = {"qtables": [table.ravel().tolist()] * 2, "subsampling": "4:2:0"}
    trace = find_trace(recoded(COLOR, "JPEG", **options)[2:, 7:])
    assert (trace.offset, trace.tables) == ((6, 1), "other")
    known = trace.table > 0
    assert known[:3, :3].sum() == 8 and not known[0, 0]  # the mean tells nothing
    np.testing.assert_array_equal(trace.table[:3, :3][known[:3, :3]], table[:3, :3][known[:3, :3]])
    assert 42 <= trace.quality <= 58


def test_a_table_that_is_like_none_that_is_known():
    trace = find_trace(recoded(COLOR, "JPEG", qtables=[[29] * 64] * 2)[2:, 7:])
    assert (trace.offset, trace.tables) == ((6, 1), "other")
    assert set(np.unique(trace.table)) == {0, 29}


def test_a_picture_that_was_turned_has_the_table_transposed():
    turned = np.ascontiguousarray(np.rot90(jpeg.compress(COLOR[:, :265], 40)))
    trace = find_trace(turned)
    assert (trace.offset, trace.quality) == ((265 % 8, 0), 40)
    np.testing.assert_array_equal(trace.table, luma_table(40).T)


@pytest.mark.parametrize(
    "alter",
    [
        lambda image: np.uint8(np.clip(image + 6.0, 0, 255)),
        lambda image: np.uint8(np.clip(image + np.random.default_rng(0).normal(0, 1.5, image.shape), 0, 255)),
        lambda image: recoded(image, "WEBP", quality=95),
        lambda image: image[40:140, 40:140],
        lambda image: np.asarray(Image.fromarray(image).convert("L")),
    ],
    ids=["brighter", "noisy", "WebP", "small", "gray"],
)
def test_what_is_done_to_a_picture_later_leaves_the_traces(alter):
    assert told(find_trace(np.ascontiguousarray(alter(jpeg.compress(COLOR, 50))))) == ((0, 0), 50)


@pytest.mark.parametrize("quality, factor", [(30, 0.5), (30, 0.75), (30, 1.5), (30, 2.0), (10, 2.0)])
def test_a_picture_resized_after_the_jpeg_has_no_grid(quality, factor):
    image = Image.fromarray(jpeg.compress(COLOR, quality))
    size = [round(side * factor) for side in image.size]
    assert find_trace(np.asarray(image.resize(size, Image.Resampling.LANCZOS))) is None


def drawings():
    rng = np.random.default_rng(0)
    rows, columns = np.indices((240, 240))
    return {
        "flat": np.full((240, 240, 3), 90, np.uint8),
        "gradient": np.uint8((rows + columns) // 2),
        "noise": rng.integers(0, 256, (240, 240), dtype=np.uint8),
        "checks of 4": np.uint8((rows // 4 + columns // 4) % 2 * 200 + 20),
        "checks of 8": np.uint8((rows // 8 + columns // 8) % 2 * 200 + 20),
        "pixel art": np.kron(rng.integers(20, 230, (30, 30), dtype=np.uint8), np.ones((8, 8), np.uint8)),
        "pattern of 8": np.tile(rng.integers(20, 230, (8, 8), dtype=np.uint8), (30, 30)),
        "four colors": COLOR // 64 * 60 + 10,
        "text": data.text(),
        "page in black and white": np.uint8(data.page() > 128) * 255,
    }


@pytest.mark.parametrize("name", drawings())
def test_what_was_never_a_jpeg_has_no_grid(name):
    assert find_trace(drawings()[name]) is None


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (7, 300), (300, 5, 3), (8, 8), (17, 9, 3), (300_000, 1)])
def test_pictures_too_small_to_tell(shape):
    image = np.random.default_rng(0).integers(20, 200, shape, dtype=np.uint8)
    assert find_trace(image) is None
    assert find_trace_beneath(image, luma_table(90)) is None


@pytest.mark.parametrize("quality", [20, 75])
def test_a_large_picture_is_looked_at_in_parts(quality):
    image = np.tile(COLOR, (6, 8, 1))
    image[-600:, -1000:] = 80  # nothing to see there
    picture, offset = cut(jpeg.compress(image, quality), 5, 6)
    trace = find_trace(picture)
    assert trace.offset == offset and abs(trace.quality - quality) <= 2
    assert len(traces._tiles(picture, 16)) == 16
    assert all(rows.start % 8 == columns.start % 8 == 0 for rows, columns in traces._tiles(picture, 16))
    assert min(picture[tile].std() for tile in traces._tiles(picture, 16)) > 20


def test_clipped_pixels_do_not_matter():
    image = np.uint8(np.clip(GRAY * 2.0 - 100, 0, 255))
    assert ((image == 0) | (image == 255)).mean() > 0.3
    picture, offset = cut(jpeg.compress(image, 15), 2, 3)
    assert told(find_trace(picture)) == (offset, 15)


def test_an_offset_that_is_known_already_is_not_found_again():
    picture, offset = cut(jpeg.compress(COLOR, 40), 3, 6)
    given = traces._sliding_counts(picture), [np.full((8, 8), traces.ROUNDING)], traces.encodings()
    assert traces._search(*given)[1] == offset
    assert traces._search(*given, own=offset) is None


# Beneath a JPEG file.


@pytest.mark.parametrize("image", [COLOR, GRAY], ids=["color", "gray"])
@pytest.mark.parametrize("first, second", [(10, 60), (30, 75), (50, 90), (70, 95)])
@pytest.mark.parametrize("corner", [(0, 0), (3, 6), (0, 4)])
def test_a_stronger_jpeg_beneath_a_file(image, first, second, corner):
    picture, offset = cut(jpeg.compress(image, first), *corner)
    trace = find_trace_beneath(jpeg.compress(picture, second), luma_table(second))
    assert trace.offset == offset and abs(trace.quality - first) <= 2


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_there_is_nothing_beneath_a_file_that_was_coded_once(quality):
    assert find_trace_beneath(jpeg.compress(COLOR, quality), luma_table(quality)) is None
    assert find_trace_beneath(jpeg.compress(jpeg.compress(COLOR, 95), quality), luma_table(quality)) is None


def test_a_file_whose_own_grid_is_elsewhere():
    picture, own = cut(jpeg.compress(jpeg.compress(COLOR, 30), 85), 2, 1)
    assert told(find_trace_beneath(picture, luma_table(85), own)) == (own, 30)
    picture, own = cut(jpeg.compress(COLOR, 85), 2, 1)
    assert find_trace_beneath(picture, luma_table(85), own) is None


def test_the_strongest_tables_have_nothing_beneath():
    assert find_trace_beneath(jpeg.compress(COLOR, 1), luma_table(1)) is None
    assert find_trace_beneath(COLOR, np.zeros((8, 8), int)) is None  # a damaged file


@pytest.mark.parametrize("image", [COLOR / 255, COLOR[..., :2], COLOR[None], GRAY[..., None], GRAY.astype(np.uint16)])
def test_other_images_are_refused(image):
    for find in (find_trace, lambda image: find_trace_beneath(image, luma_table(50))):
        with pytest.raises(ValueError, match="uint8"):
            find(image)
