"""Attack point ids, ``{source}/{access}/{lr:g}/{steps}``, and the edge of the grid."""

from collections.abc import Sequence
from dataclasses import dataclass

from expunge.audit.types import BEFORE
from expunge.core.errors import InputError

TRAINED = ("full", "balanced", "lora")
"""Access of an attack that trains; for any other attack the access is its name, the rate its knob, the steps its
budget, and an edge says nothing."""


@dataclass(frozen=True, slots=True)
class Point:
    """An attack point after the start: data source, access, constant learning rate and optimizer steps."""

    source: str
    access: str
    lr: float
    steps: int

    @property
    def line(self) -> tuple[str, str, float]:
        """The trajectory that the point lies on."""
        return self.source, self.access, self.lr


def parse(point: str) -> Point:
    """A point id in parts; :class:`InputError` names an id of another shape."""
    try:
        source, access, lr, steps = point.rsplit("/", 3)
        return Point(source, access, float(lr), int(steps))
    except ValueError:
        raise InputError(f"attack point {point!r} is not source/access/lr/steps; rename it.") from None


def edges(point: str, points: Sequence[str]) -> tuple[str, ...]:
    """On which edges of its source and access ``point`` lies: ``steps`` (most) or ``lr`` (largest)."""
    if point == BEFORE or (here := parse(point)).access not in TRAINED:
        return ()
    near = [p for p in map(parse, (p for p in points if p != BEFORE)) if (p.source, p.access) == here.line[:2]]
    on_edge = {"steps": here.steps >= max(p.steps for p in near), "lr": here.lr >= max(p.lr for p in near)}
    return tuple(name for name, reached in on_edge.items() if reached)
