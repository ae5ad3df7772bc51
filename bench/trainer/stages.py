"""The three settings of the bench: what runs against what, and what follows from it."""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polar.encode import Ids

import preferences
import workload
from limits import group_flops, padded_flops
from processes import Contender, Match, Measured, OutOfMemory
from sizes import Size

GROUPED = "group_by_length"
MICRO_BATCHES = (1, 2, 4, 8)
EQUAL = 8
LARGEST = 2**31  # tokens: all groups of a batch in one micro-batch
NEGATIVES = 4
SAME_SCORES = {"cpu": 1e-4, "cuda": 5e-2}  # bf16 there
Result = dict[str, Any]
Groups = list[list[Ids]]


@dataclass(frozen=True, slots=True)
class Bench:
    """What all stages need. Token files and specs go to `folder`."""

    size: Size
    common: dict[str, Any]
    ours: Path
    trl: Path
    folder: Path
    most_rounds: int

    def contender(self, name: str, tokens: Path, **spec: Any) -> Contender:
        """A contender by the first word of its name."""
        side = name.split("_", maxsplit=1)[0]
        python = self.trl if side == "trl" else self.ours
        return Contender(name, python, {**self.common, "side": side, "tokens": str(tokens), **spec})

    def tokens(self, name: str, groups: Groups) -> Path:
        """A file with these groups."""
        path = self.folder / f"{name}.npz"
        workload.save(path, groups)
        return path

    def play(self, contenders: list[Contender], rounds: int, deadline: float) -> dict[str, Measured]:
        """Rounds in turn, printed."""
        with Match(contenders, self.folder) as match:
            measured = match.play(self.size.warm_ups, rounds, deadline)
        for name, result in measured.items():
            time = f"{result.median:7.2f} s {result.cpu_seconds:7.2f} s CPU" if rounds else " " * 23
            memory = f"peak {result.memory['peak_mib']} MiB above {result.memory['baseline_mib']} of imports"
            tell(f"  {name:<14} {time}  warm-up {result.warm_up['seconds']:.2f}, rounds {result.seconds}; {memory}")
        return measured


def paper(bench: Bench, deadline: float) -> Result:
    """Ours, ours without sharing, and TRL on the paper's lengths."""
    return _against_trl(bench, "paper", workload.paper_like(bench.size, 2), deadline, unshared=True)


def preference_data(bench: Bench, deadline: float) -> Result | None:
    """Ours and TRL on real preferences. None when there are none."""
    if not preferences.FILE.exists():
        tell("preferences: skipped, ../shared/data/preferences.jsonl.gz is not there")
        return None
    return _against_trl(bench, "preferences", preferences.sequences(bench.size), deadline, unshared=False)


def _against_trl(bench: Bench, name: str, groups: Groups, deadline: float, *, unshared: bool) -> Result:
    """TRL at each micro-batch on one batch, then the fastest against ours on all groups."""
    tell(f"{name}: TRL by micro-batch, {bench.size.batch} pairs, grouped by length")
    scan, equal = _scan(bench, name, groups[: bench.size.batch], equal=unshared)
    best = min(scan, key=lambda micro_batch: scan[micro_batch])
    tell(f"{name}: ours against TRL at micro-batch {best}, {len(groups)} pairs an epoch")
    file = bench.tokens(name, groups)
    contenders = [
        bench.contender("ours", file),
        bench.contender(f"trl_{best}", file, micro_batch=best, sampling=GROUPED),
        *([bench.contender("ours_unshared", file, share=False)] if unshared else []),
    ]
    found = bench.play(contenders, bench.most_rounds, deadline)
    ours, trl, *rest = (found[c.name] for c in contenders)
    check_scores(bench, ours, trl)
    return {
        **_ratios(bench, groups, ours, trl),
        **(_sharing(bench, groups, ours, rest[0]) if rest else {}),
        "trl_micro_batch": best,
        "trl_seconds_by_micro_batch": scan,
        "equal_micro_batch_8": equal,
        "pairs_per_second": {n: round(len(groups) / m.median, 3) for n, m in found.items()},
        **_raw(found),
        "versions": {**ours.ready["versions"], **trl.ready["versions"]},
    }


def _ratios(bench: Bench, groups: Groups, ours: Measured, trl: Measured) -> Result:
    useful = group_flops(bench.size, groups).useful
    limit = padded_flops(bench.size, trl.shapes) / len(trl.rounds) / useful
    return {
        "ours_over_trl": ratio(trl, ours),
        "ours_over_trl_limit": round(limit, 3),
        "ours_over_trl_cpu_time": round(trl.cpu_seconds / ours.cpu_seconds, 3),
        "useful_flops": useful,
        "tokens_ours": ours.rounds[-1]["computed_tokens"],
        "tokens_trl_padded": sum(rows * width for rows, width in trl.shapes) // len(trl.rounds),
    }


def _sharing(bench: Bench, groups: Groups, ours: Measured, unshared: Measured) -> Result:
    return {
        "shared_over_unshared": ratio(unshared, ours),
        "flop_ratio": round(group_flops(bench.size, groups).shared_limit, 3),
        "shared_over_unshared_cpu_time": round(unshared.cpu_seconds / ours.cpu_seconds, 3),
        "tokens_unshared": unshared.rounds[-1]["computed_tokens"],
    }


def _raw(found: dict[str, Measured]) -> Result:
    return {
        "seconds": {name: m.seconds for name, m in found.items()},
        "memory_mib": {name: m.memory for name, m in found.items()},
    }


def _scan(bench: Bench, name: str, groups: Groups, *, equal: bool) -> tuple[dict[int, float], Result | None]:
    """Seconds of TRL by micro-batch, larger ones as long as they are faster; if asked for, the largest one against ours
    with as many groups in a micro-batch."""
    file = bench.tokens(f"{name}_one_batch", groups)
    seconds: dict[int, float] = {}
    for micro_batch in MICRO_BATCHES:
        trl = bench.contender(f"trl_{micro_batch}", file, micro_batch=micro_batch, sampling=GROUPED)
        try:
            found = bench.play([trl], 0, 0)
        except OutOfMemory:
            tell(f"  {trl.name:<16} needs more memory than there is")
            break
        seconds[micro_batch] = round(found[trl.name].warm_up["seconds"], 3)
        if seconds[micro_batch] > min(seconds.values()):
            break
    return seconds, _equal(bench, file, groups) if equal else None


def _equal(bench: Bench, file: Path, groups: Groups) -> Result | None:
    """Ours and TRL with eight pairs in every micro-batch. None when TRL runs out of memory."""
    trl = bench.contender(f"trl_{EQUAL}", file, micro_batch=EQUAL, sampling=GROUPED)
    ours = bench.contender(f"ours_{EQUAL}", file, most_tokens=LARGEST)
    try:
        found = bench.play([ours, trl], 1, 0)
    except OutOfMemory:
        tell(f"  {trl.name:<16} needs more memory than there is")
        return None
    mine, theirs = found[ours.name], found[trl.name]
    limit = padded_flops(bench.size, theirs.shapes) / group_flops(bench.size, groups).useful
    return {
        "ours_over_trl": ratio(theirs, mine),
        "limit": round(limit, 3),
        "peak_mib_ours": mine.memory["peak_mib"],
        "peak_mib_trl": theirs.memory["peak_mib"],
    }


def negatives(bench: Bench, deadline: float) -> Result:
    """Ours with four negatives per positive against one, in pairs per second."""
    tell(f"negatives: {NEGATIVES} per positive against 1, {bench.size.pairs} groups an epoch")
    sets = {n: workload.paper_like(bench.size, n + 1) for n in (1, NEGATIVES)}
    contenders = [bench.contender(f"ours_{n}", bench.tokens(f"negatives_{n}", groups)) for n, groups in sets.items()]
    found = bench.play(contenders, bench.most_rounds, deadline)
    one, four = (found[c.name] for c in contenders)
    cost = {n: group_flops(bench.size, groups).useful for n, groups in sets.items()}
    return {
        "negatives4_over_negatives1": round(ratio(one, four) * NEGATIVES, 3),
        "negatives4_limit": round(NEGATIVES * cost[1] / cost[NEGATIVES], 3),
        **_raw(found),
    }


def check_scores(bench: Bench, ours: Measured, trl: Measured) -> None:
    """Both sides must be the same model. RuntimeError when their scores of the same sequences differ."""
    pairs = zip(ours.ready["scores"], trl.ready["scores"], strict=True)
    widest = max(abs(a - b) for a, b in pairs)
    tell(f"  scores of both sides differ by at most {widest:.1e}")
    if not widest <= SAME_SCORES[bench.common["device"]]:
        raise RuntimeError(f"the two sides are not the same model: scores differ by {widest}")


def ratio(slower: Measured, faster: Measured) -> float:
    """Median over the rounds of how many times the time of its neighbour in the same round a contender takes."""
    return round(statistics.median(a / b for a, b in zip(slower.seconds, faster.seconds, strict=True)), 3)


def tell(text: str) -> None:
    """A line for people, at once."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)
