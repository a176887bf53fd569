"""Reading encoded images inside a graph, where one that is damaged must not fail the others.

A graph has no exceptions to catch, but a ``tf.data`` pipeline in it goes on after elements that raised. So each way to
read an image is a pipeline of one element, and the first that gives something is taken.
"""

import tensorflow as tf

JPEG_START, PNG_START = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"


def read(content, *, megapixels: float):
    """Decode a JPEG or PNG file in a graph, to the pixels that Pillow decodes.

    As in Pillow, a JPEG whose entropy-coded data are wrong but complete is decoded without an error. The orientation in
    EXIF is not applied, opacity is left out, and gray becomes RGB.

    Args:
        content: string scalar, the file.
        megapixels: what its header says may be at most so large; a larger image is not decoded.

    Returns:
        image: uint8 RGB ``(H, W, 3)``, or ``(0, 0, 3)`` where the file cannot be read.
        error: string scalar that says why it cannot be read; empty where it can.
    """
    limit = tf.constant(megapixels * 1e6, tf.float64)
    one = tf.data.Dataset.from_tensors(content)
    small = one.filter(lambda content: _pixels(content) <= limit)
    large = one.filter(lambda content: _pixels(content) > limit)
    ways = (
        small.map(lambda content: (_decoded(content), "")),
        small.map(lambda content: _nothing("the data of the JPEG end early", _decoded(content, whole=False))),
        large.map(lambda _: _nothing(f"more than {megapixels:g} megapixels")),
        one.filter(_is_known).map(lambda _: _nothing("a damaged JPEG or PNG")),
        one.map(lambda _: _nothing("neither a JPEG nor a PNG")),
    )
    tries = ways[0].ignore_errors()
    for way in ways[1:]:
        tries = tries.concatenate(way.ignore_errors())
    return tries.take(1).get_single_element()


def _starts_with(content, start: bytes):
    return tf.equal(tf.strings.substr(content, 0, len(start)), start)


def _is_known(content):
    return _starts_with(content, JPEG_START) | _starts_with(content, PNG_START)


def _pixels(content):
    """Height times width of a JPEG or PNG by its header, float64; raises for anything else."""

    def of_png():
        sides = tf.io.decode_raw(tf.strings.substr(content, 16, 8), tf.int32, little_endian=False)
        return tf.reduce_prod(tf.cast(tf.ensure_shape(sides, 2), tf.float64))

    def of_jpeg():
        return tf.reduce_prod(tf.cast(tf.io.extract_jpeg_shape(content)[:2], tf.float64))

    return tf.cond(_starts_with(content, PNG_START), of_png, of_jpeg)


def _decoded(content, *, whole: bool = True):
    """Pixels of a JPEG or PNG; raises where it cannot be decoded, or has ended early and must be whole."""
    options = {"dct_method": "INTEGER_ACCURATE", "try_recover_truncated": not whole}  # as Pillow's libjpeg
    return tf.ensure_shape(tf.io.decode_jpeg(content, channels=3, **options), (None, None, 3))  # takes PNG, too


def _nothing(error: str, decoded=None):
    """No image for this reason; raises where the image that is ``decoded`` for it cannot be."""
    image = tf.zeros((0, 0, 3), tf.uint8) if decoded is None else decoded[:0, :0]
    return image, tf.constant(error)
