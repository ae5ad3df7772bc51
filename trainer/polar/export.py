"""Write a checkpoint in a format that other programs open.

    python -m polar.export --checkpoint DIR --out DIR --format huggingface [--dtype float16] [--max-shard-size 2GB]
    python -m polar.export --checkpoint DIR --out DIR --format onnx

huggingface: the layout of the released reward models, for SGLang, vLLM and LMDeploy (hf_export.py).
onnx: a graph that scores many candidates of one prefix, for the TypeScript server (onnx_export.py).

The source may also be a Hugging Face folder. The new folder is complete or absent, and never replaces another.
"""

import argparse
import re
import sys
from pathlib import Path

from polar.errors import ConfigError, PolarError
from polar.hf_export import DTYPES, HfOptions, export_hf
from polar.onnx_export import export_onnx

FORMATS = ("huggingface", "onnx")
UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}


def main(argv: list[str] | None = None) -> int:
    """Run the program; returns the exit status."""
    options = _parse(argv)
    try:
        if options.format == "onnx":
            export_onnx(options.checkpoint, options.out)
        else:
            size = read_size(options.max_shard_size)
            export_hf(
                options.checkpoint, options.out, HfOptions(dtype=options.dtype, max_shard_bytes=size, code=options.code)
            )
    except PolarError as error:
        print(f"export: {error}", file=sys.stderr)
        return error.exit_code
    print(options.out)
    return 0


def read_size(text: str) -> int:
    """Bytes of a size such as 500MB or 2GiB. ConfigError."""
    found = re.fullmatch(r"\s*(\d+)\s*([A-Za-z]*)\s*", text)
    unit = UNITS.get(found[2].upper()) if found else None
    if not found or unit is None or int(found[1]) < 1:
        raise ConfigError(f"--max-shard-size: expected a size such as 500MB or 2GB, got {text!r}")
    return int(found[1]) * unit


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="polar.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="a step-... directory or a Hugging Face folder")
    parser.add_argument("--out", type=Path, required=True, help="the folder to make")
    parser.add_argument("--format", choices=FORMATS, required=True)
    parser.add_argument("--dtype", choices=DTYPES, default="float16", help="huggingface only; onnx is float32")
    parser.add_argument("--max-shard-size", default="2GB", help="huggingface only")
    parser.add_argument("--code", type=Path, help="huggingface only: a folder with the files that auto_map names")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
