"""What a cell freed is at the system's disposal again, although workers tell glibc to keep it."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from expunge.study import execute
from expunge.study.cells import Task
from expunge.study.executors.base import KEPT_MEMORY
from expunge.study.store import Store

HELD = """
import sys
import numpy as np
from expunge.core.memory import give_back
from expunge.study.record import peak_memory_mb, reset_peak_memory

blocks = [np.ones(2_000_000) for _ in range(20)]
last = np.ones(10)
del blocks
reset_peak_memory()
kept = peak_memory_mb()
give_back()
reset_peak_memory()
print(kept, peak_memory_mb())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps memory when it is told to")
def test_freed_memory_goes_back_between_cells() -> None:
    """320 MB are freed below a block that lives on; only being asked does the C library let go of them."""
    told = {**os.environ, **KEPT_MEMORY}
    done = subprocess.run([sys.executable, "-c", HELD], env=told, capture_output=True, text=True, check=True)
    kept, left = map(float, done.stdout.split())
    assert kept > 330
    assert left < kept - 300


def test_a_cell_gives_back_when_it_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    called: list[bool] = []
    monkeypatch.setattr(execute, "give_back", lambda: called.append(True))
    task = Task(kind="nothing", label="x", hash="1", config={}, inputs={})
    assert "nothing" in str(execute.execute(task, Store(tmp_path), 1))
    assert called == [True]
