"""Builds an ONNX graph one operation at a time. Values are named by strings."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper


class Graph:
    """Operations and constants in the order they were added. Blocks of a loop see the values around them."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []
        self._constants: dict[tuple[str, bytes, tuple[int, ...]], str] = {}
        self._count = 0

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add an operation with one result; returns the result's name."""
        name = self._name(kind)
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, value: Any, dtype: Any = np.int64) -> str:
        """A constant; equal ones are stored once."""
        array = np.asarray(value, dtype=dtype)
        key = (array.dtype.str, array.tobytes(), array.shape)
        if key not in self._constants:
            self._constants[key] = self._name("constant")
            self.initializers.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def shape(self, *sizes: int | str) -> str:
        """A shape made of numbers and of values [1]."""
        parts = [self.constant([size]) if isinstance(size, int) else size for size in sizes]
        return parts[0] if len(parts) == 1 else self.op("Concat", *parts, axis=0)

    def reshape(self, value: str, *sizes: int | str) -> str:
        """The value in another shape; -1 is whatever is left."""
        return self.op("Reshape", value, self.shape(*sizes))

    def slice(self, value: str, axis: int, start: int | str, end: int | str) -> str:
        """A part of one axis; bounds are numbers or values [1]."""
        return self.op("Slice", value, self.shape(start), self.shape(end), self.constant([axis]))

    def scalar(self, value: str) -> str:
        """A value [1] as a value without axes."""
        return self.op("Squeeze", value, self.constant([0]))

    def count(self, value: str) -> str:
        """0 .. value - 1, of a value [1]."""
        return self.op("Range", self.constant(0), self.scalar(value), self.constant(1))

    def fill(self, value: float, *sizes: int | str) -> str:
        """A number everywhere, in this shape."""
        return self.op(
            "ConstantOfShape", self.shape(*sizes), value=numpy_helper.from_array(np.array([value], np.float32))
        )

    def loop(self, trips: str, body: Callable[[str], str]) -> str:
        """The results of body(number) for numbers [1] from 0 to trips - 1, joined along their first axis, in which
        they may differ. trips is a value [1]."""
        outer, self.nodes = self.nodes, []
        names = ("number", "going", "still", "before", "after")
        number, going, still, before, after = (self._name(kind) for kind in names)
        result = body(self.op("Unsqueeze", number, self.constant([0])))
        self.nodes.append(helper.make_node("Identity", [going], [still]))
        self.nodes.append(helper.make_node("SequenceInsert", [before, result], [after]))
        results = self._name("results")
        inner = helper.make_graph(
            self.nodes,
            results + "_body",
            [_info(number, TensorProto.INT64, []), _info(going, TensorProto.BOOL, []), _parts(before)],
            [_info(still, TensorProto.BOOL, []), _parts(after)],
        )
        self.nodes = outer
        inputs = [self.scalar(trips), self.constant(True, np.bool_), self.op("SequenceEmpty", dtype=TensorProto.FLOAT)]
        self.nodes.append(helper.make_node("Loop", inputs, [results], name=results, body=inner))
        return self.op("ConcatFromSequence", results, axis=0)

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}_{self._count}"


def _info(name: str, kind: int, shape: Sequence[Any] | None) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _parts(name: str) -> ValueInfoProto:
    return helper.make_tensor_sequence_value_info(name, TensorProto.FLOAT, None)
