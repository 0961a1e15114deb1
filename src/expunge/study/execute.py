"""Computing one cell: find its kind, run it in a draft folder, write its record, publish."""

import errno
import importlib
import pkgutil
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from expunge.core.errors import ExpungeError, InputError
from expunge.core.files import write_json, write_jsonl
from expunge.core.memory import give_back
from expunge.registry import suggestion
from expunge.scoring.judges import ledger
from expunge.study import kinds, redact
from expunge.study.cells import Cell, Task
from expunge.study.record import SCHEMA, Outcome, git_commit, peak_memory_mb, reset_peak_memory, versions
from expunge.study.store import Store

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""No room on the disk, in the quota, or below the limit of a file's size."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a kind sees: its config, the folders of its inputs, its draft folder and its checkpoint folder."""

    config: Mapping[str, Any]
    inputs: Mapping[str, Path]
    folder: Path
    partial: Path


def kind_names() -> tuple[str, ...]:
    """Every kind of cell, found by enumeration."""
    return tuple(module.name for module in pkgutil.iter_modules(kinds.__path__))


def function_of(kind: str) -> Callable[[Job], Outcome]:
    """The function that computes cells of ``kind``; :class:`InputError` for an unknown one."""
    if kind not in kind_names():
        raise InputError(f"unknown kind of cell {kind!r}; {suggestion(kind, kind_names())}")
    found: Callable[[Job], Outcome] = importlib.import_module(f"{kinds.__name__}.{kind}").run
    return found


def computed(kind: str, job: Job) -> Outcome:
    """What the cell's kind makes of it, in this process; judgements are kept beside the samples."""
    with ledger.kept_in(job.folder):
        return function_of(kind)(job)


def shares(cell: Cell | Task) -> bool:
    """Whether several processes can compute the cell together: its kind says so, in a function of its config."""
    able = getattr(importlib.import_module(function_of(cell.kind).__module__), "shares", None)
    return able is not None and bool(able(cell.config))


def _outcome(task: Task, job: Job, threads: int) -> Outcome:
    """What the cell gives, computed here or by several processes together."""
    if task.processes == 1 or not shares(task):
        return computed(task.kind, job)
    from expunge.study.together import computed_by

    return computed_by(task.processes, task.kind, job, threads)


def execute(task: Task, store: Store, threads: int) -> str | None:
    """Compute ``task`` and publish it; the sentence of its failure, or ``None``.

    A failure is published as a record, so that a rerun retries it. An interrupt passes through and publishes nothing.
    """
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    reset_peak_memory()
    header = _header(task, started, threads)
    try:
        with store.publishing(task) as draft:
            inputs = {name: store.root / "cells" / item for name, item in task.inputs.items()}
            outcome = _outcome(task, Job(task.config, inputs, draft, store.partial(task)), threads)
            write_jsonl(draft / "samples.jsonl", outcome.samples)
            body = {"metrics": outcome.metrics, "hashes": outcome.hashes, "tokens": outcome.tokens, **outcome.extra}
            _leave(draft, {**header, **_costs(clock), **body}, redact.of(store.root))
    except Exception as error:
        sentence = sentence_of(error)
        details = {} if isinstance(error, ExpungeError) else {"traceback": traceback.format_exc()}
        failed = {"status": "failed", "error": sentence, "metrics": {}, "tokens": 0, "hashes": {}, **details}
        _publish_failure(task, store, {**header, **_costs(clock), **failed})
        return sentence
    finally:
        give_back()
    store.finish(task)
    return None


def _leave(draft: Path, record: Mapping[str, Any], redactor: redact.Redactor | None) -> None:
    """Write the record, with hashes of all that the cell wrote; a redacted study's cell gets rid of its texts first."""
    if redactor is not None:
        record = redactor.record(record)
        redactor.files(draft, facts=False)
    write_json(draft / "record.json", {**record, "files": redact.hashes(draft)})


def _publish_failure(task: Task, store: Store, record: Mapping[str, Any]) -> None:
    """Leave a failure's record, without its words where the study is redacted."""
    redactor = redact.of(store.root)
    store.publish_failure(task, dict(record) if redactor is None else redactor.record(record))


def fail(task: Task, store: Store, sentence: str, threads: int) -> None:
    """Record a failure that the cell itself could not record, such as a killed worker."""
    header = _header(task, datetime.now(UTC).isoformat(timespec="seconds"), threads)
    body = {"status": "failed", "error": sentence, "wall_s": 0.0, "peak_memory_mb": 0.0, "tokens": 0}
    _publish_failure(task, store, {**header, **body, "metrics": {}, "hashes": {}})


def sentence_of(error: BaseException) -> str:
    """One line for the record: our own errors as they are, others with their type."""
    text = " ".join(str(error).split())
    if isinstance(error, ExpungeError):
        return text
    if isinstance(error, OSError) and error.errno in FULL:
        return "the disk is full; free some space and run the same command again."
    if isinstance(error, MemoryError):
        return "memory ran out; use a smaller model, batch or number of workers."
    return f"{type(error).__name__}: {text}"


def _header(task: Task, started: str, threads: int) -> dict[str, Any]:
    """What is known before the cell runs."""
    return {
        "schema": SCHEMA,
        "kind": task.kind,
        "label": task.label,
        "hash": task.hash,
        "status": "done",
        "error": None,
        "seeds": [task.config["seed"]] if "seed" in task.config else [],
        "started": started,
        "threads": threads,
        "versions": dict(versions()),
        "git_commit": git_commit(),
        "inputs": dict(task.inputs),
    }


def _costs(clock: float) -> dict[str, float]:
    """Wall time since ``clock`` in seconds and peak memory in MB."""
    return {"wall_s": round(time.monotonic() - clock, 3), "peak_memory_mb": round(peak_memory_mb(), 1)}
