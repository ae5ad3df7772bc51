"""The exports that a run leaves: its best checkpoint in every format asked for, beside its checkpoints.

<checkpoint directory>/export/huggingface   /export/onnx
"""

import json
from collections.abc import Callable
from pathlib import Path

from polar.checkpoint import CheckpointInfo, list_complete
from polar.config import RunConfig
from polar.config_runtime import Format
from polar.durable import remove_tree
from polar.hf_export import HfOptions, ValueTooLargeError, export_hf
from polar.retention import best_of
from polar.watch import WATCH


def export_best(config: RunConfig, say: Callable[[str], None]) -> None:
    """Export the checkpoint of lowest validation loss (the newest, when none has one). One process does this.

    What is there of the same checkpoint stays; what is there of another one is replaced. Weights are written in fp16 as
    the released models are, or in bf16 when fp16 cannot hold them. Raises PolarError.
    """
    checkpoints = list_complete(Path(config.checkpoint.directory))
    if not config.export.formats or not checkpoints:
        return
    best = best_of(checkpoints) or checkpoints[-1]
    root = Path(config.checkpoint.directory) / "export"
    for left in root.glob(".tmp-*"):
        remove_tree(left)
    for name in config.export.formats:
        target = root / name
        if not _is_of(target, best):
            _write(name, best.path, target, say)
            say(f"exported {best.name} to {target}")


def _write(name: Format, source: Path, target: Path, say: Callable[[str], None]) -> None:
    if name == "onnx":
        from polar.onnx_export import export_onnx  # noqa: PLC0415 - every rank imports this file, few need onnx

        export_onnx(source, target, replace=True, beat=WATCH.beat)
        return
    try:
        export_hf(source, target, HfOptions(beat=WATCH.beat), replace=True)
    except ValueTooLargeError as error:
        say(f"export: {error}")
        export_hf(source, target, HfOptions(dtype="bfloat16", beat=WATCH.beat), replace=True)


def _is_of(target: Path, checkpoint: CheckpointInfo) -> bool:
    try:
        facts = json.loads((target / "polar.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(facts, dict) and facts.get("manifestSha256") == checkpoint.manifest_sha256
