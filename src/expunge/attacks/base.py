"""The attack contract: what an attacker has, the budget grid it walks, and what is read at every point."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from expunge.knowledge.facts import Fact, Knowledge, Split
from expunge.models.load import LoadedModel
from expunge.models.view import View
from expunge.scoring.probes import ProbeScore
from expunge.scoring.utility_reading import UtilityReading

USABLE_SHARE = 0.9
"""A point is usable when utility keeps this share of the attacked model's own before the attack (design, Utility)."""

UtilityMeasure = Callable[[View], UtilityReading]


@dataclass(frozen=True, slots=True)
class ProbeReading:
    """One probe at one attack point. ``split`` is ``T``, ``V`` or the name of a further scored set."""

    fact: str
    subject: str
    form: str
    hit: bool
    logprob: float
    split: str

    @classmethod
    def of(cls, item: ProbeScore, split: str) -> "ProbeReading":
        """The reading of a scored probe; ``logprob`` is the summed label log-probability in nats."""
        return cls(item.fact.id, item.fact.subject, item.probe.form, item.score.greedy, -item.score.nll_sum, split)


@dataclass(frozen=True, slots=True)
class AttackPoint:
    """One point of the grid; ``steps`` 0 is the model before the attack, with ``source`` and ``access`` empty.

    An attack that trains nothing puts its variant in ``source``, its name in ``access``, its knob in ``lr`` and its
    budget, from 1, in ``steps``; its ``t_recall`` is ``None``.
    ``t_recall`` is recall on the T probes that this source trains on (where it trains on none: on T's questions).
    ``diverged`` marks budgets at which the attacker's training had broken down; they count as failed attacks.
    """

    source: str
    access: str
    lr: float
    steps: int
    utility: float
    utility_parts: Mapping[str, float | None]
    usable: bool
    t_recall: float | None
    probes: tuple[ProbeReading, ...]
    diverged: bool = False

    @property
    def id(self) -> str:
        """``before``, or source/access/lr/steps."""
        return f"{self.source}/{self.access}/{self.lr:g}/{self.steps}" if self.steps else "before"

    def as_dict(self) -> dict[str, Any]:
        """The point's entry in ``record.json``, without its probes."""
        return {
            "id": self.id,
            "source": self.source,
            "access": self.access,
            "lr": self.lr,
            "steps": self.steps,
            "utility": _known(self.utility),
            "utility_parts": dict(self.utility_parts),
            "usable": self.usable,
            "t_recall": self.t_recall,
            "diverged": self.diverged,
        }

    def samples(self) -> list[dict[str, Any]]:
        """The point's rows in ``samples.jsonl``."""
        return [
            {
                "point": self.id,
                "split": probe.split,
                "fact": probe.fact,
                "subject": probe.subject,
                "form": probe.form,
                "hit": int(probe.hit),
                "logprob": _known(probe.logprob),
            }
            for probe in self.probes
        ]

    def mean_score(self, split: str = "V") -> float:
        """Mean primary score over the probes of ``split``."""
        hits = [probe.hit for probe in self.probes if probe.split == split]
        return sum(hits) / len(hits)


def _known(value: float) -> float | None:
    """``value``, or ``None`` where it was not measured: JSON has no NaN."""
    return None if math.isnan(value) else value


@dataclass(frozen=True, kw_only=True)
class Attack:
    """Base of all attacks; fields are the budget grid.

    ``kind`` is what is attacked, ``needs`` what the attacker holds: ``weights``, ``T``, ``V`` (all of it but the part
    that is scored), ``original``, ``outputs`` (what the model writes), ``logprobs`` (what it gives its answers).
    ``by_text`` says that it can be run on a model of which only the text is seen
    (:class:`expunge.models.text_only.TextOnly`), and then needs ``outputs`` alone. ``spreads`` says that it can be run
    on a model that is spread over several processes: all ranks carry it out and make the same passes.
    """

    paper: ClassVar[str] = ""
    family: ClassVar[str] = ""
    by_text: ClassVar[bool] = False
    spreads: ClassVar[bool] = False

    kind: ClassVar[Literal["weights", "prompt", "readout"]]
    needs: ClassVar[tuple[str, ...]]

    @property
    def can_spread(self) -> bool:
        """Whether the attack, with these parameters, can be run on a model that is spread over several processes."""
        return self.spreads

    def notes(self, knowledge: Knowledge, split: Split) -> dict[str, Any]:
        """What the record should say of the data that the attack is run with; by default nothing."""
        return {}

    def run(
        self,
        loaded: LoadedModel,
        knowledge: Knowledge,
        split: Split,
        utility: UtilityMeasure,
        *,
        seed: int,
        also_score: Mapping[str, Sequence[Fact]] | None = None,
        original: LoadedModel | None = None,
    ) -> list[AttackPoint]:
        """Attack a copy of ``loaded`` and read V, T, ``also_score`` and utility at every budget point.

        The first point is ``before``. ``loaded`` itself is left bit for bit as it was. ``original`` is θ₀, for an
        attack that ``needs`` it.
        """
        raise NotImplementedError
