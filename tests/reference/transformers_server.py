"""``transformers serve``, the server that transformers ships, with SmolLM2 behind it, in a process group of its own."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import pytest

from expunge.models.smollm2 import smollm2_folder

NEEDED = ("fastapi", "uvicorn", "openai")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
REASON = f"transformers serve lacks {', '.join(MISSING)}; pip install 'expunge[serve]'"
needs_transformers_serve = pytest.mark.skipif(bool(MISSING), reason=REASON)
PATIENCE = 120.0
"""Seconds until the server must be ready: it loads the model first."""


@dataclass(frozen=True)
class Served:
    """A running server."""

    base_url: str
    model: str
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        """The candidate behind it, in a word."""
        return f"{self.base_url}?model={self.model}&parallel=1"

    @property
    def answered(self) -> int:
        """How many chat requests it says that it has answered."""
        return self.log.read_text().count('"POST /v1/chat/completions HTTP/1.1" 200')

    def stop(self) -> None:
        """End the whole process group, politely first; twice does no harm."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, sign)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(20)


@contextmanager
def transformers_serve() -> Iterator[Served]:
    """The server for the length of the block, ready to be asked."""
    model, port = str(smollm2_folder()), _free_port()
    words = ["serve", model, "--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]
    command = [sys.executable, "-m", "transformers.cli.transformers", *words]
    with tempfile.NamedTemporaryFile(suffix=".log") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        served = Served(f"http://127.0.0.1:{port}/v1", model, Path(log.name), process)
        try:
            _wait(served)
            yield served
        finally:
            served.stop()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait(served: Served) -> None:
    """Until it says that it is well; a failure with its last words where it dies or takes too long."""
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends and served.process.poll() is None:
        with suppress(OSError), urlopen(served.base_url.removesuffix("/v1") + "/health", timeout=5) as reply:
            if reply.status == 200:
                return
        time.sleep(0.2)
    pytest.fail(f"transformers serve was not ready within {PATIENCE:g} s:\n{served.log.read_text()[-2000:]}")
