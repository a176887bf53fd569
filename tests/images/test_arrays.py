import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import ExifTags, Image

from tfar.errors import ImageError
from tfar.images.arrays import as_picture, with_opacity

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (20, 30), dtype=np.uint8)


def png(image, **options):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "image",
    [
        COLOR,
        COLOR / 255,
        np.float32(COLOR) / 255,
        tf.constant(COLOR),
        Image.fromarray(COLOR),
        png(COLOR),
        io.BytesIO(png(COLOR)),
        memoryview(png(COLOR)),
    ],
    ids=["uint8", "float64", "float32", "tensor", "PIL", "bytes", "file object", "memory"],
)
def test_kinds_of_images(image):
    picture, is_float = as_picture(image)
    np.testing.assert_array_equal(picture.pixels, COLOR)
    assert picture.alpha is None
    assert is_float == (isinstance(image, np.ndarray) and image.dtype != np.uint8)


def test_a_path(tmp_path):
    (tmp_path / "a.png").write_bytes(png(COLOR))
    for path in (tmp_path / "a.png", str(tmp_path / "a.png")):
        np.testing.assert_array_equal(as_picture(path)[0].pixels, COLOR)


@pytest.mark.parametrize("colors", [COLOR, COLOR[..., 0]], ids=["color", "gray"])
def test_opacity_is_the_last_channel(colors):
    image = np.dstack([colors, ALPHA])
    for given, scale in ((image, 1), (image / 255, 255), (Image.fromarray(image), 1), (png(image), 1)):
        picture, is_float = as_picture(given)
        found, opacity = picture.pixels, picture.alpha
        np.testing.assert_array_equal(found, colors)
        np.testing.assert_allclose(opacity * scale, ALPHA, atol=1e-5)
        whole = with_opacity(np.float32(found / 255) if is_float else found, opacity)
        assert whole.shape == image.shape and whole.dtype == (np.float32 if is_float else np.uint8)
        np.testing.assert_allclose(whole * scale, image, atol=1e-4)


def test_pil_images_are_turned_upright():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3
    image = Image.open(io.BytesIO(png(COLOR, exif=exif)))
    np.testing.assert_array_equal(as_picture(image)[0].pixels, COLOR[::-1, ::-1])


def test_floats_may_leave_their_range_by_what_rounding_does():
    image = np.float32(COLOR) / 255
    for given in (image * np.float32(1.0000005), image - np.float32(1e-7)):
        np.testing.assert_array_equal(as_picture(given)[0].pixels, COLOR)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (COLOR.astype(np.int64), "expected a uint8 image in .* or a float one in .*, got int64"),
        (np.float32(COLOR), "float images are in .0, 1., got"),
        (np.full((4, 4), 1.01), "float images are in .0, 1., got 1.01 to 1.01"),
        (np.full((4, 4), np.nan), "float images are in"),
        (COLOR[0, 0], "expected an image .H, W. or .H, W, channels., got .3,."),
        (COLOR[None], "expected an image .*, got .1, 20, 30, 3."),
        (b"no image", "not a readable image"),
        (Image.fromarray(np.float32(ALPHA)), "32 bits a channel"),
    ],
    ids=["int", "0-255", "too light", "nan", "a row", "a batch", "bytes", "PIL of 32 bits"],
)
def test_what_is_no_image(image, message):
    with pytest.raises(ImageError, match=message):
        as_picture(image)
