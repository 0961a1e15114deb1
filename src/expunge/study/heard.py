"""Questions put as they are to a model seen in text alone, and what it wrote."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from expunge.attacks.variants import plain
from expunge.metrics.base import Value, interval
from expunge.models.text_only import TextOnly
from expunge.scoring.by_text import ANSWER_TOKENS, written
from expunge.scoring.containment import contains
from expunge.scoring.judges.base import Case, Choice, judge_of
from expunge.scoring.probes import Asked


@dataclass(frozen=True, slots=True)
class Heard:
    """One question, what the model wrote, and whether the answer stands in it."""

    asked: Asked
    text: str
    hit: bool

    def sample(self, split: str) -> dict[str, Any]:
        """The row of ``samples.jsonl``; a text has no probability."""
        fact, probe = self.asked.fact, self.asked.probe
        named = {"split": split, "fact": fact.id, "subject": fact.subject, "form": probe.form}
        said = {"prompt": probe.prompt, "answer": probe.answer, "generated": self.text}
        return {**named, **said, "hit": int(self.hit), "probability": None}


def read_plainly(loaded: TextOnly, asked: Sequence[Asked]) -> list[Heard]:
    """Greedy answers, by containment."""
    texts = written(loaded, [plain(item).turn for item in asked], max_new_tokens=ANSWER_TOKENS)
    return [Heard(item, text, contains(text, item.probe.answer)) for item, text in zip(asked, texts, strict=True)]


def judged(judge: Choice, heard: Sequence[Heard]) -> dict[str, Any]:
    """The record's entry for the share of texts that give the answer in the eyes of ``judge``."""
    cases = [Case(item.asked.row.key, item.asked.probe.prompt, item.asked.probe.answer, item.text) for item in heard]
    rulings = zip(heard, judge_of(judge).rule(cases), strict=True)
    return interval(
        [Value(item.asked.fact.subject, float(ruling.hit)) for item, ruling in rulings], proportion=True
    ).as_dict()


def share(heard: Sequence[Heard], what: str) -> dict[str, Any]:
    """The record's entry for the share of texts that are a ``hit``, or ``empty``; an interval over subjects."""
    values = [
        Value(item.asked.fact.subject, float(item.hit if what == "hit" else not item.text.strip())) for item in heard
    ]
    return interval(values, proportion=True).as_dict()
