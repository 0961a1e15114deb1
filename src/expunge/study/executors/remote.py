"""A cell in a process that is not our child: what Ray tasks and batch jobs run, and what is made of their answers.

All machines must see the study's folder, and the package in the version that the run has. The process watches the run
that asked for the cell and ends when it is gone, as a worker ends with its parent: otherwise a job that outlived its
run would compute a cell that the next run has claimed.
"""

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from expunge import registry
from expunge.core.errors import InputError
from expunge.study import claims
from expunge.study.cells import Task
from expunge.study.execute import execute, fail
from expunge.study.executors.base import Place, limit
from expunge.study.store import Store

GONE = "the run that asked for this cell is gone."
ABSENT_BEATS = 2
"""Looks after which a beacon that cannot be found is taken for removed; one may be a file server's delay."""
SEEN_S = 30.0
"""Seconds until a cell that another machine published must be seen here (our choice; NFS may keep a name this long)."""


def work(root: str, task: Mapping[str, Any], threads: int, plugins: Sequence[str], run: str) -> str | None:
    """Compute one cell; the sentence of its failure, or ``None``. It runs in the process far away."""
    folder = Path(root)
    if run and _beat(folder, run) is None:
        return GONE
    for plugin in plugins:
        _load(plugin)
    limit(threads)
    with _watching(folder, run):
        return execute(Task(**task), Store(folder), threads)


def concluded(task: Task, place: Place, threads: int, sentence: str | None) -> str | None:
    """What the run makes of an answer: a cell that is said to be done must also be seen here."""
    deadline = time.monotonic() + SEEN_S
    while sentence is None and place.store.status(task) != "done":
        if time.monotonic() > deadline:
            sentence = "it was computed, but is not in this folder; all machines must share the study's folder."
            fail(task, place.store, sentence, threads)
            break
        time.sleep(0.1)
    return sentence


def lost(task: Task, place: Place, threads: int, sentence: str) -> str:
    """Record the failure of a cell whose process could not do so itself."""
    fail(task, place.store, sentence, threads)
    return sentence


def absolute(place: Place) -> tuple[str, list[str]]:
    """The study's folder and the plugins as other working directories find them."""
    return str(place.store.root.resolve()), [str(plugin.resolve()) for plugin in place.plugins]


@contextmanager
def _watching(root: Path, run: str) -> Iterator[None]:
    """End this process when the run's beacon stops; nothing to watch without a name."""
    over = threading.Event()
    if run:
        threading.Thread(target=_watch, args=(root, run, over), daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _watch(root: Path, run: str, over: threading.Event) -> None:
    """Only changes of the beacon count, never its age, so clocks may differ."""
    last, still, absent = _beat(root, run), 0, 0
    while not over.wait(claims.BEAT_S):
        now = _beat(root, run)
        absent = absent + 1 if now is None else 0
        still = still + 1 if now == last else 0
        last = now
        if absent >= ABSENT_BEATS or still >= claims.LOST_BEATS:
            os._exit(1)


def _beat(root: Path, run: str) -> int | None:
    """The time of the run's last heartbeat. The file is opened: a network file system then asks its server anew."""
    for path in (root / "claims").glob(f"{run}.*.json"):
        try:
            with path.open() as stream:
                return os.fstat(stream.fileno()).st_mtime_ns
        except OSError:
            return None
    return None


@cache
def _load(plugin: str) -> None:
    """Load a plugin once a process; :class:`InputError` where this machine does not see it."""
    try:
        registry.load_plugin(Path(plugin))
    except OSError as error:
        raise InputError(f"plugin {plugin} cannot be read ({error.strerror}); put it on a shared folder.") from error
