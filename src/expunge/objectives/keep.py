"""Terms that hold the rest of the model in place; shared by the objectives.

Shapes: B rows, N label tokens, V vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from expunge.core.errors import InputError
from expunge.models.rows import Batch
from expunge.objectives.base import Needs, Objective, ReferenceReader, State, Term

if TYPE_CHECKING:
    from expunge.models.view import View


def nll_term(view: "View", batch: Batch, name: str) -> Term:
    """Cross-entropy on one batch as a ``keep`` term: per-row mean NLL in nats, weighted by label tokens."""
    return Term(name, "keep", view.forward(batch).nll_mean_B(), batch.label_counts_B)


def kl_term(view: "View", batch: Batch, refs: ReferenceReader, stream: str, name: str) -> Term:
    """Exact KL(θ₀‖θ) over the whole vocabulary at label positions, in nats, weighted by label tokens.

    Public code averages it over prompt and padding positions too; here only label positions count.
    """
    outputs = view.forward(batch)
    old_NV = refs.logits_NV(stream, batch).log_softmax(-1)
    new_NV = outputs.logits_NV.log_softmax(-1)
    kl_N = (old_NV.exp() * (old_NV - new_NV)).sum(-1)
    return Term(name, "keep", outputs.sum_by_row_B(kl_N) / batch.label_counts_B, batch.label_counts_B)


def _nll(view: "View", batch: Mapping[str, Batch], refs: ReferenceReader) -> Term:
    return nll_term(view, batch["retain"], "retain_nll")


def _kl(view: "View", batch: Mapping[str, Batch], refs: ReferenceReader) -> Term:
    return kl_term(view, batch["retain"], refs, "retain", "retain_kl")


_TERMS = {"nll": _nll, "kl": _kl}
_KINDS: Mapping[str, tuple[str, ...]] = {"nll": (), "kl": ("final_hidden",)}


@dataclass(frozen=True, kw_only=True)
class ForgetAndKeep(Objective):
    """Base of objectives of the form γ·L_forget + α·L_keep on the streams ``forget`` and ``retain``.

    ``keep`` is ``nll`` (cross-entropy) or ``kl`` (exact KL to θ₀). α = γ = 1 and ``nll`` are the defaults of
    open-unlearning. With α = 0 the retain stream is neither needed nor computed.
    """

    keep: Literal["nll", "kl"] = "nll"
    alpha: float = 1.0
    gamma: float = 1.0

    def __post_init__(self) -> None:
        """Refuse an unknown ``keep`` and negative weights."""
        if self.keep not in _TERMS:
            raise InputError(f"objective parameter 'keep' is {self.keep!r}; it must be one of {', '.join(_TERMS)}.")
        for key in ("alpha", "gamma"):
            if getattr(self, key) < 0:
                raise InputError(f"objective parameter {key!r} is {getattr(self, key)!r}; it must be at least 0.")

    def forget_references(self) -> tuple[str, ...]:
        """Reference kinds that the forget term reads."""
        return ()

    def needs(self) -> Needs:
        """``forget`` first (it is the anchor), and ``retain`` unless α = 0."""
        references = {"forget": self.forget_references()}
        if not self.alpha:
            return Needs(("forget",), references)
        return Needs(("forget", "retain"), references | {"retain": _KINDS[self.keep]})

    def keep_terms(self, view: "View", batch: Mapping[str, Batch], refs: ReferenceReader, state: State) -> list[Term]:
        """The chosen keep term, or nothing with α = 0."""
        return [_TERMS[self.keep](view, batch, refs)] if self.alpha else []

    def coefficients(self, step: int, epoch: int, state: State) -> dict[str, float]:
        """α on the keep term and γ on the forget term (named ``forget``)."""
        return {"forget": self.gamma, f"retain_{self.keep}": self.alpha}
