"""Retraining on T: every part of V is scored once, by a model that was trained on all facts but that part."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import ClassVar

from expunge.attacks.base import USABLE_SHARE, AttackPoint, UtilityMeasure
from expunge.attacks.relearn import Relearn
from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact, Knowledge, Split
from expunge.knowledge.splits import joined
from expunge.models.load import LoadedModel
from expunge.registry import attack


@attack("rtt")
@dataclass(frozen=True, kw_only=True)
class RTT(Relearn):
    """RTT: attack on T, score V, one split left out at a time, over a grid of rates a factor of two apart.

    Deeb and Roger (arXiv 2410.08827), sections 3 and 4. Kept: the facts are independent, ``folds`` splits (5, the
    default of their code), each left out once and scored by a model that was trained on the others; rates doubling; the
    best rate and length count. Here the splits cut V, by subjects that share nothing, and T is always trained on: the
    attacker knows more of V than in ``relearn``, but never the part that is scored, and the control meets the same.
    Different: AdamW in fp32 for Lion in fp16, and so other rates (theirs run from 1e-7 to 5e-6; Lion's are several
    times smaller, so ours begin higher: our choice); the loss is on the answer, theirs on question and answer; budgets
    are steps, theirs 6 to 10 epochs. T recall and the T rows of a point: T recall and utility are means over the
    folds, T's probes those of the first.
    """

    paper: ClassVar[str] = "Deeb and Roger 2024, arXiv 2410.08827"
    family: ClassVar[str] = "relearning"
    protocol: ClassVar[str] = "rtt"
    needs: ClassVar[tuple[str, ...]] = ("weights", "T", "V")

    rates: tuple[float, ...] = (5e-6, 1e-5, 2e-5, 4e-5, 8e-5, 1.6e-4)
    steps: tuple[int, ...] = (4, 8, 16, 32, 64)
    sources: tuple[str, ...] = ("rows",)
    folds: int = 5

    def __post_init__(self) -> None:
        """Refuse a single split: nothing would be left out."""
        Relearn.__post_init__(self)
        if self.folds < 2:
            raise InputError(f"attack 'rtt': folds is {self.folds}; leaving one out needs at least 2.")

    def rows_of_grid(self) -> list[tuple[str, str, float]]:
        """Every training run: the grid once a fold."""
        return Relearn.rows_of_grid(self) * self.folds

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
        """Walk the grid once a fold, and put the folds' readings of each point together."""
        walks = []
        for held in left_out(split.score, self.folds, derive(seed, "rtt")) or [set()]:
            fold = part(split, held)
            also = {name: tuple(f for f in facts if f.subject in held) for name, facts in (also_score or {}).items()}
            found = Relearn.run(self, loaded, knowledge, fold, utility, seed=seed, also_score=also)
            walks.append({point.id: point for point in found})
        shared = [name for name in walks[0] if all(name in walk for walk in walks)]
        before = merged([walk["before"] for walk in walks], None)
        return [before, *(merged([walk[name] for walk in walks], before) for name in shared if name != "before")]


def left_out(facts: Sequence[Fact], folds: int, seed: int) -> list[set[str]]:
    """Subjects by fold: groups that share a string stay together, larger ones first, each to the smallest fold."""
    groups, _ = joined(facts)
    random.Random(seed).shuffle(groups)
    found: list[set[str]] = [set() for _ in range(min(folds, len(groups)))]
    for group in sorted(groups, key=len, reverse=True):
        min(found, key=len).update(group)
    return found


def part(split: Split, held: set[str]) -> Split:
    """``held`` is scored, all else is trained on."""
    rest = tuple(fact for fact in split.score if fact.subject not in held)
    return replace(split, train=(*split.train, *rest), score=tuple(f for f in split.score if f.subject in held))


def merged(points: Sequence[AttackPoint], before: AttackPoint | None) -> AttackPoint:
    """One point of all folds: every fold's own V, and means of what is measured on the whole model."""
    first = points[0]
    utility = fmean(point.utility for point in points)
    names = [name for name in first.utility_parts if all(name in point.utility_parts for point in points)]
    parts = {name: _mean([point.utility_parts[name] for point in points]) for name in names}
    scored = (probe for point in points for probe in point.probes if probe.split != "T")
    return replace(
        first,
        utility=utility,
        utility_parts=parts,
        usable=before is None or utility >= USABLE_SHARE * before.utility,
        t_recall=_mean([point.t_recall for point in points]),
        probes=(*scored, *(probe for probe in first.probes if probe.split == "T")),
        diverged=any(point.diverged for point in points),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
