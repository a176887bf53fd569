import io
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from helpers import NOISE_GENERATOR, TINY, largest_difference, perturb
from PIL import Image
from skimage import data

from tfar.export.encoded import read
from tfar.export.saved_model import export_saved_model
from tfar.models.one_to_many import proposal_network
from tfar.models.region_aware import edge_cnn
from tfar.restoration.restorer import Restorer

PHOTO = data.astronaut()[100:197, 180:310]  # 97x130
ALONE = """
import sys
sys.modules["tfar"] = sys.modules["keras"] = None  # importing them fails
import numpy as np
import tensorflow as tf
restore = tf.saved_model.load(sys.argv[1]).signatures["restore_bytes"]
contents = [open(name, "rb").read() for name in sys.argv[3:]]
found = restore(image_bytes=tf.constant(contents))
np.savez(sys.argv[2], **{name: value.numpy() for name, value in found.items()})
"""


def encoded(image=PHOTO, format="JPEG", **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, format, **options)
    return file.getvalue()


def decoded(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def changed(content, marker, place, value):
    """A JPEG with bytes written at a place after the first marker of a kind."""
    start = content.index(marker) + place
    return content[:start] + value + content[start + len(value) :]


@pytest.fixture(scope="module")
def reads():
    """:func:`read` in a graph, for images up to 0.02 megapixels."""
    function = tf.function(lambda content: read(content, megapixels=0.02), autograph=False)
    return lambda content: [value.numpy() for value in function(tf.constant(content))]


@pytest.mark.parametrize(
    "content",
    [
        encoded(quality=20),
        encoded(quality=70, subsampling="4:4:4"),
        encoded(quality=30, progressive=True),
        encoded(PHOTO[..., 0], quality=30),
        encoded(PHOTO[:1, :1]),
        encoded(format="PNG"),
        changed(encoded(quality=20), b"\xff\xda", 400, b"\x55\x13"),  # Huffman codes of other coefficients
    ],
    ids=["color", "444", "progressive", "gray", "one pixel", "png", "wrong data"],
)
def test_pixels_are_those_of_pillow(reads, content):
    image, error = reads(content)
    assert error == b""
    np.testing.assert_array_equal(image, decoded(content))


JPEG = encoded(quality=20)
PNG = encoded(format="PNG")
SOF = b"\xff\xc0"  # marker, length, depth, then height and width


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "neither a JPEG nor a PNG"),
        (b"hello", "neither a JPEG nor a PNG"),
        (encoded(format="GIF"), "neither a JPEG nor a PNG"),
        (encoded(format="WEBP"), "neither a JPEG nor a PNG"),
        (JPEG[:-2], "the data of the JPEG end early"),
        (JPEG[: len(JPEG) // 2], "the data of the JPEG end early"),
        (JPEG[:200], "a damaged JPEG or PNG"),
        (JPEG[:3], "a damaged JPEG or PNG"),
        (changed(JPEG, b"\xff\xc4", 5, b"\xff"), "a damaged JPEG or PNG"),
        (changed(JPEG, b"\xff\xdb", 4, b"\x09"), "a damaged JPEG or PNG"),
        (changed(JPEG, SOF, 5, bytes(4)), "a damaged JPEG or PNG"),
        (PNG[: len(PNG) // 2], "a damaged JPEG or PNG"),
        (PNG[:20], "a damaged JPEG or PNG"),
        (changed(PNG, b"IDAT", 2000, b"\0\1\2"), "a damaged JPEG or PNG"),
        (changed(JPEG, SOF, 5, b"\xff\x00\xff\x00"), "more than 0.02 megapixels"),
        (changed(PNG, b"IHDR", 4, b"\0\0\xff\xff\0\0\xff\xff"), "more than 0.02 megapixels"),
        (encoded(np.zeros((200, 101, 3), np.uint8)), "more than 0.02 megapixels"),
    ],
)
def test_what_cannot_be_read_gives_its_reason(reads, content, expected):
    image, error = reads(content)
    assert (image.shape, error.decode()) == ((0, 0, 3), expected)


def test_a_pillow_error_is_an_error_for_every_damage(reads):
    """Three bytes of a JPEG set at random, sixty times: the same are read, to the same pixels."""
    random, outcomes = np.random.default_rng(0), []
    for _ in range(60):
        content = np.frombuffer(JPEG, np.uint8).copy()
        content[random.integers(2, len(JPEG), 3)] = random.integers(0, 256, 3)
        image, error = reads(content.tobytes())
        try:
            expected = decoded(content.tobytes())
        except OSError:
            expected = np.zeros((0, 0, 3))
        np.testing.assert_array_equal(image, expected)
        outcomes.append(error)
    assert {b"", b"a damaged JPEG or PNG"} <= set(outcomes)


def test_the_saved_model_restores_files_without_tfar_or_keras(single_model, tmp_path):
    export_saved_model(single_model, tmp_path / "saved_model", output="image", megapixels=1)
    files = {"a.jpg": JPEG, "b.jpg": JPEG[:-9], "c.png": encoded(PHOTO[:33, :40], "PNG"), "d.jpg": b""}
    files["e.jpg"] = encoded(PHOTO[:40, :50, 0], quality=30)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    names = [tmp_path / name for name in files]
    subprocess.run([sys.executable, "-c", ALONE, tmp_path / "saved_model", tmp_path / "found.npz", *names], check=True)
    found = np.load(tmp_path / "found.npz", allow_pickle=True)
    errors = [b"", b"the data of the JPEG end early", b"", b"neither a JPEG nor a PNG", b""]
    assert found["error"].tolist() == errors
    for content, restored, error in zip(files.values(), found["restored_bytes"], errors):
        if error:
            assert restored == b""
        else:
            image = decoded(content)
            assert largest_difference(decoded(restored), Restorer(single_model)(image)) <= 1
            assert largest_difference(decoded(restored), image) > 1


def test_restore_bytes_draws_the_noise_itself(tmp_path):
    model = perturb(proposal_network(**NOISE_GENERATOR), 1)
    export_saved_model(model, tmp_path / "saved_model", output="image")
    signatures = tf.saved_model.load(tmp_path / "saved_model").signatures
    small = encoded(PHOTO[:17, :13])
    found = [signatures["restore_bytes"](image_bytes=tf.constant([small, small])) for _ in range(2)]
    [first, second, third, fourth] = [file for call in found for file in call["restored_bytes"].numpy()]
    assert first == second == third == fourth
    noise = tf.random.stateless_normal((1, 9, 7, 1), (0, 0))
    restored = signatures["serving_default"](image=tf.constant(decoded(small)[None]), noise=noise)["restored"].numpy()
    np.testing.assert_array_equal(decoded(first), restored[0])
    other = signatures["serving_default"](image=tf.constant(decoded(small)[None]), noise=-noise)["restored"].numpy()
    assert largest_difference(decoded(first), other[0]) > 1


def test_names_and_types_of_the_signature(tmp_path):
    export_saved_model(perturb(edge_cnn(**TINY), 1), tmp_path / "saved_model", output="image")
    restore = tf.saved_model.load(tmp_path / "saved_model").signatures["restore_bytes"]
    inputs, outputs = restore.structured_input_signature[1], restore.structured_outputs
    assert inputs == {"image_bytes": tf.TensorSpec((None,), tf.string, "image_bytes")}
    assert {name: (spec.dtype, spec.shape.rank) for name, spec in outputs.items()} == {
        "restored_bytes": (tf.string, 1),
        "error": (tf.string, 1),
    }
