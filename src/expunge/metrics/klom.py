"""KLoM: do several unlearned models say what several retrained ones say, fact by fact and as a distribution?

Shapes: N unlearned models, K retrained ones.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import numpy as np

from expunge.core.errors import InputError
from expunge.metrics.base import Evidence, Metric, Need, Reading, Value
from expunge.metrics.separation import Table
from expunge.registry import metric

FEWEST = 2
"""Models on either side; one model has no distribution."""


def margin(probability: float, clip: float = 100.0) -> float:
    """Log-odds of an answer's probability, in nats, within ±``clip``: log p − log(1 − p)."""
    if probability <= 0 or probability >= 1:
        return math.copysign(clip, probability - 0.5)
    return min(clip, max(-clip, math.log(probability) - math.log1p(-probability)))


def klom(
    unlearned: Sequence[float], retrained: Sequence[float], *, bins: int = 20, pseudo: float = 0.5, clip: float = 100.0
) -> float:
    """KL(unlearned ‖ retrained) of the two histograms of one fact's margins, in nats.

    Bins of equal width span both sides, both ends included; margins are clipped at ±``clip``. ``pseudo`` is added to
    every bin's count, so that a bin that one side leaves empty costs something finite. Raises :class:`InputError` for
    fewer than two models a side, or a margin that is no number.
    """
    sides = [np.asarray(side, dtype=float) for side in (unlearned, retrained)]
    if min(map(len, sides)) < FEWEST:
        raise InputError(f"{_TOO_FEW} {len(unlearned)} and {len(retrained)}.")
    if any(np.isnan(side).any() for side in sides):
        raise InputError("a margin is not a number; a model has diverged.")
    left_N, right_K = (side.clip(-clip, clip) for side in sides)
    low, high = min(left_N.min(), right_K.min()), max(left_N.max(), right_K.max())
    if low == high:
        return 0.0
    p_B, q_B = (_histogram(side, low, high, bins, pseudo) for side in (left_N, right_K))
    return max(0.0, float((p_B * np.log(p_B / q_B)).sum()))


def _histogram(margins: Table, low: float, high: float, bins: int, pseudo: float) -> Table:
    """Shares of the bins."""
    counts_B: Table = np.histogram(margins, bins=bins, range=(low, high))[0] + pseudo
    shares_B: Table = counts_B / counts_B.sum()
    return shares_B


_TOO_FEW = "KLoM compares at least 2 unlearned models with at least 2 retrained ones on the same facts; there are"


@metric("klom")
@dataclass(frozen=True, kw_only=True)
class Klom(Metric):
    """KL of Margins: mean over probes of KL(unlearned ‖ retrained), the distributions taken over replicates.

    Georgiev et al. 2024 (arXiv 2410.23232), for classifiers; the margin here is the log-odds of the answer's mean token
    probability. 0 where unlearned models are distributed as retrained ones. ``bins`` = 20 and ``clip`` = ±100 are
    theirs; bins over the range of both sides and ``pseudo`` = ½ a count in every bin are our choice. With few models
    the histograms are coarse and even retrained models are far from each other: read it beside that of a method known
    to do nothing, and do not compare studies with other numbers of replicates.
    """

    direction: ClassVar[Literal["lower", "higher"]] = "lower"
    range: ClassVar[tuple[float, float]] = (0.0, math.inf)
    never_trained: ClassVar[float | None] = 0.0
    needs: ClassVar[tuple[Need, ...]] = ("margins",)
    costly: ClassVar[bool] = True
    forget_only: ClassVar[bool] = True
    over_replicates: ClassVar[bool] = True

    bins: int = 20
    pseudo: float = 0.5
    clip: float = 100.0

    def __post_init__(self) -> None:
        """Refuse fewer than two bins, no pseudo-count, and a clip that leaves nothing."""
        if self.bins < 2 or self.pseudo <= 0 or self.clip <= 0:
            raise InputError("klom needs bins ≥ 2, pseudo > 0 and clip > 0; change them.")

    def rows(self, evidence: Evidence) -> list[Value]:
        """A divergence in nats a probe."""
        measure = partial(klom, bins=self.bins, pseudo=self.pseudo, clip=self.clip)
        return [Value(item.subject, measure(item.unlearned, item.retrained)) for item in evidence.margins or ()]

    def compute(self, evidence: Evidence, *, seed: int = 0) -> Reading:
        """The mean with its interval, or the reason why there is none."""
        try:
            return super().compute(evidence, seed=seed)
        except InputError as error:
            return Reading(None, reason=f"not computed: {error}")
