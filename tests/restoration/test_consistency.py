import pytest
from PIL import ExifTags, Image
from skimage import data

from tfar import jpeg
from tfar.images.write import write_image
from tfar.restoration.consistency import file_share_outside_interval

PHOTO = data.astronaut()[:40, :33]


@pytest.mark.parametrize("image", [PHOTO, PHOTO[..., 0]], ids=["color", "gray"])
@pytest.mark.parametrize("extension", ["png", "webp", "tif", "bmp"])
def test_consistency_of_files(tmp_path, image, extension):
    Image.fromarray(image).save(tmp_path / "photo.jpg", quality=20)
    target = tmp_path / f"restored.{extension}"
    coded = jpeg.compress(image, 20)
    for restored, low, high in ((coded, 0, 0), (255 - coded, 0.02, 1)):
        write_image(target, restored)
        share = file_share_outside_interval(tmp_path / "photo.jpg", target)
        assert low <= share <= high


def test_consistency_needs_a_jpeg_with_a_whole_block(tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    assert file_share_outside_interval(tmp_path / "photo.png", tmp_path / "photo.png") is None
    for size, known in (((7, 30), False), ((30, 7), False), ((8, 8), True)):
        Image.fromarray(PHOTO[: size[0], : size[1]]).save(tmp_path / "photo.jpg")
        assert (file_share_outside_interval(tmp_path / "photo.jpg", tmp_path / "photo.jpg") == 0) == known
        assert (file_share_outside_interval(tmp_path / "photo.jpg", tmp_path / "photo.jpg") is None) == (not known)


def test_a_turned_jpeg_has_no_share(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(PHOTO).save(tmp_path / "photo.jpg", exif=exif)
    assert file_share_outside_interval(tmp_path / "photo.jpg", tmp_path / "photo.jpg") is None
