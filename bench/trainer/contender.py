"""One contender in a process of its own: `contender.py SPEC.json`, driven over its standard input and output."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # the first optimizer step imports it: with the imports it is in neither side's peak

import meter
import workload
from sizes import SIZES

SCORED_GROUPS = 2


def main() -> None:
    """Run the side that the spec names."""
    spec = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(int(spec["threads"]))
    {"ours": run_ours, "trl": run_trl}[spec["side"]](spec, meter.Line())


def run_ours(spec: dict[str, Any], line: meter.Line) -> None:
    """Epochs of our step."""
    from our_side import Trainer  # noqa: PLC0415

    memory = meter.Memory()
    groups = workload.load(Path(spec["tokens"]))
    trainer = Trainer(SIZES[spec["size"]], Path(spec["weights"]), groups, spec)
    line.say(event="ready", scores=trainer.scores(groups[:SCORED_GROUPS]), versions={"torch": torch.__version__})
    for _ in line.rounds():
        watch = meter.Stopwatch()
        trainer.epoch()
        line.say(event="round", **watch.read(), loss=trainer.loss, computed_tokens=trainer.computed_tokens)
        meter.make_room()
    line.say(event="end", memory=memory.report())


def run_trl(spec: dict[str, Any], line: meter.Line) -> None:
    """Epochs of TRL's training loop, which hands the turn back after each."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import accelerate  # noqa: PLC0415
    import transformers  # noqa: PLC0415
    import trl  # noqa: PLC0415

    import trl_side  # noqa: PLC0415

    memory = meter.Memory()
    groups = workload.load(Path(spec["tokens"]))
    net = trl_side.model(SIZES[spec["size"]], Path(spec["weights"]), workload.PAD)
    versions = {m.__name__: m.__version__ for m in (torch, trl, transformers, accelerate)}
    turns = Turns(line)
    trainer, shapes = trl_side.trainer(net, groups, spec, trl_side.Epochs(turns.after_epoch))
    turns.shapes = shapes.seen
    line.say(event="ready", scores=trl_side.scores(net, groups[:SCORED_GROUPS]), versions=versions)
    if turns.wait():
        trainer.train()
    line.say(event="end", memory=memory.report())


class Turns:
    """Times the epochs of a loop that is not ours, from the moment it may go on to the moment its epoch ends."""

    def __init__(self, line: meter.Line) -> None:
        self._line, self._turns = line, line.rounds()
        self._watch = meter.Stopwatch()
        self.shapes: list[tuple[int, int]] = []

    def after_epoch(self) -> bool:
        """Say how long it took; wait for the next turn."""
        self._line.say(event="round", **self._watch.read(), shapes=self.shapes)
        self.shapes.clear()
        meter.make_room()
        return self.wait()

    def wait(self) -> bool:
        """Whether there is another turn."""
        turns: Iterator[None] = self._turns
        for _ in turns:
            self._watch = meter.Stopwatch()
            return True
        return False


if __name__ == "__main__":
    main()
