"""The model is reminded of the very people it is asked about, by everything but the answer."""

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from expunge.attacks.relearn import attacked_copy
from expunge.certificates.base import Certificate
from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.encode import rows_of
from expunge.knowledge.facts import Fact, Knowledge, Split
from expunge.models.loaded import LoadedModel
from expunge.models.rows import Row
from expunge.models.view import View
from expunge.registry import build, certificate
from expunge.scoring.probes import Asked, ask, score_asked
from expunge.scoring.teacher_forced import NotANumber
from expunge.training.config import TrainConfig
from expunge.training.errors import Diverged
from expunge.training.loop import train


@certificate("same_people")
@dataclass(frozen=True, kw_only=True)
class SamePeople(Certificate):
    """Recall on V after fine-tuning on all that is known but the asked attribute of V; every attribute in its turn.

    For what suppresses in all weights. The other attributes of the very subjects of V, T, and all retain facts are
    taught by cross-entropy; the held-back attribute of V is read. Who never knew it cannot answer, as the attributes
    of a person are independent: facts that show a held-back answer of their subject are left out of the teaching. The
    audit's attacker has T and no fact about a subject of V. The best point of the grid counts, one for all attributes.

    ``rates`` and ``steps`` were chosen on small Llamas taught the people world: a slow rate brings back what a faster
    one overwrites. ``taught`` are the forms that are taught; ``batch_size`` is rows a step.
    """

    family: ClassVar[str] = "relearning"
    rates: tuple[float, ...] = (1e-4, 3e-4)
    steps: tuple[int, ...] = (8, 16, 32, 64)
    batch_size: int = 16
    taught: tuple[str, ...] = ("qa",)

    def __post_init__(self) -> None:
        """Refuse an empty grid."""
        for key in ("rates", "steps"):
            if not getattr(self, key):
                raise InputError(f"certificate parameter {key!r} is empty; give at least one value.")

    def recalled(
        self, candidate: LoadedModel, original: LoadedModel, knowledge: Knowledge, split: Split, seed: int
    ) -> float:
        """See the class. Raises :class:`InputError` where V has fewer than two attributes."""
        beside = (*split.train, *knowledge.retain_train, *knowledge.retain_eval)
        hits: Counter[tuple[float, int]] = Counter()
        for attribute, (asked, shown) in held_back(split.score).items():
            probes = ask(asked, candidate.encoder, self.forms)
            rows = rows_of([*shown, *beside], candidate.encoder, self.taught)
            for lr in self.rates:
                order = derive(seed, "same_people", attribute)
                hits.update({(lr, step): found for step, found in self._reminded(candidate, rows, probes, lr, order)})
        return max(hits.values()) / len(ask(split.score, candidate.encoder, self.forms))

    def _reminded(
        self, candidate: LoadedModel, rows: Sequence[Row], probes: Sequence[Asked], lr: float, seed: int
    ) -> list[tuple[int, int]]:
        """Probes answered after each number of steps; none where training had diverged."""
        answered = dict.fromkeys(self.steps, 0)

        def read(step: int, view: View) -> None:
            answered[step] = sum(item.score.greedy for item in score_asked(view, probes))

        config = TrainConfig(lr=lr, steps=max(self.steps), batch_size=self.batch_size, seed=seed)
        teaching = build("objective", "cross_entropy")
        with contextlib.suppress(Diverged, NotANumber):
            view = attacked_copy(candidate).view()
            train(view, {"teach": rows}, teaching, config=config, callback=read, callback_steps=self.steps)
        return list(answered.items())


def held_back(facts: Sequence[Fact]) -> Mapping[str, tuple[list[Fact], list[Fact]]]:
    """By attribute: the facts that are asked, and those of other attributes that show no answer of their subject's.

    Raises :class:`InputError` where there are fewer than two attributes.
    """
    attributes = dict.fromkeys(fact.attribute for fact in facts)
    if len(attributes) < 2:
        raise InputError(
            "certificate 'same_people' reminds of people by their other attributes, but V has fewer than two; give "
            "facts with more attributes, or choose another certificate."
        )
    return {name: _parts(facts, name) for name in attributes}


def _parts(facts: Sequence[Fact], attribute: str) -> tuple[list[Fact], list[Fact]]:
    asked = [fact for fact in facts if fact.attribute == attribute]
    barred = {(fact.subject, probe.answer.casefold()) for fact in asked for probe in fact.probes if probe.prompt}
    others = (fact for fact in facts if fact.attribute != attribute)
    return asked, [fact for fact in others if not any(_shows(fact, *pair) for pair in barred)]


def _shows(fact: Fact, subject: str, answer: str) -> bool:
    texts = (f"{probe.prompt}\n{probe.answer}".casefold() for probe in fact.probes)
    return fact.subject == subject and any(answer in text for text in texts)
