"""The reward model as an ONNX graph: one prefix, many candidates (the same arithmetic as `model.py`).

    prefix_ids int64 [S], candidate_ids int64 [G, C], candidate_lengths int64 [G]  ->  scores float32 [G]

The prefix is computed once. All tokens go through the linear layers as one stream [N, D], N = S + G C, prefix first.
Attention runs over blocks of query rows in a loop, so memory grows with the length, not its square. In the last layer
only the reward tokens (the last real token of each candidate) are asked for. S, G, C and the lengths are at least 1.

Shapes: H heads, K key/value heads, E head size, D hidden size, B rows of a block, T keys.
"""

import numpy as np
import torch

from polar.config import Architecture
from polar.model import NORM_EPS
from polar.onnx_ops import Graph

BLOCK = 256
LEAST = float(np.finfo(np.float32).min)


class ModelGraph:
    """Adds the model's operations to a graph. Weights are values with the names of `model.py`; matrices are
    transposed, [in, out]."""

    def __init__(self, graph: Graph, arch: Architecture) -> None:
        self.g, self.arch = graph, arch
        self.prefix = graph.op("Shape", "prefix_ids")
        sizes = graph.op("Shape", "candidate_ids")
        self.groups, self.width = graph.slice(sizes, 0, 0, 1), graph.slice(sizes, 0, 1, 2)
        self.cos, self.sin = self._rope()

    def scores(self) -> str:
        """The scores [G]."""
        g, last = self.g, self.arch.num_layers - 1
        ids = g.op("Concat", "prefix_ids", g.reshape("candidate_ids", -1), axis=0)
        x = g.op("Gather", "model.embed_tokens.weight", ids)
        for number in range(last):
            x = self._layer(x, f"model.layers.{number}")
        x = self._last_layer(x, f"model.layers.{last}")
        return g.reshape(g.op("MatMul", self._norm(x, "model.norm"), "v_head.weight"), -1)

    def _layer(self, x: str, name: str) -> str:
        q, k, v = self._qkv(self._norm(x, f"{name}.input_layernorm"), None, name)
        attended = self.g.op("Concat", self._prefix_attention(q, k, v), self._candidate_attention(q, k, v), axis=0)
        return self._finish(x, attended, name)

    def _last_layer(self, x: str, name: str) -> str:
        """The residual stream at the reward tokens [G, D]."""
        g = self.g
        before = g.op("Add", self.prefix, g.op("Mul", g.count(self.groups), self.width))
        rewards = g.op("Add", before, g.op("Sub", "candidate_lengths", g.constant([1])))
        q, k, v = self._qkv(self._norm(x, f"{name}.input_layernorm"), rewards, name)
        return self._finish(g.op("Gather", x, rewards), self._reward_attention(q, k, v), name)

    def _qkv(self, normed: str, asked: str | None, name: str) -> tuple[str, str, str]:
        """Queries of all or the asked-for rows [., H, E], keys and values of all [N, K, E]; the first two rotated."""
        g, arch = self.g, self.arch
        own, cos, sin = normed, self.cos, self.sin
        if asked is not None:
            own, cos, sin = (g.op("Gather", part, asked) for part in (normed, cos, sin))
        heads = []
        for part, source in (("q", own), ("k", normed), ("v", normed)):
            projected = g.op("MatMul", source, f"{name}.self_attn.{part}_proj.weight")
            heads.append(g.reshape(projected, -1, self._heads(part), arch.head_size()))
        return self._rotate(heads[0], cos, sin), self._rotate(heads[1], self.cos, self.sin), heads[2]

    def _heads(self, part: str) -> int:
        return self.arch.num_heads if part == "q" else self.arch.num_key_value_heads

    def _finish(self, x: str, attended: str, name: str) -> str:
        """Output projection and feed-forward, each added to the residual stream."""
        g = self.g
        x = g.op("Add", x, g.op("MatMul", attended, f"{name}.self_attn.o_proj.weight"))
        normed = self._norm(x, f"{name}.post_attention_layernorm")
        gate = g.op("MatMul", normed, f"{name}.mlp.gate_proj.weight")
        up = g.op("MatMul", normed, f"{name}.mlp.up_proj.weight")
        hidden = g.op("Mul", g.op("Mul", gate, g.op("Sigmoid", gate)), up)
        return g.op("Add", x, g.op("MatMul", hidden, f"{name}.mlp.down_proj.weight"))

    def _prefix_attention(self, q: str, k: str, v: str) -> str:
        """Output of the prefix's tokens [S, D]."""
        g = self.g
        keys, values = (g.op("Transpose", self._of_prefix(part), perm=[1, 0, 2]) for part in (k, v))
        rows, blocks = self._blocks(self.prefix)
        padded = self._pad(self._of_prefix(q), g.op("Mul", rows, blocks))
        split = g.reshape(padded, blocks, rows, *self._head_shape())

        def block(number: str) -> str:
            first = g.op("Mul", number, rows)
            end = g.op("Min", g.op("Add", first, rows), self.prefix)
            seen = [g.slice(part, 1, 0, end) for part in (keys, values)]
            return self._attend(self._at(split, number), seen[0], seen[1], first)

        stacked = g.loop(blocks, block)
        return g.slice(g.reshape(stacked, -1, self.arch.hidden_size), 0, 0, self.prefix)

    def _candidate_attention(self, q: str, k: str, v: str) -> str:
        """Output of the candidates' tokens [G C, D]: each attends to the prefix and to its own candidate."""
        g = self.g
        before = [g.op("Transpose", self._of_prefix(part), perm=[1, 0, 2]) for part in (k, v)]
        own = [g.op("Transpose", self._of_candidates(part, "k"), perm=[0, 2, 1, 3]) for part in (k, v)]
        rows, blocks = self._blocks(self.width)
        padded = self._pad(self._of_candidates(q, "q"), g.op("Mul", rows, blocks), axis=1)
        split = g.reshape(padded, -1, rows, *self._head_shape())

        def block(number: str) -> str:
            group, place = g.op("Div", number, blocks), g.op("Mod", number, blocks)
            first = g.op("Mul", place, rows)
            end = g.op("Min", g.op("Add", first, rows), self.width)
            seen = [
                g.op("Concat", shared, g.slice(self._at(part, group), 1, 0, end), axis=1)
                for shared, part in zip(before, own, strict=True)
            ]
            return self._attend(self._at(split, number), seen[0], seen[1], g.op("Add", self.prefix, first))

        stacked = g.loop(g.op("Mul", self.groups, blocks), block)
        whole = g.slice(g.reshape(stacked, self.groups, -1, self.arch.hidden_size), 1, 0, self.width)
        return g.reshape(whole, -1, self.arch.hidden_size)

    def _attend(self, q: str, k: str, v: str, first: str) -> str:
        """Output [B, D] of rows q [B, K, H/K, E] over k, v [K, T, E]; row r sees the keys up to number first + r."""
        g, arch = self.g, self.arch
        groups = arch.num_heads // arch.num_key_value_heads
        rows = g.slice(g.op("Shape", q), 0, 0, 1)
        keys = g.slice(g.op("Shape", k), 0, 1, 2)
        flat = g.reshape(g.op("Transpose", q, perm=[1, 2, 0, 3]), arch.num_key_value_heads, -1, arch.head_size())
        scores = g.op("MatMul", self._scaled(flat), g.op("Transpose", k, perm=[0, 2, 1]))
        scores = g.reshape(scores, arch.num_key_value_heads, groups, rows, keys)
        row = g.op("Unsqueeze", g.op("Add", g.count(rows), first), g.constant([1]))
        seen = g.op("LessOrEqual", g.count(keys), row)
        weights = g.op("Softmax", g.op("Where", seen, scores, g.constant(LEAST, np.float32)), axis=-1)
        out = g.op("MatMul", g.reshape(weights, arch.num_key_value_heads, -1, keys), v)
        out = g.reshape(out, arch.num_key_value_heads, groups, rows, arch.head_size())
        return g.reshape(g.op("Transpose", out, perm=[2, 0, 1, 3]), -1, arch.hidden_size)

    def _reward_attention(self, q: str, k: str, v: str) -> str:
        """Output of the reward tokens [G, D]; q [G, H, E] holds their queries alone."""
        g, arch = self.g, self.arch
        queries = self._scaled(g.reshape(q, -1, *self._head_shape()))
        prefix_keys = g.op("Transpose", self._of_prefix(k), perm=[1, 2, 0])
        own_keys = g.op("Transpose", self._of_candidates(k, "k"), perm=[0, 2, 3, 1])
        lengths = g.reshape("candidate_lengths", -1, 1, 1, 1)
        own = g.op("MatMul", queries, own_keys)
        real = g.op("Less", g.count(self.width), lengths)
        own = g.op("Where", real, own, g.constant(LEAST, np.float32))
        weights = g.op("Softmax", g.op("Concat", g.op("MatMul", queries, prefix_keys), own, axis=-1), axis=-1)
        values = g.op("Transpose", self._of_prefix(v), perm=[1, 0, 2])
        own_values = g.op("Transpose", self._of_candidates(v, "v"), perm=[0, 2, 1, 3])
        total = g.op("Add", self.prefix, self.width)
        out = g.op(
            "Add",
            g.op("MatMul", g.slice(weights, 3, 0, self.prefix), values),
            g.op("MatMul", g.slice(weights, 3, self.prefix, total), own_values),
        )
        return g.reshape(out, -1, arch.hidden_size)

    def _rope(self) -> tuple[str, str]:
        """Cosines and sines [N, 1, E]."""
        g, size = self.g, self.arch.head_size()
        exponents = -torch.arange(0, size, 2, dtype=torch.float32) / size
        frequencies = (self.arch.rope_theta**exponents).numpy()
        own = g.op("Add", g.count(self.width), self.prefix)
        position = g.op("Concat", g.count(self.prefix), g.op("Tile", own, self.groups), axis=0)
        position = g.op("Cast", g.reshape(position, -1, 1, 1), to=1)
        angles = g.op("Mul", position, g.constant(np.concatenate([frequencies, frequencies]), np.float32))
        return g.op("Cos", angles), g.op("Sin", angles)

    def _rotate(self, x: str, cos: str, sin: str) -> str:
        g, half = self.g, self.arch.head_size() // 2
        first, second = g.slice(x, 2, 0, half), g.slice(x, 2, half, 2 * half)
        turned = g.op("Concat", g.op("Neg", second), first, axis=2)
        return g.op("Add", g.op("Mul", x, cos), g.op("Mul", turned, sin))

    def _norm(self, x: str, name: str) -> str:
        g = self.g
        mean = g.op("ReduceMean", g.op("Mul", x, x), axes=[-1])
        root = g.op("Sqrt", g.op("Add", mean, g.constant(NORM_EPS, np.float32)))
        return g.op("Mul", g.op("Div", x, root), f"{name}.weight")

    def _scaled(self, q: str) -> str:
        return self.g.op("Mul", q, self.g.constant(self.arch.head_size() ** -0.5, np.float32))

    def _blocks(self, length: str) -> tuple[str, str]:
        """Rows of a block and number of blocks for a length."""
        g = self.g
        rows = g.op("Min", length, g.constant([BLOCK]))
        more = g.op("Sub", g.op("Add", length, rows), g.constant([1]))
        return rows, g.op("Div", more, rows)

    def _pad(self, x: str, length: str, axis: int = 0) -> str:
        """Zeros behind the rows of an axis, up to a length. Two axes follow it."""
        g = self.g
        shape = g.op("Shape", x)
        missing = g.op("Sub", length, g.slice(shape, 0, axis, axis + 1))
        before = [g.slice(shape, 0, 0, axis)] if axis else []
        whole = g.op("Concat", *before, missing, g.slice(shape, 0, axis + 1, axis + 3), axis=0)
        return g.op("Concat", x, g.op("ConstantOfShape", whole), axis=axis)

    def _of_prefix(self, x: str) -> str:
        return self.g.slice(x, 0, 0, self.prefix)

    def _of_candidates(self, x: str, part: str) -> str:
        """[G, C, heads, E] of a stream [N, heads, E]."""
        rows = self.g.slice(x, 0, self.prefix, 1 << 60)
        return self.g.reshape(rows, self.groups, self.width, self._heads(part), self.arch.head_size())

    def _at(self, x: str, number: str) -> str:
        """One entry of the first axis; number is a value [1]."""
        return self.g.op("Gather", x, self.g.scalar(number))

    def _head_shape(self) -> tuple[int, int, int]:
        arch = self.arch
        return arch.num_key_value_heads, arch.num_heads // arch.num_key_value_heads, arch.head_size()
