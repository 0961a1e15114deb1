"""The agenda names the cells that looking at all of them again and again would name, and looks far less often."""

import random
from pathlib import Path
from typing import Any

import pytest

from expunge.study.agenda import Agenda
from expunge.study.cells import Cell, in_order
from expunge.study.scheduler import run_cells
from expunge.study.store import Snapshot, Store


def graph(seed: int, number: int) -> tuple[Cell, ...]:
    """Cells that read up to three earlier ones, some of them under two names."""
    draw, cells = random.Random(seed), [Cell("knowledge", {"number": 0})]
    for place in range(1, number):
        read = draw.sample(cells, min(len(cells), draw.randrange(4)))
        inputs = {str(name): cell for name, cell in enumerate([*read, *read[:1]])}
        cells.append(Cell("knowledge", {"number": place}, inputs, label=str(place)))
    return in_order(cells)


class Script:
    """Two at a time; the older one ends first, and those in ``bad`` fail."""

    def __init__(self, bad: set[str]) -> None:
        self.bad, self.running, self.started = bad, list[str](), list[str]()

    @property
    def free(self) -> int:
        return 2 - len(self.running)

    def start(self, task: Any) -> None:
        self.running.append(task.folder)
        self.started.append(task.folder)

    def wait(self, timeout_s: float | None = None) -> list[tuple[str, str | None]]:
        folder = self.running.pop(0)
        return [(folder, "no." if folder in self.bad else None)]

    def close(self) -> None:
        pass


def literal(cells: tuple[Cell, ...], bad: set[str]) -> tuple[list[str], set[str]]:
    """What is started and what is skipped, by looking at every cell before every start."""
    started: list[str] = []
    running: list[str] = []
    done: set[str] = set()
    gone: set[str] = set()
    skipped: set[str] = set()
    while True:
        for cell in cells:
            if cell.folder not in started and any(item.folder in gone | skipped for item in cell.inputs.values()):
                skipped.add(cell.folder)
        for cell in cells:
            free = len(running) < 2 and cell.folder not in {*started, *skipped}
            if free and all(item.folder in done for item in cell.inputs.values()):
                started.append(cell.folder)
                running.append(cell.folder)
        if not running:
            return started, skipped
        ended = running.pop(0)
        (gone if ended in bad else done).add(ended)


@pytest.mark.parametrize("seed", range(6))
def test_order_and_skips_are_those_of_the_literal_scheduler(seed: int, tmp_path: Path) -> None:
    cells = graph(seed, 60)
    bad = {cell.folder for cell in random.Random(seed).sample(cells, seed)}
    script = Script(bad)
    progress = run_cells(cells, Store(tmp_path), script, lambda *_: None)
    started, skipped = literal(cells, bad)
    assert script.started == started and set(progress.skipped) == skipped
    assert set(progress.failed) == bad & set(started)
    assert len(progress.done) + len(progress.failed) + len(progress.skipped) == len(cells)


class Counted(dict[str, Cell]):
    """Inputs that count how often they are looked at."""

    looks = 0

    def values(self) -> Any:
        Counted.looks += 1
        return super().values()


def test_looks_grow_with_the_cells_and_not_with_their_square() -> None:
    def looks(number: int) -> int:
        first = Cell("knowledge", {"number": -1})
        cells = [first, *(Cell("knowledge", {"number": n}, Counted({"first": first})) for n in range(number))]
        Counted.looks = 0
        agenda = Agenda(cells)
        while (cell := agenda.next()) is not None:
            agenda.settle(cell)
        assert not agenda.waiting
        return Counted.looks

    assert looks(400) <= 2.1 * looks(200)


def test_a_cell_that_is_put_back_comes_again_in_its_turn() -> None:
    cells = [Cell("knowledge", {"number": n}) for n in range(3)]
    agenda = Agenda(cells)
    first = agenda.next()
    assert first is cells[0] and first.folder not in agenda.waiting
    agenda.put_back([first])
    assert [agenda.next() for _ in range(4)] == [*cells, None]


def test_a_snapshot_reads_a_record_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell, reads = Cell("knowledge", {"number": 0}), []
    path = Store(tmp_path).path(cell)
    path.mkdir(parents=True)
    (path / "record.json").write_text('{"status": "done"}')
    plain = Store.record

    def record(self: Store, placed: Any) -> dict[str, Any]:
        reads.append(placed.folder)
        return plain(self, placed)

    monkeypatch.setattr(Store, "record", record)
    store = Snapshot(tmp_path)
    assert [store.status(cell) for _ in range(3)] == ["done"] * 3 and store.record(cell) and len(reads) == 1
