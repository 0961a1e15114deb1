"""The relearning protocol of Unlearn-Smooth: few forget samples, few epochs, one learning rate."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

from expunge.attacks.lines import Line
from expunge.attacks.relearn import Relearn
from expunge.attacks.sizes import Size, named, walked
from expunge.core.errors import InputError
from expunge.registry import attack
from expunge.training.config import TrainConfig

BUDGETS = ((20, 1), (20, 2), (20, 3), (40, 1), (60, 1))
"""Samples and epochs: the same data for longer, and more data once."""
FREE = frozenset({"sources", "forms", "hits"})
"""What a recipe may choose; all else is published."""


@attack("unlearn_smooth")
@dataclass(frozen=True, kw_only=True)
class UnlearnSmooth(Relearn):
    """A published single-rate protocol, kept as published: it says what that attack does, not what the worst one does.

    Fan et al. (ICML 2025, arXiv 2502.05374, section 5 and the released WMDP attack). Kept: 20 fixed forget samples for
    1, 2 and 3 epochs, or 20, 40 and 60 samples for one; AdamW at 1e-5 with linear decay after a warm-up of
    max(1, steps/10), no weight decay, effective batches of 4, all weights; every budget is a run of its own, since the
    decay ends where the budget does. Different: the samples are drawn from T and V holds other facts (they attacked
    with documents on the facts that were scored), questions stand in for documents where T has them, weights are fp32
    masters (theirs bf16, which loses small steps), the seed is the study's. One rate and at most 15 steps can rank
    methods either way: ``relearn`` is the sweep. Where T has fewer rows than that, all of them are taken, once.
    """

    paper: ClassVar[str] = "Fan et al. 2025, arXiv 2502.05374, section 5"
    family: ClassVar[str] = "relearning"
    protocol: ClassVar[str] = "unlearn_smooth"

    rates: tuple[float, ...] = (1e-5,)
    steps: tuple[int, ...] = (5, 10, 15)
    sources: tuple[str, ...] = ("rows",)
    batch_size: int = 4
    sizes: tuple[Size, ...] = (20, 40, 60)

    def __post_init__(self) -> None:
        """Refuse another budget than the published one."""
        Relearn.__post_init__(self)
        own = (item for item in fields(self) if item.name not in FREE)
        changed = [item.name for item in own if getattr(self, item.name) != item.default]
        if changed:
            raise InputError(f"attack 'unlearn_smooth' is published, so {changed[0]!r} stays as it is; use relearn.")

    def lines(self, seed: int = 0, rows: Mapping[str, int] | None = None) -> list[Line]:
        """One run a budget."""
        found = []
        for name in self.sources:
            held = rows[name] if rows else None
            kept = walked(self.sizes, held)
            for size, epochs in (budget for budget in BUDGETS if budget[0] in kept):
                samples = size if held is None else min(size, held)
                steps = -(-samples // self.batch_size) * epochs
                found.append(Line(named(name, size), "full", self.rates[0], (steps,)))
        return found

    def training(self, lr: float, steps: int, seed: int) -> TrainConfig:
        """Linear decay to 0 after a short warm-up."""
        return TrainConfig(
            lr=lr,
            steps=steps,
            batch_size=self.batch_size,
            schedule="linear",
            warmup=max(1, steps // 10) / steps if steps > 1 else 0.0,
            weight_decay=self.weight_decay,
            clip=self.clip,
            seed=seed,
        )
