"""Attacks that only ask: the weights stay as they are, the question is put in other ways.

A probe of V is hit at budget b when the model gives the answer under any of the variants that b pays for (best of b):
more tries are more luck, and the audit takes it off, because the never-trained control is asked the very same
prompts. Prompts depend on the facts and the seed, never on the model. Of a model that is seen in text alone there is no
greedy match: it answers every variant, and the attack's judge reads what it wrote.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from expunge.attacks.base import Attack, AttackPoint, ProbeReading, UtilityMeasure
from expunge.attacks.hearing import before_any_attack, heard
from expunge.attacks.variants import Material, Variant, plain
from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Knowledge, Split
from expunge.models.load import LoadedModel
from expunge.models.rows import Row
from expunge.models.text_only import TextOnly
from expunge.registry import suggestion
from expunge.scoring.containment import contains
from expunge.scoring.judges.base import Choice, Judge, judge_of
from expunge.scoring.probes import Asked, ask, score_asked
from expunge.scoring.teacher_forced import score

AskedSets = Mapping[str, Sequence[Asked]]


@dataclass(frozen=True, slots=True)
class Said:
    """What the model made of one variant; ``logprob`` is that of the scored tokens in nats, NaN where none were."""

    hit: bool
    logprob: float


@dataclass(frozen=True, slots=True)
class Try:
    """One variant of one probe with its tokens."""

    asked: Asked
    variant: Variant
    row: Row


@dataclass(frozen=True, slots=True)
class Entry:
    """All ways in which one source asks for one probe of set ``label`` (``V``, ``P`` …)."""

    source: str
    label: str
    asked: Asked
    tries: tuple[Try, ...]


@dataclass(frozen=True, kw_only=True)
class PromptAttack(Attack):
    """Base of the prompt attacks.

    ``sources``: which families of prompts are used, each a line of points of its own. ``budgets``: how much is tried.
    ``forms``: the probe forms of V that the attack starts from (a fact with none of them in all it has).
    ``begins`` says that the attack opens the answer itself, which not every server lets it do.
    ``known`` lists the sources there are; the prompts of those in ``shows`` hold the answer. They measure whether
    a told answer is repeated, which a never-trained model does too. As the audit takes every model's own worst point,
    such a point would outshine all others, so no default names one. ``judge`` (``containment``, or a mapping of a
    judge's name and parameters) decides whether a written text gives the answer; teacher-forced hits need none.
    """

    name: ClassVar[str]
    known: ClassVar[tuple[str, ...]]
    shows: ClassVar[frozenset[str]] = frozenset()
    kind: ClassVar[Literal["weights", "prompt", "readout"]] = "prompt"
    needs: ClassVar[tuple[str, ...]] = ("outputs", "logprobs")
    family: ClassVar[str] = "prompts"
    by_text: ClassVar[bool] = True
    spreads: ClassVar[bool] = True
    begins: ClassVar[bool] = False

    sources: tuple[str, ...] = ()
    budgets: tuple[int, ...] = (1, 2, 4, 8)
    forms: tuple[str, ...] = ("qa",)
    judge: Choice = "containment"

    def __post_init__(self) -> None:
        """Take a lone value for a tuple of one, sort budgets, and refuse an empty or unknown choice."""
        for field in ("sources", "budgets", "forms"):
            value = getattr(self, field)
            alone = isinstance(value, str) or not isinstance(value, Sequence)
            object.__setattr__(self, field, (value,) if alone else tuple(value))
            if not getattr(self, field):
                raise InputError(f"attack {self.name!r}: {field!r} is empty; give at least one value.")
        object.__setattr__(self, "budgets", tuple(sorted({int(budget) for budget in self.budgets})))
        if self.budgets[0] < 1:
            raise InputError(f"attack {self.name!r}: budgets has {self.budgets[0]}; they begin at 1.")
        for source in self.sources:
            if source not in self.known:
                raise InputError(f"attack {self.name!r}: unknown source {source!r}; {suggestion(source, self.known)}")
        judge_of(self.judge)

    @property
    def can_spread(self) -> bool:
        """A judge whose rulings nobody could repeat would be asked anew by every rank."""
        return self.spreads and not judge_of(self.judge).keeps

    def variants(self, source: str, asked: Asked, material: Material) -> list[Variant]:
        """The ways in which ``source`` asks for a probe, cheapest first; none where it has none."""
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
        """Ask V and ``also_score`` in every way that the budgets pay for; utility and T are read before only."""
        check(split)
        material = Material(knowledge, split, loaded.encoder, seed, self.forms)
        sets = {"V": split.score, **(also_score or {})}
        asked = {name: ask(facts, loaded.encoder, self.forms) for name, facts in sets.items()}
        trained = {} if isinstance(loaded, TextOnly) else {"T": ask(split.train, loaded.encoder, self.forms)}
        before = before_point(loaded, {**asked, **trained}, utility, judge_of(self.judge))
        return [before, *self.walk(loaded, material, asked, before)]

    def walk(self, loaded: LoadedModel, material: Material, asked: AskedSets, before: AttackPoint) -> list[AttackPoint]:
        """The points of all sources and budgets; every prompt is put to the model once, in one pass."""
        entries = self.entries(asked, material)
        said = iter(self.judged(loaded, [attempt for entry in entries for attempt in entry.tries]))
        results = [(entry, [next(said) for _ in entry.tries]) for entry in entries]
        points = []
        for source in dict.fromkeys(entry.source for entry in entries):
            own = [(entry, heard) for entry, heard in results if entry.source == source]
            for budget in self.budgets:
                readings = [best(entry, heard, budget) for entry, heard in own]
                points.append(point_of(before, source, self.name, budget, readings))
        return points

    def judged(self, loaded: LoadedModel, tries: Sequence[Try]) -> list[Said]:
        """Greedy match of the whole expected text and its log-probability; for a model seen in text a judge decides."""
        if isinstance(loaded, TextOnly):
            hits = heard(loaded, [(attempt.asked, attempt.variant) for attempt in tries], judge_of(self.judge))
            return [Said(hit, math.nan) for hit in hits]
        scores = score(loaded.view(), [attempt.row for attempt in tries])
        return [Said(scored.greedy, -scored.nll_sum) for scored in scores]

    def entries(self, asked: AskedSets, material: Material) -> list[Entry]:
        """Every probe under every source that has something for V; where it has nothing, the plain question."""
        found: list[Entry] = []
        for source in self.sources:
            own = [(name, item, self._usable(source, item, material)) for name in asked for item in asked[name]]
            if any(tries for name, _, tries in own if name == "V"):
                plainly = ((name, item, tries or (Try(item, plain(item), item.row),)) for name, item, tries in own)
                found += [Entry(source, name, item, tries) for name, item, tries in plainly]
        if not found:
            raise InputError(f"attack {self.name!r} has no other way to ask any V probe; choose other sources.")
        return found

    def _usable(self, source: str, asked: Asked, material: Material) -> tuple[Try, ...]:
        """Variants that fit the context and, unless the source says so, do not show the answer."""
        told = source in self.shows or contains(asked.probe.prompt, asked.probe.answer)
        made = self.variants(source, asked, material)
        kept = [variant for variant in made if told or not contains(variant.shown, asked.probe.answer)]
        return tuple(attempt for variant in kept if (attempt := _encoded(asked, variant, material)) is not None)


def check(split: Split) -> None:
    """:class:`InputError` when V is empty or shares a subject with T."""
    if not split.score:
        raise InputError("V is empty, so recovery cannot be measured; give more forget subjects.")
    shared = {fact.subject for fact in split.train} & {fact.subject for fact in split.score}
    if shared:
        raise InputError(f"T and V share the subject {min(shared)!r}; split by subject.")


def before_point(
    loaded: LoadedModel, asked: AskedSets, utility: UtilityMeasure, judge: Judge | None = None
) -> AttackPoint:
    """The plain questions; ``asked`` may hold T. ``judge`` (default: containment) reads a model seen in text alone."""
    labels = [name for name in asked for _ in asked[name]]
    items = [item for name in asked for item in asked[name]]
    if isinstance(loaded, TextOnly):
        probes = tuple(before_any_attack(loaded, items, labels, judge or judge_of("containment")))
    else:
        scored = score_asked(loaded.view(), items)
        probes = tuple(ProbeReading.of(item, label) for item, label in zip(scored, labels, strict=True))
    reading = utility(loaded.view())
    return AttackPoint("", "", 0.0, 0, reading.value, reading.parts, True, None, probes)


def point_of(
    before: AttackPoint, source: str, name: str, budget: int, probes: Sequence[ProbeReading], knob: float = 0.0
) -> AttackPoint:
    """A point whose utility is that of ``before``: the weights are the same."""
    return AttackPoint(
        source, name, knob, budget, before.utility, before.utility_parts, before.usable, None, tuple(probes)
    )


def best(entry: Entry, heard: Sequence[Said], budget: int) -> ProbeReading:
    """Hit when any variant that the budget pays for hit; the highest log-probability among them.

    Where not even the first is paid for (the cheaper ones did not fit the context), nothing was asked: no hit.
    """
    pairs = zip(entry.tries, heard, strict=True)
    paid = [said for attempt, said in pairs if attempt.variant.cost <= budget] or [Said(False, heard[0].logprob)]
    fact, form = entry.asked.fact, entry.asked.probe.form
    hit, logprob = any(said.hit for said in paid), max(said.logprob for said in paid)
    return ProbeReading(fact.id, fact.subject, form, hit, logprob, entry.label)


def _encoded(asked: Asked, variant: Variant, material: Material) -> Try | None:
    """The variant with its tokens; ``None`` where it does not fit the model's context, so that no one can ask it."""
    try:
        return Try(asked, variant, variant.row(material.encoder, asked.row.key))
    except InputError:
        return None
