"""Which cells may start: those whose inputs are settled, earliest first; and which stand on a failure.

Every cell and every input is looked at a fixed number of times, however many cells a study has.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence

from expunge.study.cells import Cell


def readers_of(cells: Iterable[Cell]) -> dict[str, list[Cell]]:
    """The cells that read each cell, by its folder name; each once, in order."""
    readers: dict[str, list[Cell]] = {}
    for cell in cells:
        for folder in {item.folder: None for item in cell.inputs.values()}:
            readers.setdefault(folder, []).append(cell)
    return readers


class Agenda:
    """The cells that a run must compute, given with inputs before what reads them."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.waiting: dict[str, Cell] = {cell.folder: cell for cell in cells}
        self._cells = cells
        self._place: Mapping[str, int] = {cell.folder: place for place, cell in enumerate(cells)}
        self._readers = readers_of(cells)
        self._open = {cell.folder: len(_inputs(cell) & self.waiting.keys()) for cell in cells}
        self._ready = [place for place, cell in enumerate(cells) if not self._open[cell.folder]]

    def next(self) -> Cell | None:
        """The earliest cell that may start, or ``None``; it waits no longer."""
        while self._ready:
            folder = self._cells[heapq.heappop(self._ready)].folder
            if folder in self.waiting:
                return self.waiting.pop(folder)
        return None

    def put_back(self, cells: Iterable[Cell]) -> None:
        """These could not be started, as another run holds them."""
        for cell in cells:
            self.waiting[cell.folder] = cell
            heapq.heappush(self._ready, self._place[cell.folder])

    def settle(self, cell: Cell) -> None:
        """The cell is done: what reads it may be ready now."""
        for reader in self._readers.get(cell.folder, ()):
            self._open[reader.folder] -= 1
            if not self._open[reader.folder]:
                heapq.heappush(self._ready, self._place[reader.folder])

    def give_up(self, cell: Cell) -> Iterator[Cell]:
        """The cell failed: everything that stands on it, inputs first; none of it waits any longer."""
        places = [self._place[reader.folder] for reader in self._readers.get(cell.folder, ())]
        heapq.heapify(places)
        while places:
            lost = self.waiting.pop(self._cells[heapq.heappop(places)].folder, None)
            if lost is not None:
                yield lost
                for reader in self._readers.get(lost.folder, ()):
                    heapq.heappush(places, self._place[reader.folder])


def _inputs(cell: Cell) -> set[str]:
    return {item.folder for item in cell.inputs.values()}
