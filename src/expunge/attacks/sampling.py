"""Sampling: ask the same question many times and see whether any of the answers holds the fact."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from expunge.attacks.base import AttackPoint, ProbeReading
from expunge.attacks.hearing import told
from expunge.attacks.prompting import AskedSets, PromptAttack, point_of
from expunge.attacks.variants import Material, Variant, plain
from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.models.load import LoadedModel
from expunge.models.text_only import TextOnly, Turn
from expunge.registry import attack
from expunge.scoring.by_text import written
from expunge.scoring.judges.base import Judge, judge_of
from expunge.scoring.probes import Asked


@attack("sampling")
@dataclass(frozen=True, kw_only=True)
class Sampling(PromptAttack):
    """Leakage at k: a probe is hit when any of the first k sampled answers holds the answer, as ``judge`` finds it.

    Scholten et al. (arXiv 2410.03523): greedy decoding shows one answer of a distribution, and what was pushed
    just below the top still comes in some draws. ``budgets`` are k; ``temperatures`` are points' knobs (0.7 and 1, our
    choice: the model's own distribution and a sharper one); ``tokens`` = 32 new tokens at most (our choice). A draw
    depends on model, question, temperature, seed and its number only, so draws at a smaller k are the first
    of those at a larger one. The log-probability is that of the plain question, at every k.
    """

    name: ClassVar[str] = "sampling"
    paper: ClassVar[str] = "arXiv 2410.03523"
    needs: ClassVar[tuple[str, ...]] = ("outputs",)
    known: ClassVar[tuple[str, ...]] = ("question",)

    sources: tuple[str, ...] = ("question",)
    budgets: tuple[int, ...] = (1, 4, 16, 64)
    temperatures: tuple[float, ...] = (0.7, 1.0)
    tokens: int = 32

    def __post_init__(self) -> None:
        """Refuse temperatures that draw nothing, and texts of no tokens."""
        PromptAttack.__post_init__(self)
        value = self.temperatures if isinstance(self.temperatures, Sequence) else (self.temperatures,)
        object.__setattr__(self, "temperatures", tuple(map(float, value)))
        if not self.temperatures or min(self.temperatures) <= 0:
            raise InputError("attack 'sampling': temperatures must be above 0; greedy answers are read before.")
        if self.tokens < 1:
            raise InputError(f"attack 'sampling': tokens is {self.tokens}; it must be at least 1.")

    def variants(self, source: str, asked: Asked, material: Material) -> list[Variant]:
        """The plain question."""
        return [plain(asked)]

    def walk(self, loaded: LoadedModel, material: Material, asked: AskedSets, before: AttackPoint) -> list[AttackPoint]:
        """The points of every temperature; questions that sets share (V and permuted V) are put once."""
        items = [item for name in asked for item in asked[name]]
        read = [probe for name in asked for probe in before.probes if probe.split == name]
        points = []
        judge, keep = judge_of(self.judge), isinstance(loaded, TextOnly)
        for temperature in self.temperatures:
            texts = self._texts(loaded, material.seed, items, temperature)
            firsts = _first_hits([(item, texts[plain(item).turn]) for item in items], judge, keep)
            points += [_point(before, read, firsts, temperature, k) for k in self.budgets]
        return points

    def _texts(
        self, loaded: LoadedModel, seed: int, items: Sequence[Asked], temperature: float
    ) -> dict[Turn, list[str]]:
        """As many answers to each question as the largest budget pays for."""
        texts: dict[Turn, list[str]] = {}
        for item in items:
            turn = plain(item).turn
            if turn not in texts:
                own = derive(seed, "sampling", f"{temperature:g}", item.probe.prompt)
                many = [turn] * self.budgets[-1]
                texts[turn] = written(loaded, many, max_new_tokens=self.tokens, temperature=temperature, seed=own)
        return texts


def _first_hits(said: Sequence[tuple[Asked, Sequence[str]]], judge: Judge, keep: bool) -> list[int | None]:
    """The number of the first draw, from 1, that gives the answer, by question."""
    hits = iter(told(judge, [(item.row.key, plain(item), text) for item, texts in said for text in texts], keep))
    found = [[next(hits) for _ in texts] for _, texts in said]
    return [own.index(True) + 1 if any(own) else None for own in found]


def _point(
    before: AttackPoint, read: Sequence[ProbeReading], firsts: Sequence[int | None], temperature: float, k: int
) -> AttackPoint:
    hits = (first is not None and first <= k for first in firsts)
    probes = [replace(probe, hit=hit) for probe, hit in zip(read, hits, strict=True)]
    return point_of(before, "question", Sampling.name, k, probes, knob=temperature)
