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

Beat = Callable[[], None]


def export_best(config: RunConfig, say: Callable[[str], None], beat: Beat = lambda: None) -> None:
    """Export the checkpoint of lowest validation loss (the newest, when none has one). One process does this, and calls
    `beat` for every tensor.

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
            _write(name, (best.path, target), say, beat)
            say(f"exported {best.name} to {target}")


def _write(name: Format, paths: tuple[Path, Path], say: Callable[[str], None], beat: Beat) -> None:
    if name == "onnx":
        from polar.onnx_export import export_onnx  # noqa: PLC0415 - every rank imports this file, few need onnx

        export_onnx(*paths, replace=True, beat=beat)
        return
    try:
        export_hf(*paths, HfOptions(beat=beat), replace=True)
    except ValueTooLargeError as error:
        say(f"export: {error}")
        export_hf(*paths, HfOptions(dtype="bfloat16", beat=beat), replace=True)


def _is_of(target: Path, checkpoint: CheckpointInfo) -> bool:
    try:
        facts = json.loads((target / "polar.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(facts, dict) and facts.get("manifestSha256") == checkpoint.manifest_sha256
