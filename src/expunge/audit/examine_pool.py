"""The pool that an audit is examined on: models whose truth is known, and what the audit and every number said."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from expunge.audit.types import Interval
from expunge.certificates.base import CERTIFIED

Truth = Literal["N", "P", "damaged", "uncertified"]
Mode = Literal["retrained", "placebo"]
MODES: tuple[Mode, ...] = ("retrained", "placebo")
"""Compared with the retrained control, or with placebos alone, as if no control could be had."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What the audit said in one mode; ``statistic`` is excess recovery at b*, NaN where there is none."""

    verdict: str
    e0: Interval | None
    e_star: Interval | None
    reasons: tuple[str, ...] = ()

    @property
    def statistic(self) -> float:
        """The number that the audit ranks models by."""
        return math.nan if self.e_star is None else self.e_star.value

    def as_dict(self) -> dict[str, Any]:
        """The entry of a model in examine.json."""
        ends = {name: None if found is None else found.as_dict() for name, found in self._intervals().items()}
        return {"verdict": self.verdict, **ends, "reasons": list(self.reasons)}

    def _intervals(self) -> Mapping[str, Interval | None]:
        return {"e0": self.e0, "e_star": self.e_star}


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One model of the pool.

    ``world`` names the drawn world (its models are no independent draws), ``family`` the way in which the model was
    made. ``claimed`` is what the recipe says of it: ``N`` never knew, ``P`` knows and hides, ``damaged``. ``restored``
    is the certificate's finding, ``None`` where there is none. ``numbers`` are single numbers by name, turned so that
    more means that the model knows; ``kinds`` says of each whether it is a ``metric`` or an ``attack`` alone.
    """

    world: str
    label: str
    family: str
    claimed: Literal["N", "P", "damaged"]
    held_out: bool
    usability: str
    judged: Mapping[Mode, Judged]
    numbers: Mapping[str, float] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    restored: float | None = None
    certificate: str | None = None
    uncertain: str | None = None

    @property
    def truth(self) -> Truth:
        """What the model counts as: a hider without a certificate proves nothing about an audit."""
        if self.claimed == "P" and (self.restored is None or self.restored < CERTIFIED):
            return "uncertified"
        return self.claimed

    def as_dict(self) -> dict[str, Any]:
        """The model's entry in examine.json; ``reason`` says why there is no certificate."""
        names = ("world", "label", "family", "truth", "claimed", "held_out", "usability", "restored", "certificate")
        plain = {name: getattr(self, name) for name in names}
        numbers = {name: None if math.isnan(value) else value for name, value in self.numbers.items()}
        judged = {mode: found.as_dict() for mode, found in self.judged.items()}
        return {**plain, "reason": self.uncertain, "audit": judged, "numbers": numbers}


def named(members: Sequence[Member]) -> dict[str, str]:
    """Every single number that some model has, with its kind, metrics first."""
    kinds = {name: kind for member in members for name, kind in member.kinds.items()}
    return dict(sorted(kinds.items(), key=lambda item: (item[1] != "metric", item[0])))
