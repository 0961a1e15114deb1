"""RESTOR's own scores of one model, beside the corrupted and the clean model where they are at hand."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from expunge.benchmarks.base import OwnScore, Seen
from expunge.benchmarks.restor_score import ORIGINAL, recovery_reading, restored_rows
from expunge.metrics.base import MISSING, Reading, Value, interval

NATS = (-math.inf, 0.0)
SCORES: Mapping[str, OwnScore] = {
    "correct": OwnScore("mean log-probability of the true answers, nats a token", "higher", NATS),
    "random": OwnScore("the same of other entities' answers", "lower", NATS),
    "corrupted": OwnScore("the same of the corrupting documents", "lower", NATS),
    "accuracy": OwnScore("share of true facts whose answer is greedily given", "higher"),
    "recovery": OwnScore(
        "(unlearned − corrupted)/(clean − corrupted) of the log-probability of true answers",
        "higher", (-math.inf, math.inf), 1.0, ("original", "control"),
    ),
    "recovery_accuracy": OwnScore(
        "the same of the accuracy", "higher", (-math.inf, math.inf), 1.0, ("original", "control")
    ),
}  # fmt: skip
"""The corrupted model is the study's original, the clean one the control, which never saw the corrupting documents."""


def measure(seen: Seen) -> dict[str, Reading]:
    """Every score of :data:`SCORES`; the recoveries say what is missing where a model is."""
    own = _rows(seen, seen.model)
    done = {name: _mean(own[name], name == "accuracy", seen.seed) for name in ("correct", "random", "corrupted")}
    done["accuracy"] = _mean(own["accuracy"], True, seen.seed)
    names = {"recovery": "correct", "recovery_accuracy": "accuracy"}
    for need in ("original", "control"):
        if getattr(seen, need) is None:
            return done | {name: Reading(None, reason=f"not computed: {MISSING[need]}.") for name in names}
    corrupted, clean = (_rows(seen, lender) for lender in (seen.original, seen.control))
    return done | {
        name: recovery_reading(clean[part], corrupted[part], own[part], seed=seen.seed) for name, part in names.items()
    }


def _rows(seen: Seen, lender: Any) -> dict[str, list[Value]]:
    """One model's rows by name."""
    rows = restored_rows(lender.view(), seen.encoder, seen.knowledge)
    return {name: getattr(rows, name) for name in ("correct", "random", "corrupted", "accuracy")}


def _mean(rows: Sequence[Value], proportion: bool, seed: int) -> Reading:
    if not rows:
        return Reading(None, reason=f"not computed: no row of the stream {ORIGINAL!r} serves.")
    return interval(rows, proportion=proportion, seed=seed)
