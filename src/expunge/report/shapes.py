"""What the report knows of a study: plain values read from its folder, nothing computed yet."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PLACES = {"original": "original", "control": "control", "null": "null row"}


@dataclass(frozen=True, slots=True)
class Interval:
    """A number with the two ends of its 95 % interval. ``high`` or ``low`` equal to ``value``: no spread known."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Curve:
    """Recovery along one trajectory: share of V answered (0–1) and utility (0–1) after each step budget."""

    label: str
    role: str
    source: str
    access: str
    lr: float
    steps: tuple[int, ...]
    share: tuple[Interval, ...]
    utility: tuple[float, ...]

    def by_step(self) -> dict[int, Interval]:
        """Step budget → share of V answered."""
        return dict(zip(self.steps, self.share, strict=True))

    def point_ids(self) -> tuple[str, ...]:
        """The attack point ids of the budgets: ``before`` for 0 steps, else ``source/access/lr/steps``."""
        stem = f"{self.source}/{self.access}/{self.lr:g}"
        return tuple(f"{stem}/{step}" if step else "before" for step in self.steps)


@dataclass(frozen=True, slots=True)
class AttackRow:
    """One attack on one method alone: its own worst-case share of V and excess recovery, and the control's share."""

    attack: str
    after: Interval
    e_star: Interval | None
    missing: str | None
    control: Interval | None = None


@dataclass(frozen=True, slots=True)
class GroupRow:
    """What the audit says of one method on one group of facts; without readings where the group was too small."""

    name: str
    num_v_subjects: int
    verdict: str
    reasons: tuple[str, ...]
    before: Interval | None
    after: Interval | None
    e_star: Interval | None


@dataclass(frozen=True, slots=True)
class Stage:
    """Which of several requests to forget a world stands after; ``methods``: label there → the method's own."""

    world: str
    done: int
    of: int
    methods: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Recovered:
    """A fact that the worst attack point brought back; ``answer`` is what the attacked model says."""

    point: str
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Method:
    """One unlearned model and the audit's findings about it; shares and utilities are 0–1.

    ``speed`` is how fast it learns facts that are new to it, the control being 1. ``beside`` is its excess recovery
    less that of the baseline, whose label is ``baseline``.
    """

    label: str
    verdict: str
    usability: str
    reasons: tuple[str, ...]
    before: Interval
    after: Interval
    e0: Interval | None
    e_star: Interval | None
    worst_points: tuple[str, ...]
    utility_before: float | None
    utility_after: float | None
    t_recall: float | None
    forget_metrics: Mapping[str, Interval]
    attacks: tuple[AttackRow, ...] = ()
    winner: str | None = None
    speed: float | None = None
    lead: float = 0.0
    recovered: tuple[Recovered, ...] = ()
    groups: tuple[GroupRow, ...] = ()
    baseline: str | None = None
    beside: Interval | None = None


@dataclass(frozen=True, slots=True)
class Control:
    """The model that never knew the forget set, its ``placebo`` stand-in, or ``none``: then without readings."""

    kind: str
    before: Interval | None
    after: Interval | None
    worst_points: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Null:
    """A second never-trained seed in the unlearned model's place; ``valid`` is None where it was not run."""

    e_star: Interval | None
    valid: bool | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Cell:
    """One finished or failed unit of the study: its folder name and its record."""

    folder: str
    record: Mapping[str, Any]
    samples: tuple[Mapping[str, Any], ...] = ()

    @property
    def kind(self) -> str:
        """``teach``, ``unlearn``, ``attack`` …: the folder name without its hash."""
        return self.folder.rsplit("-", 1)[0]


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the study in the reader's words, with its evaluations and its unlearning by replicate."""

    label: str
    role: str
    evaluate: tuple[Cell, ...]
    unlearn: tuple[Cell, ...] = ()


@dataclass(frozen=True, slots=True)
class World:
    """One body of knowledge with everything that was found about it."""

    label: str
    knowledge: str
    seeds: tuple[int, ...]
    num_v_subjects: int
    num_t_subjects: int
    to_forget: tuple[str, ...]
    leaks: int
    original: Interval | None
    control: Control
    null: Null
    methods: tuple[Method, ...]
    curves: tuple[Curve, ...]
    not_tested: tuple[str, ...]
    models: tuple[Model, ...] = ()
    stage: Stage | None = None
    over_replicates: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Study:
    """A whole study folder. ``recipe`` is the resolved YAML text, ``cells`` every cell that left a record."""

    name: str
    epsilon: float
    resamples: int
    recipe: str
    recipe_sha256: str
    audit_sha256: str
    worlds: tuple[World, ...]
    cells: tuple[Cell, ...] = field(default=())
