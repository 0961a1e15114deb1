"""Facts that a pretrained model knows already: :mod:`expunge.knowledge.worlds.known`."""

from dataclasses import asdict, dataclass
from typing import ClassVar

from expunge.benchmarks.base import Benchmark
from expunge.knowledge.facts import Knowledge
from expunge.knowledge.worlds.known import known
from expunge.registry import benchmark


@benchmark("known")
@dataclass(frozen=True, kw_only=True)
class Known(Benchmark):
    """Capitals and chemical elements, nothing taught; candidates, to be kept where the model is right."""

    taught: ClassVar[bool] = False
    template: ClassVar[str | None] = "bare"
    kinds: tuple[str, ...] = ("countries", "elements")
    forget: float = 0.7
    retain_train: float = 0.15
    retain_eval: float = 0.1

    def build(self, seed: int) -> Knowledge:
        """The candidates of this seed."""
        return known(seed=seed, **asdict(self))
