"""Counter-based randomness: the same (seed, index) gives the same draw on every machine, in any order, on any rank."""

import hashlib

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
Index = npt.NDArray[np.int64]
ROUNDS = 8


def stable_fraction(seed: int, name: str) -> float:
    """A number in [0, 1) that depends on the seed and the name alone."""
    digest = hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def draw_bits(key: int, counter: Index, lane: int) -> U64:
    """64 pseudo-random bits per counter (SplitMix64 finaliser over key, lane and counter)."""
    start = np.uint64((key * 0x9E3779B97F4A7C15 + lane * 0xD1B54A32D192ED03) % 2**64)
    with np.errstate(over="ignore"):
        x = (counter.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + start
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return x ^ (x >> np.uint64(31))


def draw_below(key: int, counter: Index, lane: int, bound: Index) -> Index:
    """One integer in [0, bound) per counter; bounds are at least 1."""
    fraction = (draw_bits(key, counter, lane) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return (fraction * bound).astype(np.int64)


class EpochOrder:
    """An endless stream of the items 0..n-1: each once per epoch, every epoch in a new seeded order.

    A Feistel network permutes the smallest even power of two that holds n; what it sends to n or above is sent on until
    it comes back below. So no order is ever stored, whatever n is.
    """

    def __init__(self, size: int, key: int) -> None:
        self.size, self._key = size, key
        self._half = max(1, ((size - 1).bit_length() + 1) // 2)

    def at(self, index: Index) -> Index:
        """The items at stream positions `index`."""
        epoch, item = index // self.size, self._permute(index // self.size, index % self.size)
        while (outside := item >= self.size).any():
            item[outside] = self._permute(epoch[outside], item[outside])
        return item

    def _permute(self, epoch: Index, item: Index) -> Index:
        mask = (1 << self._half) - 1
        left, right = item >> self._half, item & mask
        for number in range(ROUNDS):
            bits = draw_bits(self._key, right + (epoch << 32), 1_000_003 + number)
            left, right = right, left ^ (bits.astype(np.int64) & mask)
        return (left << self._half) | right
