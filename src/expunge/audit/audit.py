"""The audit of one world: every method against its control, the null row, and a verdict with reasons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from expunge.audit.entry import WorldEntry
from expunge.audit.groups import Group, by_group
from expunge.audit.table import Table
from expunge.audit.types import Trajectories, World
from expunge.audit.verdict import EPSILON
from expunge.core.errors import InputError

SCHEMA = 1
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class AuditResult:
    """One world's entry of audit.json as plain JSON data, and what a study may act on.

    ``edges`` maps a method to the edges of the grid (``steps``, ``lr``) that its worst points lie on: extend the
    grid there once and audit again.
    """

    entry: Mapping[str, Any]
    edges: Mapping[str, tuple[str, ...]]

    def as_dict(self) -> dict[str, Any]:
        """The entry of audit.json under ``worlds``."""
        return dict(self.entry)

    def verdicts(self) -> dict[str, str]:
        """Method label → verdict."""
        return {method["label"]: method["verdict"] for method in self.entry["methods"]}


def audit(
    trajectories: Sequence[Trajectories],
    world: World | None = None,
    *,
    epsilon: float = EPSILON,
    resamples: int = RESAMPLES,
    seed: int = 0,
    usable_only: bool = False,
    groups: Sequence[Group] = (),
) -> AuditResult:
    """Audit one world.

    By default every attack point is a candidate for b*, since who wants the facts need not care for the rest of the
    model; ``usable_only`` keeps to the points that left it usable. Each of two or more ``groups`` of facts is judged by
    itself too, method by method (:mod:`expunge.audit.groups`). Raises :class:`InputError` without a method, or
    when trajectories contradict each other.
    """
    table = Table(trajectories, resamples=resamples, seed=seed, usable_only=usable_only)
    if not table.labels("method"):
        raise InputError("the audit has no method to judge; give trajectories with role 'method'.")
    found = WorldEntry(table, world or World(), epsilon)
    entry = found.entry()
    if len(groups) > 1:
        judged = by_group(found, groups)
        entry["methods"] = [{**method, "groups": judged[method["label"]]} for method in entry["methods"]]
    return AuditResult(entry, {label: comparison.edges for label, comparison in found.compared.items()})


def assemble(results: Sequence[AuditResult], *, epsilon: float = EPSILON, resamples: int = RESAMPLES) -> dict[str, Any]:
    """audit.json of a study: its worlds one after another."""
    return {"schema": SCHEMA, "epsilon": epsilon, "resamples": resamples, "worlds": [r.as_dict() for r in results]}
