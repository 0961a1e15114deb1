"""What every benchmark is: parameters that yield one study world from one seed."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from expunge.knowledge.facts import Knowledge


@dataclass(frozen=True, kw_only=True)
class Benchmark(ABC):
    """A source of :class:`Knowledge`. Fields are its parameters; the same seed gives the same world.

    ``taught`` says that a model must first be taught the facts; without it, it knows them from pretraining.
    ``template`` is the prompt template that the rows are made for, where it matters.
    """

    taught: ClassVar[bool] = True
    template: ClassVar[str | None] = None

    @abstractmethod
    def build(self, seed: int) -> Knowledge:
        """The world of this seed. Raises :class:`expunge.core.errors.InputError` for parameters it cannot serve."""
