"""Cells as batch jobs: one cell one job, submitted with submitit to SLURM or, for trying out, to this machine."""

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, get_args

from expunge.core.errors import InputError
from expunge.registry import executor, suggestion
from expunge.study.cells import Task
from expunge.study.executors.base import Backend, Executor, Finished, Place, travelling
from expunge.study.executors.remote import absolute, concluded, lost, work

JOBS = "jobs"
"""The folder in a study where submitit keeps what it submits, and the logs of jobs that did not end well."""
POLL_S = 1.0
"""Seconds between looks at the jobs; submitit itself asks SLURM once a minute."""
Cluster = Literal["slurm", "local"]


@executor("slurm")
@dataclass(frozen=True, kw_only=True)
class Slurm(Backend):
    """Every cell is a job of its own; submitit writes and watches it (github.com/facebookincubator/submitit).

    A job gets ``cores`` threads, ``gpus``, ``memory_gb`` (0: what the partition gives) and ``timeout_min`` minutes
    (240, our choice) on ``partition`` (empty: the cluster's default). ``more`` are further settings of ``sbatch``,
    such as ``{account: x, qos: y}``. ``retries``: how often a cell is submitted anew when its job ends without an
    answer: killed, preempted, out of time (2, our choice); training goes on from its last checkpoint. ``jobs``: cells
    submitted at a time (100, our choice). ``cluster: local`` runs the jobs on this machine, all at once: set ``jobs``
    low.
    """

    extra: ClassVar[str] = "slurm"
    module: ClassVar[str] = "submitit"

    partition: str = ""
    gpus: int = 0
    cores: int = 1
    memory_gb: float = 0
    timeout_min: int = 240
    retries: int = 2
    jobs: int = 100
    cluster: Cluster = "slurm"
    more: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse an unknown cluster, jobs without core or time, and negative numbers."""
        if self.cluster not in get_args(Cluster):
            known = get_args(Cluster)
            raise InputError(f"executor 'slurm': unknown cluster {self.cluster!r}; {suggestion(self.cluster, known)}")
        if min(self.cores, self.timeout_min, self.jobs) < 1 or min(self.gpus, self.memory_gb, self.retries) < 0:
            raise InputError("executor 'slurm' needs cores, timeout_min and jobs of at least 1, the rest at least 0.")

    def abreast(self, workers: int) -> int:
        """``jobs``, as far as the cluster has room."""
        return self.jobs

    def open(self, place: Place) -> Executor:
        """Ready to submit. Raises :class:`InputError` where there is no SLURM, or it does not take the settings."""
        return Jobs(self, place)

    def settings(self) -> dict[str, Any]:
        """What submitit is told."""
        own = {"timeout_min": self.timeout_min, "cpus_per_task": self.cores, "name": "expunge"}
        asked = {"gpus_per_node": self.gpus, "mem_gb": self.memory_gb, "slurm_partition": self.partition}
        more = {f"slurm_{key}": value for key, value in self.more.items()}
        return {**own, **{key: value for key, value in asked.items() if value}, **more}


class Jobs:
    """The jobs of one run."""

    def __init__(self, backend: Slurm, place: Place) -> None:
        self.backend, self.place, self.submitit = backend, place, backend.library()
        self._running: dict[str, tuple[Any, Task, int]] = {}
        root, _ = absolute(place)
        try:
            self._executor = self.submitit.AutoExecutor(folder=f"{root}/{JOBS}/%j", cluster=backend.cluster)
            self._executor.update_parameters(**backend.settings())
        except (RuntimeError, NameError, ValueError, AssertionError) as error:
            raise InputError(f"executor 'slurm' cannot submit here: {_first(error)}; check its options.") from error

    @property
    def free(self) -> int:
        """Jobs that may still be submitted."""
        return self.backend.jobs - len(self._running)

    def start(self, task: Task) -> None:
        """Submit the task."""
        self._submit(task, self.backend.retries)

    def wait(self, timeout_s: float | None = None) -> Finished:
        """Look until a job has ended for good or time is up."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            ended = [self._ended(key) for key, (job, _, _) in list(self._running.items()) if job.done()]
            finished = [item for item in ended if item is not None]
            left = POLL_S if deadline is None else min(POLL_S, deadline - time.monotonic())
            if finished or left <= 0:
                return finished
            time.sleep(left)

    def close(self) -> None:
        """Cancel what is queued or runs."""
        left, self._running = [job for job, _, _ in self._running.values()], {}
        for job in left:
            job.cancel(check=False)
        deadline = time.monotonic() + ENDING_S
        while self.backend.cluster == "local" and time.monotonic() < deadline and not all(job.done() for job in left):
            time.sleep(0.1)

    def _submit(self, task: Task, retries: int) -> None:
        """One more job for the task; ``retries`` are left after it."""
        root, plugins = absolute(self.place)
        with _variables(travelling(self.backend.cores)):
            job = self._executor.submit(work, root, asdict(task), self.backend.cores, plugins, self.place.run)
        self._running[str(job.job_id)] = (job, task, retries)

    def _ended(self, key: str) -> tuple[str, str | None] | None:
        """A job's answer; ``None`` where it had none and the task was submitted anew."""
        job, task, retries = self._running.pop(key)
        cores = self.backend.cores
        try:
            sentence: str | None = job.result()
        except self.submitit.core.utils.UncompletedJobError:
            if retries:
                self._submit(task, retries - 1)
                return None
            return task.folder, lost(task, self.place, cores, self._silent(job))
        except self.submitit.core.utils.FailedJobError as error:
            return task.folder, lost(task, self.place, cores, _cause(error))
        if sentence is None:
            shutil.rmtree(job.paths.folder, ignore_errors=True)
        return task.folder, concluded(task, self.place, cores, sentence)

    def _silent(self, job: Any) -> str:
        """Why a cell was given up whose jobs did not answer."""
        return (
            f"its job {job.job_id} ended without an answer ({job.state}), {self.backend.retries} retries included; "
            f"see {JOBS}/{job.job_id} in the study folder, or give it more time or memory."
        )


ENDING_S = 10.0
"""Seconds that jobs on this machine get to end when a run is interrupted (our choice)."""


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """Variables of the environment while a job is submitted, which inherits them (sbatch exports all by default)."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _cause(error: Exception) -> str:
    """The last line of the trace that a job left."""
    lines = [line.strip() for line in str(error).partition("\n-----")[0].splitlines() if line.strip()]
    trace = [line.strip() for line in str(error).splitlines() if line and not line.startswith((" ", "-", "You can"))]
    return f"its job could not run it: {(trace or lines or [type(error).__name__])[-1]}"


def _first(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
