"""A chosen worst point on the edge of the grid extends the grid, once."""

from dataclasses import replace

from expunge.attacks.base import AttackPoint
from expunge.attacks.relearn import RATES, Relearn

LONE_RATIO = 3.0
"""How far the next learning rate lies where the grid has one only."""


def extend(grid: Relearn, point: AttackPoint) -> Relearn | None:
    """The further grid to run when ``point`` lies on an edge of ``grid``, or ``None`` when it lies inside.

    It keeps the point's source and access. On the upper edge of the steps it doubles them; on an edge of the rates
    it adds the next rate at the grid's own ratio. Calling it on its own result is the caller's mistake: once.
    """
    if not point.steps:
        return None
    name = RATES[point.access]
    beyond = _beyond(sorted(getattr(grid, name)), point.lr)
    longer = (2 * grid.steps[-1],) if point.steps == grid.steps[-1] else ()
    if not beyond and not longer:
        return None
    rates = (*((point.lr,) if longer else ()), *beyond)
    limited = replace(grid, sources=(point.source,), access=(point.access,), steps=(*grid.steps, *longer))
    return replace(limited, **{name: rates})  # type: ignore[arg-type]


def _beyond(rates: list[float], lr: float) -> tuple[float, ...]:
    """Rates just outside the grid, next to ``lr`` where it is the lowest or the highest."""
    lower = rates[1] / rates[0] if len(rates) > 1 else LONE_RATIO
    upper = rates[-1] / rates[-2] if len(rates) > 1 else LONE_RATIO
    return (*((lr / lower,) if lr == rates[0] else ()), *((lr * upper,) if lr == rates[-1] else ()))
