"""The audit examined: on models whose truth is known, is its verdict right, and would a single number do as well?

Every model of the pool was audited by itself, as if nothing else were known of it. ``examine`` compares the audit's
number, excess recovery at b*, with every metric and every attack alone (:mod:`expunge.audit.examine_auc`), and counts
verdicts by truth. All of it is told twice: for the whole pool, and for the held-out families alone, which no choice in
the audit's design was made on.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from expunge.audit.examine_auc import auc, auc_interval
from expunge.audit.examine_claims import claims
from expunge.audit.examine_pool import MODES, Member, Mode, named
from expunge.core.errors import InputError

SCHEMA = 1
VERDICTS = ("retained", "suppressed", "inconclusive", "forgotten")
TRUTHS = ("N", "P", "damaged", "uncertified")
Score = Callable[[Member], float]


def examine(
    members: Sequence[Member],
    *,
    epsilon: float,
    resamples: int,
    seed: int = 0,
    not_measured: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """examine.json; ``not_measured`` says of numbers that no model has why that is.

    Raises :class:`InputError` for an empty pool and for a model that is there twice.
    """
    places = [(member.world, member.label) for member in members]
    if not members or len(set(places)) < len(places):
        raise InputError("the pool is empty or holds a model twice; name every model once.")
    settings = {"resamples": resamples, "seed": seed}
    scopes = {
        "all": _scope(members, **settings),
        "held_out": _scope([member for member in members if member.held_out], **settings),
    }
    return {
        "schema": SCHEMA,
        "epsilon": epsilon,
        "resamples": resamples,
        "worlds": sorted({member.world for member in members}),
        "models": [member.as_dict() for member in members],
        "scopes": scopes,
        "not_measured": dict(not_measured or {}),
        "claims": claims(scopes["all"], scopes["held_out"]),
    }


def _scope(members: Sequence[Member], *, resamples: int, seed: int) -> dict[str, Any]:
    """AUCs and tables over some models; uncertified and damaged ones stand in the tables only."""
    knows = [member for member in members if member.truth == "P"]
    never = [member for member in members if member.truth == "N"]
    pair = _Pair(knows, never, resamples, seed)
    return {
        "counts": {truth: sum(member.truth == truth for member in members) for truth in TRUTHS},
        "audit": {mode: pair.rated(_statistic(mode)) for mode in MODES},
        "single": [{"name": name, "kind": kind, **pair.single(name)} for name, kind in named(members).items()],
        "confusion": {mode: _table(members, VERDICTS, _said(mode)) for mode in MODES},
        "usability": _table(members, ("usable", "damaged", "unmeasured"), lambda one: one.usability),
    }


def _statistic(mode: Mode) -> Score:
    return lambda member: member.judged[mode].statistic


def _said(mode: Mode) -> Callable[[Member], str]:
    return lambda member: member.judged[mode].verdict


def _table(
    members: Sequence[Member], columns: Sequence[str], read: Callable[[Member], str]
) -> dict[str, dict[str, int]]:
    """Counts by truth and by what was said."""
    return {
        truth: {column: sum(read(one) == column for one in members if one.truth == truth) for column in columns}
        for truth in TRUTHS
    }


class _Pair:
    """The models that know and those that never did, and any number's AUC between them."""

    def __init__(self, knows: Sequence[Member], never: Sequence[Member], resamples: int, seed: int) -> None:
        self.sides, self.resamples, self.seed = (knows, never), resamples, seed

    def rated(self, score: Score) -> dict[str, Any]:
        """AUC with its interval over the models that have the number, and how many have none."""
        knows, never = ([one for one in side if not math.isnan(score(one))] for side in self.sides)
        missing = sum(map(len, self.sides)) - len(knows) - len(never)
        if not knows or not never:
            return {"auc": None, "missing": missing}
        worlds = ([one.world for one in knows], [one.world for one in never])
        values = ([score(one) for one in knows], [score(one) for one in never])
        found = auc_interval(*values, worlds, resamples=self.resamples, seed=self.seed)
        return {"auc": found.as_dict(), "missing": missing}

    def single(self, name: str) -> dict[str, Any]:
        """One number alone, and what it and the audit say of the models that fool it."""

        def score(member: Member) -> float:
            return member.numbers.get(name, math.nan)

        return {**self.rated(score), "fooling": self._fooling(score)}

    def _fooling(self, score: Score) -> dict[str, Any] | None:
        """The models that know and yet score no higher than some innocent: what no threshold that spares every
        innocent would find. ``None`` where there are none, or no innocent to compare with."""
        knows, never = ([one for one in side if not math.isnan(score(one))] for side in self.sides)
        if not never:
            return None
        highest = max(score(one) for one in never)
        fooling = [one for one in knows if score(one) <= highest]
        if not fooling:
            return None
        own = auc([score(one) for one in fooling], [score(one) for one in never])
        return {"P": len(fooling), "auc": own, "audit": {mode: _plain(fooling, never, mode) for mode in MODES}}


def _plain(knows: Sequence[Member], never: Sequence[Member], mode: Mode) -> float | None:
    """The audit's AUC on these models, unless it has no number for one of them."""
    values: Mapping[int, list[float]] = {
        side: [one.judged[mode].statistic for one in models] for side, models in enumerate((knows, never))
    }
    if any(math.isnan(value) for side in values.values() for value in side):
        return None
    return auc(values[0], values[1])
