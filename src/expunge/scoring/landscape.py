"""How far a model went from the original, and whether a valley or a ridge lies between the two.

"From Dormant to Deleted" (arXiv 2505.22310) finds that distance in weight space and a barrier on the straight line to
the original go with resistance to relearning; both are logged with every method so that this can be checked.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from expunge.core.errors import InputError
from expunge.models.rows import Row
from expunge.models.view import View
from expunge.scoring.teacher_forced import NotANumber, score

ALPHAS = (0.25, 0.5, 0.75)
"""Where the line is read between its ends (our choice)."""


@dataclass(frozen=True, slots=True)
class Landscape:
    """``distance`` ‖θ − θ₀‖₂ over all weights; ``relative`` the same over ‖θ₀‖₂; ``barriers`` by set, in nats.

    A barrier is linear mode connectivity's (Frankle et al., arXiv 1912.05671, section 2): the largest rise, over
    :data:`ALPHAS`, of the mean token NLL at (1 − α)·θ + α·θ₀ above the straight line between its ends; 0 where it
    never rises. A NaN on the way counts as an infinite barrier.
    """

    distance: float
    relative: float
    barriers: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """The entry in ``record.json``; what is not a finite number becomes null."""
        barriers = {name: _finite(value) for name, value in self.barriers.items()}
        return {"distance": _finite(self.distance), "relative": _finite(self.relative), "barriers": barriers}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def landscape(view: View, original: View, sets: Mapping[str, Sequence[Row]]) -> Landscape:
    """Measure ``view`` against ``original``; its weights are moved along the line and put back bit for bit.

    ``sets`` are the rows to read along the line, by name. :class:`InputError` where the two have other weights.
    """
    pairs = _pairs(view, original)
    distance = math.sqrt(math.fsum(float((new.double() - old.double()).square().sum()) for new, old in pairs))
    length = math.sqrt(math.fsum(float(old.double().square().sum()) for _, old in pairs))
    return Landscape(distance, distance / length, _barriers(view, original, pairs, sets))


def _pairs(view: View, original: View) -> list[tuple[Tensor, Tensor]]:
    new, old = view.named_weights(), original.named_weights()
    if {name: weight.shape for name, weight in new.items()} != {name: weight.shape for name, weight in old.items()}:
        raise InputError("the original has other weights than the model, so no line joins them; compare kin.")
    return [(weight.data, old[name].data.to(weight.device)) for name, weight in new.items()]


def _barriers(
    view: View, original: View, pairs: Sequence[tuple[Tensor, Tensor]], sets: Mapping[str, Sequence[Row]]
) -> dict[str, float]:
    here = {name: _mean_nll(view, rows) for name, rows in sets.items()}
    there = {name: _mean_nll(original, rows) for name, rows in sets.items()}
    found = dict.fromkeys(sets, 0.0)
    for alpha in ALPHAS:
        with _moved(pairs, alpha):
            for name, rows in sets.items():
                straight = (1 - alpha) * here[name] + alpha * there[name]
                found[name] = max(found[name], _rise(_mean_nll(view, rows), straight))
    return found


def _rise(middle: float, straight: float) -> float:
    return math.inf if middle == math.inf else middle - straight


@contextmanager
def _moved(pairs: Sequence[tuple[Tensor, Tensor]], alpha: float) -> Iterator[None]:
    """The weights at α on the line, for as long as the block lasts."""
    kept = [new.clone() for new, _ in pairs]
    try:
        for new, old in pairs:
            new.lerp_(old.to(new.dtype), alpha)
        yield
    finally:
        for (new, _), before in zip(pairs, kept, strict=True):
            new.copy_(before)


def _mean_nll(view: View, rows: Sequence[Row]) -> float:
    """Mean over label tokens in nats; infinite where the output is no number."""
    try:
        scored = score(view, rows)
    except NotANumber:
        return math.inf
    return math.fsum(item.nll_sum for item in scored) / sum(len(item.logprobs) for item in scored)
