"""How far a model went from the original, and whether a valley or a ridge lies between the two.

"From Dormant to Deleted" (arXiv 2505.22310) finds that distance in weight space and a barrier on the straight line to
the original go with resistance to relearning; both are logged with every method so that this can be checked.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor

from expunge.core.errors import InputError
from expunge.distributed.shards import local, summed
from expunge.models.rows import Row
from expunge.models.view import View
from expunge.scoring.teacher_forced import NotANumber, score

ALPHAS = (0.25, 0.5, 0.75)
"""Where the line is read between its ends (our choice)."""


def distance(view: View, original: View) -> float:
    """‖θ − θ₀‖₂ ÷ ‖θ₀‖₂ over all weights, each tied tensor once.

    :class:`InputError` where the two have other weights.
    """
    pairs = _pairs(view, original)
    moved = math.fsum(_square(local(new).double() - local(old).double(), old) for new, old in pairs)
    return math.sqrt(moved / math.fsum(_square(local(old).double(), old) for _, old in pairs))


def _square(part: Tensor, of: Tensor) -> float:
    """The sum of squares over every process that holds a part of the weight."""
    return float(summed(part.square().sum(), [of]))


def barrier(view: View, original: View, rows: Sequence[Row]) -> float:
    """Linear mode connectivity's barrier (Frankle et al., arXiv 1912.05671, section 2), in nats a label token.

    The largest rise, over :data:`ALPHAS`, of the mean NLL of ``rows`` at (1 − α)·θ + α·θ₀ above the straight line
    between its ends; 0 where it never rises, infinite where a model on the way says NaN. The weights of ``view`` are
    moved along the line and put back bit for bit. :class:`InputError` where the two have other weights.
    """
    pairs = _pairs(view, original)
    here, there = _mean_nll(view, rows), _mean_nll(original, rows)
    highest = 0.0
    for alpha in ALPHAS:
        with _moved(pairs, alpha):
            middle = _mean_nll(view, rows)
        rise = math.inf if middle == math.inf else middle - (1 - alpha) * here - alpha * there
        highest = max(highest, rise)
    return highest


def _pairs(view: View, original: View) -> list[tuple[Tensor, Tensor]]:
    new, old = view.named_weights(), original.named_weights()
    if {name: weight.shape for name, weight in new.items()} != {name: weight.shape for name, weight in old.items()}:
        raise InputError("the original has other weights than the model, so no line joins them; compare kin.")
    return [(weight.data, old[name].data.to(weight.device)) for name, weight in new.items()]


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
