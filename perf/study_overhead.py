"""What the runner itself costs: per cell beside the bare work, and for a study of 10,000 cells.

    OMP_NUM_THREADS=1 PYTHONPATH=src python perf/study_overhead.py [--cells 10000] [--trivial 200]

The first part runs trivial cells (a root, then cells that read it) through the scheduler, in this process and in one
worker process, with records, hashes, fsyncs and atomic renames on the disk of a temporary folder; taken off is the time
of the same function called in a loop. The worker's start, once a study, is measured apart. The second part takes a
recipe of 40 methods × 4 attacks × as many replicates as make the number of cells: plan, index, estimate, schedule (an
executor that does nothing), and, with a record of every cell on disk, the estimate and status. Writes
``perf/results/study_overhead.json`` and ``.md``.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import trivial_cells
from steps import machine

from expunge.core.files import canonical_json, write_json, write_text
from expunge.study import execute
from expunge.study.cells import Cell, Task
from expunge.study.estimate import estimated
from expunge.study.executors.base import Executor, Finished
from expunge.study.executors.local import local
from expunge.study.plan import Study, study_of
from expunge.study.recipe import resolve
from expunge.study.run import plan
from expunge.study.scheduler import run_cells
from expunge.study.status import status
from expunge.study.store import Snapshot, Store
from expunge.study.yaml import dump

RESULTS = Path(__file__).parent / "results"
METHODS, ATTACKS = 40, 4
LIMIT_S = 10.0
"""A look at a study of 10,000 cells should not take longer (our choice)."""


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of a call, and what it gave."""
    began = time.perf_counter()
    value = call()
    return time.perf_counter() - began, value


def trivial(number: int) -> list[Cell]:
    """A root and cells that read it."""
    root = Cell("knowledge", {"number": -1, "seed": 0})
    return [root, *(Cell("knowledge", {"number": n, "seed": 0}, {"root": root}) for n in range(number - 1))]


def run_trivial(folder: Path, number: int, workers: int) -> float:
    """Seconds of all trivial cells; without a worker they run in this process."""
    store, cells = Store(folder), trivial(number)
    folder.mkdir()
    executor = local(store, workers, 1, [Path(trivial_cells.__file__)])
    seconds, progress = timed(lambda: run_cells(cells, store, executor, lambda *_: None))
    assert len(progress.done) == number, progress.failed
    return seconds


def per_cell(folder: Path, number: int) -> dict[str, float]:
    """Milliseconds a cell beyond the bare work, and the seconds that a worker's start takes."""
    tasks = [cell.task() for cell in trivial(number)]
    jobs = [execute.Job(task.config, {}, folder, folder) for task in tasks]
    bare, _ = timed(lambda: [trivial_cells.trivial(job) for job in jobs])
    inside = run_trivial(folder / "inside", number, 0)
    first = run_trivial(folder / "one", 1, 1)
    worker = run_trivial(folder / "worker", number, 1)
    return {
        "in_process_ms": 1000 * (inside - bare) / number,
        "worker_ms": 1000 * (worker - first - bare) / (number - 1),
        "worker_start_s": first,
    }


def recipe(seeds: int) -> dict[str, Any]:
    """Many small cells."""
    attacks = [
        {"name": "relearn", "label": f"r{n}", "rates": [1e-3 * (n + 1)], "steps": [1, 2]} for n in range(ATTACKS)
    ]
    return {
        "name": "many",
        "model": {"source": "small", "template": "plain", "layers": 1, "hidden": 32, "vocab": 300},
        "knowledge": {"name": "people", "num_forget": 4, "num_retain_train": 3, "num_retain_eval": 2, "attributes": 2},
        "methods": [
            {"name": "npo", "label": f"npo {n}", "objective": {"beta": 0.1 + n / 1000}} for n in range(METHODS)
        ],
        "attacks": attacks,
        "placebo": False,
        "seeds": list(range(seeds)),
    }


class Nothing:
    """An executor that says at once that a cell is done."""

    free = 1

    def __init__(self) -> None:
        self.ended: list[str] = []

    def start(self, task: Task) -> None:
        self.ended.append(task.folder)
        self.free = 0

    def wait(self, timeout_s: float | None = None) -> Finished:
        ended, self.ended, self.free = self.ended, [], 1
        return [(folder, None) for folder in ended]

    def close(self) -> None:
        pass


def planned(folder: Path, seeds: int) -> dict[str, Any]:
    """Seconds of everything that a study of many cells asks of the runner before and while it runs."""
    resolving, wanted = timed(lambda: resolve(recipe(seeds)))
    planning, study = timed(lambda: _cells(study_of(wanted)))
    indexing, index = timed(lambda: canonical_json(study.index()))
    estimating, _ = timed(lambda: estimated(study, Snapshot(folder / "none")))
    nothing: Executor = Nothing()
    scheduling, progress = timed(
        lambda: run_cells(study.cells, Store(folder / "none"), nothing, lambda *_: None, keep_models=False)
    )
    assert len(progress.done) == len(study.cells)
    return {
        "cells": len(study.cells),
        "index_mb": len(index) / 1e6,
        "recipe_s": resolving,
        "plan_s": planning,
        "index_s": indexing,
        "estimate_s": estimating,
        "schedule_s": scheduling,
    }


def _cells(study: Study) -> Study:
    assert study.cells
    return study


def read(folder: Path, seeds: int) -> dict[str, float]:
    """Seconds of ``expunge plan`` and ``expunge status`` with every cell's record on disk, each of about 2 kB."""
    wanted = resolve(recipe(seeds))
    store = Store(folder)
    body = {"status": "done", "error": None, "wall_s": 1.0, "tokens": 10, "peak_memory_mb": 100.0, "hashes": {}}
    text = json.dumps({**body, "metrics": {f"metric{n}": {"value": 0.5, "n": 1} for n in range(50)}})
    for cell in study_of(wanted).cells:
        path = store.path(cell)
        (path / "model").mkdir(parents=True)
        (path / "record.json").write_text(text)
    write_text(folder / "recipe.yaml", dump(wanted.as_dict()))
    looking, found = timed(lambda: plan(recipe(seeds), out=folder))
    assert not found.open
    asking, _ = timed(lambda: status(folder))
    return {"plan_command_s": looking, "status_s": asking}


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    cell, small, large = result["per_cell"], result["small"], result["large"]
    lines = ["# The runner's own cost", "", "| what | measured |", "|---|---|"]
    lines += [f"| a cell in this process | {cell['in_process_ms']:.1f} ms |"]
    lines += [f"| a cell in a worker process | {cell['worker_ms']:.1f} ms |"]
    lines += [f"| a worker's start, once a study | {cell['worker_start_s']:.1f} s |", ""]
    lines += [f"| seconds for | {small['cells']:,} cells | {large['cells']:,} cells |", "|---|---|---|"]
    names = {
        "recipe_s": "reading the recipe",
        "plan_s": "the plan: worlds, cells, hashes",
        "index_s": "index.json",
        "estimate_s": "the estimate, nothing done",
        "schedule_s": "the scheduler, all cells, `keep_models: false`",
        "plan_command_s": "`expunge plan`, all done",
        "status_s": "`expunge status`, all done",
    }
    lines += [f"| {text} | {small[key]:.2f} | {large[key]:.2f} |" for key, text in names.items()]
    holds = "holds" if result["holds"] else "does not hold"
    lines += ["", f"Limit: plan and status of the large study within {LIMIT_S:.0f} s each; it {holds}."]
    return "\n".join([*lines, "", f"{result['machine']}, torch {result['torch']}, one thread.", ""])


def both(folder: Path, seeds: int) -> dict[str, Any]:
    """All times of a study of so many replicates."""
    return {**planned(folder, seeds), **read(folder / "run", seeds)}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--trivial", type=int, default=200)
    arguments = parser.parse_args()
    each = len(study_of(resolve(recipe(1))).cells) - 1
    seeds = -(-arguments.cells // each)
    result: dict[str, Any] = {"machine": machine(), "torch": torch.__version__}
    with tempfile.TemporaryDirectory() as name:
        result["per_cell"] = per_cell(Path(name), arguments.trivial)
        result["small"] = both(Path(name) / "small", max(1, seeds // 10))
        result["large"] = both(Path(name) / "large", seeds)
    result["holds"] = max(result["large"]["plan_command_s"], result["large"]["status_s"]) <= LIMIT_S
    write_json(RESULTS / "study_overhead.json", result)
    write_text(RESULTS / "study_overhead.md", table(result))
    sys.stdout.write(table(result))


if __name__ == "__main__":
    main()
