"""Controls: which model shows what the attack itself teaches, and how fast a model learns anything at all.

The control is a never-trained model under the same grid. Where none exists, placebos stand in: (a) ``subjects``, new
subjects with permuted answers taught on their T half, (b) ``answers``, permuted answers on the real V subjects. The
harder one counts: the one that recovers less, so that more of the method's recovery is called excess.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from expunge.audit.table import Rows, Table
from expunge.audit.types import Trajectories

LEAST_ROWS = 8
LEAST_GAIN = 0.05
VARIANTS = ("subjects", "answers")


@dataclass(frozen=True, slots=True)
class Control:
    """The rows to compare with, their kind (``never-trained``, ``placebo`` or ``none``), and why there are none."""

    rows: Rows
    kind: str
    missing: str | None = None


def control_for(table: Table, label: str) -> Control:
    """The control of one method: never-trained where it exists, else the harder placebo of that method."""
    never = table.rows("control", table.sole("control"))
    if never:
        return Control(never, "never-trained")
    placebos = [rows for variant in VARIANTS if (rows := table.rows("placebo", label, variant))]
    large = [rows for rows in placebos if min(len(row.subjects) for row in rows.values()) >= LEAST_ROWS]
    if not large:
        missing = f"the placebo has fewer than {LEAST_ROWS} rows" if placebos else "no never-trained model, no placebo"
        return Control({}, "none", f"no control: {missing}")
    return Control(min(large, key=lambda rows: table.read(rows, list(rows), attacked=True).value), "placebo")


def gain(row: Trajectories, points: Sequence[str]) -> float:
    """Mean rise of T-recall over attack points: the area under the learning curve above its start."""
    at = [row.points.index(point) for point in points]
    return float(np.mean(row.t_recall_P[at]) - row.t_recall_P[0]) if at else math.nan


def learning_speed(rows: Rows, control: Rows) -> float:
    """How fast a model learns placebo facts, relative to the control: ratio of mean gains over shared points.

    Points of attacks that train nothing have no T-recall and do not count. NaN (not measured) without a shared
    replicate or where the control hardly learns (gain < 0.05).
    """
    gains = [
        (gain(rows[replicate], shared), gain(control[replicate], shared))
        for replicate in rows.keys() & control.keys()
        if (shared := _trained(rows[replicate], control[replicate]))
    ]
    if not gains:
        return math.nan
    model, reference = np.mean(gains, axis=0)
    return float(model / reference) if reference >= LEAST_GAIN else math.nan


def _trained(row: Trajectories, other: Trajectories) -> list[str]:
    """The attack points at which the T-recall of both was measured."""
    measured = [dict(zip(one.points[1:], ~np.isnan(one.t_recall_P[1:]), strict=True)) for one in (row, other)]
    return [point for point, known in measured[0].items() if known and measured[1].get(point, False)]


def placebo_speed(table: Table, label: str) -> float:
    """Speed of a method against :func:`speed_reference`, both attacked with placebo facts; NaN if not measured."""
    reference = table.rows("placebo", table.sole(speed_reference(table)), "subjects")
    return learning_speed(table.rows("placebo", label, "subjects"), reference)


def speed_reference(table: Table) -> Literal["control", "original"]:
    """Whose speed counts: the control's; the original's where it alone was attacked with placebo facts."""
    found = {role: bool(table.rows("placebo", table.sole(role), "subjects")) for role in ("control", "original")}
    return "original" if found["original"] and not found["control"] else "control"
