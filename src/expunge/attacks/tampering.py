"""Attacks that change weights without training: named edits of a fresh copy, each read at one point of the grid."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from expunge.attacks.base import USABLE_SHARE, Attack, AttackPoint, ProbeReading, UtilityMeasure
from expunge.attacks.panel import Panel, PanelReading
from expunge.attacks.relearn import DIVERGED_LOGPROB, attacked_copy
from expunge.core.errors import InputError
from expunge.knowledge.encode import rows_of
from expunge.knowledge.facts import Fact, Knowledge, Split
from expunge.models.load import LoadedModel
from expunge.models.rows import Row
from expunge.scoring.probes import ask
from expunge.scoring.teacher_forced import NotANumber


@dataclass(frozen=True, slots=True)
class Scene:
    """What the attacker holds: the attacked model, T, ordinary text, and θ₀ where the attack needs it."""

    loaded: LoadedModel
    knowledge: Knowledge
    split: Split
    seed: int
    original: LoadedModel | None

    def rows(self, facts: Sequence[Fact], forms: Sequence[str]) -> list[Row]:
        """The rows of ``facts`` in these forms; a fact with none of them (a document) gives all it has, whole."""
        chosen = [replace(fact, probes=fact.of_form(*forms) or fact.probes) for fact in facts]
        return rows_of(chosen, self.loaded.encoder)

    @property
    def theta_0(self) -> LoadedModel:
        """θ₀; only for an attack that declares ``original`` in ``needs``."""
        assert self.original is not None
        return self.original

    def ordinary(self) -> tuple[Fact, ...]:
        """What stands for ordinary text: the retain facts that the unlearner saw, else the stream ``unrelated``.

        Never ``retain_eval``, on which utility is measured. Raises :class:`InputError` where there is neither.
        """
        found = self.knowledge.retain_train or self.knowledge.streams.get("unrelated", ())
        if not found:
            raise InputError("this attack compares T with ordinary text, and there is none; give retain facts.")
        return found


@dataclass(frozen=True, slots=True)
class Edit:
    """One point of the grid: its variant and knob, and what is done to a fresh fp32 copy of the attacked model, which
    is whole also where that model is spread."""

    variant: str
    knob: float
    change: Callable[[LoadedModel], None]


@dataclass(frozen=True, kw_only=True)
class Tampering(Attack):
    """Base of the attacks that edit weights. ``forms`` are the probe forms that V and T are asked in.

    A point's source is the variant, its access the attack's ``name``, its lr the knob and its steps 1: no edit is
    repeated. Utility is measured after every edit. An edit whose model no longer gives numbers is a failed attack.
    """

    family: ClassVar[str] = "tampering"
    kind: ClassVar[Literal["weights", "prompt", "readout"]] = "weights"
    name: ClassVar[str]
    steps: ClassVar[tuple[int, ...]] = (1,)
    batch_size: ClassVar[int] = 0
    """With ``steps`` what the cost estimate reads: nothing is trained."""

    forms: tuple[str, ...] = ("qa",)

    def __post_init__(self) -> None:
        """Take a lone value for a tuple of one and refuse an empty grid."""
        self.listed("forms")

    def listed(self, *fields: str) -> None:
        """Make tuples of these fields; :class:`InputError` where one is empty."""
        for field in fields:
            value = getattr(self, field)
            alone = isinstance(value, str) or not isinstance(value, Sequence)
            object.__setattr__(self, field, (value,) if alone else tuple(value))
            self.demand(bool(getattr(self, field)), field, "give at least one value")

    def demand(self, fine: bool, field: str, remedy: str) -> None:
        """Raise :class:`InputError` about ``field`` unless ``fine``."""
        if not fine:
            raise InputError(f"attack {self.name!r}: {field!r} is {getattr(self, field)!r}; {remedy}.")

    def rows_of_grid(self) -> list[tuple[str, str, float]]:
        """Every (source, access, knob) that may be read; a model with few layers may have fewer points."""
        raise NotImplementedError

    def edits(self, scene: Scene) -> Iterable[Edit]:
        """The edits in the order of the grid; ``scene`` is to be left as it is."""
        raise NotImplementedError

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
        """Read every edit on its own copy of ``loaded``; see :meth:`expunge.attacks.base.Attack.run`.

        Raises :class:`InputError` when V is empty or θ₀ is needed and absent.
        """
        if not split.score:
            raise InputError("V is empty, so recovery cannot be measured; give more forget subjects.")
        if "original" in self.needs and original is None:
            raise InputError(f"attack {self.name!r} needs the original model; give it, or choose another attack.")
        sets = {"V": split.score, **(also_score or {}), "T": split.train}
        panel = Panel({name: ask(facts, loaded.encoder, self.forms) for name, facts in sets.items()}, utility)
        first = panel.read(loaded.view())
        value, parts = first.utility.value, first.utility.parts
        before = AttackPoint("", "", 0.0, 0, value, parts, True, first.t_recall, first.probes)
        edits = self.edits(Scene(loaded, knowledge, split, seed, original))
        return [before, *(self._point(edit, loaded, panel, before) for edit in edits)]

    def _point(self, edit: Edit, loaded: LoadedModel, panel: Panel, before: AttackPoint) -> AttackPoint:
        copied = attacked_copy(loaded, lambda model: edit.change(replace(loaded, model=model)))
        place = edit.variant, self.name, edit.knob, 1
        if (reading := _reading(panel, copied)) is None:
            lost = tuple(_lost(probe) for probe in before.probes)
            return AttackPoint(*place, 0.0, {}, False, None, lost, diverged=True)
        found = reading.utility
        usable = found.value >= USABLE_SHARE * before.utility
        return AttackPoint(*place, found.value, found.parts, usable, None, reading.probes)


def _reading(panel: Panel, loaded: LoadedModel) -> PanelReading | None:
    try:
        return panel.read(loaded.view())
    except NotANumber:
        return None


def _lost(probe: ProbeReading) -> ProbeReading:
    return replace(probe, hit=False, logprob=DIVERGED_LOGPROB)
