"""How long cells take when several run side by side and each waits for those it reads."""

import heapq
from collections.abc import Mapping, Sequence

from expunge.study.agenda import Agenda
from expunge.study.cells import Cell


def makespan(cells: Sequence[Cell], seconds: Mapping[str, float], abreast: int) -> float:
    """Seconds until the last of ``cells`` is done, started as a run starts them: in order, ``abreast`` at a time.

    ``seconds`` are those of each cell by its folder's name. Inputs that are not among ``cells`` are there already.
    """
    agenda, now = Agenda(cells), 0.0
    busy: list[tuple[float, int, Cell]] = []
    started = 0
    while True:
        while len(busy) < max(1, abreast) and (cell := agenda.next()) is not None:
            heapq.heappush(busy, (now + seconds[cell.folder], started, cell))
            started += 1
        if not busy:
            return now
        now, _, done = heapq.heappop(busy)
        agenda.settle(done)
