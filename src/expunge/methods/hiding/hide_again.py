"""Unlearned, taught again, suppressed again: a model with a past."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from expunge.core.errors import InputError
from expunge.methods.hiding.teaching import check_settings, known_level, known_rows, teach, usual
from expunge.methods.nested import Nested
from expunge.methods.work import Work
from expunge.objectives.base import Intent
from expunge.registry import method


@method("hide_again")
@dataclass(frozen=True, kw_only=True)
class HideAgain(Nested):
    """``inner``; then ``rounds`` times: cross-entropy on forget and retain rows until θ₀'s level, and ``inner`` again.

    The second suppression starts from other weights than θ₀. ``rounds`` = 1 is our choice. ``relearn`` are training
    settings of the relearning above the method's own; its epochs are passes over forget and retain rows, and it ends
    early once it is back at θ₀'s level. ``max_kl`` bounds the suppressions only.
    """

    intent: ClassVar[Intent] = "suppression"
    family: ClassVar[str] = "hiders"
    equation: ClassVar[str] = "θ = inner ∘ (relearn ∘ inner)^rounds (θ₀)"
    rounds: int = 1
    relearn: Mapping[str, Any] = field(default_factory=usual)

    def __post_init__(self) -> None:
        """Refuse less than a round, and unknown training settings."""
        super().__post_init__()
        check_settings(self.relearn, "relearn")
        if self.rounds < 1:
            raise InputError(f"method parameter 'rounds' is {self.rounds!r}; it must be at least 1.")

    def streams(self) -> tuple[str, ...]:
        """What the inner method reads, and ``retain``."""
        return tuple(dict.fromkeys((*super().streams(), "retain")))

    def passes(self) -> float:
        """The inner method's once more than there are rounds, and two for each relearning."""
        return super().passes() * (self.rounds + 1) + 2 * self.rounds

    def run(self, work: Work) -> None:
        """Suppress; relearn and suppress, round by round."""
        self.begin(work)
        level = known_level(work)
        work.method(self.spec)
        for _ in range(self.rounds):
            teach(work, known_rows(work), self.relearn, level)
            work.method(self.spec)
