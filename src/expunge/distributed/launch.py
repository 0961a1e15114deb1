"""Starting the processes of one command on this machine, as torchrun does, with its own exit codes and one voice."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import IO

from expunge.core.errors import InputError

LOOPBACK = {"linux": "lo", "darwin": "lo0"}
"""Looking up a host's own name fails on many machines; processes of one machine need no name."""


def is_first() -> bool:
    """Whether this process is the one that speaks: rank 0, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def is_launched() -> bool:
    """Whether a launcher started this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def launch(nproc: int, arguments: Sequence[str], module: str = "expunge", *, tied: bool = False) -> int:
    """Run ``module`` with ``arguments`` in ``nproc`` processes that are one group; the exit code of the first to fail.

    Rank 0 speaks for all; what another rank says is shown where it failed and rank 0 did not. ``tied`` processes have
    a standard input that ends when this process does, however it ends.
    """
    if nproc < 1:
        raise InputError(f"--nproc is {nproc}; it must be at least 1.")
    port = str(_free_port())
    with ExitStack() as files:
        others = [files.enter_context(tempfile.TemporaryFile()) for _ in range(nproc - 1)]
        voices: list[IO[bytes] | None] = [None, *others]
        command, ears = [sys.executable, "-m", module, *arguments], subprocess.PIPE if tied else None
        ranks = [_start(rank, nproc, port, command, voice, ears) for rank, voice in enumerate(voices)]
        try:
            failed = _first_failure(ranks)
        finally:
            _end(ranks)
        if failed is None:
            return 0
        if (voice := voices[failed]) is not None:
            voice.seek(0)
            sys.stderr.write(voice.read().decode(errors="replace")[-4000:])
        code: int = abs(ranks[failed].returncode)
        return code


def _end(ranks: "Sequence[subprocess.Popen[bytes]]") -> None:
    for process in ranks:
        process.terminate()
    for process in ranks:
        process.wait()
        if process.stdin is not None:
            process.stdin.close()


def _start(
    rank: int, nproc: int, port: str, command: Sequence[str], voice: IO[bytes] | None, ears: int | None
) -> "subprocess.Popen[bytes]":
    place = {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(nproc),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
    }  # fmt: skip
    common = {"GLOO_SOCKET_IFNAME": LOOPBACK[sys.platform]} if sys.platform in LOOPBACK else {}
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // nproc))}
    variables = {**common, **threads, **os.environ, **place}
    return subprocess.Popen(command, env=variables, stdin=ears, stdout=voice, stderr=voice)


def _first_failure(ranks: "Sequence[subprocess.Popen[bytes]]") -> int | None:
    """The first rank that ends with an error, rank 0 before others; ``None`` once all ended well."""
    while any(process.poll() is None for process in ranks):
        if any(process.poll() for process in ranks):
            time.sleep(1)  # the others are about to say the same
            break
        time.sleep(0.1)
    return next((rank for rank, process in enumerate(ranks) if process.poll()), None)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
