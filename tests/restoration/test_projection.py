import dataclasses
import io

import numpy as np
import pytest
from PIL import ExifTags, Image
from scipy import fft
from skimage import data

from tfar import jpeg
from tfar.images.read import read_pictures
from tfar.restoration.projection import CodedPlanes, coded_planes, project

PHOTO = data.astronaut()[:85, 40:137]
RNG = np.random.default_rng(0)


def coefficients(plane):
    blocks = plane[:80, :96].reshape(10, 8, 12, 8).swapaxes(1, 2).astype(float)
    return fft.dctn(blocks - 128, axes=(-2, -1), norm="ortho")


def luma(image):
    return image.astype(float) @ [0.299, 0.587, 0.114] if image.ndim == 3 else image.astype(float)


def excess(image, coded):
    """By how much the coefficients of blocks without black and white lie outside the intervals."""
    plane = coded.planes[:80, :96, 0].reshape(10, 8, 12, 8).swapaxes(1, 2)
    known = np.rint(coefficients(coded.planes[..., 0]) / coded.tables[0]) * coded.tables[0]
    outside = np.abs(coefficients(luma(image)) - known) - coded.tables[0] / 2
    return np.maximum(outside, 0)[~((plane == 0) | (plane == 255)).any(axis=(-2, -1))]


@pytest.mark.parametrize("image", [PHOTO, PHOTO[..., 1]], ids=["color", "gray"])
@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
def test_a_projection_lies_in_the_intervals(image, subsampling):
    file = jpeg.encode(image, 30, subsampling)
    coded = coded_planes(file)
    wrong = np.uint8(np.clip(jpeg.decode(file) + RNG.normal(0, 12, image.shape), 1, 254))
    moved = project(wrong, coded)
    assert moved.shape == wrong.shape and moved.dtype == np.uint8
    assert excess(wrong, coded).max() > 8
    assert excess(moved, coded).max() < 3.5  # the rounding of 64 pixels
    assert np.sqrt(np.mean(excess(moved, coded) ** 2)) < 0.15
    np.testing.assert_array_equal(moved[80:], wrong[80:])
    np.testing.assert_array_equal(moved[:, 96:], wrong[:, 96:])


def test_the_decoded_jpeg_and_the_original_stay():
    file = jpeg.encode(PHOTO, 30)
    for image, most in ((jpeg.decode(file), 0), (PHOTO, 0.01)):
        assert np.mean(project(image, coded_planes(file)) != image) <= most


def test_16_bits_are_projected_as_8():
    file = jpeg.encode(PHOTO, 30)
    wrong = np.uint8(np.clip(jpeg.decode(file) + RNG.normal(0, 12, PHOTO.shape), 1, 254))
    moved = project(np.uint16(wrong) * 257, coded_planes(file))
    assert moved.dtype == np.uint16
    np.testing.assert_allclose(moved / 257, project(wrong, coded_planes(file)), atol=0.51)


@pytest.mark.parametrize("value", range(1, 9))
def test_turned_files(value):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = value
    buffer = io.BytesIO()
    Image.fromarray(PHOTO).save(buffer, "JPEG", quality=30, exif=exif)
    [picture] = read_pictures(buffer.getvalue())
    assert picture.orientation == value
    coded = coded_planes(buffer.getvalue(), picture.orientation)
    np.testing.assert_array_equal(project(picture.pixels, coded), picture.pixels)
    upside = dataclasses.replace(coded, orientation=4 if value == 2 else 2 if value < 5 else 7 if value == 5 else 5)
    assert np.mean(project(picture.pixels, upside) != picture.pixels) > 0.5


def test_blocks_of_black_and_white_get_half_a_step_around_what_they_are():
    planes = np.full((16, 8, 1), 98, np.uint8)
    planes[3, 3] = 255
    restored = np.full((16, 8), 160, np.uint8)
    moved = project(restored, CodedPlanes(planes, np.full((1, 8, 8), 64, np.float32)))
    assert (moved[8:] == 100).all()  # -240 is taken for -256, and half a step: 128 - 224 / 8
    mean = 98 + 157 / 64
    assert np.mean(moved[:8]) == pytest.approx(mean + 32 / 8, abs=0.5)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_chroma_is_moved_where_it_is_not_subsampled(subsampling):
    file = jpeg.encode(PHOTO, 30, subsampling)
    tinted = np.uint8(np.clip(jpeg.decode(file) + np.float32([40, -17, -20]), 0, 255))
    moved = project(tinted, coded_planes(file))
    error = np.abs(np.float32(moved) - PHOTO).mean()
    assert error < 12 if subsampling == "4:4:4" else error > 18


def test_a_step_of_zero_says_nothing():
    file = jpeg.encode(PHOTO, 30)
    coded = coded_planes(file)
    tables = coded.tables.copy()
    tables[0, 7, 7] = 0
    wrong = np.uint8(np.clip(jpeg.decode(file) + RNG.normal(0, 12, PHOTO.shape), 1, 254))
    with np.errstate(all="raise"):
        moved = project(wrong, dataclasses.replace(coded, tables=tables))
    difference = luma(moved) - luma(project(wrong, coded))
    assert np.abs(np.delete(coefficients(difference + 128).reshape(-1, 64), 63, axis=1)).max() < 6  # of rounding
    assert np.sqrt(np.mean(difference**2)) < 3


def test_files_without_luma_of_their_own():
    buffer = io.BytesIO()
    Image.fromarray(PHOTO).save(buffer, "PNG")
    assert coded_planes(buffer.getvalue()) is None
    buffer = io.BytesIO()
    Image.fromarray(PHOTO).convert("CMYK").save(buffer, "JPEG")
    assert coded_planes(buffer.getvalue()) is None
    buffer = io.BytesIO()
    Image.fromarray(PHOTO).save(buffer, "JPEG", keep_rgb=True)
    assert coded_planes(buffer.getvalue()) is None
    adobe = buffer.getvalue().index(b"\xff\xee")
    length = int.from_bytes(buffer.getvalue()[adobe + 2 : adobe + 4], "big")
    assert coded_planes(buffer.getvalue()[:adobe] + buffer.getvalue()[adobe + 2 + length :]) is None


@pytest.mark.parametrize(
    ("luma", "chroma", "full"), [(0x11, 0x22, False), (0x21, 0x12, False), (0x11, 0x11, True), (0x22, 0x11, True)]
)
def test_luma_that_is_subsampled_is_none(luma, chroma, full):
    """By the sampling factors in the header: across in the upper four bits of a byte, down in the lower ones."""
    file = bytearray(jpeg.encode(PHOTO, 30))
    at = file.index(b"\xff\xc0") + 11
    file[at], file[at + 3], file[at + 6] = luma, chroma, chroma
    assert (coded_planes(bytes(file)) is not None) == full


@pytest.mark.parametrize("size", [(1, 8), (40, 5), (5, 40), (7, 7), (8, 7)], ids=str)
@pytest.mark.parametrize("image", [PHOTO, PHOTO[..., 1]], ids=["color", "gray"])
def test_a_picture_without_a_whole_block_stays(image, size):
    image = np.ascontiguousarray(image[: size[0], : size[1]])
    np.testing.assert_array_equal(project(image, coded_planes(jpeg.encode(image, 30))), image)


def test_sizes_must_agree():
    with pytest.raises(ValueError, match="differ in size"):
        project(PHOTO, CodedPlanes(np.zeros((8, 8, 1), np.uint8), np.ones((1, 8, 8), np.float32)))
