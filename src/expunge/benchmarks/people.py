"""Invented people, taught to the model: :mod:`expunge.knowledge.worlds.people`."""

from dataclasses import asdict, dataclass

from expunge.benchmarks.base import Benchmark
from expunge.knowledge.facts import Knowledge
from expunge.knowledge.worlds.people import people
from expunge.registry import benchmark


@benchmark("people")
@dataclass(frozen=True, kw_only=True)
class People(Benchmark):
    """Any number of invented people with several independent attributes; sizes count people.

    The default leaves 40 people in V, the least that allows the verdict `forgotten`. With ``mentions`` the
    stream ``background`` has so many sentences about each person to be forgotten that tell nothing.
    """

    num_forget: int = 80
    num_retain_train: int = 80
    num_retain_eval: int = 40
    num_placebo: int = 40
    num_same_kind: int | None = None
    attributes: int = 3
    two_hop: bool = False
    mentions: int = 0

    def build(self, seed: int) -> Knowledge:
        """The world of this seed."""
        return people(seed=seed, **asdict(self))
