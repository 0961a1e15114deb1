"""Replay: a corrupted copy learns from what the original says about everything but the forget set."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.methods.fields import check_keys
from expunge.methods.nested import Nested
from expunge.methods.undo import corrupted
from expunge.methods.work import Work
from expunge.objectives.base import Intent
from expunge.objectives.distil import Distil
from expunge.registry import method
from expunge.training.config import TrainConfig

STREAMS = ("replayed", "retain")
"""What the student learns from: never the forget set, which only says what to leave out."""


@method("replay")
@dataclass(frozen=True, kw_only=True)
class Replay(Nested):
    """Student = (1 − α)·``inner``(θ₀) + α·β·N; distil it from θ₀ on ``retain`` and on text that θ₀ writes itself.

    Our own, after UNDO (Lee et al., 2506.06278): there a teacher that already unlearned is distilled on retain data,
    so the student lacks what the retain data do not show, and the teacher's damage is handed on. Here the teacher is
    the undamaged θ₀, and the forget set is kept out by filtering: the builder ``replayed`` throws away every text that
    names a forgotten subject, so no gradient ever comes from one. What θ₀ knows and the retain data do not show comes
    back through the replayed text.

    ``alpha`` and ``beta`` as UNDO's, matrices only: the gains of norms, which hold no facts, stay. ``inner`` null
    corrupts θ₀ itself. ``distil`` are training settings above the method's own. All defaults are our choice. It needs
    a model that writes sensible text from nothing, and far more steps than unlearning by gradient; ``max_kl`` is not
    applied to the student, because a corrupted model starts outside of any budget.
    """

    paper: ClassVar[str] = "expunge's own; after Lee et al. 2025, arXiv 2506.06278"
    intent: ClassVar[Intent] = "removal"
    family: ClassVar[str] = "meta"
    equation: ClassVar[str] = "student = (1 − α)·inner(θ₀) + α·β·N; L = KL(p_θ₀ ‖ p_student) on retain, replayed text"
    inner: str | Mapping[str, Any] | None = "npo"  # type: ignore[assignment]
    alpha: float = 0.6
    beta: float = 0.1
    distil: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse shares outside 0 to 1, negative noise, and unknown training settings."""
        if self.inner is not None:
            super().__post_init__()
        check_keys(self.distil, [item.name for item in fields(TrainConfig)], "method parameter 'distil'")
        if not 0 <= self.alpha <= 1:
            raise InputError(f"method parameter 'alpha' is {self.alpha!r}; it must lie between 0 and 1.")
        if self.beta < 0:
            raise InputError(f"method parameter 'beta' is {self.beta!r}; it must be at least 0.")

    def streams(self) -> tuple[str, ...]:
        """What the inner method reads, ``replayed`` and ``retain``."""
        inner = super().streams() if self.inner is not None else ()
        return tuple(dict.fromkeys((*inner, *STREAMS)))

    def passes(self) -> float:
        """The inner method's, and one for each of the two streams."""
        return (super().passes() if self.inner is not None else 0.0) + len(STREAMS)

    def run(self, work: Work) -> None:
        """Let θ₀ write, store what it says, unlearn, corrupt, distil."""
        streams = {name: work.rows(name) for name in STREAMS}
        said = work.references(streams, **dict.fromkeys(STREAMS, ("final_hidden",)))
        if self.inner is not None:
            self.begin(work)
            work.method(self.spec)
        kept = work.weights()
        ruined = corrupted(kept, self.alpha, self.beta, derive(work.seed, "corruption"))
        work.put({name: weight if weight.ndim > 1 else kept[name] for name, weight in ruined.items()})
        free = {"max_kl": None, "stop_forget_nll": None}
        work.train(Distil(streams=STREAMS), streams=streams, references=said, **{**self.distil, **free})
