"""Which cell runs when: inputs first, as many at a time as the executor takes, dependents of failures skipped."""

import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from expunge.study.agenda import Agenda, readers_of
from expunge.study.cells import Cell
from expunge.study.claims import Alone, Claims
from expunge.study.executors.base import Executor
from expunge.study.store import Store

Notify = Callable[[str, Cell, str], None]
"""Called with an event (``start``, ``done``, ``failed``, ``skipped``), the cell, and a sentence."""


@dataclass(slots=True)
class Progress:
    """What became of the cells: computed now, finished before, failed and skipped with their sentences."""

    done: list[Cell] = field(default_factory=list)
    already: list[Cell] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def to_run(cells: Sequence[Cell], store: Store) -> list[Cell]:
    """The cells that must be computed, inputs first: unfinished ones, and done ones whose dropped part is needed."""
    chosen: set[str] = set()
    read: set[str] = set()
    for cell in reversed(cells):
        if store.status(cell) != "done" or (cell.folder in read and not _whole(cell, store)):
            chosen.add(cell.folder)
            read.update(item.folder for item in cell.inputs.values())
    return [cell for cell in cells if cell.folder in chosen]


def _whole(cell: Cell, store: Store) -> bool:
    """Whether a done cell still has what its readers read."""
    return store.has_model(cell) and store.has_facts(cell)


def run_cells(
    cells: Sequence[Cell],
    store: Store,
    executor: Executor,
    notify: Notify,
    *,
    keep_models: bool = True,
    retry_failed: bool = True,
    claims: Claims | None = None,
    processes: int = 1,
) -> Progress:
    """Run what is not done. A failure stops its dependents only; the executor is closed whatever happens.

    Without ``retry_failed`` a cell that failed before stays failed. ``claims`` share the cells with other runs: each
    cell is run by one of them, and what another run finishes counts as finished before. ``processes`` share a cell.
    """
    stamps = {cell.folder: store.stamp(cell) for cell in cells}
    agenda = Agenda(to_run(cells, store))
    already = [cell for cell in cells if cell.folder not in agenda.waiting]
    run = _Run(store, claims or Alone(store.root), stamps, agenda, Progress(already=already), notify, processes)
    models = None if keep_models else _Models(run, cells)
    try:
        if not retry_failed:
            run.leave_failed()
        _work_off(run, executor, models)
    finally:
        executor.close()
    return run.progress


def _work_off(run: "_Run", executor: Executor, models: "_Models | None") -> None:
    """Start and await cells until none is left."""
    while run.agenda.waiting or run.running:
        held = run.start(executor)
        for folder, error in executor.wait(POLL_S if held else None) if run.running else ():
            run.claims.release(folder)
            run.ended(run.running.pop(folder), error)
        if held and not run.running:
            time.sleep(POLL_S)
        if models is not None:
            models.drop()


POLL_S = 0.5
"""Seconds between looks at what other runs have finished."""


@dataclass(slots=True)
class _Run:
    """One run's cells. ``stamps`` are the cells' records as they stood when it began, ``settled`` what ended since."""

    store: Store
    claims: Claims
    stamps: Mapping[str, tuple[int, int] | None]
    agenda: Agenda
    progress: Progress
    notify: Notify
    processes: int = 1
    running: dict[str, Cell] = field(default_factory=dict)
    settled: list[Cell] = field(default_factory=list)

    def leave_failed(self) -> None:
        """Count cells that failed before as failed now."""
        failed = [cell for cell in self.agenda.waiting.values() if self.store.status(cell) == "failed"]
        for cell in failed:
            del self.agenda.waiting[cell.folder]
        for cell in failed:
            self.ended(cell, str(self.store.record(cell).get("error")))

    def start(self, executor: Executor) -> bool:
        """Start ready cells while the executor has room; whether some ready cell is held by another run."""
        held: list[Cell] = []
        while executor.free and (cell := self.agenda.next()) is not None:
            if not self.claims.take(cell.folder):
                held.append(cell)
            elif self._published(cell):
                self.claims.release(cell.folder)
                self._adopt(cell)
            else:
                self.running[cell.folder] = cell
                self.notify("start", cell, "")
                executor.start(cell.task(self.processes))
        self.agenda.put_back(held)
        return bool(held)

    def ended(self, cell: Cell, error: str | None) -> None:
        """Note what became of a cell; what stands on a failed one is skipped."""
        self.settled.append(cell)
        if error is None:
            self.progress.done.append(cell)
            self.notify("done", cell, "")
            self.agenda.settle(cell)
            return
        self.progress.failed[cell.folder] = error
        self.notify("failed", cell, error)
        for lost in self.agenda.give_up(cell):
            gone = next(item for item in lost.inputs.values() if self._gone(item.folder))
            self.progress.skipped[lost.folder] = f"not run, because {gone.folder} ({gone.label}) failed or was skipped."
            self.notify("skipped", lost, self.progress.skipped[lost.folder])

    def busy(self, folder: str, others: Set[str]) -> bool:
        """Whether the cell may still be run, by this run or by another."""
        return folder in self.agenda.waiting or folder in self.running or folder in others

    def _gone(self, folder: str) -> bool:
        return folder in self.progress.failed or folder in self.progress.skipped

    def _published(self, cell: Cell) -> bool:
        """Whether another run has published the cell since this run began."""
        return self.store.stamp(cell) != self.stamps[cell.folder] and self.store.status(cell) != "missing"

    def _adopt(self, cell: Cell) -> None:
        """Take over what another run made of a cell."""
        if self.store.status(cell) == "done":
            self.settled.append(cell)
            self.progress.already.append(cell)
            self.agenda.settle(cell)
        else:
            self.ended(cell, str(self.store.record(cell).get("error")))


class _Models:
    """Removes every model whose readers are all done; a cell that may run once more counts as open."""

    def __init__(self, run: _Run, cells: Sequence[Cell]) -> None:
        self.run, self.readers, self.unseen = run, readers_of(cells), list(cells)

    def drop(self) -> None:
        """Look at the cells that ended since the last look, and at what they read; at all cells the first time."""
        ended, self.unseen, self.run.settled = [*self.unseen, *self.run.settled], [], []
        seen = {one.folder: one for cell in ended for one in (cell, *cell.inputs.values())}
        others = self.run.claims.others() if seen else set()
        for cell in seen.values():
            if (self.run.store.path(cell) / "model").is_dir() and self._ended(cell, others):
                self.run.store.drop_model(cell)

    def _ended(self, cell: Cell, others: Set[str]) -> bool:
        """Whether the cell and its readers are done for good; what needs no file is asked first."""
        all_of = (cell, *self.readers.get(cell.folder, ()))
        if any(self.run.busy(one.folder, others) for one in all_of):
            return False
        return all(self.run.store.status(one) == "done" for one in all_of)
