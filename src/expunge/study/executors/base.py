"""What an executor is: a place that runs tasks, and the registered component that opens it.

An executor is registered with ``@executor("name")`` as a frozen dataclass that extends :class:`Backend`; its fields are
its options (recipe key ``executor``). No cell sees them, so a study is the same study wherever it runs.
"""

import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from expunge.core.errors import InputError
from expunge.study.cells import Task
from expunge.study.store import Store

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
KEPT_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**33)}
"""For glibc: a step frees its gradients and the next needs as much again; fresh pages cost more than the sums."""

Finished = list[tuple[str, str | None]]
"""Folder names of cells that ended, with the sentence of a failure, or ``None``."""


class Executor(Protocol):
    """Runs tasks; whoever starts more than ``free`` at a time breaks the bound."""

    @property
    def free(self) -> int:
        """Tasks that may be started now."""
        ...

    def start(self, task: Task) -> None:
        """Begin a task."""
        ...

    def wait(self, timeout_s: float | None = None) -> Finished:
        """Block until a task has ended or time is up; folder names with the sentence of a failure, or ``None``."""
        ...

    def close(self) -> None:
        """End what still runs. No half-written cell is left under its name."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """A run that cells are computed for. ``workers`` and ``threads`` are the recipe's; ``run`` names its beacon.

    The beacon is the claim by which a run of the folder is known to live (:mod:`expunge.study.claims`); empty where
    nobody watches.
    """

    store: Store
    workers: int = 1
    threads: int = 0
    plugins: tuple[Path, ...] = ()
    run: str = ""


@dataclass(frozen=True, kw_only=True)
class Backend:
    """Base of all executors. ``extra`` is the optional dependency of the package that it needs, ``module`` its name."""

    extra: ClassVar[str] = ""
    module: ClassVar[str] = ""

    def check(self) -> None:
        """:class:`InputError` where the optional dependency is missing; asked before anything is written."""
        if self.module:
            self.library()

    def library(self) -> Any:
        """The optional dependency, imported now and not before."""
        try:
            return importlib.import_module(self.module)
        except ImportError:
            raise InputError(
                f"executor {self.extra!r} needs the package {self.module}; pip install 'expunge[{self.extra}]'."
            ) from None

    @property
    def gpus_a_cell(self) -> float:
        """GPUs that each cell is given; 0 where that is not asked for."""
        return float(getattr(self, "gpus", 0))

    def abreast(self, workers: int) -> int:
        """Cells that run side by side at most; ``workers`` are the recipe's."""
        raise NotImplementedError

    def open(self, place: Place) -> Executor:
        """The executor, ready for tasks."""
        raise NotImplementedError


def environment(threads: int) -> dict[str, str]:
    """Variables of a process that computes cells: this one's, its threads, and where Python finds what it found here.

    Memory settings that the user made stay.
    """
    return {**KEPT_MEMORY, **os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads)), "PYTHONPATH": _path()}


def travelling(threads: int) -> dict[str, str]:
    """The part of :func:`environment` that a process on another machine needs; the rest is its own machine's."""
    own: Mapping[str, str] = {name: os.environ.get(name, value) for name, value in KEPT_MEMORY.items()}
    return {**own, **dict.fromkeys(THREAD_VARIABLES, str(threads)), "PYTHONPATH": _path()}


def limit(threads: int) -> None:
    """Keep torch to its share of the cores, also where the environment's limits came too late."""
    import torch

    torch.set_num_threads(threads)


def _path() -> str:
    return os.pathsep.join(filter(None, sys.path))
