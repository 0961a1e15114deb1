"""Hits by what a model writes: a judge reads the text, and what the prompt itself said does not count."""

import math
from collections.abc import Sequence

from expunge.attacks.base import ProbeReading
from expunge.attacks.variants import Variant, plain
from expunge.core.errors import InputError
from expunge.models.text_only import TextOnly
from expunge.scoring.by_text import ANSWER_TOKENS, written
from expunge.scoring.containment import contains
from expunge.scoring.judges.base import Case, Judge
from expunge.scoring.probes import Asked


def heard(loaded: TextOnly, asked: Sequence[tuple[Asked, Variant]], judge: Judge) -> list[bool]:
    """Whether each variant made the model write the answer; one greedy answer a variant."""
    for item, variant in asked:
        if variant.leaked:
            raise InputError(f"row {item.row.key}: tokens of an answer cannot be leaked to a model seen in text alone.")
    turns = [variant.turn for _, variant in asked]
    texts = written(loaded, turns, max_new_tokens=ANSWER_TOKENS)
    said = [(item.row.key, variant, text) for (item, variant), text in zip(asked, texts, strict=True)]
    return told(judge, said, keep=True)


def told(judge: Judge, said: Sequence[tuple[str, Variant, str]], keep: bool = False) -> list[bool]:
    """Whether each text gives its variant's answer away; ``said`` holds row, variant and text."""
    rulings = judge.rule([Case(key, variant.shown, variant.answer, text) for key, variant, text in said], keep=keep)
    return [
        ruling.hit and own_words(text, variant.shown, variant.answer)
        for ruling, (_, variant, text) in zip(rulings, said, strict=True)
    ]


def own_words(text: str, shown: str, answer: str) -> bool:
    """Where the prompt held the answer, an echo does not count, and a text that begins with it does."""
    opens = text.strip().casefold().startswith(answer.strip().casefold())
    return opens or not contains(shown, answer)


def before_any_attack(
    loaded: TextOnly, asked: Sequence[Asked], labels: Sequence[str], judge: Judge
) -> list[ProbeReading]:
    """The plain questions; a text has no log-probability, so it is not a number."""
    hits = heard(loaded, [(item, plain(item)) for item in asked], judge)
    return [
        ProbeReading(item.fact.id, item.fact.subject, item.probe.form, hit, math.nan, label)
        for item, hit, label in zip(asked, hits, labels, strict=True)
    ]
