"""Cells as Ray tasks: one cell one task, on any number of machines that share the study's folder."""

import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from expunge.core.errors import InputError
from expunge.registry import executor
from expunge.study.cells import Task
from expunge.study.execute import sentence_of
from expunge.study.executors.base import Backend, Executor, Finished, Place, travelling
from expunge.study.executors.remote import absolute, concluded, lost, work

ANSWER_S = 5.0
"""Seconds in which a cluster must answer (our choice)."""
ENDING_S = 10.0
"""Seconds that tasks get to end when a run is interrupted (our choice)."""


@executor("ray")
@dataclass(frozen=True, kw_only=True)
class Ray(Backend):
    """Every cell is a task of a Ray cluster (Moritz et al., OSDI 2018, arXiv 1712.05889), which finds room for it.

    ``address``: ``host:port`` of the cluster, ``auto`` for the one that this machine belongs to; empty takes what the
    variable RAY_ADDRESS names, else starts one on this machine. A cell gets ``cores`` threads and ``gpus`` (a part of
    one may be asked for, such as 0.5). ``retries``: how often a cell is begun anew when its worker or node dies (3,
    Ray's own default); training goes on from its last checkpoint. ``jobs``: cells handed over at a time (64, our
    choice); Ray itself lets those wait that have no room.
    """

    extra: ClassVar[str] = "ray"
    module: ClassVar[str] = "ray"

    address: str = ""
    gpus: float = 0
    cores: int = 1
    retries: int = 3
    jobs: int = 64

    def __post_init__(self) -> None:
        """Refuse cells without a core and negative numbers."""
        if self.cores < 1 or self.jobs < 1 or self.gpus < 0 or self.retries < 0:
            raise InputError("executor 'ray' needs cores and jobs of at least 1, gpus and retries of at least 0.")

    def abreast(self, workers: int) -> int:
        """``jobs``, as far as the cluster has room."""
        return self.jobs

    def open(self, place: Place) -> Executor:
        """Join the cluster, or start one. Raises :class:`InputError` where there is none, or no machine with room."""
        return Tasks(self, place)


class Tasks:
    """The tasks of one run."""

    def __init__(self, backend: Ray, place: Place) -> None:
        self.backend, self.place, self.ray = backend, place, backend.library()
        self._running: dict[Any, Task] = {}
        self._joined = _join(self.ray, backend.address)
        try:
            _check_room(self.ray.nodes(), backend)
        except InputError:
            self.close()
            raise
        self._work = self.ray.remote(work)
        self._options = {
            "num_cpus": backend.cores,
            "num_gpus": backend.gpus,
            "max_retries": backend.retries,
            "runtime_env": {"env_vars": travelling(backend.cores)},
        }

    @property
    def free(self) -> int:
        """Cells that may still be handed over."""
        return self.backend.jobs - len(self._running)

    def start(self, task: Task) -> None:
        """Hand the task over."""
        root, plugins = absolute(self.place)
        named = self._work.options(name=task.folder, **self._options)
        self._running[named.remote(root, asdict(task), self.backend.cores, plugins, self.place.run)] = task

    def wait(self, timeout_s: float | None = None) -> Finished:
        """Block until a task has ended or time is up."""
        ended, _ = self.ray.wait(list(self._running), num_returns=1, timeout=timeout_s)
        return [self._ended(reference) for reference in ended]

    def close(self) -> None:
        """Cancel what runs, and leave the cluster where this run joined it."""
        left, self._running = list(self._running), {}
        for reference in left:
            self.ray.cancel(reference, force=True)
        if left:
            self.ray.wait(left, num_returns=len(left), timeout=ENDING_S)
        if self._joined:
            self.ray.shutdown()

    def _ended(self, reference: Any) -> tuple[str, str | None]:
        """A task's answer; one that died too often, or that could not begin, fails its cell."""
        task, cores = self._running.pop(reference), self.backend.cores
        try:
            sentence: str | None = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            return task.folder, lost(task, self.place, cores, self._sentence(error))
        return task.folder, concluded(task, self.place, cores, sentence)

    def _sentence(self, error: Any) -> str:
        """Why Ray gave a cell up."""
        cause = getattr(error, "cause", None)
        if isinstance(cause, Exception):
            return sentence_of(cause)
        name = type(error).__name__
        advice = "memory may have run out; use a smaller batch, or more cores a cell" if "Memory" in name else ""
        more = f" ({advice})" if advice else ""
        return f"its Ray worker died, {self.backend.retries} retries included ({name}){more}; run the study again."


def _join(ray: Any, address: str) -> bool:
    """Join the cluster unless this process has; whether it did."""
    if ray.is_initialized():
        return False
    _check_heard(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody unless the user wants it
    named = {"address": address} if address else {}
    try:
        ray.init(**named, log_to_driver=False, logging_level="error")
    except (ConnectionError, ValueError, RuntimeError) as error:
        where = address or "here"
        raise InputError(f"no Ray cluster can be used at {where} ({_first(error)}); check executor.address.") from error
    return True


def _check_heard(address: str) -> None:
    """Ray itself tries for minutes to reach a machine that does not answer."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), ANSWER_S).close()
    except OSError as error:
        raise InputError(f"no Ray cluster answers at {address} ({error}); check executor.address.") from error


def _first(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")


def _check_room(nodes: list[Mapping[str, Any]], backend: Ray) -> None:
    """Ray waits for ever for a machine that is not there."""
    asked = {"CPU": backend.cores, "GPU": backend.gpus}
    found = [node["Resources"] for node in nodes if node["Alive"]]
    if not any(all(node.get(kind, 0) >= number for kind, number in asked.items()) for node in found):
        raise InputError(
            f"no machine of the Ray cluster has {backend.cores} cores and {backend.gpus:g} GPUs; "
            "change executor.cores or executor.gpus."
        )
