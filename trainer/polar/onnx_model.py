"""The reward model as an ONNX graph: a packed stream of tokens in which many candidates may share a prefix (the same
arithmetic as `model.py`).

    ids int64 [N]             tokens of segments, one after the other
    positions int64 [N]       their places in their sequences
    blocks int64 [B, 5]       neighbouring rows of one segment, in the order of the stream:
                              first row, row after the last, first shared key, key after the last shared, first own key
    rewards int64 [R, 5]      the same for single rows: the last tokens of sequences
    past float32 [2 L, K, P, E]   keys and values kept by an earlier run, layer after layer; P may be 0
    keep int64 [T]            rows of which keys and values are wanted; T may be 0
    ->  scores float32 [R], kept float32 [2 L, K, T, E]

Keys are numbered through past and stream: row i is key P + i. A row of a block sees the shared keys of its block and
the own keys from the first up to its own. A prefix is a segment without shared keys, a candidate behind it one whose
shared keys are the prefix. Nothing is padded. The shorter the blocks, the less is computed and masked away; 128 rows
are a good size. In the last layer only the reward tokens are asked for. N, B and R are at least 1.

Shapes: L layers, H heads, K key/value heads, E head size, D hidden size, M rows of a block, S keys it sees.
"""

import numpy as np
import torch

from polar.config import Architecture
from polar.model import NORM_EPS
from polar.onnx_ops import Graph

LEAST = float(np.finfo(np.float32).min)


class ModelGraph:
    """Adds the model's operations to a graph. Weights are values with the names of `model.py`; matrices are
    transposed, [in, out]."""

    def __init__(self, graph: Graph, arch: Architecture) -> None:
        self.g, self.arch = graph, arch
        self.reward_rows = graph.reshape(graph.slice("rewards", 1, 0, 1), -1)
        self.past = graph.slice(graph.op("Shape", "past"), 0, 2, 3)
        self.cos, self.sin = self._rope()
        self._kept: list[str] = []

    def results(self) -> tuple[str, str]:
        """The scores [R] and what is kept [2 L, K, T, E]."""
        g, last = self.g, self.arch.num_layers - 1
        x = g.op("Gather", "model.embed_tokens.weight", "ids")
        for number in range(last):
            x = self._layer(x, number)
        x = self._last_layer(x, last)
        scores = g.reshape(g.op("MatMul", self._norm(x, "model.norm"), "v_head.weight"), -1)
        return scores, g.op("Concat", *self._kept, axis=0)

    def _layer(self, x: str, number: int) -> str:
        name = f"model.layers.{number}"
        normed = self._norm(x, f"{name}.input_layernorm")
        q = self._query(normed, name, self.cos, self.sin)
        keys, values = self._keys_values(normed, number)
        return self._finish(x, self._attention(q, keys, values, "blocks"), name)

    def _last_layer(self, x: str, number: int) -> str:
        """The residual stream at the reward tokens [R, D]."""
        g, name = self.g, f"model.layers.{number}"
        normed = self._norm(x, f"{name}.input_layernorm")
        asked, cos, sin = (g.op("Gather", part, self.reward_rows) for part in (normed, self.cos, self.sin))
        q = self._query(asked, name, cos, sin)
        keys, values = self._keys_values(normed, number)
        attended = self._attention(q, keys, values, "rewards")
        return self._finish(g.op("Gather", x, self.reward_rows), attended, name)

    def _query(self, normed: str, name: str, cos: str, sin: str) -> str:
        """Scaled and rotated queries [K, H / K, rows, E]."""
        g, arch = self.g, self.arch
        size = arch.head_size()
        scaled = g.op("Mul", self._heads(normed, "q", name), g.constant(size**-0.5, np.float32))
        groups = arch.num_heads // arch.num_key_value_heads
        return g.reshape(self._rotate(scaled, cos, sin), arch.num_key_value_heads, groups, -1, size)

    def _keys_values(self, normed: str, number: int) -> tuple[str, str]:
        """Keys (rotated) and values [K, P + N, E], those of the past in front."""
        g, name = self.g, f"model.layers.{number}"
        found = []
        fresh = (self._rotate(self._heads(normed, "k", name), self.cos, self.sin), self._heads(normed, "v", name))
        for place, part in enumerate(fresh):
            self._kept.append(g.op("Unsqueeze", g.op("Gather", part, "keep", axis=1), g.constant([0])))
            before = g.op("Gather", "past", g.constant(2 * number + place), axis=0)
            found.append(g.op("Concat", before, part, axis=1))
        return found[0], found[1]

    def _heads(self, x: str, part: str, name: str) -> str:
        """A projection of rows [., D], split into heads [heads, ., E]."""
        count = self.arch.num_heads if part == "q" else self.arch.num_key_value_heads
        projected = self.g.op("MatMul", x, f"{name}.self_attn.{part}_proj.weight")
        return self.g.op("Transpose", self.g.reshape(projected, -1, count, self.arch.head_size()), perm=[1, 0, 2])

    def _attention(self, q: str, keys: str, values: str, table: str) -> str:
        """Output [rows, D] of the queries, which are those of the table's rows one after the other."""
        g = self.g

        def block(number: str) -> str:
            row = g.reshape(g.op("Gather", table, number, axis=0), -1)
            start, end, shared, shared_end, own = (g.slice(row, 0, place, place + 1) for place in range(5))
            asked = (start, end) if table == "blocks" else (number, g.op("Add", number, g.constant([1])))
            upto = g.op("Add", end, self.past)
            seen = [
                g.op("Concat", g.slice(part, 1, shared, shared_end), g.slice(part, 1, own, upto), axis=1)
                for part in (keys, values)
            ]
            return self._attend(g.slice(q, 2, *asked), seen[0], seen[1])

        trips = g.slice(g.op("Shape", table), 0, 0, 1)
        return g.loop(trips, block)

    def _attend(self, q: str, k: str, v: str) -> str:
        """Output [M, D] of rows q [K, H / K, M, E] over k, v [K, S, E]: row r sees all keys but the last M - 1 - r."""
        g, arch = self.g, self.arch
        rows, seen = g.slice(g.op("Shape", q), 0, 2, 3), g.slice(g.op("Shape", k), 0, 1, 2)
        flat = g.reshape(q, arch.num_key_value_heads, -1, arch.head_size())
        scores = g.op("MatMul", flat, g.op("Transpose", k, perm=[0, 2, 1]))
        hidden = g.op("Trilu", g.fill(LEAST, rows, rows), g.constant(1), upper=1)
        hidden = g.op("Concat", g.fill(0.0, rows, g.op("Sub", seen, rows)), hidden, axis=1)
        scores = g.op("Add", g.reshape(scores, arch.num_heads, rows, seen), hidden)
        weights = g.op("Softmax", scores, axis=-1)
        out = g.op("MatMul", g.reshape(weights, arch.num_key_value_heads, -1, seen), v)
        out = g.reshape(out, arch.num_heads, rows, arch.head_size())
        return g.reshape(g.op("Transpose", out, perm=[1, 0, 2]), -1, arch.hidden_size)

    def _finish(self, x: str, attended: str, name: str) -> str:
        """Output projection and feed-forward, each added to the residual stream."""
        g = self.g
        x = g.op("Add", x, g.op("MatMul", attended, f"{name}.self_attn.o_proj.weight"))
        normed = self._norm(x, f"{name}.post_attention_layernorm")
        gate = g.op("MatMul", normed, f"{name}.mlp.gate_proj.weight")
        up = g.op("MatMul", normed, f"{name}.mlp.up_proj.weight")
        hidden = g.op("Mul", g.op("Mul", gate, g.op("Sigmoid", gate)), up)
        return g.op("Add", x, g.op("MatMul", hidden, f"{name}.mlp.down_proj.weight"))

    def _rope(self) -> tuple[str, str]:
        """Cosines [N, E], and sines [N, E], the first half of them negative."""
        g, size = self.g, self.arch.head_size()
        exponents = -torch.arange(0, size, 2, dtype=torch.float32) / size
        frequencies = (self.arch.rope_theta**exponents).numpy()
        position = g.op("Cast", g.reshape("positions", -1, 1), to=1)
        angles = g.op("Mul", position, g.constant(np.concatenate([frequencies, frequencies]), np.float32))
        signs = np.repeat([-1.0, 1.0], size // 2)
        return g.op("Cos", angles), g.op("Mul", g.op("Sin", angles), g.constant(signs, np.float32))

    def _rotate(self, x: str, cos: str, sin: str) -> str:
        g, half = self.g, self.arch.head_size() // 2
        turned = g.op("Concat", g.slice(x, 2, half, 2 * half), g.slice(x, 2, 0, half), axis=2)
        return g.op("Add", g.op("Mul", x, cos), g.op("Mul", turned, sin))

    def _norm(self, x: str, name: str) -> str:
        """RMSNorm, in the form that onnxruntime makes one operation of."""
        g = self.g
        mean = g.op("ReduceMean", g.op("Pow", x, g.constant(2.0, np.float32)), axes=[-1])
        root = g.op("Sqrt", g.op("Add", mean, g.constant(NORM_EPS, np.float32)))
        return g.op("Mul", g.op("Div", x, root), f"{name}.weight")
