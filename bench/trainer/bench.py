"""Speed and memory of the trainer beside TRL's RewardTrainer; see README.md. Run by `make bench-trainer`."""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from polar.peak import peak_flops
from polar.threads import use_available_cores

from backbone import write_weights
from sizes import SIZES
from stages import Bench, Result, negatives, paper, preference_data, tell

RESULTS = Path(__file__).parents[1] / "results" / "trainer.json"
TARGETS = {"ours_over_trl": 0.85, "shared_over_unshared": 0.90, "negatives4_over_negatives1": 0.90}
PREFERENCES_TARGET = 1.4
SHARES = {"paper": 0.42, "preferences": 0.82, "negatives": 1.0}  # of the time, by the end of the stage


def main() -> None:
    """Measure, print, write."""
    options = _arguments()
    started, load = time.monotonic(), os.getloadavg()
    ends = {name: started + share * options.seconds for name, share in SHARES.items()}
    size = SIZES[options.size]
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        weights = Path(folder) / "weights.safetensors"
        write_weights(size, weights)
        common = {"size": options.size, "threads": options.threads, "device": options.device, "weights": str(weights)}
        bench = Bench(size, common, Path(sys.executable), options.trl_python, Path(folder), options.rounds)
        stages: dict[str, Result | None] = {
            "paper": paper(bench, ends["paper"]),
            "preferences": preference_data(bench, ends["preferences"]),
            "negatives": negatives(bench, ends["negatives"]),
        }
    results = _summary(stages)
    results["sizes"] = {"name": options.size, **{key: getattr(size, key) for key in size.__slots__}}
    results["useful_flops_per_second"] = rates = _rates(stages["paper"])
    results["machine"] = _machine(options, load, rates["ours"])
    results["seconds_in_all"] = round(time.monotonic() - started)
    _print_shares(results)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({**results, "stages": stages}, indent=1) + "\n")
    tell(f"wrote {options.out}")


def _summary(stages: dict[str, Any]) -> Result:
    paper, preferred, many = stages["paper"], stages["preferences"], stages["negatives"]
    return {
        "ours_over_trl": paper["ours_over_trl"],
        "ours_over_trl_limit": paper["ours_over_trl_limit"],
        "ours_over_trl_preferences": preferred and preferred["ours_over_trl"],
        "ours_over_trl_preferences_limit": preferred and preferred["ours_over_trl_limit"],
        "shared_over_unshared": paper["shared_over_unshared"],
        "flop_ratio": paper["flop_ratio"],
        "negatives4_over_negatives1": many["negatives4_over_negatives1"],
        "negatives4_limit": many["negatives4_limit"],
        "peak_mib_ours": paper["memory_mib"]["ours"]["peak_mib"],
        "peak_mib_trl": paper["memory_mib"][f"trl_{paper['trl_micro_batch']}"]["peak_mib"],
        "equal_micro_batch_8": paper["equal_micro_batch_8"],
        "versions": {"python": platform.python_version(), **paper["versions"]},
    }


def _print_shares(results: Result) -> None:
    limits = {
        "ours_over_trl": "ours_over_trl_limit",
        "shared_over_unshared": "flop_ratio",
        "negatives4_over_negatives1": "negatives4_limit",
    }
    tell("measured, arithmetic limit, share of the limit (target)")
    for name, limit in limits.items():
        share = results[name] / results[limit]
        print(f"  {name:<28} {results[name]:6.3f}  {results[limit]:6.3f}  {share:6.1%} ({TARGETS[name]:.0%})")
    equal = results["equal_micro_batch_8"]
    print(f"  {'both at micro-batch 8':<28} {equal['ours_over_trl']:6.3f}  {equal['limit']:6.3f}")
    if results["ours_over_trl_preferences"] is not None:
        print(
            f"  {'on the preference data':<28} {results['ours_over_trl_preferences']:6.3f}  "
            f"{results['ours_over_trl_preferences_limit']:6.3f}  (at least {PREFERENCES_TARGET})"
        )
    rates = results["useful_flops_per_second"]
    print(f"  useful FLOP/s: {', '.join(f'{name} {rate:.3g}' for name, rate in rates.items())}")
    if "mfu" in results["machine"]:
        print(f"  MFU of ours, useful FLOPs only: {results['machine']['mfu']:.1%}")
    print(f"  peak MiB above the imports: ours {results['peak_mib_ours']}, TRL {results['peak_mib_trl']}")


def _rates(stage: Result) -> dict[str, float]:
    """FLOP/s of every contender over the same useful FLOPs: shared, unpadded, without an unneeded last layer."""
    return {name: stage["useful_flops"] / statistics.median(seconds) for name, seconds in stage["seconds"].items()}


def _machine(options: argparse.Namespace, load: tuple[float, float, float], rate: float) -> Result:
    cuda = options.device == "cuda"
    peak = peak_flops(torch.cuda.get_device_name()) if cuda else None
    return {
        "device": torch.cuda.get_device_name() if cuda else platform.machine(),
        **({"mfu": round(rate / peak, 4)} if peak else {}),
        "cores": len(os.sched_getaffinity(0)),
        "torch_threads": options.threads,
        "precision": "bf16" if cuda else "fp32",
        "load_average_at_start": [round(value, 2) for value in load],
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trl-python", type=Path, required=True, help="interpreter of the environment that has TRL")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--size", choices=SIZES, help="default: the device's")
    parser.add_argument("--quick", action="store_true", help="a toy size, one round: shows that it runs, no more")
    parser.add_argument("--rounds", type=int, default=5, help="at most; fewer when time is short")
    parser.add_argument("--seconds", type=float, default=570.0, help="time to stay within")
    parser.add_argument("--threads", type=int, default=0, help="default: the cores this process may use")
    parser.add_argument("--work", type=Path, help="where token files go while it runs")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    options.threads = options.threads or use_available_cores(1)
    options.size = options.size or ("quick" if options.quick else options.device)
    options.rounds = 1 if options.quick else options.rounds
    return options


if __name__ == "__main__":
    main()
