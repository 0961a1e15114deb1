"""Relearning: fine-tune the unlearned model a little and see whether what was forgotten comes back.

Hu et al. (arXiv 2406.13356) and Fan et al. (arXiv 2502.05374, section 5); the grid over rates, steps and sources is
the design's, because a single budget point can rank methods either way.
"""

import contextlib
import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from expunge.attacks.base import USABLE_SHARE, Attack, AttackPoint, ProbeReading, UtilityMeasure
from expunge.attacks.panel import Panel, PanelReading
from expunge.attacks.sources import Source, source
from expunge.combine.rescaling import balance_
from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact, Knowledge, Split
from expunge.models.load import LoadedModel
from expunge.models.rows import Row
from expunge.models.view import View
from expunge.registry import attack, build, suggestion
from expunge.scoring.probes import ask
from expunge.scoring.teacher_forced import NotANumber
from expunge.training.config import TrainConfig
from expunge.training.errors import Diverged
from expunge.training.loop import train

DIVERGED_LOGPROB = -1e4
"""Stands for the log-probability under weights that are not numbers, so that records stay valid JSON."""


@attack("relearn")
@dataclass(frozen=True, kw_only=True)
class Relearn(Attack):
    """Cross-entropy fine-tuning at constant learning rates; one trajectory gives every step budget.

    ``rates`` and ``lora_rates``: learning rates of full-weight and of LoRA access (1e-5 … 1e-4 brackets the
    published attacks of both papers; LoRA's are an order higher). ``steps``: budgets in optimizer steps.
    ``sources``: see :data:`expunge.attacks.sources.SOURCES`. ``access``: any of ``full``, ``balanced`` (all weights,
    after channels that are scaled one way and read the other have been brought to one size, so that a rescaling which
    changes nothing else cannot put the model out of reach of the rates) and ``lora``. ``forms``:
    the probe forms that V is asked in (a fact with none of them in all it has). ``weight_decay`` is 0 so that the
    attack only adds. Weights are fp32 masters whatever the model's dtype.
    """

    kind: ClassVar[Literal["weights", "prompt", "readout"]] = "weights"
    needs: ClassVar[tuple[str, ...]] = ("weights", "T")

    rates: tuple[float, ...] = (1e-5, 3e-5, 1e-4)
    lora_rates: tuple[float, ...] = (2e-4, 1e-3)
    steps: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    sources: tuple[str, ...] = ("qa",)
    access: tuple[str, ...] = ("full",)
    rank: int = 16
    batch_size: int = 8
    forms: tuple[str, ...] = ("qa",)
    weight_decay: float = 0.0
    clip: float | None = 1.0

    def __post_init__(self) -> None:
        """Take a lone value for a tuple of one, sort budgets, and refuse an empty or senseless grid."""
        for name in ("rates", "lora_rates", "steps", "sources", "access", "forms"):
            value = getattr(self, name)
            alone = isinstance(value, str) or not isinstance(value, Sequence)
            object.__setattr__(self, name, (value,) if alone else tuple(value))
            if not getattr(self, name):
                raise InputError(f"attack 'relearn': {name!r} is empty; give at least one value.")
        object.__setattr__(self, "steps", tuple(sorted({int(step) for step in self.steps})))
        if self.steps[0] < 1:
            raise InputError(f"attack 'relearn': steps has {self.steps[0]}; budgets begin at 1, 0 is always measured.")
        for name in self.access:
            if name not in SCOPES:
                raise InputError(f"attack 'relearn': unknown access {name!r}; {suggestion(name, SCOPES)}")

    def rows_of_grid(self) -> list[tuple[str, str, float]]:
        """Every (source, access, learning rate) of the grid; each is one training run."""
        return [(name, how, lr) for name in self.sources for how in self.access for lr in getattr(self, RATES[how])]

    def run(
        self,
        loaded: LoadedModel,
        knowledge: Knowledge,
        split: Split,
        utility: UtilityMeasure,
        *,
        seed: int,
        also_score: Mapping[str, Sequence[Fact]] | None = None,
        original: LoadedModel | None = None,
    ) -> list[AttackPoint]:
        """Walk the grid on copies of ``loaded``; V is ``split.score``, so a placebo split is attacked the same way.

        The order of the training rows follows from ``seed`` and the source alone: every model and rate meets the
        same rows in the same order. :class:`InputError` when V is empty or shares a subject with what is taught.
        """
        if not split.score:
            raise InputError("V is empty, so recovery cannot be measured; give more forget subjects.")
        texts = {name: source(name, knowledge, split) for name in self.sources}
        sets = {"V": split.score, **(also_score or {})}
        fixed = {name: ask(facts, loaded.encoder, self.forms) for name, facts in sets.items()}
        runs = {name: _Run(self, loaded, text, split, fixed, utility) for name, text in texts.items()}
        before = _point("", "", 0.0, 0, runs[self.sources[0]].panel.read(loaded.view()), None)
        points = [before]
        for name, access, lr in self.rows_of_grid():
            order = derive(seed, "relearn", name)
            for steps, reading in runs[name].trajectory(access, lr, order):
                points.append(_point(name, access, lr, steps, reading, before))
        return points


SCOPES: Mapping[str, Callable[[Relearn], Any]] = {
    "full": lambda grid: build("scope", "all"),
    "balanced": lambda grid: build("scope", "all"),
    "lora": lambda grid: build("scope", "lora", rank=grid.rank, alpha=2 * grid.rank),
}
"""What each kind of access may train."""
RATES: Mapping[str, str] = {"full": "rates", "balanced": "rates", "lora": "lora_rates"}
"""The learning rates of each kind of access."""


class _Run:
    """One source's rows and panel, trained on from fresh copies of the attacked model."""

    def __init__(
        self,
        grid: Relearn,
        loaded: LoadedModel,
        text: Source,
        split: Split,
        fixed: Mapping[str, Any],
        utility: UtilityMeasure,
    ) -> None:
        taught = ask(text.facts, loaded.encoder)
        asked_T = taught if text.from_T else ask(split.train, loaded.encoder, grid.forms)
        self.grid, self.loaded = grid, loaded
        self.rows: list[Row] = [item.row for item in taught]
        self.panel = Panel({**fixed, "T": asked_T}, utility)

    def trajectory(self, access: str, lr: float, seed: int) -> list[tuple[int, PanelReading | None]]:
        """Readings at every step budget of one constant-rate run; ``None`` where training had diverged."""
        readings: dict[int, PanelReading | None] = dict.fromkeys(self.grid.steps)

        def measure(step: int, view: View) -> None:
            readings[step] = self.panel.read(view)

        config = TrainConfig(
            lr=lr,
            steps=self.grid.steps[-1],
            batch_size=self.grid.batch_size,
            schedule="constant",
            warmup=0.0,
            weight_decay=self.grid.weight_decay,
            clip=self.grid.clip,
            seed=seed,
        )
        # Budgets not reached before a divergence stay None and count as failed attacks.
        with contextlib.suppress(Diverged, NotANumber):
            copied = attacked_copy(self.loaded)
            if access == "balanced":
                balance_(copied.model)
            train(
                copied.view(),
                {"teach": self.rows},
                build("objective", "cross_entropy"),
                config=config,
                scope=SCOPES[access](self.grid),
                callback=measure,
                callback_steps=self.grid.steps,
            )
        return list(readings.items())


def attacked_copy(loaded: LoadedModel) -> LoadedModel:
    """A copy with fp32 master weights; the attacked model itself is never trained, so each run starts bit-exactly."""
    copied: Any = copy.deepcopy(loaded.model)
    return replace(loaded, model=copied.float())


def _point(
    name: str, access: str, lr: float, steps: int, reading: PanelReading | None, before: AttackPoint | None
) -> AttackPoint:
    """The grid point of a reading; without one, a failed attack on an unusable model."""
    if reading is None:
        assert before is not None
        probes = tuple(_lost(probe) for probe in before.probes)
        return AttackPoint(name, access, lr, steps, 0.0, {}, False, 0.0, probes, diverged=True)
    utility = reading.utility
    usable = before is None or utility.value >= USABLE_SHARE * before.utility
    return AttackPoint(name, access, lr, steps, utility.value, utility.parts, usable, reading.t_recall, reading.probes)


def _lost(probe: ProbeReading) -> ProbeReading:
    return replace(probe, hit=False, logprob=DIVERGED_LOGPROB)
