import json
import subprocess
import sys
from pathlib import Path

import torch
from hf_folders import internlm2_config, internlm2_tensors, llama_tensors, write_folder

from polar.config import Architecture
from polar.layouts import HEAD, entries, own_shapes, stored_shape

WIDE = Architecture(
    hidden_size=1024, num_layers=4, num_heads=8, num_key_value_heads=4, intermediate_size=2048, rope_theta=10000
)
MIB = 1 << 20


def test_loading_takes_the_memory_of_the_model_and_of_one_tensor(tmp_path: Path) -> None:
    """200 MB in fp32 from 100 MB in fp16, in both kinds of files. Slow: it writes and reads them."""
    shapes = own_shapes(WIDE, 15_000)
    tensors = {
        entry.stored: torch.zeros(stored_shape(entry, shapes), dtype=torch.float16)
        for entry in entries("internlm2", list(shapes), HEAD)
    }
    largest = max(tensor.nbytes for tensor in tensors.values())
    assert sum(tensor.nbytes for tensor in tensors.values()) > 90 * MIB > 3 * largest
    config = internlm2_config(
        hidden_size=1024, num_hidden_layers=4, num_attention_heads=8, intermediate_size=2048, vocab_size=15_000,
        num_key_value_heads=4,
    )  # fmt: skip
    small = [write_folder(tmp_path / "small", internlm2_config(), internlm2_tensors(llama_tensors()), suffix="bin")]
    folders = [write_folder(tmp_path / suffix, config, tensors, 1, suffix) for suffix in ("safetensors", "bin")]
    program = Path(__file__).with_name("load_program.py")
    settings = {"PYTHONPATH": str(program.parents[1]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(program), *map(str, small + folders)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=settings)
    assert done.returncode == 0, done.stderr
    for extra in json.loads(done.stdout):
        assert extra < largest + 16 * MIB
