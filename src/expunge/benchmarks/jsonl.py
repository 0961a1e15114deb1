"""A user's own facts from JSON lines."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from expunge.benchmarks.base import Benchmark
from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Knowledge
from expunge.knowledge.jsonl import check_disjoint, read_facts
from expunge.knowledge.placebo import ALL, placebo_facts
from expunge.knowledge.splits import share
from expunge.knowledge.worlds.texts import unrelated
from expunge.registry import benchmark


@benchmark("jsonl")
@dataclass(frozen=True, kw_only=True)
class JsonLines(Benchmark):
    """Facts of your own from JSON lines; the model is taken to know them.

    ``retain`` is cut by subject: the share ``eval_fraction`` measures utility, the unlearner sees the rest.
    ``placebo`` is a number of subjects that never existed, asked about in the words of your own facts, or ``all`` for
    as many as can be drawn (:mod:`expunge.knowledge.placebo`); none by default.
    """

    taught: ClassVar[bool] = False
    forget: str
    retain: str | None = None
    eval_fraction: float = 0.5
    placebo: int | str = 0

    def __post_init__(self) -> None:
        """Refuse what is no number of placebo subjects."""
        number = isinstance(self.placebo, int) and not isinstance(self.placebo, bool) and self.placebo >= 0
        if not number and self.placebo != ALL:
            raise InputError(f"jsonl placebo is {self.placebo!r}; give a number of subjects from 0, or {ALL!r}.")

    def build(self, seed: int) -> Knowledge:
        """The files' facts, the retain cut drawn from this seed. Row-numbered errors."""
        forget = read_facts(Path(self.forget), start="forget")
        retain = read_facts(Path(self.retain), start="retain") if self.retain else ()
        check_disjoint(forget, retain)
        train, held_out = share(retain, (1 - self.eval_fraction, self.eval_fraction), derive(seed, "retain"))
        placebo = placebo_facts(forget, retain, self.placebo, derive(seed, "placebo")) if self.placebo else ()
        streams = {"unrelated": unrelated(len(forget), seed)}
        return Knowledge("jsonl", forget, train, held_out, placebo, streams)
