"""Uniform averaging of the weights late in training."""

from dataclasses import dataclass
from typing import ClassVar

from expunge.core.errors import InputError
from expunge.registry import smoother
from expunge.smoothing.average import WeightAverage


@smoother("averaging")
@dataclass(frozen=True, kw_only=True)
class Averaging(WeightAverage):
    """The arithmetic mean of the weights after every ``every``-th step of the run's last part.

    Steps are counted back from the last one, which always enters. The defaults are the values of Fan et al.
    (2502.05374, released WMDP configuration): of 125 steps the mean of 100, 105, … 125, which is ``start`` 0.8 and
    ``every`` 5 (stochastic weight averaging, Izmailov et al. 1803.05407). They keep the mean in bf16; here it is fp32.
    A rate that falls to 0 leaves the last part little to average: use a constant one, and an earlier ``start``. Where
    ``max_kl`` ends a run before ``start``, nothing is averaged, and the weights are the inner method's: give 0.
    """

    paper: ClassVar[str] = "Fan et al. 2025, arXiv 2502.05374; Izmailov et al. 2018, arXiv 1803.05407"
    family: ClassVar[str] = "averaging"
    equation: ClassVar[str] = "θ̄_n = θ̄_{n−1} + (θ_t − θ̄_{n−1})/n"
    start: float = 0.8
    every: int = 5

    def __post_init__(self) -> None:
        """Refuse a distance below one step."""
        WeightAverage.__post_init__(self)
        if self.every < 1:
            raise InputError(f"smoothing parameter 'every' is {self.every!r}; it must be at least 1.")

    def counts(self, step: int, total: int) -> bool:
        """Whether the weights after ``step`` enter: late enough, and a multiple of ``every`` before the last."""
        return WeightAverage.counts(self, step, total) and (total - step) % self.every == 0

    def share(self, count: int) -> float:
        """One of ``count`` equal parts."""
        return 1 / count
