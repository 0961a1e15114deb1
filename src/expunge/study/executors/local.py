"""Cells on this machine: bounded worker processes that live through many cells, or this process itself."""

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from expunge.registry import executor
from expunge.study.cells import Task
from expunge.study.execute import execute, fail
from expunge.study.executors.base import Backend, Executor, Finished, Place, environment
from expunge.study.store import Store


@executor("local")
@dataclass(frozen=True, kw_only=True)
class Local(Backend):
    """Worker processes on this machine; the recipe's ``workers`` and ``threads`` say how many."""

    def abreast(self, workers: int) -> int:
        """As many as there are workers, or one in this process."""
        return max(1, workers)

    def open(self, place: Place) -> Executor:
        """See :func:`local`."""
        return local(place.store, place.workers, place.threads, place.plugins)


class InProcess:
    """One task at a time in this process; for tests and debuggers."""

    def __init__(self, store: Store, threads: int) -> None:
        self.store, self.threads = store, threads
        self._ended: Finished = []

    @property
    def free(self) -> int:
        """One, unless a result waits to be read."""
        return 0 if self._ended else 1

    def start(self, task: Task) -> None:
        """Run the task to its end."""
        self._ended.append((task.folder, execute(task, self.store, self.threads)))

    def wait(self, timeout_s: float | None = None) -> Finished:
        """The task that ended."""
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        """Nothing runs in the background."""


class Workers:
    """At most ``count`` spawned processes of ``threads`` threads each; started when needed, replaced when they die.

    Workers stand in sessions of their own, so Ctrl-C reaches this process only, which then ends them.
    """

    def __init__(self, store: Store, count: int, threads: int, plugins: Sequence[Path] = ()) -> None:
        self.store, self.count, self.threads, self.plugins = store, count, threads, tuple(plugins)
        self._idle: list[subprocess.Popen[str]] = []
        self._busy: dict[int, tuple[subprocess.Popen[str], Task]] = {}
        self._selector = selectors.DefaultSelector()
        self._log: IO[str] = (store.root / "log.txt").open("a", encoding="utf-8")

    @property
    def free(self) -> int:
        """Workers that could take a task."""
        return self.count - len(self._busy)

    def start(self, task: Task) -> None:
        """Hand the task to an idle worker, or to a new one."""
        process = self._idle.pop() if self._idle else self._spawn()
        assert process.stdin is not None and process.stdout is not None
        self._busy[process.stdout.fileno()] = (process, task)
        self._selector.register(process.stdout, selectors.EVENT_READ)
        try:
            process.stdin.write(json.dumps(asdict(task)) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            pass  # it died: wait() reads the end of its output and records that

    def wait(self, timeout_s: float | None = None) -> Finished:
        """Block until a worker answers or dies, or time is up."""
        return [self._ended(key.fd) for key, _ in self._selector.select(timeout_s)]

    def close(self) -> None:
        """Kill every worker and wait for it."""
        for process in [*self._idle, *(process for process, _ in self._busy.values())]:
            process.kill()
            process.wait()
        self._idle, self._busy = [], {}
        self._selector.close()
        self._log.close()

    def _ended(self, descriptor: int) -> tuple[str, str | None]:
        """The result of the worker behind a pipe; a dead worker fails its cell."""
        process, task = self._busy.pop(descriptor)
        assert process.stdout is not None
        self._selector.unregister(process.stdout)
        line = process.stdout.readline()
        if line:
            self._idle.append(process)
            error: str | None = json.loads(line)["error"]
            return task.folder, error
        sentence = _death(process.wait())
        fail(task, self.store, sentence, self.threads)
        return task.folder, sentence

    def _spawn(self) -> "subprocess.Popen[str]":
        """A new worker; its standard error goes to the study's log."""
        arguments = [str(self.store.root), str(self.threads), *map(str, self.plugins)]
        return subprocess.Popen(
            [sys.executable, "-m", "expunge.study.worker", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment(self.threads),
            start_new_session=True,
        )


def _death(code: int) -> str:
    """Why a worker ended without an answer."""
    if code >= 0:
        return f"the worker process ended with code {code}; see log.txt in the study folder."
    name = signal.Signals(-code).name
    advice = " (memory may have run out; use fewer workers or a smaller batch)" if name == "SIGKILL" else ""
    return f"the worker process was ended by {name}{advice}; run the study again to retry."


def local(store: Store, workers: int, threads: int, plugins: Sequence[Path] = ()) -> Executor:
    """Worker processes, or this process where ``workers`` is 0."""
    threads = threads_of(workers, threads)
    return Workers(store, workers, threads, plugins) if workers else InProcess(store, threads)


def threads_of(workers: int, threads: int) -> int:
    """Threads of each worker: 0 shares out the processors evenly.

    More threads than processors would wait for each other: two on one core take ten times as long as one.
    """
    return threads or max(1, _processors() // max(1, workers))


def _processors() -> int:
    """Processors this process may use, where the system tells; else all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
