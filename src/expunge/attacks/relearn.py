"""Relearning: fine-tune the unlearned model a little and see whether what was forgotten comes back.

Hu et al. (arXiv 2406.13356) and Fan et al. (arXiv 2502.05374, section 5); the grid over rates, steps and sources is
the design's, because a single budget point can rank methods either way.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, ClassVar, Literal

from expunge.attacks.access import check_access, rates_of, scope_of
from expunge.attacks.base import USABLE_SHARE, Attack, AttackPoint, ProbeReading, UtilityMeasure
from expunge.attacks.lines import Line, searched
from expunge.attacks.panel import Panel, PanelReading
from expunge.attacks.saying import asked_of, hearing
from expunge.attacks.sizes import ALL, Size, check_size, first_rows, named, parts, walked
from expunge.attacks.sources import Source, source
from expunge.combine.rescaling import balance_
from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.distributed.copies import copy_of
from expunge.knowledge.facts import Fact, Knowledge, Split
from expunge.models.load import LoadedModel
from expunge.models.rows import Row
from expunge.models.view import View
from expunge.registry import attack, build
from expunge.scoring.probes import ask
from expunge.scoring.teacher_forced import NotANumber
from expunge.training.config import TrainConfig
from expunge.training.errors import Diverged
from expunge.training.loop import train

DIVERGED_LOGPROB = -1e4
"""Stands for the log-probability under weights that are not numbers, so that records stay valid JSON."""
LISTS = ("rates", "lora_rates", "steps", "sources", "access", "forms", "sizes")
"""Fields that take a lone value for a list of one."""


@attack("relearn")
@dataclass(frozen=True, kw_only=True)
class Relearn(Attack):
    """Cross-entropy fine-tuning at constant learning rates; one trajectory gives every step budget.

    ``rates`` and ``lora_rates``: learning rates of full-weight and of LoRA access (1e-5 … 1e-4 brackets the
    published attacks of both papers; LoRA's are an order higher). ``steps``: budgets in optimizer steps.
    ``sources``: see :data:`expunge.attacks.sources.SOURCES`. ``retain>qa`` trains on retain rows for ``switch`` steps
    at the same rate and then on T, with a new optimizer and new adapters; ``steps`` count from the switch on (TAR,
    arXiv 2408.00761, has its attacker switch so; 16 steps are our choice). ``access``: any of ``full``, ``balanced``
    (all weights, after channels that are scaled one way and read the other have been brought to one size, so that a
    rescaling which changes nothing else cannot put the model out of reach of the rates), ``lora`` of rank ``rank``,
    and ``lora128`` or another rank by name. ``sizes``: how many of a source's rows the attacker holds, drawn so that
    a smaller draw lies within a larger one, or ``all``; points of 20 rows are named ``qa:20/…``.
    ``search``: instead of the grid, so many draws of source, size, access and a log-uniform rate between the lowest
    and the highest given (30 is the least that is held to replace a grid); its worst point is the attack's.
    ``forms``: the probe forms that V is asked in (a fact with none of them in all it has). ``hits``: ``greedy`` (every
    answer token is the argmax) or ``said`` (the answer stands in what the model writes). ``weight_decay`` is 0 so that
    the attack only adds. Weights are fp32 masters whatever the model's dtype.
    """

    kind: ClassVar[Literal["weights", "prompt", "readout"]] = "weights"
    needs: ClassVar[tuple[str, ...]] = ("weights", "T")
    spreads: ClassVar[bool] = True
    protocol: ClassVar[str] = ""
    """The name of a published protocol: its points carry it as their access, and nothing extends them."""
    strict: ClassVar[bool] = False
    """Whether T's own rows must not tell an answer of V either."""

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
    sizes: tuple[Size, ...] = (ALL,)
    switch: int = 16
    search: int = 0
    hits: Literal["greedy", "said"] = "greedy"

    def __post_init__(self) -> None:
        """Take a lone value for a tuple of one, sort budgets, and refuse an empty or senseless grid."""
        for name in LISTS:
            value = getattr(self, name)
            alone = isinstance(value, str) or not isinstance(value, Sequence)
            object.__setattr__(self, name, (value,) if alone else tuple(value))
            if not getattr(self, name):
                raise InputError(f"attack 'relearn': {name!r} is empty; give at least one value.")
        object.__setattr__(self, "steps", tuple(sorted({int(step) for step in self.steps})))
        if self.steps[0] < 1:
            raise InputError(f"attack 'relearn': steps has {self.steps[0]}; budgets begin at 1, 0 is always measured.")
        if self.switch < 1 or self.search < 0:
            raise InputError("attack 'relearn': switch must be at least 1 and search at least 0; change them.")
        if self.hits not in ("greedy", "said"):
            raise InputError(f"attack 'relearn': hits is {self.hits!r}; use greedy or said.")
        for name in self.access:
            check_access(name)
        for size in self.sizes:
            check_size(size)

    def lines(self, seed: int = 0, rows: Mapping[str, int] | None = None) -> list[Line]:
        """Every training run, given how many rows the sources have; ``seed`` draws those of a search."""
        sizes = {name: walked(self.sizes, rows[name] if rows else None) for name in self.sources}
        names = {name: [named(name, size) for size in sizes[name]] for name in self.sources}
        rates: dict[str, Sequence[float]] = {how: getattr(self, rates_of(how)) for how in self.access}
        if self.search:
            return searched(self.search, names, rates, self.steps, derive(seed, "relearn", "search"))
        each = (name for own in names.values() for name in own)
        return [Line(name, how, lr, self.steps) for name in each for how, given in rates.items() for lr in given]

    def rows_of_grid(self) -> list[tuple[str, str, float]]:
        """Every (source, access, learning rate) of the grid; each is one training run."""
        return [line.key for line in self.lines()]

    def training(self, lr: float, steps: int, seed: int) -> TrainConfig:
        """How one run trains: at a constant rate."""
        return TrainConfig(
            lr=lr,
            steps=steps,
            batch_size=self.batch_size,
            schedule="constant",
            warmup=0.0,
            weight_decay=self.weight_decay,
            clip=self.clip,
            seed=seed,
        )

    def text(self, name: str, knowledge: Knowledge, split: Split) -> Source:
        """The named source; see :func:`expunge.attacks.sources.source`."""
        return source(name, knowledge, split, strict=self.strict)

    def notes(self, knowledge: Knowledge, split: Split) -> dict[str, Any]:
        """For the record: what each source's rows tell of V's answers, and how many of them were dropped."""
        checked = [self.text(name, knowledge, split).checked or {} for name in self.sources]
        found = {name: told.as_dict(dropped) for each in checked for name, (told, dropped) in each.items()}
        return {"sources": found, **({"search": self.search} if self.search else {})}

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
        texts = {name: self.text(name, knowledge, split) for name in self.sources}
        sets = {"V": split.score, **(also_score or {})}
        fixed = {name: asked_of(self, facts, loaded.encoder) for name, facts in sets.items()}
        lines = self.lines(seed, {name: num_rows(text) for name, text in texts.items()})

        @cache
        def run_of(name: str) -> _Run:
            own, size = parts(name)
            draw = derive(seed, "relearn", own, "size")
            return _Run(self, loaded, texts[own], size, draw, split, fixed, utility)

        before = _point("", "", 0.0, 0, run_of(lines[0].source).panel.read(loaded.view()), None)
        points = [before]
        for line in lines:
            order = derive(seed, "relearn", line.source)
            for steps, reading in run_of(line.source).trajectory(line, order):
                points.append(_point(line.source, self.protocol or line.access, line.lr, steps, reading, before))
        return points


def num_rows(text: Source) -> int:
    """How many rows a source has to train on."""
    return sum(len(fact.probes) for fact in text.facts)


class _Run:
    """One source's rows and panel, trained on from fresh copies of the attacked model."""

    def __init__(
        self,
        grid: Relearn,
        loaded: LoadedModel,
        text: Source,
        size: Size,
        draw: int,
        split: Split,
        fixed: Mapping[str, Any],
        utility: UtilityMeasure,
    ) -> None:
        taught = first_rows(ask(text.facts, loaded.encoder), size, draw)
        asked_T = taught if text.from_T else ask(split.train, loaded.encoder, grid.forms)
        self.grid, self.loaded = grid, loaded
        self.first: list[Row] = [item.row for item in ask(text.first, loaded.encoder)]
        self.rows: list[Row] = [item.row for item in taught]
        self.panel = Panel({**fixed, "T": asked_T}, utility, hearing(grid, loaded.encoder))

    def trajectory(self, line: Line, seed: int) -> list[tuple[int, PanelReading | None]]:
        """Readings at every step budget of one run; ``None`` where training had diverged."""
        readings: dict[int, PanelReading | None] = dict.fromkeys(line.steps)

        def measure(step: int, view: View) -> None:
            readings[step] = self.panel.read(view)

        # Budgets not reached before a divergence stay None and count as failed attacks.
        with contextlib.suppress(Diverged, NotANumber):
            copied = attacked_copy(self.loaded, balance_ if line.access == "balanced" else None)
            if self.first:
                before = self.grid.training(line.lr, self.grid.switch, derive(seed, "switch"))
                self._train(copied, self.first, line.access, before)
            config = self.grid.training(line.lr, line.steps[-1], seed)
            self._train(copied, self.rows, line.access, config, callback=measure, callback_steps=line.steps)
        return list(readings.items())

    def _train(
        self,
        copied: LoadedModel,
        rows: Sequence[Row],
        access: str,
        config: TrainConfig,
        callback: Callable[[int, View], None] | None = None,
        callback_steps: Sequence[int] = (),
    ) -> None:
        train(
            copied.view(),
            {"teach": rows},
            build("objective", "cross_entropy"),
            config=config,
            scope=scope_of(access, self.grid.rank),
            callback=callback,
            callback_steps=callback_steps,
        )


def attacked_copy(loaded: LoadedModel, change: Callable[[Any], None] | None = None) -> LoadedModel:
    """A copy with fp32 master weights, after ``change``; the attacked model itself is never trained, so each run
    starts bit-exactly."""

    def prepare(model: Any) -> None:
        model.float()
        if change is not None:
            change(model)

    return replace(loaded, model=copy_of(loaded.model, prepare))


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
