"""What is measured on which machine: the backbone, the scale of the lengths, the batch."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """Dimensions of one machine class. `scale` divides the committed lengths; an epoch of `pairs` groups is timed."""

    hidden_size: int
    num_layers: int
    num_heads: int
    num_key_value_heads: int
    intermediate_size: int
    vocab_size: int
    scale: int
    batch: int
    pairs: int
    warm_ups: int = 1
    rope_theta: int = 10_000


SIZES = {
    "cpu": Size(256, 8, 4, 4, 704, 4096, scale=8, batch=8, pairs=16),
    "cuda": Size(1536, 16, 12, 12, 4096, 32_768, scale=1, batch=8, pairs=32, warm_ups=2),
    "quick": Size(64, 2, 2, 2, 160, 512, scale=64, batch=8, pairs=8),
}
