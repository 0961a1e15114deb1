"""Estimated tokens: of rows, and of one step of an attack that searches for a prompt."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from expunge.attacks.gap_loss import CUTS
from expunge.knowledge.facts import Fact, Knowledge

FORWARD = 1 / 3
"""A forward pass in tokens of training, whose backward pass is twice as dear."""
TOWARDS_INPUT = 2 / 3
"""A forward pass and the gradient of its input alone."""
TOKENS_PER_WORD, TOKENS_PER_ROW = 1.5, 6
TAUGHT = 0.5
"""The share of the forget facts that the attacker holds (the default of ``split_fraction``)."""


def lengths(facts: Sequence[Fact], forms: Sequence[str] | None) -> list[float]:
    """Estimated tokens of every row."""
    probes = [probe for fact in facts for probe in (fact.probes if forms is None else fact.of_form(*forms))]
    return [_tokens(f"{probe.prompt} {probe.answer}") for probe in probes]


def answers(facts: Sequence[Fact], forms: Sequence[str]) -> float:
    """Estimated tokens that are written when every question is answered; an end is written too."""
    probes = [probe for fact in facts for probe in fact.of_form(*forms) if probe.prompt]
    return sum(TOKENS_PER_WORD * len(probe.answer.split()) + 1 for probe in probes)


def searched(grid: Any, facts: Knowledge) -> float | None:
    """Tokens of training that one step of a prompt search is worth; ``None`` for an attack that does not search.

    A step of coordinate search tries ``candidates`` suffixes of ``length`` tokens L on every question. What a candidate
    shares with the present suffix is computed once, up to one of ``CUTS`` places: the exchanged place is uniform, so
    L·(1 − (CUTS − 1)/(2·CUTS)) of the suffix and what stands behind it are computed for each; then one gradient of the
    whole row is taken. A round of beam search reads ``proposals`` prompts on every question, whole.
    """
    if not hasattr(grid, "questions"):
        return None
    rows = lengths(facts.forget, grid.forms) or lengths(facts.forget, None)
    questions, row = min(grid.questions, max(1.0, TAUGHT * len(rows))), fmean(rows or [0.0])
    if not hasattr(grid, "candidates"):
        return FORWARD * float(questions) * float(grid.proposals) * row
    behind = grid.length * (1 - (CUTS - 1) / (2 * CUTS)) + _behind(facts, grid.forms)
    tries = FORWARD * grid.candidates * behind
    return float(questions * (tries + TOWARDS_INPUT * (row + grid.length)))


def _behind(facts: Knowledge, forms: Sequence[str]) -> float:
    """Tokens from the gap on: what the template puts before an answer, and the answer."""
    answers = [probe.answer for fact in facts.forget for probe in fact.of_form(*forms) or fact.probes]
    return fmean(map(_tokens, answers)) if answers else 0.0


def _tokens(text: str) -> float:
    """Words and what a template adds."""
    return TOKENS_PER_WORD * len(text.split()) + TOKENS_PER_ROW
