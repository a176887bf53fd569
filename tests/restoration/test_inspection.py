import json

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image
from skimage import data

from tfar import jpeg
from tfar.errors import ImageError
from tfar.images.read import read_image
from tfar.quantization import luma_table, quantization_tables
from tfar.restoration import inspection
from tfar.restoration.inspection import inspect, inspect_picture, inspect_pixels, read_facts

COLOR = data.astronaut()[:203, 60:277]
GRAY = data.camera()[:203, 60:277]
WAS = np.ascontiguousarray(jpeg.compress(COLOR, 40)[3:, 5:])  # on grid (5, 3)


def save(path, image, form=None, **options):
    Image.fromarray(image).save(path, form, **options)
    return path


def exif(orientation):
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    return tags


# What the file says.


@pytest.mark.parametrize("subsampling, option", [("4:4:4", 0), ("4:2:2", 1), ("4:2:0", 2)])
@pytest.mark.parametrize("progressive", [False, True])
def test_facts_of_a_jpeg_file(tmp_path, subsampling, option, progressive):
    path = save(tmp_path / "a.jpg", COLOR, quality=80, subsampling=option, progressive=progressive, exif=exif(3))
    facts = read_facts(path)
    assert (facts.format, facts.mode, facts.bits, facts.orientation) == ("JPEG", "RGB", 8, 3)
    assert (facts.lossless, facts.subsampling, facts.progressive) == (False, subsampling, progressive)
    for number, table in enumerate(quantization_tables(80)):
        np.testing.assert_array_equal(facts.tables[number], table)
    in_memory = read_facts(path.read_bytes())
    assert in_memory.subsampling == subsampling and in_memory.tables.keys() == {0, 1}


@pytest.mark.parametrize(
    "factor, name",
    [(cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440, "4:4:0"), (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411, "4:1:1")],
)
def test_rarer_subsamplings(factor, name):
    coded = cv2.imencode(".jpg", COLOR, [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor])[1].tobytes()
    assert read_facts(coded).subsampling == name


def test_luma_has_the_table_that_it_names():
    file = jpeg.encode(COLOR, 30)
    swapped, place = bytearray(file), 0
    while (place := swapped.find(b"\xff\xdb", place)) >= 0:  # the number of a table follows its length
        swapped[place + 4] ^= 1
        place += 4
    for component in range(3):
        swapped[swapped.find(b"\xff\xc0") + 12 + 3 * component] ^= 1
    np.testing.assert_array_equal(jpeg.decode(bytes(swapped)), jpeg.decode(file))
    found = inspect_pixels(jpeg.decode(file), read_facts(bytes(swapped)))
    assert (found.file_quality, found.encoder, found.earlier) == (30, "standard", None)


def test_a_gray_jpeg_has_no_subsampling(tmp_path):
    facts = read_facts(save(tmp_path / "a.jpg", GRAY, quality=80))
    assert (facts.mode, facts.subsampling, list(facts.tables)) == ("L", None, [0])


@pytest.mark.parametrize(
    "name, options, lossless",
    [
        ("a.png", {}, True),
        ("a.bmp", {}, True),
        ("a.ppm", {}, True),
        ("a.tif", {}, True),
        ("a.tif", {"compression": "tiff_lzw"}, True),
        ("a.tif", {"compression": "jpeg"}, False),
        ("a.webp", {"lossless": True}, True),
        ("a.webp", {"lossless": True, "exif": exif(1)}, True),
        ("a.webp", {"quality": 90}, False),
        ("a.webp", {"quality": 90, "exif": exif(1)}, False),
        ("a.jp2", {}, False),
        ("a.jpg", {}, False),
    ],
)
def test_which_files_lose_nothing(tmp_path, name, options, lossless):
    assert read_facts(save(tmp_path / name, COLOR, **options)).lossless == lossless


@pytest.mark.parametrize("lossless", [True, False])
def test_an_animation_in_webp(tmp_path, lossless):
    frames = [Image.fromarray(image) for image in (COLOR, COLOR[::-1])]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=lossless)
    assert read_facts(tmp_path / "a.webp").lossless == lossless


def test_bits_of_a_channel(tmp_path):
    for name, image, bits in (
        ("a.png", np.uint16(GRAY) << 8, 16),
        ("b.png", np.uint16(COLOR) << 8, 16),
        ("b.tif", np.uint16(COLOR) << 8, 16),
        ("c.png", COLOR, 8),
    ):
        cv2.imwrite(str(tmp_path / name), image)
        assert read_facts(tmp_path / name).bits == bits, name
    assert read_facts(save(tmp_path / "d.png", GRAY > 99)).bits == 1
    assert read_facts(save(tmp_path / "e.tif", np.float32(GRAY))).bits == 32


def test_a_picture_that_holds_others(tmp_path):
    first, second = Image.fromarray(COLOR), Image.fromarray(255 - COLOR)
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second], quality=31)
    found = inspect(tmp_path / "a.jpg")
    assert (found.facts.format, found.file_quality, found.facts.subsampling) == ("MPO", 31, "4:2:0")


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_what_is_no_image_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "a.jpg").write_bytes(content)
    for function in (inspect, read_facts):
        with pytest.raises(ImageError, match="a.jpg") as error:
            function(tmp_path / "a.jpg")
        assert "\n" not in str(error.value)
    with pytest.raises(ImageError, match="the image: not a readable image"):
        read_facts(content or b"")


# What is made of it.


@pytest.mark.parametrize("quality, untouched", [(40, False), (95, False), (96, True)])
def test_a_jpeg_file(tmp_path, quality, untouched):
    found = inspect(save(tmp_path / "a.jpg", COLOR, quality=quality))
    assert (found.height, found.width) == (203, 217)
    assert (found.file_quality, found.encoder, found.earlier) == (quality, "standard", None)
    assert (found.offset, found.quality, found.untouched) == ((0, 0), quality, untouched)
    what = "pass through: nothing lost" if untouched else "restore"
    assert found.advice == f"{what}: JPEG of quality {quality}"


@pytest.mark.parametrize("tables", ["mozjpeg", "photoshop"])
def test_the_encoder_of_a_file(tmp_path, tables):
    (tmp_path / "a.jpg").write_bytes(jpeg.encode(COLOR, 70, tables=tables))
    assert inspect(tmp_path / "a.jpg").encoder == tables


def test_a_table_of_ones_own(tmp_path):
    table = luma_table(70).ravel().tolist()
    table[-1] += 1
    found = inspect(save(tmp_path / "a.jpg", COLOR, qtables=[table] * 2))
    assert (found.file_quality, found.encoder) == (70, "other")


def test_a_file_that_was_a_stronger_jpeg(tmp_path):
    for quality in (85, 98):
        found = inspect(save(tmp_path / "a.jpg", WAS, quality=quality))
        assert (found.file_quality, found.quality, found.offset) == (quality, 40, (5, 3))
        assert found.advice == f"restore: JPEG of quality {quality}, before of quality 40 on grid (5, 3)"
        assert not found.untouched


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_a_picture_that_was_a_jpeg(tmp_path, name):
    options = {"lossless": True} if name == "a.webp" else {}
    found = inspect(save(tmp_path / name, WAS, **options))
    assert (found.file_quality, found.encoder) == (None, None)
    assert (found.quality, found.offset, found.untouched) == (40, (5, 3), False)
    assert found.advice == "restore: was a JPEG of quality 40 on grid (5, 3)"


def test_a_picture_that_was_a_jpeg_of_high_quality(tmp_path):
    found = inspect(save(tmp_path / "a.png", jpeg.compress(COLOR, 97, "4:4:4")))
    assert found.earlier and found.quality > 95 and found.untouched
    assert found.advice.startswith("pass through: nothing lost: was a JPEG of quality 9")


def test_pictures_without_a_grid(tmp_path):
    found = inspect(save(tmp_path / "a.png", COLOR))
    assert (found.offset, found.quality, found.earlier, found.untouched) == (None, None, None, True)
    assert found.advice.startswith("pass through: nothing lost that a grid shows")
    found = inspect(save(tmp_path / "a.webp", COLOR, quality=60))
    assert (found.offset, found.quality, found.earlier, found.untouched) == (None, None, None, False)
    assert found.advice.startswith("restore blindly: stored with losses as WEBP")


def test_16_bits_and_palettes(tmp_path):
    gray = np.uint16(jpeg.compress(GRAY, 30)) * 257
    Image.fromarray(gray).save(tmp_path / "a.png")
    assert inspect(tmp_path / "a.png").quality == 30
    indices = Image.fromarray(jpeg.compress(GRAY, 30), "P")
    indices.putpalette(np.repeat(np.arange(256), 3).tolist())
    indices.save(tmp_path / "b.png")
    assert inspect(tmp_path / "b.png").quality == 30


def test_what_the_caller_knows_goes_first(tmp_path):
    path = save(tmp_path / "a.png", COLOR)
    found = inspect_pixels(COLOR, read_facts(path), quality=20)
    assert (found.quality, found.untouched, found.offset) == (20, False, None)
    assert found.advice == "restore: quality 20, as was said"
    found = inspect_pixels(WAS, read_facts(path), quality=99)
    assert (found.quality, found.untouched, found.offset) == (99, True, (5, 3))


class Read:
    pixels = WAS


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_picture_that_was_read_already(tmp_path, in_memory):
    path = save(tmp_path / "a.png", WAS)
    found = inspect_picture(Read(), path.read_bytes() if in_memory else path)
    assert found.as_dict() == inspect(path).as_dict()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_grid_of_a_picture_that_is_turned(tmp_path, orientation):
    """It is where the traces are in the pixels of the upright picture."""
    path = save(tmp_path / "a.jpg", COLOR, quality=60, exif=exif(orientation))
    found, upright = inspect(path), read_image(path)
    assert (found.height, found.width) == upright.shape[:2]
    trace = inspection.find_trace(upright)
    assert found.offset == trace.offset and found.quality == trace.quality == 60
    assert found.earlier is None

    path = save(tmp_path / "b.jpg", WAS, quality=90, exif=exif(orientation))
    found, trace = (
        inspect(path),
        inspection.find_trace(read_image(save(tmp_path / "b.png", WAS, exif=exif(orientation)))),
    )
    assert found.earlier and found.offset == trace.offset and found.quality == 40


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_table_of_a_picture_that_is_turned_lies_as_its_blocks(tmp_path, monkeypatch, orientation):
    given = {}
    monkeypatch.setattr(inspection, "find_trace_beneath", lambda image, table, offset: given.update(table=table))
    inspect(save(tmp_path / "a.jpg", COLOR, quality=60, exif=exif(orientation)))
    table = inspection.find_trace(read_image(tmp_path / "a.jpg")).table
    np.testing.assert_array_equal(given["table"][:4, :4], table[:4, :4])
    assert (given["table"] != given["table"].T).any()


def test_a_cmyk_file_is_told_from_its_table_alone(tmp_path):
    Image.fromarray(WAS).convert("CMYK").save(tmp_path / "a.jpg", quality=80)
    found = inspect(tmp_path / "a.jpg")
    assert (found.facts.mode, found.quality, found.offset, found.earlier) == ("CMYK", 80, (0, 0), None)


def test_everything_can_be_written_as_json(tmp_path):
    twice = inspect(save(tmp_path / "a.jpg", WAS, quality=80)).as_dict()
    once = inspect(save(tmp_path / "a.png", COLOR)).as_dict()
    assert twice.keys() == once.keys()
    loaded = json.loads(json.dumps(twice))
    assert loaded["earlier"].pop("evidence") > 50
    assert loaded["earlier"] == {"quality": 40, "encoder": "standard", "offset": [5, 3]}
    assert loaded["tables"]["0"] == luma_table(80).tolist() and loaded["progressive"] is False
    assert (once["tables"], once["earlier"], once["offset"], once["progressive"]) == (None,) * 4
    assert (once["width"], once["height"], once["mode"], once["bits"], once["orientation"]) == (217, 203, "RGB", 8, 1)
