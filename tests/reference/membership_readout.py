"""Literal twins of the membership readout: a plain model row by row, every pair counted, every resample spelled out."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from expunge.knowledge.facts import Fact
from reference import tofu_suite as twins

SCORES = ("loss", "zlib", "min_k", "min_k_plus_plus", "reference", "gradnorm")


def score(loaded: Any, control: Any, fact: Fact, name: str) -> float:
    """One membership score of a fact's first probe, each from a pass of its own."""
    probe = fact.probes[0]
    ids, stats = twins.statistics(loaded, probe.prompt, probe.answer)
    if name == "gradnorm":
        return twins.gradient_norm(loaded.model, ids, len(loaded.encoder.prompt_ids(probe.prompt)))
    if name == "zlib":
        return twins.zlib_loss(stats, probe.answer)
    if name.startswith("min_k"):
        return twins.min_k(stats, 0.4, name == "min_k_plus_plus")
    own = -sum(token["logprob"] for token in stats) / len(stats)
    return own - score(control, control, fact, "loss") if name == "reference" else own


def scores(loaded: Any, control: Any, facts: Sequence[Fact], name: str) -> list[float]:
    """The same of every fact."""
    return [score(loaded, control, fact, name) for fact in facts]


def area(points: Sequence[tuple[float, float]]) -> float:
    """The area under straight lines between the points."""
    total = 0.0
    for (left, low), (right, high) in itertools.pairwise(points):
        total += (right - left) * (low + high) / 2
    return total


def tpr_draws(
    members: Sequence[tuple[str, float]], others: Sequence[tuple[str, float]], fpr: float, seed: int, resamples: int
) -> list[float]:
    """The rate of every resample: subjects drawn on either side, their rows written out as often as they were drawn."""
    stream = np.random.default_rng(seed)
    sides = []
    for rows in (members, others):
        subjects = list(dict.fromkeys(subject for subject, _ in rows))
        counts = stream.multinomial(len(subjects), np.full(len(subjects), 1 / len(subjects)), resamples)
        sides.append(
            [[value for subject, value in rows for _ in range(drawn[subjects.index(subject)])] for drawn in counts]
        )
    return [twins.tpr_at_fpr(own, rest, fpr) for own, rest in zip(*sides, strict=True)]
