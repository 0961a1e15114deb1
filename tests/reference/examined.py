"""Literal twins of the examination's arithmetic, and made-up pools of models with known truth."""

import math
from collections.abc import Sequence

import numpy as np

from expunge.audit.examine_pool import Judged, Member
from expunge.audit.types import Interval

WORLDS = ("w0", "w1", "w2", "w3")


def auc(known: Sequence[float], innocent: Sequence[float]) -> float:
    """Count pairs, one by one; a tie is half a win."""
    total = 0.0
    for one in known:
        for other in innocent:
            total += 1.0 if one > other else 0.5 if one == other else 0.0
    return total / (len(known) * len(innocent))


def exponential_variance(value: float, num_known: int, num_innocent: int, rng: np.random.Generator) -> float:
    """Variance of the AUC estimate where knowing models score Exp(1) and others Exp(rate), by simulation."""
    rate = value / (1 - value)
    found = []
    for _ in range(4000):
        wins = rng.exponential(1, num_known)[:, None] > rng.exponential(1 / rate, num_innocent)[None]
        found.append(wins.mean())
    return float(np.var(found))


def ends_by_search(value: float, variance, steps: int = 20001) -> tuple[float, float]:
    """The outermost A of a fine grid that lie within 1.96 of their own standard deviations."""
    inside = [
        a for a in np.linspace(0, 1, steps) if abs(value - a) <= 1.959964 * math.sqrt(max(variance(float(a)), 0.0))
    ]
    return float(min(inside)), float(max(inside))


def judged(value: float | None, verdict: str) -> Judged:
    """What an audit said; the interval is of no consequence here."""
    found = None if value is None else Interval(value, value - 0.05, value + 0.05)
    return Judged(verdict, found, found, () if verdict in ("forgotten", "suppressed") else ("because",))


def member(label: str, claimed: str, score: float | None, verdict: str, **more) -> Member:
    """One model, judged alike in both modes."""
    said = judged(score, verdict)
    plain = {
        "world": "w0",
        "family": label,
        "held_out": True,
        "usability": "usable",
        "restored": 1.0,
        "certificate": "c",
    }
    return Member(label=label, claimed=claimed, judged={"retrained": said, "placebo": said}, **{**plain, **more})


def pool(rng: np.random.Generator, num: int = 8, worlds: Sequence[str] = WORLDS) -> list[Member]:
    """``num`` N and ``num`` P a world that the audit tells apart; ``weak`` cannot, ``blind`` says nothing at all.

    The second half of each is held out; two models more are damaged.
    """
    found = []
    for world in worlds:
        for index in range(num):
            for claimed, verdict, score in (
                ("N", "forgotten", rng.normal(0, 0.02)),
                ("P", "suppressed", rng.uniform(0.4, 1)),
            ):
                numbers = {
                    "weak": float(rng.normal(1.0 if claimed == "P" else 0.0, 1)),
                    "blind": 0.5,
                    "relearn/qa": float(score > 0.2) if index % 2 else 0.0,
                }
                found.append(
                    member(
                        f"{claimed}{index}", claimed, float(score), verdict, world=world, held_out=index >= num // 2,
                        numbers=numbers, kinds={"weak": "metric", "blind": "metric", "relearn/qa": "attack"},
                    )
                )  # fmt: skip
        found.append(member("broken", "damaged", 0.0, "inconclusive", world=world, usability="damaged", restored=None))
    return found
