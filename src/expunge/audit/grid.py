"""Attack point ids, ``{source}/{access}/{lr:g}/{steps}``, and the edge of the grid."""

from collections.abc import Sequence
from dataclasses import dataclass

from expunge.attacks.access import trains
from expunge.audit.types import BEFORE
from expunge.core.errors import InputError


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
    """On which edges of its source and access ``point`` lies: ``steps`` (most) or ``lr`` (largest).

    An edge says nothing where the access is the name of an attack: then the rate is its knob, the steps its budget.
    """
    if point == BEFORE or not trains((here := parse(point)).access):
        return ()
    near = [p for p in map(parse, (p for p in points if p != BEFORE)) if (p.source, p.access) == here.line[:2]]
    on_edge = {"steps": here.steps >= max(p.steps for p in near), "lr": here.lr >= max(p.lr for p in near)}
    return tuple(name for name, reached in on_edge.items() if reached)
