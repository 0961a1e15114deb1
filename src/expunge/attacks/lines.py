"""The training runs of a relearning grid: every combination, or a seeded search among them."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDER = 10.0
"""How far a search goes to both sides of a lone learning rate (our choice)."""


@dataclass(frozen=True, slots=True)
class Line:
    """One training run: ``source`` as in the point's id, so with its size, and the budgets that are read on the way."""

    source: str
    access: str
    lr: float
    steps: tuple[int, ...]

    @property
    def key(self) -> tuple[str, str, float]:
        """What the ids of the run's points have in common."""
        return self.source, self.access, self.lr


def searched(
    trials: int,
    names: Mapping[str, Sequence[str]],
    rates: Mapping[str, Sequence[float]],
    steps: tuple[int, ...],
    seed: int,
) -> list[Line]:
    """``trials`` draws: a source, one of its sizes (``names``), an access, and a rate log-uniform within its ``rates``.

    Rates are rounded to three digits, so that a point's id tells the very rate that was used.
    """
    stream = random.Random(seed)
    lines: dict[tuple[str, str, float], Line] = {}
    while len(lines) < trials:
        source = stream.choice(stream.choice(list(names.values())))
        access = stream.choice(list(rates))
        low, high = bounds(rates[access])
        lr = float(f"{math.exp(stream.uniform(math.log(low), math.log(high))):.3g}")
        line = Line(source, access, lr, steps)
        lines.setdefault(line.key, line)
    return list(lines.values())


def bounds(rates: Sequence[float]) -> tuple[float, float]:
    """The lowest and the highest rate; a lone one is widened to both sides."""
    low, high = min(rates), max(rates)
    return (low, high) if low < high else (low / WIDER, high * WIDER)
