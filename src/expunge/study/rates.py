"""How fast a machine is: seconds from tokens, by rule of thumb or as measured (:mod:`expunge.study.calibrate`)."""

from dataclasses import dataclass

from expunge.study.effort import Effort

SMALLEST = 3e6
"""A model of fewer weights is no faster: what a step costs beside its products (our choice, from two cores)."""
START_S, READ = 0.5, 5e7
"""Seconds before anything is read, and weights that are read in a second (our choice)."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Tokens a second of one cell while others run beside it, and ``start_s``, the seconds until a model is there."""

    trained: float
    scored: float
    written: float
    start_s: float

    @classmethod
    def guessed(cls, weights: float) -> "Rates":
        """Two cores: SmolLM2's 135 million weights train on about 100 tokens a second, scoring is three times that."""
        rate = 1.4e10 / (weights + SMALLEST)
        return cls(rate, 3 * rate, rate, START_S + weights / READ)

    def seconds(self, effort: Effort) -> float:
        """What the effort takes, the start left out."""
        parts = (effort.trained / self.trained, effort.scored / self.scored, effort.written / self.written)
        return sum(parts)
