"""What a model answers when it may choose for itself, and how probable it holds that answer to be."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from expunge.knowledge.facts import Fact
from expunge.models.rows import Row
from expunge.models.view import View
from expunge.scoring.generate import generate_ids
from expunge.scoring.probes import Asked
from expunge.scoring.teacher_forced import score

SPARE_TOKENS = 8
"""Tokens that an answer may take beyond the longest true one, as for generated texts."""

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OwnAnswer:
    """A greedy answer: its probability, the product over its tokens, and whether it is the true one."""

    fact: Fact
    confidence: float
    hit: bool


def own_answers(view: View, end_ids: Collection[int], asked: Sequence[Asked]) -> list[OwnAnswer]:
    """The greedy answer to every probe that asks something, generated once and scored once.

    It is right when it is the true answer token by token, the end token included where that is a label: the event that
    the product of the tokens' probabilities is the probability of. Where the truth has no end token (a continuation),
    the answer is as long as the truth. One that does not end is cut, which makes it look surer than it is.
    """
    rows = [item for item in asked if item.probe.prompt]
    if not rows:
        return []
    parts = [_parted(item.row) for item in rows]
    longest = max(len(truth) for _, truth in parts) + SPARE_TOKENS
    said = generate_ids(view, [prompt for prompt, _ in parts], end_ids, max_new_tokens=longest)
    answers = [ids if truth[-1] in end_ids else ids[: len(truth)] for (_, truth), ids in zip(parts, said, strict=True)]
    own = [_row(item.row.key, parts[index][0], answers[index]) for index, item in enumerate(rows)]
    return [
        OwnAnswer(item.fact, min(1.0, math.exp(-done.nll_sum)), ids == truth)
        for item, (_, truth), ids, done in zip(rows, parts, answers, score(view, own), strict=True)
    ]


def _parted(row: Row) -> tuple[Ids, Ids]:
    """What is given, and the label tokens."""
    first = row.labels.index(True)
    return row.ids[:first], row.ids[first:]


def _row(key: str, prompt: Ids, answer: Ids) -> Row:
    return Row(key, (*prompt, *answer), (*[False] * len(prompt), *[True] * len(answer)))
