"""One attack at a time: the same excess recovery, with b* chosen among that attack's own points only.

Beside the overall row this says which attack wins. The overall b* is chosen among all points and scored on other
subjects, so an attack's own row may lie above it by luck of the folds; before that scoring it never does.
"""

from dataclasses import dataclass
from typing import Any

from expunge.attacks.access import trains
from expunge.audit.compare import Comparison, compare
from expunge.audit.controls import control_for
from expunge.audit.excess import proportion
from expunge.audit.grid import parse
from expunge.audit.table import Rows, Table
from expunge.audit.types import BEFORE, Interval


@dataclass(frozen=True, slots=True)
class AttackRow:
    """One attack on one method: how many budget points it had, and its own comparison with the control.

    ``control`` is what the control shows under this attack, at its own worst point; ``None`` where there is none.
    """

    attack: str
    num_points: int
    found: Comparison
    control: Interval | None = None

    def as_dict(self) -> dict[str, Any]:
        """The row's entry in audit.json."""
        found = self.found
        return {
            "attack": self.attack,
            "points": self.num_points,
            "after": found.after.as_dict(),
            "control": self.control.as_dict() if self.control else None,
            "e_star": found.e_star.as_dict() if found.e_star else None,
            "missing": None if found.e_star else found.missing,
            "worst_points": list(found.worst_points),
        }


def attack_of(point: str) -> str:
    """The attack that a point belongs to: ``relearn/SOURCE`` (``…/lora`` through adapters), else its own name.

    A source of so many rows is one of its own: ``relearn/qa:20``.
    """
    here = parse(point)
    if not trains(here.access):
        return here.access
    return f"relearn/{here.source}" + ("" if here.access == "full" else f"/{here.access}")


def attacks_of(table: Table, label: str) -> list[str]:
    """The attacks that the method went through, in the order of its points."""
    rows = table.rows("method", label).values()
    return list(dict.fromkeys(attack_of(point) for row in rows for point in row.points if point != BEFORE))


def by_attack(table: Table, label: str) -> list[AttackRow]:
    """A row for each attack on the method, the strongest first; every model keeps to that attack's points."""
    found = [_row(table, label, attack) for attack in attacks_of(table, label)]
    return sorted(found, key=lambda row: -row.found.after.value)


def winner(rows: list[AttackRow]) -> dict[str, Any] | None:
    """The attack that brought back most and by how much of V it leads; ``None`` where none beat asking plainly."""
    if not rows or rows[0].found.after.value <= rows[0].found.before.value:
        return None
    second = rows[1].found.after.value if len(rows) > 1 else rows[0].found.before.value
    return {"attack": rows[0].attack, "lead": rows[0].found.after.value - second}


def _row(table: Table, label: str, attack: str) -> AttackRow:
    own = table.restricted(lambda point: attack_of(point) == attack)
    control = control_for(own, label)
    original = table.rows("original", table.sole("original"))
    rows = own.rows("method", label)
    num = len({point for row in rows.values() for point in row.points}) - 1
    found = compare(own, rows, control.rows, original, missing=control.missing)
    return AttackRow(attack, num, found, _level(own, control.rows))


def _level(table: Table, rows: Rows) -> Interval | None:
    """Share of V at the worst point, over all replicates that there are."""
    return proportion(table.read(rows, list(rows), attacked=True), table.sample(rows, list(rows))) if rows else None
