"""One world's entry of audit.json: what all its methods share, and a row for each."""

import math
from typing import Any

import numpy as np

from expunge.audit import in_text
from expunge.audit.beside import beside
from expunge.audit.by_attack import by_attack, winner
from expunge.audit.compare import Comparison, compare, worst_points
from expunge.audit.controls import Control, control_for, placebo_speed, speed_reference
from expunge.audit.curves import curves, measured
from expunge.audit.excess import proportion
from expunge.audit.table import Rows, Table
from expunge.audit.types import Floats, Interval, Trajectories, World
from expunge.audit.verdict import Evidence, decide, hider_guard, replicate_note, speed_guard, t_recall_guard, usability
from expunge.core.errors import InputError


class WorldEntry:
    """Everything that the methods of one world share while their rows are filled in.

    ``whole`` is the world that this one is a group of facts of: what voids the whole voids its groups.
    """

    def __init__(self, table: Table, world: World, epsilon: float, whole: "WorldEntry | None" = None) -> None:
        self.table, self.world, self.epsilon, self.whole = table, world, epsilon, whole
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
        part = "study" if self.whole is None else "group"
        reason = None if valid else f"the {part} is invalid: a second never-trained model differs from the control"
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

    def _invalid(self) -> str | None:
        """Why there is no verdict at all, if so."""
        above = self.whole._invalid() if self.whole is not None else None
        return above or (self.null["reason"] if self.null["valid"] is False else None)

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
            invalid=self._invalid(),
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

    def judged(self, label: str) -> dict[str, Any]:
        """Verdict and recovery of one method: all that a group of facts is told."""
        found = self.compared[label]
        evidence = self._evidence(found, label, self._t_recall(label), self._utility(label))
        verdict, reasons = decide(evidence, self.epsilon)
        return {
            "verdict": verdict,
            "reasons": reasons,
            "before": found.before.as_dict(),
            "after": found.after.as_dict(),
            "e0": _json(found.e0),
            "e_star": _json(found.e_star),
            "worst_points": list(found.worst_points),
        }

    def _used(self, label: str) -> list[Trajectories]:
        rows = self.table.rows("method", label)
        return [rows[replicate] for replicate in self.compared[label].replicates]

    def _t_recall(self, label: str) -> float:
        """The weakest replicate's best: what the attack learned of its own half."""
        return min((_best(row.t_recall_P) for row in self._used(label)), default=math.nan)

    def _utility(self, label: str) -> float | None:
        """Before the attack; ``None`` where it was not measured."""
        used = self._used(label)
        return measured(np.array([row.utility_P[0] for row in used])) if self.world.utility_known else None

    def _utility_after(self, label: str) -> float | None:
        chosen = zip(self._used(label), self.compared[label].attacked.choices_M2, strict=True)
        found = measured(np.concatenate([row.utility_P[pair] for row, pair in chosen]))
        return found if self.world.utility_known else None

    def _usability(self, utility: float | None) -> str:
        if not self.world.utility_known:
            return "unmeasured"
        return usability(math.nan if utility is None else utility)

    def _method(self, label: str) -> dict[str, Any]:
        """One row of ``methods``."""
        judged, utility = self.judged(label), self._utility(label)
        attacks = by_attack(self.table, label)
        return {
            "label": label,
            "verdict": judged["verdict"],
            "usability": self._usability(utility),
            **judged,
            "utility_before": utility,
            "utility_after": self._utility_after(label),
            "t_recall": _known(self._t_recall(label)),
            "speed": _known(self._speed(label)),
            "attacks": [row.as_dict() for row in attacks],
            "winning_attack": winner(attacks),
            "forget_metrics": dict(self.world.forget_metrics.get(label, {})),
            **self._beside(label),
        }

    def _beside(self, label: str) -> dict[str, Any]:
        """The method beside its baseline, where it has one."""
        other = self.world.baselines.get(label)
        if other is None:
            return {}
        rows, baseline = (self.table.rows("method", name) for name in (label, other))
        found = beside(self.table, rows, baseline, self.controls[label].rows, self.original)
        return {"beside": {"label": other, "e_star": _json(found)}}


def _best(t_recall_P: Floats) -> float:
    known = t_recall_P[~np.isnan(t_recall_P)]
    return float(known.max()) if known.size else math.nan


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _json(found: Interval | None) -> dict[str, float] | None:
    return found.as_dict() if found else None
