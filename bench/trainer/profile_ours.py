"""Where our side's time goes: tokens per second and the slowest operators.

PYTHONPATH=trainer trainer/.venv/bin/python bench/trainer/profile_ours.py --candidates 2 --epochs 2
"""

import argparse
import tempfile
from pathlib import Path

import torch
import torch._dynamo  # as contender.py does, so that the peak means the same
from torch.profiler import ProfilerActivity, profile

import meter
import workload
from backbone import write_weights
from our_side import Trainer
from sizes import SIZES

ROWS = 25


def main() -> None:
    """Print the measurements."""
    options = _arguments()
    torch.set_num_threads(options.threads)
    size = SIZES[options.size]
    memory = meter.Memory()
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.safetensors"
        write_weights(size, weights)
        trainer = Trainer(size, weights, workload.paper_like(size, options.candidates), vars(options))
    trainer.epoch()
    for _ in range(options.epochs):
        watch = meter.Stopwatch()
        trainer.epoch()
        took = watch.read()
        pairs = size.pairs * (options.candidates - 1)
        print(
            f"{took['seconds']:.2f} s an epoch, {took['cpu_seconds']:.2f} s of CPU, "
            f"{pairs / took['seconds']:.2f} pairs/s, {trainer.computed_tokens} tokens computed, "
            f"{trainer.computed_tokens / took['seconds']:.0f} tokens/s"
        )
    print({name: round(value) for name, value in memory.report().items()})
    if options.operators:
        with profile(activities=[ProfilerActivity.CPU]) as report:
            trainer.epoch()
        print(report.key_averages().table(sort_by="self_cpu_time_total", row_limit=ROWS, max_name_column_width=45))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="cpu")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--candidates", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--most-tokens", type=int, help="micro-batch budget, instead of the trainer's own")
    parser.add_argument("--share", action=argparse.BooleanOptionalAction, default=True, help="share prefixes")
    parser.add_argument("--operators", action="store_true", help="also profile one epoch by operator")
    return parser.parse_args()


if __name__ == "__main__":
    main()
