"""Unbiased linear CKA: how alike two models lay out the same questions, layer by layer.

Shapes: R rows, L layers, D hidden width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from expunge.core.errors import InputError
from expunge.metrics.base import Evidence, Metric, Need, Reading, Value
from expunge.metrics.layers import mean, questions, same_depth, subjects_of
from expunge.registry import metric
from expunge.scoring.label_states import question_states

LEAST_ROWS = 4
"""The unbiased estimate divides by n − 3."""


def cka(states_RD: Tensor, others_RD: Tensor) -> float | None:
    """HSIC₁(K, L) / √(HSIC₁(K, K) · HSIC₁(L, L)) of linear kernels; ``None`` where one side does not vary.

    Kornblith et al. (arXiv 1905.00414) with the unbiased HSIC₁ of Song et al. (JMLR 2012), as Nguyen et al. (arXiv
    2010.15327) do: the biased estimate grows towards 1 with D/R. HSIC₁ is the inner product of U-centred kernels
    (Székely and Rizzo, Annals of Statistics 2014), so the value lies in [−1, 1].
    """
    return _of_kernels(_kernel(states_RD), _kernel(others_RD))


def _kernel(states_RD: Tensor) -> Tensor:
    """The linear kernel, fp64; what the states have in common is taken off first, as only rounding would see it."""
    states_RD = states_RD.double()
    states_RD = states_RD - states_RD.mean(0)
    return states_RD @ states_RD.T


def _of_kernels(kernel_RR: Tensor, other_RR: Tensor) -> float | None:
    left, right = _u_centred(kernel_RR), _u_centred(other_RR)
    norms = left.norm() * right.norm()
    return float((left * right).sum() / norms) if norms > 0 else None


def _u_centred(kernel_RR: Tensor) -> Tensor:
    """The kernel without its diagonal, centred so that rows and columns sum to 0."""
    kernel_RR = kernel_RR.clone().fill_diagonal_(0)
    n, sums_R = len(kernel_RR), kernel_RR.sum(0)
    centred_RR = kernel_RR - (sums_R[:, None] + sums_R) / (n - 2) + sums_R.sum() / ((n - 1) * (n - 2))
    return centred_RR.fill_diagonal_(0)


def jackknife(kernels: Sequence[tuple[Tensor, Tensor]], subjects: Sequence[str], value: float) -> tuple[float, float]:
    """A 95 % interval of the mean over layers: ± 1.96 standard errors, each subject left out in turn (Efron 1981).

    Resampling with repetition would put rows beside their own copies. All of [−1, 1] where too few rows would be left.
    """
    names = list(dict.fromkeys(subjects))
    kept = [[row for row, subject in enumerate(subjects) if subject != name] for name in names]
    if len(names) < 2 or min(map(len, kept)) < LEAST_ROWS:
        return -1.0, 1.0
    means = [mean([_of_kernels(a[rows][:, rows], b[rows][:, rows]) for a, b in kernels]) for rows in kept]
    there = [each for each in means if each is not None]
    if len(there) < 2:
        return -1.0, 1.0
    centre = sum(there) / len(there)
    spread = sum((each - centre) ** 2 for each in there) * (len(there) - 1) / len(there)
    reach = 1.96 * spread**0.5
    return max(-1.0, value - reach), min(1.0, value + reach)


@dataclass(frozen=True, kw_only=True)
class _CKA(Metric):
    """Base of the two; ``peer`` is the evidence that lends the other model."""

    peer: ClassVar[Literal["original", "control"]]
    range: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    costly: ClassVar[bool] = True

    samples: int = 256

    def __post_init__(self) -> None:
        """Refuse a number of rows that gives no estimate."""
        if self.samples < LEAST_ROWS:
            raise InputError(f"samples is {self.samples}; unbiased CKA needs at least {LEAST_ROWS} rows.")

    def rows(self, evidence: Evidence) -> list[Value]:
        """None: this compares whole sets of rows."""
        return []

    def compute(self, evidence: Evidence, *, seed: int = 0) -> Reading:
        """The mean over layers with its interval, and the layers."""
        if (lack := self.lacking(evidence)) is not None:
            return lack
        try:
            return self._read(evidence)
        except InputError as error:
            return Reading(None, reason=f"not computed: {error}")

    def _read(self, evidence: Evidence) -> Reading:
        asked = questions(evidence, self.samples)
        if len(asked) < LEAST_ROWS:
            raise InputError(f"{len(asked)} questions, and unbiased CKA needs {LEAST_ROWS}.")
        model, lender = evidence.model, getattr(evidence, self.peer)
        assert model is not None
        view, other = model.view(), lender.view()
        layers = range(same_depth(view, other, self.peer))
        rows = [item.row for item in asked]
        own_RLD, others_RLD = (question_states(each, rows, layers) for each in (view, other))
        kernels = [(_kernel(own_RLD[:, layer]), _kernel(others_RLD[:, layer])) for layer in layers]
        values = tuple(_of_kernels(*pair) for pair in kernels)
        if (value := mean(values)) is None:
            raise InputError("all questions have the same hidden states.")
        low, high = jackknife(kernels, [item.fact.subject for item in asked], value)
        return Reading(value, low, high, subjects_of(asked), layers=values)


@metric("cka_original")
@dataclass(frozen=True, kw_only=True)
class CKAOriginal(_CKA):
    """Similarity of the model's hidden states to the original's; 1 for the original itself.

    Unbiased linear CKA of the block outputs right before the answer, each layer and their mean; see :func:`cka`. As Kim
    et al. (arXiv 2503.06991) ask of unlearned models, with all rows in one estimate where theirs averages biased ones
    of batches. ``samples``: at most so many questions (our choice; kernels are R × R). Rotations and a common scale of
    the states change nothing. Read it beside ``retain_eval.cka_original``: a model may move everywhere alike.
    """

    peer: ClassVar[Literal["original", "control"]] = "original"
    needs: ClassVar[tuple[Need, ...]] = ("asked", "model", "original")


@metric("cka_control")
@dataclass(frozen=True, kw_only=True)
class CKAControl(_CKA):
    """Similarity of the model's hidden states to those of a model that never knew the facts; 1 for that model itself.

    As ``cka_original``. Another training seed alone lowers it, so 1 is not to be reached: the level to compare with is
    the original's own, or another never-trained model's.
    """

    direction: ClassVar[Literal["lower", "higher"]] = "higher"
    peer: ClassVar[Literal["original", "control"]] = "control"
    needs: ClassVar[tuple[Need, ...]] = ("asked", "model", "control")
