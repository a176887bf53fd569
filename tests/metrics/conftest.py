import numpy as np
import pytest
from helpers import development_files
from PIL import Image


@pytest.fixture(scope="session")
def live1():
    (folder,) = development_files("TFAR_DATA", "test/live1")
    images = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.glob("*.png"))]
    assert len(images) == 29
    return images
