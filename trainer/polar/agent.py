"""torchrun, and a note of how its ranks died: torchrun itself turns every exit code into 1.

`python -m polar.agent <torchrun arguments>` leaves `$POLAR_RESULT_DIR/agent.json`, {"<rank>": exit code}, where a
negative code is the signal that killed the rank.
"""

import argparse
import json
import os
import socket
import sys
from datetime import timedelta
from pathlib import Path

import torch.distributed as torch_dist
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run

from polar.lifeline import die_with_parent
from polar.watch import RESULT_DIR


def main() -> None:
    """Runs torchrun in this process."""
    die_with_parent()
    arguments = parse_args(sys.argv[1:])  # type: ignore[no-untyped-call]
    store = serve_store(arguments)
    try:
        run(arguments)  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        (Path(os.environ[RESULT_DIR]) / "agent.json").write_text(json.dumps(codes), encoding="ascii")
        sys.exit(1)
    finally:
        del store


def serve_store(arguments: argparse.Namespace) -> object:
    """On worker 0, the gang's store on the master address alone; torchrun, in the same process, then uses this one.

    By itself torchrun listens on all addresses, so pods that share the host's network could not use one port. Where
    the address is not this machine's own (it is translated on the way), torchrun is left to do that.
    """
    if int(arguments.node_rank) != 0:
        return None
    address, port = arguments.master_addr, int(arguments.master_port)
    family, _, _, _, endpoint = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
    try:
        listener = socket.create_server(endpoint[:2], family=family)
    except OSError as error:
        print(f"agent: cannot listen on {address}:{port} ({error.strerror}); trying all addresses", file=sys.stderr)
        return None
    return torch_dist.TCPStore(  # type: ignore[attr-defined]
        address, port, is_master=True, wait_for_workers=False, multi_tenant=True, master_listen_fd=listener.detach(),
        timeout=timedelta(seconds=60),
    )


if __name__ == "__main__":
    main()
