import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from tfar.export import flatbuffer


@pytest.fixture(scope="module")
def content():
    """A network of a large convolution between two small ones, with two paths around it, as a TFLite file."""
    rng = np.random.default_rng(0)
    first, large, last = (
        np.float32(rng.standard_normal(shape)) for shape in ((1, 1, 3, 3), (3, 3, 3, 32), (1, 1, 32, 3))
    )

    @tf.function(input_signature=[tf.TensorSpec((1, 8, 8, 3), tf.float32, "image")])
    def serve(image):
        given = tf.nn.conv2d(image, first, 1, "SAME", name="colors")
        inner = tf.nn.relu(tf.nn.conv2d(given, large, 1, "SAME", name="large"))
        inner = tf.nn.avg_pool2d(inner, 3, 1, "SAME", name="behind")
        return {"restored": tf.add(tf.nn.conv2d(inner, last, 1, "SAME", name="back"), given, name="sum")}

    module = tf.Module()
    module.serve = serve
    return tf.lite.TFLiteConverter.from_concrete_functions([serve.get_concrete_function()], module).convert()


def test_operators_and_those_that_gpus_lack(content, monkeypatch):
    assert flatbuffer.operators(content) == {"CONV_2D": 3, "AVERAGE_POOL_2D": 1, "ADD": 1}
    assert flatbuffer.outside_mobile_gpu(content) == {}
    monkeypatch.setattr(flatbuffer, "MOBILE_GPU", {"CONV_2D", "ADD"})
    assert flatbuffer.outside_mobile_gpu(content) == {"AVERAGE_POOL_2D": 1}


def test_what_is_before_and_behind_large_convolutions_is_kept_in_float(content):
    kept = flatbuffer.kept_in_float(content)
    graph = schema.ModelT.InitFromPackedBuf(content).subgraphs[0]
    results = [graph.tensors[operator.outputs[0]].name.decode() for operator in graph.operators]
    assert [name in kept for name in results] == [True, False, True, True, True]


def test_a_file_says_what_it_is(content, tmp_path):
    assert flatbuffer.metadata(content) == {}
    told = {"preset": "größer", "qualities": [5, 95], "tile": None}
    written = flatbuffer.described(content, "for a test", told)
    assert flatbuffer.metadata(written) == told
    model = schema.Model.GetRootAs(written)
    assert model.Description() == b"for a test"
    names = {model.Metadata(index).Name() for index in range(model.MetadataLength())}
    assert {b"tfar", b"min_runtime_version"} <= names
    image = np.random.default_rng(1).random((1, 8, 8, 3), np.float32)
    before, after = (Interpreter(model_content=file).get_signature_runner()(image=image) for file in (content, written))
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)


def test_data_lie_at_multiples_of_16_bytes(content):
    for length in (1, 2, 3):  # of the description, which moves what lies behind it
        model = schema.Model.GetRootAs(flatbuffer.described(content, "x" * length, {"a": "b" * length}))
        buffers = [model.Buffers(index) for index in range(model.BuffersLength())]
        places = [buffer._tab.Vector(buffer._tab.Offset(4)) for buffer in buffers if buffer.DataLength()]
        assert len(places) >= 4
        assert {place % 16 for place in places} == {0}
