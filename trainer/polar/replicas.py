"""Whether ranks that train the same weights still have the same: faulty hardware changes bits in silence."""

from collections import Counter

import torch
from torch import Tensor, nn

from polar.distributed import Dist
from polar.errors import ReplicasDifferError
from polar.shard import is_sharded

CHUNK = {"cpu": 1 << 17, "cuda": 1 << 22}  # words at once: in the cache, or few kernel launches
LEAST = -(2**63)
WHOLE = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def check_replicas(model: nn.Module, dist: Dist, step: int) -> None:
    """Compare a hash of the weights between the ranks. Collective; shards have no replicas and are passed over.

    Raises ReplicasDifferError on all ranks, with the ranks in the minority and the first parameter that differs.
    """
    parameters = {name: value for name, value in model.named_parameters() if not is_sharded(value)}
    if dist.world_size == 1 or not parameters:
        return
    hashes = [fingerprint(value.detach()) for value in parameters.values()]
    total = hash(tuple(hashes))
    most, least = dist.max([total, ~total])  # ~x falls as x rises, and does not overflow
    if most == ~least:
        return
    raise ReplicasDifferError(f"step {step}: {differences(list(parameters), _gathered(hashes, dist))}")


@torch.no_grad()
def fingerprint(tensor: Tensor) -> int:
    """A 64-bit hash of a tensor's bits: sum of its words times odd numbers that depend on their place, modulo 2^64.

    Any change of one word changes it.
    """
    words = tensor.reshape(-1).view(WHOLE[tensor.element_size()])
    total = torch.zeros((), dtype=torch.int64, device=words.device)
    most = CHUNK[words.device.type]
    odd = 2 * torch.arange(min(most, len(words)), dtype=torch.int64, device=words.device) + 1
    for number, chunk in enumerate(torch.split(words, most)):
        total += (chunk * odd[: len(chunk)]).sum() * (2 * number + 1)
    return int(total)


def differences(names: list[str], ranks: list[list[int]]) -> str:
    """Which ranks differ from most others, and where first. `ranks` are each rank's hashes of the named parameters."""
    common, count = Counter(map(tuple, ranks)).most_common(1)[0]
    first = next(place for place in range(len(names)) if len({hashes[place] for hashes in ranks}) > 1)
    odd = [rank for rank, hashes in enumerate(ranks) if tuple(hashes) != common]
    if 2 * count <= len(ranks):
        return f"no weights are those of most ranks; ranks first differ in {names[first]}"
    first = next(place for place in range(len(names)) if any(ranks[rank][place] != common[place] for rank in odd))
    which = f"rank{'s' if len(odd) > 1 else ''} {', '.join(map(str, odd))}"
    return f"the weights of {which} are not those of the other ranks; first in {names[first]}"


def _gathered(hashes: list[int], dist: Dist) -> list[list[int]]:
    """Every rank's hashes, by way of a maximum in which each rank fills its own place."""
    places = [hashes if rank == dist.rank else [LEAST] * len(hashes) for rank in range(dist.world_size)]
    flat = dist.max([value for place in places for value in place])
    return [flat[start : start + len(hashes)] for start in range(0, len(flat), len(hashes))]
