"""Curves for the report: mean score on V along each trajectory, with pointwise intervals (no choice of b*)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from expunge.audit.bootstrap import Plan, Reading
from expunge.audit.excess import proportion
from expunge.audit.grid import parse
from expunge.audit.table import Rows, Table
from expunge.audit.types import BEFORE, Interval, Role, Trajectories

CURVES: Sequence[Role] = ("control", "null", "method")


def curves(table: Table) -> list[dict[str, Any]]:
    """One entry for each model, source, access and learning rate, from step 0 on."""
    return [
        curve
        for role in CURVES
        for label in table.labels(role)
        for curve in _of_model(table, table.rows(role, label), label, role)
    ]


def _of_model(table: Table, rows: Rows, label: str, role: Role) -> list[dict[str, Any]]:
    points = list(dict.fromkeys(point for row in rows.values() for point in row.points if point != BEFORE))
    lines: dict[tuple[str, str, float], list[str]] = {}
    for point in sorted(points, key=lambda point: parse(point).steps):
        lines.setdefault(parse(point).line, []).append(point)
    readings = {point: _reading(table, rows, point) for point in [BEFORE, *points]}
    return [_curve(label, role, [BEFORE, *line], readings) for line in lines.values()]


def _curve(
    label: str, role: str, line: list[str], readings: dict[str, tuple[Interval, float | None]]
) -> dict[str, Any]:
    first = parse(line[1])
    found = [readings[point] for point in line]
    return {
        "label": label,
        "role": role,
        "source": first.source,
        "access": first.access,
        "lr": first.lr,
        "steps": [0, *(parse(point).steps for point in line[1:])],
        "mean": [band.value for band, _ in found],
        "low": [band.low for band, _ in found],
        "high": [band.high for band, _ in found],
        "utility": [utility for _, utility in found],
    }


def _reading(table: Table, rows: Rows, point: str) -> tuple[Interval, float | None]:
    """Interval and mean utility at one point, over the replicates whose grid holds it (an extended grid may not)."""
    held = [replicate for replicate, row in rows.items() if point in row.points]
    plan, sample = table.plan(held), table.sample(rows, held)
    band = proportion(_at(plan, [rows[replicate] for replicate in held], point), sample)
    return band, measured(
        np.array([rows[replicate].utility_P[rows[replicate].points.index(point)] for replicate in held])
    )


def _at(plan: Plan, rows: Sequence[Trajectories], point: str) -> Reading:
    values_M = np.array([row.scores_PS[row.points.index(point)].mean() for row in rows])
    values_BM = np.zeros(plan.slots_BM.shape)
    for position, row in enumerate(rows):
        _, weights_QS = plan.draw(position, row.subjects)
        scores_S = row.sorted_scores_PS()[row.points.index(point)]
        values_BM[plan.slots_BM == position] = weights_QS @ scores_S / len(scores_S)
    none = np.zeros(0, dtype=np.int64)
    return Reading(values_M, values_BM, none, none)


def measured(values: np.ndarray[Any, np.dtype[np.float64]]) -> float | None:
    """Mean of the measured values; ``None`` (null in JSON, which has no NaN) when none was."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None
