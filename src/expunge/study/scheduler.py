"""Which cell runs when: inputs first, as many at a time as the executor takes, dependents of failures skipped."""

import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from expunge.study.cells import Cell
from expunge.study.claims import Alone, Claims
from expunge.study.executors.local import Executor
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
) -> Progress:
    """Run what is not done. A failure stops its dependents only; the executor is closed whatever happens.

    Without ``retry_failed`` a cell that failed before stays failed. ``claims`` share the cells with other runs: each
    cell is run by one of them, and what another run finishes counts as finished before.
    """
    share = _Share(store, claims or Alone(store.root), {cell.folder: store.stamp(cell) for cell in cells})
    waiting = {cell.folder: cell for cell in to_run(cells, store)}
    progress = Progress(already=[cell for cell in cells if cell.folder not in waiting])
    if not retry_failed:
        _leave_failed(waiting, store, progress, notify)
    running: dict[str, Cell] = {}
    try:
        while waiting or running:
            _skip(waiting, progress, notify)
            held = _start(waiting, running, executor, share, progress, notify)
            for folder, error in executor.wait(POLL_S if held else None) if running else ():
                share.claims.release(folder)
                _ended(running.pop(folder), error, progress, notify)
            if held and not running:
                time.sleep(POLL_S)
            if not keep_models:
                drop_models(cells, store, {*waiting, *running, *share.claims.others()})
    finally:
        executor.close()
    return progress


POLL_S = 0.5
"""Seconds between looks at what other runs have finished."""


@dataclass(frozen=True, slots=True)
class _Share:
    """The cells' records as they stood when this run began, and the claims."""

    store: Store
    claims: Claims
    stamps: Mapping[str, tuple[int, int] | None]

    def settled(self, cell: Cell) -> bool:
        """Whether another run has published the cell since this run began."""
        return self.store.stamp(cell) != self.stamps[cell.folder] and self.store.status(cell) != "missing"


def _leave_failed(waiting: dict[str, Cell], store: Store, progress: Progress, notify: Notify) -> None:
    """Count cells that failed before as failed now."""
    for folder, cell in list(waiting.items()):
        if store.status(cell) == "failed":
            del waiting[folder]
            _ended(cell, str(store.record(cell).get("error")), progress, notify)


def drop_models(cells: Sequence[Cell], store: Store, busy: Set[str] = frozenset()) -> None:
    """Remove every model whose readers are all done; a ``busy`` cell counts as open, as it may be run once more."""
    readers: dict[str, list[Cell]] = {}
    for cell in cells:
        for item in cell.inputs.values():
            readers.setdefault(item.folder, []).append(cell)
    for cell in cells:
        ended = (
            one.folder not in busy and store.status(one) == "done" for one in (cell, *readers.get(cell.folder, ()))
        )
        if (store.path(cell) / "model").is_dir() and all(ended):
            store.drop_model(cell)


def _skip(waiting: dict[str, Cell], progress: Progress, notify: Notify) -> None:
    """Give up on cells that stand on a failed or skipped one; cells are in order, so one pass finds all."""
    for folder, cell in list(waiting.items()):
        gone = {*progress.failed, *progress.skipped}
        lost = next((item for item in cell.inputs.values() if item.folder in gone), None)
        if lost is not None:
            del waiting[folder]
            progress.skipped[folder] = f"not run, because {lost.folder} ({lost.label}) failed or was skipped."
            notify("skipped", cell, progress.skipped[folder])


def _start(
    waiting: dict[str, Cell],
    running: dict[str, Cell],
    executor: Executor,
    share: _Share,
    progress: Progress,
    notify: Notify,
) -> bool:
    """Start ready cells while the executor has room; whether some ready cell is held by another run."""
    unfinished, held = {*waiting, *running}, False
    for folder, cell in list(waiting.items()):
        if not executor.free:
            return held
        if any(item.folder in unfinished for item in cell.inputs.values()):
            continue
        if not share.claims.take(folder):
            held = True
        elif share.settled(cell):
            share.claims.release(folder)
            _adopt(waiting.pop(folder), share.store, progress, notify)
        else:
            running[folder] = waiting.pop(folder)
            notify("start", cell, "")
            executor.start(cell.task())
    return held


def _adopt(cell: Cell, store: Store, progress: Progress, notify: Notify) -> None:
    """Take over what another run made of a cell."""
    if store.status(cell) == "done":
        progress.already.append(cell)
    else:
        _ended(cell, str(store.record(cell).get("error")), progress, notify)


def _ended(cell: Cell, error: str | None, progress: Progress, notify: Notify) -> None:
    if error is None:
        progress.done.append(cell)
    else:
        progress.failed[cell.folder] = error
    notify("done" if error is None else "failed", cell, error or "")
