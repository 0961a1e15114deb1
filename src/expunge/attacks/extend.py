"""A chosen worst point on the edge of the grid extends the grid, once."""

from dataclasses import replace

from expunge.attacks.access import rates_of
from expunge.attacks.base import AttackPoint
from expunge.attacks.relearn import Relearn
from expunge.attacks.sizes import parts

LONE_RATIO = 3.0
"""How far the next learning rate lies where the grid has one only."""


def extend(grid: Relearn, point: AttackPoint) -> Relearn | None:
    """The further grid to run when ``point`` lies on an edge of ``grid``, or ``None`` when it lies inside.

    It keeps the point's source, size and access. On the upper edge of the steps it doubles them; on an edge of the
    rates it adds the next rate at the grid's own ratio. A search has no edge but its steps, a published protocol none.
    Calling it on its own result is the caller's mistake: once.
    """
    if not point.steps or grid.protocol:
        return None
    name = rates_of(point.access)
    beyond = () if grid.search else _beyond(sorted(getattr(grid, name)), point.lr)
    longer = (2 * grid.steps[-1],) if point.steps == grid.steps[-1] else ()
    if not beyond and not longer:
        return None
    rates = (*((point.lr,) if longer else ()), *beyond)
    own, size = parts(point.source)
    one = {"sources": (own,), "sizes": (size,), "access": (point.access,), name: rates}
    return replace(grid, steps=(*grid.steps, *longer), search=0, **one)  # type: ignore[arg-type]


def _beyond(rates: list[float], lr: float) -> tuple[float, ...]:
    """Rates just outside the grid, next to ``lr`` where it is the lowest or the highest."""
    lower = rates[1] / rates[0] if len(rates) > 1 else LONE_RATIO
    upper = rates[-1] / rates[-2] if len(rates) > 1 else LONE_RATIO
    return (*((lr / lower,) if lr == rates[0] else ()), *((lr * upper,) if lr == rates[-1] else ()))
