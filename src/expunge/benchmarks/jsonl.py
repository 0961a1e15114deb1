"""A user's own facts from JSON lines."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from expunge.benchmarks.base import Benchmark
from expunge.core.seeds import derive
from expunge.knowledge.facts import Knowledge
from expunge.knowledge.jsonl import check_disjoint, read_facts
from expunge.knowledge.splits import share
from expunge.knowledge.worlds.texts import unrelated
from expunge.registry import benchmark


@benchmark("jsonl")
@dataclass(frozen=True, kw_only=True)
class JsonLines(Benchmark):
    """Facts of your own from JSON lines; the model is taken to know them.

    ``retain`` is cut by subject: the share ``eval_fraction`` measures utility, the unlearner sees the rest.
    """

    taught: ClassVar[bool] = False
    forget: str
    retain: str | None = None
    eval_fraction: float = 0.5

    def build(self, seed: int) -> Knowledge:
        """The files' facts, the retain cut drawn from this seed. Row-numbered errors."""
        forget = read_facts(Path(self.forget), start="forget")
        retain = read_facts(Path(self.retain), start="retain") if self.retain else ()
        check_disjoint(forget, retain)
        train, held_out = share(retain, (1 - self.eval_fraction, self.eval_fraction), derive(seed, "retain"))
        return Knowledge("jsonl", forget, train, held_out, streams={"unrelated": unrelated(len(forget), seed)})
