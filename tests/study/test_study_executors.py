"""How many threads a worker gets: what was asked for, else the processors shared out, never less than one."""

from pathlib import Path

import pytest

from expunge.study.executors import local as module
from expunge.study.executors.local import InProcess, Workers, local
from expunge.study.store import Store


@pytest.mark.parametrize(
    ("workers", "threads", "expected"), [(2, 0, 4), (3, 0, 2), (16, 0, 1), (2, 3, 3), (0, 0, 8), (0, 1, 1)]
)
def test_threads(workers: int, threads: int, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_processors", lambda: 8)
    executor = local(Store(tmp_path), workers, threads)
    assert isinstance(executor, Workers if workers else InProcess)
    assert executor.threads == expected
    executor.close()
