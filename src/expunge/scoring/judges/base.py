"""The judge contract: one verdict on each written text, and how a judge is named in options."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from expunge.core.errors import InputError
from expunge.registry import build
from expunge.scoring.judges import ledger

Choice = str | Mapping[str, Any]
"""A judge's name, or ``{name: …, parameters …}``."""


@dataclass(frozen=True, slots=True)
class Case:
    """A text that a model wrote. ``id`` names the row, ``prompt`` is what the model was shown."""

    id: str
    prompt: str
    answer: str
    text: str


@dataclass(frozen=True, slots=True)
class Ruling:
    """Whether the text gives the answer; ``score`` in [0, 1] is what that was read from.

    ``prompt`` and ``reply`` are what a judge that is itself asked was told and said.
    """

    hit: bool
    score: float
    prompt: str | None = None
    reply: str | None = None


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Base of the judges. ``keeps``: its rulings are always kept, because nobody could repeat them."""

    name: ClassVar[str]
    paper: ClassVar[str] = ""
    family: ClassVar[str] = ""
    keeps: ClassVar[bool] = False

    def rule(self, cases: Sequence[Case], *, keep: bool = False) -> list[Ruling]:
        """One ruling a case, in order; equal cases are judged once, an empty text gives nothing away."""
        found = {key: Ruling(False, 0.0) for key in map(_key, cases)}
        told = {key: case for case in reversed(cases) if (key := _key(case))[2]}
        if told:
            found |= dict(zip(told, self.judged(list(told.values())), strict=True))
        rulings = [found[_key(case)] for case in cases]
        if keep or self.keeps:
            ledger.note(self._row(case, ruling) for case, ruling in zip(cases, rulings, strict=True))
        return rulings

    def judged(self, cases: Sequence[Case]) -> list[Ruling]:
        """The judge's own work on texts that are not empty."""
        raise NotImplementedError

    def _row(self, case: Case, ruling: Ruling) -> dict[str, Any]:
        asked = {} if ruling.prompt is None else {"judge_prompt": ruling.prompt, "judge_reply": ruling.reply}
        given = {"judge": self.name, "id": case.id, "prompt": case.prompt, "answer": case.answer}
        return {**given, "generated": case.text, "hit": int(ruling.hit), "score": ruling.score, **asked}


def judge_of(choice: Choice) -> Judge:
    """The judge that ``choice`` names. Raises :class:`InputError` with a suggestion for an unknown one."""
    options = {"name": choice} if isinstance(choice, str) else dict(choice) if isinstance(choice, Mapping) else {}
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise InputError(f"judge is {choice!r}; give a name such as containment, or name and parameters.")
    made: Judge = build("judge", name, **options)
    return made


def check_threshold(name: str, threshold: float) -> None:
    """:class:`InputError` unless a threshold lies in (0, 1]: at 0 every text would be a hit."""
    if not 0 < threshold <= 1:
        raise InputError(f"judge {name!r}: threshold is {threshold:g}; it must be above 0 and at most 1.")


def _key(case: Case) -> tuple[str, str, str]:
    return case.prompt, case.answer, case.text.strip()
