import numpy as np
import pytest
from helpers import files_below, save_image
from PIL import Image
from skimage import data

from tfar.errors import ImageError
from tfar.images.read import read_image
from tfar.images.write import WRITABLE, write_image

COLOR = data.astronaut()[:33, :41]
GRAY = data.camera()[:33, :41]
LOSSY = (".jpg", ".jpeg")


@pytest.mark.parametrize("image", [COLOR, GRAY], ids=["color", "gray"])
@pytest.mark.parametrize("extension", [*WRITABLE, ".PNG"])
def test_every_format(tmp_path, extension, image):
    path = tmp_path / "new" / f"image{extension}"
    write_image(path, image)
    assert files_below(tmp_path) == [f"new/image{extension}"]
    found = read_image(path)
    if extension == ".webp" and image is GRAY:
        found = found[..., 0]  # WebP has no gray
    assert found.shape == image.shape
    assert abs(np.int16(found) - image).max() <= (12 if extension in LOSSY else 0)


def test_jpeg_keeps_the_full_chroma(tmp_path):
    write_image(tmp_path / "image.jpg", COLOR)
    with Image.open(tmp_path / "image.jpg") as image:
        assert [component[1:3] for component in image.layer] == [(1, 1)] * 3


def test_other_extensions_are_refused(tmp_path):
    for name in ("image.xyz", "image"):
        with pytest.raises(ImageError, match=f"{name}: cannot write this format; use one of .png .tif"):
            write_image(tmp_path / name, COLOR)
    assert files_below(tmp_path) == []


def test_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "out").write_text("keep me")
    with pytest.raises(ImageError, match="out/image.png: cannot be written"):
        write_image(tmp_path / "out" / "image.png", COLOR)
    assert (tmp_path / "out").read_text() == "keep me"


def test_folder_in_place_of_the_file(tmp_path):
    save_image(tmp_path / "image.png" / "precious.png", COLOR)
    with pytest.raises(ImageError, match="image.png: cannot be written"):
        write_image(tmp_path / "image.png", GRAY)
    assert files_below(tmp_path) == ["image.png/precious.png"]


def test_interrupted_write_leaves_the_old_file_and_no_part(tmp_path, monkeypatch):
    path = save_image(tmp_path / "image.png", GRAY)

    def fill_disk(image, part, **_):
        part.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fill_disk)
    with pytest.raises(ImageError, match=r"image.png: cannot be written \(No space left on device\)"):
        write_image(path, COLOR)
    assert files_below(tmp_path) == ["image.png"]
    np.testing.assert_array_equal(read_image(path), GRAY)
