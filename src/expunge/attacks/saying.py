"""Attack success as in the relearning literature: the answer stands in what the model writes."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from expunge.knowledge.encode import question_ids
from expunge.knowledge.facts import Fact
from expunge.knowledge.keywords import KEYWORD
from expunge.models.chat import Encoder
from expunge.models.view import View
from expunge.scoring.by_text import ANSWER_TOKENS
from expunge.scoring.containment import contains
from expunge.scoring.generate import generate
from expunge.scoring.probes import Asked, ask

Hear = Callable[[View, Sequence[Asked]], list[bool]]
"""Whether the model's greedy answer to each probe gives the probe's answer."""


def said(encoder: Encoder) -> Hear:
    """Greedy answers of at most :data:`~expunge.scoring.by_text.ANSWER_TOKENS` tokens, searched for whole words."""

    def hear(view: View, asked: Sequence[Asked]) -> list[bool]:
        prompts = [question_ids(item.probe, encoder) for item in asked]
        texts = generate(view, encoder, prompts, max_new_tokens=ANSWER_TOKENS)
        return [contains(text, item.probe.answer) for text, item in zip(texts, asked, strict=True)]

    return hear


def asked_of(grid: Any, facts: Sequence[Fact], encoder: Encoder) -> list[Asked]:
    """The probes of V, or of a set like it, that an attack's grid asks.

    They are those in its ``forms``; where hits are what is written, a fact that has a keyword is asked for it alone.
    """
    if getattr(grid, "hits", "greedy") == "said":
        facts = [replace(fact, probes=fact.of_form(KEYWORD) or fact.probes) for fact in facts]
    return ask(facts, encoder, getattr(grid, "forms", ("qa",)))


def hearing(grid: Any, encoder: Encoder) -> Hear | None:
    """How an attack's grid judges V: by what is written where its ``hits`` are ``said``, else by greedy match."""
    return said(encoder) if getattr(grid, "hits", "greedy") == "said" else None
