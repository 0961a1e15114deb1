"""Verdicts by group of facts: one attribute, or one of several requests to forget, judged as a world of its own.

Nothing is attacked again: the scores of a group's facts are read from the same attack points. The rule is the whole
world's: b* is chosen anew, on one half of the group's subjects and scored on the other, for the method, the control and
the null alike. T-recall, learning speed and utility are the model's and the attack's, not the group's. A group has
fewer subjects, so its intervals are wider, and below 40 of them it is never `forgotten`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from expunge.audit.entry import WorldEntry
from expunge.audit.table import Table
from expunge.audit.types import Trajectories

NOTHING: Mapping[str, Any] = {"before": None, "after": None, "e0": None, "e_star": None, "worst_points": []}


@dataclass(frozen=True, slots=True)
class Group:
    """A group's name as it stands in audit.json, such as ``{"attribute": "pet"}`` or ``{"request": 2}``, and the
    trajectories of all models on its facts alone; else ``fault`` says why there are none.
    """

    name: Mapping[str, str | int]
    trajectories: Sequence[Trajectories] = ()
    fault: str = ""


def by_group(whole: WorldEntry, groups: Sequence[Group]) -> dict[str, list[dict[str, Any]]]:
    """Method label → its entry ``groups``: a verdict with its reasons for each group."""
    found: dict[str, list[dict[str, Any]]] = {label: [] for label in whole.compared}
    for group in groups:
        own = None if group.fault else _entry(whole, group)
        for label, rows in found.items():
            rows.append({**group.name, **(_judged(own, label) if own else _without(group.fault))})
    return found


def _entry(whole: WorldEntry, group: Group) -> WorldEntry:
    """The group as a world of its own, under the same settings."""
    given = whole.table
    table = Table(group.trajectories, resamples=given.resamples, seed=given.seed, usable_only=given.usable_only)
    return WorldEntry(table, whole.world, whole.epsilon, whole)


def _judged(own: WorldEntry, label: str) -> dict[str, Any]:
    return {"num_v_subjects": own.compared[label].num_subjects, **own.judged(label)}


def _without(fault: str) -> dict[str, Any]:
    return {"num_v_subjects": 0, "verdict": "inconclusive", "reasons": [fault], **NOTHING}
