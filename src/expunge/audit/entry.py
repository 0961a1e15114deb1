"""One world's entry of audit.json: what all its methods share, and a row for each."""

import math
from typing import Any

import numpy as np

from expunge.audit import in_text
from expunge.audit.by_attack import by_attack, winner
from expunge.audit.compare import Comparison, compare, worst_points
from expunge.audit.controls import Control, control_for, placebo_speed, speed_reference
from expunge.audit.curves import curves, measured
from expunge.audit.excess import proportion
from expunge.audit.table import Rows, Table
from expunge.audit.types import Floats, Interval, World
from expunge.audit.verdict import Evidence, decide, hider_guard, replicate_note, speed_guard, t_recall_guard, usability
from expunge.core.errors import InputError


class WorldEntry:
    """Everything that the methods of one world share while their rows are filled in."""

    def __init__(self, table: Table, world: World, epsilon: float) -> None:
        self.table, self.world, self.epsilon = table, world, epsilon
        self.original = table.rows("original", table.sole("original"))
        self.controls = {label: control_for(table, label) for label in table.labels("method")}
        self.compared = {label: self._compare(label) for label in self.controls}
        self.null = self._null()
        self.hider_fault = self._hider_fault()

    def entry(self) -> dict[str, Any]:
        """The world's JSON entry."""
        world = self.world
        return {
            "label": world.label,
            "knowledge": world.knowledge,
            "seeds": list(world.seeds),
            "num_v_subjects": max(found.num_subjects for found in self.compared.values()),
            "num_t_subjects": world.num_t_subjects,
            "to_forget": list(world.to_forget),
            "leaks": world.leaks,
            "original": self._level(self.original, attacked=False),
            "control": self._control(),
            "null": self.null,
            "methods": [self._method(label) for label in self.compared],
            "curves": curves(self.table),
            "not_tested": list(world.not_tested),
        }

    def _compare(self, label: str) -> Comparison:
        control = self.controls[label]
        return compare(
            self.table, self.table.rows("method", label), control.rows, self.original, missing=control.missing
        )

    def _level(self, rows: Rows, *, attacked: bool) -> dict[str, float] | None:
        if not rows:
            return None
        reading = self.table.read(rows, list(rows), attacked=attacked)
        return proportion(reading, self.table.sample(rows, list(rows))).as_dict()

    def _control(self) -> dict[str, Any]:
        """The control's row; with placebos, which each method has for itself, the one that recovers least."""
        control = min(self.controls.values(), key=self._recovered)
        rows = control.rows
        worst = worst_points(rows, list(rows), self.table.read(rows, list(rows), attacked=True)) if rows else ()
        return {
            "before": self._level(rows, attacked=False),
            "after": self._level(rows, attacked=True),
            "kind": control.kind,
            "worst_points": list(worst),
        }

    def _recovered(self, control: Control) -> float:
        rows = control.rows
        return self.table.read(rows, list(rows), attacked=True).value if rows else math.inf

    def _null(self) -> dict[str, Any]:
        """A second never-trained model in the method's place; its interval must contain 0."""
        rows = self.table.rows("null", self.table.sole("null"))
        control = self.table.rows("control", self.table.sole("control"))
        if not rows or not control:
            return {"e_star": None, "valid": None, "reason": "no second never-trained model was audited"}
        found = compare(self.table, rows, control, self.original)
        if found.e_star is None:
            return {"e_star": None, "valid": None, "reason": found.missing}
        valid = found.e_star.contains(0.0)
        reason = None if valid else "the study is invalid: a second never-trained model differs from the control"
        return {"e_star": found.e_star.as_dict(), "valid": valid, "reason": reason}

    def _hider_fault(self) -> str | None:
        hider = self.world.hider
        if hider is not None and hider not in self.compared:
            raise InputError(f"the known hider {hider!r} is no method of this world; add it or name another.")
        found = self.compared[hider] if hider is not None else None
        return hider_guard(hider, found.e0 if found else None, found.e_star if found else None)

    def _speed(self, label: str) -> float:
        given = self.world.placebo_speeds.get(label)
        return placebo_speed(self.table, label) if given is None else given

    def _obstacles(self, label: str, t_recall: float) -> list[str]:
        """What forbids ``forgotten`` beside the intervals."""
        if self.world.in_text:
            return in_text.obstacles(self.world.forget_metrics.get(label, {}))
        faults = [
            t_recall_guard(t_recall),
            self.hider_fault,
            speed_guard(self._speed(label), speed_reference(self.table)),
        ]
        if self.controls[label].kind == "never-trained" and self.null["valid"] is None:
            faults.append(f"the null row is missing: {self.null['reason']}")
        return [fault for fault in faults if fault]

    def _evidence(self, found: Comparison, label: str, t_recall: float, utility: float | None) -> Evidence:
        notes = [*self._notes(found), *(["utility was not measured"] if utility is None else [])]
        e0, e_star = found.e0, found.e_star
        if self.world.in_text and not self.original:
            rows, control = self.table.rows("method", label), self.controls[label].rows
            e0, e_star = in_text.at_least(self.table, rows, control, self.epsilon)
            notes += [in_text.ASSUMED] if e0 or e_star else []
        if self.world.in_text and any(item is not None and item.low > self.epsilon for item in (e0, e_star)):
            notes.append(in_text.UNSEEN)
        return Evidence(
            e0=e0,
            e_star=e_star,
            num_subjects=found.num_subjects,
            invalid=self.null["reason"] if self.null["valid"] is False else None,
            missing=found.missing,
            obstacles=tuple(self._obstacles(label, t_recall)),
            notes=tuple(notes),
        )

    def _notes(self, found: Comparison) -> list[str]:
        notes = [replicate_note(len(found.replicates))]
        if found.edges:
            where = " and ".join(found.edges)
            notes.append(f"the worst point lies on the edge of the grid ({where}); a larger attack may recover more")
        if found.absent:
            notes.append(f"replicates {list(found.absent)} are left out: model, control or original is missing there")
        return [note for note in notes if note]

    def _method(self, label: str) -> dict[str, Any]:
        """One row of ``methods``."""
        found, rows = self.compared[label], self.table.rows("method", label)
        used = [rows[replicate] for replicate in found.replicates]
        t_recall = min((_best(row.t_recall_P) for row in used), default=math.nan)
        utility = measured(np.array([row.utility_P[0] for row in used])) if self.world.utility_known else None
        verdict, reasons = decide(self._evidence(found, label, t_recall, utility), self.epsilon)
        chosen = zip(used, found.attacked.choices_M2, strict=True)
        attacks = by_attack(self.table, label)
        return {
            "label": label,
            "verdict": verdict,
            "usability": usability(math.nan if utility is None else utility)
            if self.world.utility_known
            else "unmeasured",
            "reasons": reasons,
            "before": found.before.as_dict(),
            "after": found.after.as_dict(),
            "e0": _json(found.e0),
            "e_star": _json(found.e_star),
            "worst_points": list(found.worst_points),
            "utility_before": utility,
            "utility_after": measured(np.concatenate([row.utility_P[pair] for row, pair in chosen]))
            if self.world.utility_known
            else None,
            "t_recall": _known(t_recall),
            "speed": _known(self._speed(label)),
            "attacks": [row.as_dict() for row in attacks],
            "winning_attack": winner(attacks),
            "forget_metrics": dict(self.world.forget_metrics.get(label, {})),
        }


def _best(t_recall_P: Floats) -> float:
    known = t_recall_P[~np.isnan(t_recall_P)]
    return float(known.max()) if known.size else math.nan


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _json(found: Interval | None) -> dict[str, float] | None:
    return found.as_dict() if found else None
