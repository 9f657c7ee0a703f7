"""Writes the sentence encoder as an ONNX graph: BERT, mean pooling over the mask, L2 norm.

Weights lie in a file of their own, so that onnxruntime maps them into memory: processes on one
machine share them, and only the rows of the vocabulary that are used become resident.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LAYERS, HEADS, WIDTH = 6, 12, 384
HEAD_WIDTH = WIDTH // HEADS
EPSILON = 1e-12
MASKED = -10_000.0
OPSET = 20  # the first with Gelu
IR_VERSION = 9


class GraphWriter:
    """Collects nodes and constants; every method returns the name of the tensor it makes."""

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}

    def constant(self, name: str, value: np.ndarray) -> str:
        """Store a constant once."""
        self.constants.setdefault(name, np.ascontiguousarray(value))
        return name

    def ints(self, *values: int) -> str:
        """Store a vector of integers (axes, shapes)."""
        return self.constant("ints_" + "_".join(map(str, values)), np.array(values, np.int64))

    def scalar(self, value: float) -> str:
        """Store one float."""
        return self.constant(f"float_{value}", np.array(value, np.float32))

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Append a node with one output."""
        return self.named_op(f"t{len(self.nodes)}", kind, *inputs, **attributes)

    def named_op(self, output: str, kind: str, *inputs: str, **attributes: Any) -> str:
        """Append a node whose output has the given name."""
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def weight(self, name: str) -> str:
        """Store a tensor of the model under its own name."""
        return self.constant(name, self.weights[name])

    def linear(self, x: str, name: str) -> str:
        """Multiply by a dense layer, transposed to (in, out) once, here."""
        matrix = self.constant(f"{name}.weight", self.weights[f"{name}.weight"].T)
        return self.op("Add", self.op("MatMul", x, matrix), self.weight(f"{name}.bias"))

    def layer_norm(self, x: str, name: str) -> str:
        """Normalise the last axis."""
        scale, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=EPSILON)

    def heads(self, x: str, *order: int) -> str:
        """Split (batch, tokens, width) into heads, in the given order of axes."""
        split = self.op("Reshape", x, self.ints(0, 0, HEADS, HEAD_WIDTH))
        return self.op("Transpose", split, perm=list(order))


def _embeddings(graph: GraphWriter) -> str:
    words = graph.op("Gather", graph.weight("embeddings.word_embeddings.weight"), "ids")
    length = graph.op("Gather", graph.op("Shape", "ids"), graph.ints(1))
    positions = graph.op(
        "Slice", graph.weight("embeddings.position_embeddings.weight"), graph.ints(0), length, graph.ints(0)
    )
    kind = graph.constant("token_type", graph.weights["embeddings.token_type_embeddings.weight"][0])
    total = graph.op("Add", graph.op("Add", words, positions), kind)
    return graph.layer_norm(total, "embeddings.LayerNorm")


def _attention(graph: GraphWriter, x: str, bias: str, name: str) -> str:
    query = graph.heads(graph.linear(x, f"{name}.self.query"), 0, 2, 1, 3)
    key = graph.heads(graph.linear(x, f"{name}.self.key"), 0, 2, 3, 1)
    value = graph.heads(graph.linear(x, f"{name}.self.value"), 0, 2, 1, 3)
    scaled = graph.op("Mul", graph.op("MatMul", query, key), graph.scalar(1 / math.sqrt(HEAD_WIDTH)))
    shares = graph.op("Softmax", graph.op("Add", scaled, bias), axis=-1)
    mixed = graph.op("Transpose", graph.op("MatMul", shares, value), perm=[0, 2, 1, 3])
    joined = graph.op("Reshape", mixed, graph.ints(0, 0, WIDTH))
    return graph.linear(joined, f"{name}.output.dense")


def _layer(graph: GraphWriter, x: str, bias: str, name: str) -> str:
    attended = graph.op("Add", _attention(graph, x, bias, f"{name}.attention"), x)
    x = graph.layer_norm(attended, f"{name}.attention.output.LayerNorm")
    wide = graph.op("Gelu", graph.linear(x, f"{name}.intermediate.dense"))
    return graph.layer_norm(
        graph.op("Add", graph.linear(wide, f"{name}.output.dense"), x), f"{name}.output.LayerNorm"
    )


def _pool(graph: GraphWriter, x: str, mask: str) -> str:
    weights = graph.op("Unsqueeze", mask, graph.ints(2))
    total = graph.op("ReduceSum", graph.op("Mul", x, weights), graph.ints(1), keepdims=0)
    count = graph.op("ReduceSum", weights, graph.ints(1), keepdims=0)
    mean = graph.op("Div", total, graph.op("Max", count, graph.scalar(1e-9)))
    norm = graph.op("ReduceL2", mean, graph.ints(1), keepdims=1)
    return graph.named_op("vectors", "Div", mean, graph.op("Max", norm, graph.scalar(1e-12)))


def build_model(weights: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """Return the graph: `ids`, `mask` (batch, tokens) int64 -> `vectors` (batch, 384) float32."""
    graph = GraphWriter(weights)
    mask = graph.op("Cast", "mask", to=TensorProto.FLOAT)
    hidden = graph.op("Sub", graph.scalar(1.0), mask)
    bias = graph.op("Mul", graph.op("Unsqueeze", hidden, graph.ints(1, 2)), graph.scalar(MASKED))
    x = _embeddings(graph)
    for number in range(LAYERS):
        x = _layer(graph, x, bias, f"encoder.layer.{number}")
    _pool(graph, x, mask)
    inputs = [
        helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "tokens"]) for n in ("ids", "mask")
    ]
    outputs = [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["batch", WIDTH])]
    constants = [numpy_helper.from_array(value, name) for name, value in graph.constants.items()]
    proto = helper.make_graph(graph.nodes, "all-MiniLM-L6-v2", inputs, outputs, constants)
    return helper.make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def write_model(weights: Mapping[str, np.ndarray], folder: Path) -> None:
    """Write `model.onnx` and `weights.bin` into the folder."""
    onnx.save_model(
        build_model(weights),
        str(folder / "model.onnx"),
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=4096,
    )
