"""What every benchmark is: parameters that yield one study world from one seed, and perhaps scores of its own."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar

from expunge.knowledge.facts import Knowledge
from expunge.metrics.base import Lender, Reading
from expunge.models.chat import Encoder

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class OwnScore:
    """What a score of a benchmark's own means, declared as a metric's meaning is.

    ``direction`` is what a model that forgot shows, ``never_trained`` what one gives that never knew, ``needs`` what
    must be at hand beside the model.
    """

    summary: str
    direction: Literal["lower", "higher"] = "lower"
    range: tuple[float, float] = (0.0, 1.0)
    never_trained: float | None = None
    needs: tuple[Literal["original", "control"], ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """A model and its world, as a benchmark's own scores see them; ``generate`` bounds the answers written a set."""

    model: Lender
    encoder: Encoder
    knowledge: Knowledge
    original: Lender | None = None
    control: Lender | None = None
    generate: int = 64
    seed: int = 0

    def few(self, items: Sequence[Item]) -> Sequence[Item]:
        """An even choice of at most ``generate`` items, at least one where there are any."""
        return items[:: max(1, -(-len(items) // max(self.generate, 1)))]


@dataclass(frozen=True, kw_only=True)
class Benchmark(ABC):
    """A source of :class:`Knowledge`. Fields are its parameters; the same seed gives the same world.

    ``taught`` says that a model must first be taught the facts; without it, it knows them from pretraining.
    ``template`` is the prompt template that the rows are made for, where it matters. ``own_scores`` declares, by name,
    the scores that :meth:`measure` gives; a study records them as ``<benchmark>.<name>`` where its recipe sets
    ``eval.benchmark_scores``. ``membership`` names the streams of documents that the benchmark's membership attacks
    tell apart, members first; without it they take the forget facts and the placebo facts.
    """

    taught: ClassVar[bool] = True
    template: ClassVar[str | None] = None
    own_scores: ClassVar[Mapping[str, OwnScore]] = {}
    membership: ClassVar[tuple[str, str] | None] = None

    @abstractmethod
    def build(self, seed: int) -> Knowledge:
        """The world of this seed. Raises :class:`expunge.core.errors.InputError` for parameters it cannot serve."""

    def measure(self, seen: Seen) -> dict[str, Reading]:
        """One reading, or the reason why there is none, for every name in :attr:`own_scores`."""
        return {}
