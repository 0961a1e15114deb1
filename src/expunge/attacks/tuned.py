"""Prompt attacks that learn on T how to ask, and then ask V in that way.

The control and every other model go through the same search, each with its own result, so that what a search alone
brings is taken off. V is never looked at before the search has ended.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from expunge.attacks.base import AttackPoint, UtilityMeasure
from expunge.attacks.prompting import AskedSets, Entry, PromptAttack, Try, before_point, best, check, point_of
from expunge.attacks.variants import Material, Variant, plain
from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact, Knowledge, Split
from expunge.models.chat import Encoder
from expunge.models.load import LoadedModel
from expunge.models.text_only import TextOnly
from expunge.scoring.containment import contains
from expunge.scoring.judges.base import judge_of
from expunge.scoring.probes import Asked, ask

Wording = Callable[[Asked], Try | None]
"""How a question is put; ``None`` where it cannot be put so."""


def typed(encoder: Encoder, worded: Callable[[Asked], Variant]) -> Wording:
    """A wording in text; one that does not fit the context cannot be put."""

    def put(item: Asked) -> Try | None:
        variant = worded(item)
        try:
            return Try(item, variant, variant.row(encoder, item.row.key))
        except InputError:
            return None

    return put


@dataclass(frozen=True, kw_only=True)
class TunedPrompt(PromptAttack):
    """Base of the attacks whose prompt is trained on T's true answers.

    A source is the model that the prompt is trained on: ``unlearned``, the attacked model itself, or ``original``, θ₀,
    whose prompt is then tried on the attacked model. Budget n is the length of the search; a larger one continues it
    and keeps what is best on T. A point asks in the one way found by then: not the best of several.
    ``questions``: at most so many T questions are trained on, drawn once by the seed (8, our choice).
    """

    needs: ClassVar[tuple[str, ...]] = ("weights", "T", "outputs", "logprobs")
    known: ClassVar[tuple[str, ...]] = ("unlearned",)
    kind: ClassVar[Literal["weights", "prompt", "readout"]] = "prompt"
    by_text: ClassVar[bool] = False
    spreads: ClassVar[bool] = False

    sources: tuple[str, ...] = ("unlearned",)
    budgets: tuple[int, ...] = (1, 4, 16, 64)
    questions: int = 8

    def __post_init__(self) -> None:
        """Refuse a search without questions."""
        PromptAttack.__post_init__(self)
        self.at_least_one("questions")

    def at_least_one(self, *fields: str) -> None:
        """Raise :class:`InputError` unless each of these fields is at least 1."""
        for field in fields:
            if getattr(self, field) < 1:
                raise InputError(f"attack {self.name!r}: {field} is {getattr(self, field)!r}; it must be at least 1.")

    def wordings(self, holder: LoadedModel, taught: Sequence[Asked], material: Material) -> Mapping[int, Wording]:
        """What the search on ``holder`` and the T questions ``taught`` found, by budget.

        ``material.encoder`` is the attacked model's.
        """
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
        """Search on T, ask V and ``also_score``; utility and T are read before only.

        Raises :class:`InputError` where T is empty or θ₀ is needed and absent.
        """
        check(split)
        if not split.train:
            raise InputError(f"attack {self.name!r} trains on T, and T is empty; give more forget subjects.")
        material = Material(knowledge, split, loaded.encoder, seed, self.forms)
        sets = {"V": split.score, **(also_score or {})}
        asked = {name: ask(facts, loaded.encoder, self.forms) for name, facts in sets.items()}
        trained = {} if isinstance(loaded, TextOnly) else {"T": ask(split.train, loaded.encoder, self.forms)}
        before = before_point(loaded, {**asked, **trained}, utility, judge_of(self.judge))
        points = [before]
        for source in self.sources:
            holder = {"unlearned": loaded, "original": original}[source]
            if holder is None:
                raise InputError(f"attack {self.name!r} needs the original model; give it, or choose another attack.")
            found = self.wordings(holder, self._taught(holder, split, seed), material)
            points += self._points(source, loaded, asked, found, before)
        return points

    def _taught(self, holder: LoadedModel, split: Split, seed: int) -> list[Asked]:
        """The T questions that are trained on, as the model that is searched reads them."""
        asked = ask(split.train, holder.encoder, self.forms)
        stream = random.Random(derive(seed, self.name, "questions"))
        return stream.sample(asked, min(self.questions, len(asked)))

    def _points(
        self,
        source: str,
        loaded: LoadedModel,
        asked: AskedSets,
        found: Mapping[int, Wording],
        before: AttackPoint,
    ) -> list[AttackPoint]:
        """One point a budget; all of them are scored in one pass."""
        entries = {
            budget: [Entry(source, label, item, (_tried(item, wording),)) for label in asked for item in asked[label]]
            for budget, wording in found.items()
        }
        said = iter(self.judged(loaded, [entry.tries[0] for own in entries.values() for entry in own]))
        return [
            point_of(before, source, self.name, budget, [best(entry, [next(said)], budget) for entry in own])
            for budget, own in entries.items()
        ]


def _tried(asked: Asked, wording: Wording) -> Try:
    """The question in that wording; the plain one where it cannot be put so, or where the wording tells the answer."""
    told = contains(asked.probe.prompt, asked.probe.answer)
    attempt = wording(asked)
    if attempt is None or (not told and contains(attempt.variant.shown, asked.probe.answer)):
        return Try(asked, plain(asked), asked.row)
    return attempt
