import sys

import numpy as np
import pytest
from skimage import data

from tfar import jpeg
from tfar.errors import TfarError
from tfar.evaluation import codecs, protocols
from tfar.evaluation.benchmark import FULL_REFERENCE, PROTOCOLS
from tfar.metrics.fidelity import psnr

PHOTO = data.coffee()[100:193, 150:285]
MAGIC = {"webp": (8, b"WEBP"), "jpeg2000": (4, b"jP  "), "avif": (4, b"ftypavif"), "heic": (4, b"ftypheic")}


@pytest.mark.parametrize("name", codecs.CODECS)
@pytest.mark.parametrize("quality", [10, 40])
def test_the_file_is_as_large_as_the_jpeg_of_the_quality_and_no_larger(name, quality):
    size = len(jpeg.encode(PHOTO, quality, "4:2:0"))
    trial = FULL_REFERENCE[name](PHOTO, quality)
    assert 0.85 * size < len(trial.file) <= size
    place, mark = MAGIC[name]
    assert trial.file[place:].startswith(mark)
    assert trial.jpeg.shape == PHOTO.shape and trial.jpeg.dtype == np.uint8
    np.testing.assert_array_equal(trial.original, PHOTO)
    np.testing.assert_array_equal(codecs.decode(trial.file), trial.jpeg)
    assert trial.bpp == 8 * len(trial.file) / (93 * 135)
    # All of them are younger than JPEG, so they lose less.
    assert psnr(PHOTO, trial.jpeg) > psnr(PHOTO, protocols.color(PHOTO, quality).jpeg)


@pytest.mark.parametrize("name", codecs.CODECS)
def test_the_next_step_would_be_too_large(name, monkeypatch):
    sizes = []
    inner = codecs._largest_within

    def recorded(size, steps, encode):
        def noted(step):
            file = encode(step)
            sizes.append((step, len(file)))
            return file

        return inner(size, steps, noted)

    monkeypatch.setattr(codecs, "_largest_within", recorded)
    size = len(jpeg.encode(PHOTO, 20, "4:2:0"))
    found = codecs.CODECS[name](PHOTO, size)
    fitting = {step: length for step, length in sizes if length <= size}
    chosen = max(fitting)
    assert fitting[chosen] == len(found)
    assert dict(sizes)[chosen + 1] > size
    assert len(sizes) <= 9


def test_jpeg2000_takes_the_irreversible_wavelet_and_color_transform():
    file = codecs.jpeg2000(PHOTO, 2000)
    style = file.index(b"\xff\x52")  # the marker of the coding style (ITU-T T.800, A.6.1)
    assert (file[style + 8], file[style + 13]) == (1, 0)  # a transform of the components; 0 is the 9-7 wavelet


def test_a_size_that_cannot_be_reached_gives_the_smallest_file():
    smallest = codecs.webp(PHOTO, 1)
    assert smallest == codecs.webp(PHOTO, len(smallest))


def test_a_gray_image_is_coded_in_color():
    trial = protocols.other_codec("webp", PHOTO[..., 0], 20)
    assert trial.original.shape == trial.jpeg.shape == (*PHOTO.shape[:2], 3)


def test_all_codecs_are_protocols():
    assert {*codecs.CODECS} < {*PROTOCOLS}


def test_heic_says_what_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(TfarError, match="heic needs the package pillow-heif: pip install"):
        codecs.heic(PHOTO, 1000)
