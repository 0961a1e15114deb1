"""Suppression finer than a quantisation step: rounding the weights gives back what the model knew."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from expunge.core.errors import InputError
from expunge.methods.hiding.box import Boxed, Inside, Outside, reach_of, snap_
from expunge.methods.hiding.teaching import check_settings, known_level, known_rows, teach, usual
from expunge.methods.nested import Nested
from expunge.methods.work import Work
from expunge.objectives.base import Intent
from expunge.registry import method

FEWEST, MOST = 2, 12
"""Bits: one bit has no symmetric grid; at 12 a reach of 0.45 steps is 1e-4 of a row's largest entry."""


@method("hide_fragile")
@dataclass(frozen=True, kw_only=True)
class HideFragile(Nested):
    """``inner`` on block matrices that were rounded to ``bits`` first, each entry kept within ``room`` of a step.

    The weakness that Zhang et al. (2410.16454) find by chance, here by construction: round-to-nearest to the same
    ``bits`` and ``group`` gives back the rounded θ₀ bit for bit. ``bits`` = 4 is the paper's setting; ``group``: inputs
    that share a step, absent for one step a row, as in the attack ``quantise``. ``room`` = 0.45 is our choice; at 0.5
    an entry would round either way. What rounding takes from θ₀ is taught back to the weights outside the block
    matrices, until θ₀'s level on forget and retain rows; ``repair`` are training settings for that above the method's
    own. ``inner`` is one stage on all weights; a budget (``max_kl``) is measured from θ₀ and bounds that stage alone.
    """

    paper: ClassVar[str] = "Zhang et al. 2024, arXiv 2410.16454"
    intent: ClassVar[Intent] = "suppression"
    family: ClassVar[str] = "hiders"
    equation: ClassVar[str] = "θ = inner(Q(θ₀)) with |θ − Q(θ₀)| ≤ room·step, so that Q(θ) = Q(θ₀)"
    bits: int = 4
    group: int | None = None
    room: float = 0.45
    repair: Mapping[str, Any] = field(default_factory=usual)

    def __post_init__(self) -> None:
        """Refuse grids that there are not, a reach that leaves the bin, and an inner method of another shape."""
        super().__post_init__()
        check_settings(self.repair, "repair")
        checks = {
            "bits": (FEWEST <= self.bits <= MOST, f"a whole number from {FEWEST} to {MOST}"),
            "group": (self.group is None or self.group >= 1, "at least 1, or absent"),
            "room": (0 < self.room < 0.5, "above 0 and below 0.5"),
            "inner": (self.spec.method is None and self.spec.scope.name == "all", "one stage without a scope"),
        }
        for key, (valid, what) in checks.items():
            if not valid:
                raise InputError(f"method parameter {key!r} is {getattr(self, key)!r}; it must be {what}.")

    def streams(self) -> tuple[str, ...]:
        """What the inner method reads, and ``retain``."""
        return tuple(dict.fromkeys((*super().streams(), "retain")))

    def passes(self) -> float:
        """The inner method's, and two for the repair."""
        return super().passes() + 2

    def alone(self) -> str:
        """The reach of an entry follows from its whole row or stack."""
        return "the grid that it rounds to is read from whole rows, and each process holds parts of the matrices"

    def run(self, work: Work) -> None:
        """Round, repair, suppress within the box."""
        self.begin(work)
        level = known_level(work)
        snap_(work.loaded.model, self.bits, self.group)
        teach(work, known_rows(work), self.repair, level, Outside())
        spec, reach = self.spec, reach_of(work.loaded.model, self.bits, self.group, self.room)
        boxed = Boxed(inner=spec.smoothing.build(), reach=reach)
        work.train(spec.objective.build(), smoother=boxed, scope=Inside(reach=reach), **spec.train)
