"""TFLite files from the inside: their operators, where 8 bits do not suffice, and what is said about them.

Needs ai-edge-litert only.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

METADATA = "tfar"  # name of the file's entry with the JSON of :func:`described`
LARGE = 256  # weights of a convolution from which it is the network's; those of colour and of the mask have up to 135
CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")

# What the GPU delegate for Android and iOS computes, by the guide that TensorFlow has on it ("GPU ML operations
# support" in tensorflow/lite/g3doc/performance/gpu.md). Its sources know more operators, but promise nothing.
MOBILE_GPU = frozenset(
    "ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D EXP FULLY_CONNECTED LOGICAL_AND LOGISTIC LSTM"
    " MAX_POOL_2D MAXIMUM MINIMUM MUL PAD PRELU RELU RELU6 RESHAPE RESIZE_BILINEAR SOFTMAX STRIDED_SLICE SUB"
    " TRANSPOSE_CONV".split()
)

_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}


def operators(content: bytes) -> Counter[str]:
    """How often a TFLite file has each operator; those that are not built in have the name ``CUSTOM``."""
    model = schema.ModelT.InitFromPackedBuf(content)
    return Counter(_name(model, operator) for graph in model.subgraphs for operator in graph.operators)


def outside_mobile_gpu(content: bytes) -> Counter[str]:
    """How often a TFLite file has operators that are not in :data:`MOBILE_GPU`."""
    return Counter({name: count for name, count in operators(content).items() if name not in MOBILE_GPU})


def kept_in_float(content: bytes) -> list[str]:
    """Names of the results in a TFLite file of one graph that lose too much when they are rounded to 8 bits.

    They are what lies before the first and behind the last large convolutions of the network: conversions of colour,
    the image itself, to which a correction is added, and the mask of a region-aware network; and the sums of the
    residual blocks, through which an image passes all the way. The convolutions themselves are not among them.

    The mask compares squares of gradients, up to 255**2, with a limit of 25: in 8 bits their steps would be 255.
    """
    model = schema.ModelT.InitFromPackedBuf(content)
    [graph] = model.subgraphs
    maker = {tensor: operator for operator in graph.operators for tensor in operator.outputs}
    users: dict[int, list[schema.OperatorT]] = {}
    for operator in graph.operators:
        for tensor in operator.inputs:
            users.setdefault(tensor, []).append(operator)

    def is_large(operator: schema.OperatorT) -> bool:
        kernel = graph.tensors[operator.inputs[1]].shape if _name(model, operator) in CONVOLUTIONS else None
        return kernel is not None and np.prod(kernel) >= LARGE

    def reached(tensors: Iterable[int], step: Callable[[int], list], ends: str) -> Iterable[schema.OperatorT]:
        todo, seen = list(tensors), set()
        while todo:
            for operator in step(todo.pop()):
                if id(operator) not in seen and not is_large(operator):
                    seen.add(id(operator))
                    todo += list(getattr(operator, ends))
                    yield operator

    kept = [operator for operator in graph.operators if _name(model, operator) == "ADD"]
    kept += reached(graph.outputs, lambda tensor: [maker[tensor]] if tensor in maker else [], "inputs")
    kept += reached(graph.inputs, lambda tensor: users.get(tensor, []), "outputs")
    return sorted({graph.tensors[tensor].name.decode() for operator in kept for tensor in operator.outputs})


def described(content: bytes, description: str, metadata: Mapping[str, Any]) -> bytes:
    """A TFLite file with a description and with metadata, which become a buffer with JSON under :data:`METADATA`."""
    model = schema.ModelT.InitFromPackedBuf(content)
    text = np.frombuffer(json.dumps(metadata, indent=1, ensure_ascii=False).encode(), np.uint8)
    model.description = description
    model.buffers = [_Buffer(buffer.data) for buffer in model.buffers] + [_Buffer(text)]
    model.metadata = (model.metadata or []) + [schema.MetadataT(METADATA, len(model.buffers) - 1)]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def metadata(content: bytes) -> dict[str, Any]:
    """The metadata that :func:`described` wrote; empty in other files."""
    model = schema.Model.GetRootAs(content)
    for index in range(model.MetadataLength()):
        entry = model.Metadata(index)
        if entry.Name() == METADATA.encode():
            return json.loads(model.Buffers(entry.Buffer()).DataAsNumpy().tobytes())
    return {}


class _Buffer(schema.BufferT):
    """A buffer whose data start at a multiple of 16 bytes, as the format asks; the generated class forgets that."""

    def Pack(self, builder):
        if self.data is not None:
            builder.Prep(16, len(self.data))
        return super().Pack(builder)


def _name(model: schema.ModelT, operator: schema.OperatorT) -> str:
    code = model.operatorCodes[operator.opcodeIndex]
    return _NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]
