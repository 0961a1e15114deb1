"""The verdict on one method from its intervals and from whether the attack was able to win.

``retained`` if lower(e₀) > ε; else ``suppressed`` if lower(e*) > ε; else ``forgotten`` if both upper ends ≤ ε, there
are ≥ 40 V subjects, and every guard was measured and passed; else ``inconclusive``.
"""

import math
from dataclasses import dataclass
from typing import Literal

from expunge.audit.types import Interval

Verdict = Literal["retained", "suppressed", "forgotten", "inconclusive"]
EPSILON = 0.10
LEAST_SUBJECTS = 40
LEAST_T_RECALL = 0.9
LEAST_RECOVERY = 0.5
LEAST_SPEED = 0.8
LEAST_SPEED_OF_ORIGINAL = 0.5
LEAST_UTILITY = 0.9


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a verdict rests on.

    ``invalid`` voids the study (no verdict at all); ``missing`` says why an E is absent; ``obstacles`` forbid
    ``forgotten`` only; ``notes`` are said beside any verdict.
    """

    e0: Interval | None
    e_star: Interval | None
    num_subjects: int
    invalid: str | None = None
    missing: str | None = None
    obstacles: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def decide(evidence: Evidence, epsilon: float = EPSILON) -> tuple[Verdict, list[str]]:
    """The verdict with its reasons, in the order in which they weigh."""
    notes = list(evidence.notes)
    if evidence.invalid:
        return "inconclusive", [evidence.invalid, *notes]
    if evidence.e0 is not None and evidence.e0.low > epsilon:
        return "retained", [f"{_share(evidence.e0)} was there before any attack", *notes]
    if evidence.e_star is not None and evidence.e_star.low > epsilon:
        return "suppressed", [f"the attack brought back {_share(evidence.e_star)}", *notes]
    doubts = [*_doubts(evidence, epsilon), *evidence.obstacles]
    return ("inconclusive", [*doubts, *notes]) if doubts else ("forgotten", notes)


def _doubts(evidence: Evidence, epsilon: float) -> list[str]:
    """Why the intervals themselves do not allow ``forgotten``."""
    if evidence.e0 is None or evidence.e_star is None:
        return [evidence.missing or "no excess recovery could be computed"]
    ends = {"before the attack": evidence.e0.high, "at the worst point": evidence.e_star.high}
    doubts = [f"excess recovery {when} may be as high as {high:.2f}" for when, high in ends.items() if high > epsilon]
    if evidence.num_subjects < LEAST_SUBJECTS:
        doubts.append(f"{evidence.num_subjects} V subjects; at least {LEAST_SUBJECTS} are needed to say forgotten")
    return doubts


def _share(found: Interval) -> str:
    return f"{found.value:.0%} (at least {found.low:.0%}) of the knowledge"


def t_recall_guard(t_recall: float) -> str | None:
    """Sentence if the attack did not even learn its own training half T."""
    if math.isnan(t_recall):
        return "T-recall was not measured, so nobody knows whether the attack could learn"
    if t_recall < LEAST_T_RECALL:
        return f"the attack never learned T (recall {t_recall:.2f} < {LEAST_T_RECALL:g}); enlarge the grid"
    return None


def hider_guard(hider: str | None, e0: Interval | None, e_star: Interval | None) -> str | None:
    """Sentence unless the attack recovered a known hider by at least 0.5: E at the worst point less E before."""
    if hider is None:
        return "no known hider in the study, so nobody knows whether the attack could recover anything"
    if e0 is None or e_star is None:
        return f"the known hider {hider!r} has no excess recovery to judge the attack by"
    recovered = e_star.value - max(e0.value, 0.0)
    if recovered < LEAST_RECOVERY:
        return f"the attack recovered the known hider {hider!r} by {recovered:.2f} only (< {LEAST_RECOVERY:g})"
    return None


def speed_guard(speed: float, reference: Literal["control", "original"] = "control") -> str | None:
    """Sentence unless the model learns placebo facts at 0.8 of the control's speed: untrainable is not forgotten.

    Measured against the original, 0.5 is enough: it was taught more of the same kind, so that even a model which was
    never taught the facts learns new ones at 0.7 of its speed (a world of seed 100; the number is our choice).
    """
    least = LEAST_SPEED if reference == "control" else LEAST_SPEED_OF_ORIGINAL
    if math.isnan(speed):
        return "placebo learning was not measured, so the model may merely be hard to train"
    if speed < least:
        return f"the model learns placebo facts at {speed:.2f} of the {reference}'s speed (< {least:g})"
    return None


def usability(utility: float) -> Literal["usable", "damaged"]:
    """``usable`` when utility before the attack is at least 90 % of the original's; unmeasured counts as damaged."""
    return "usable" if utility >= LEAST_UTILITY else "damaged"


def replicate_note(num: int) -> str | None:
    """What few replicates leave out of the intervals."""
    notes = {
        1: "one replicate: the intervals cover other subjects, not another world, teaching or training seed",
        2: "two replicates: the intervals are wide, since two values hardly tell how much replicates differ",
    }
    return notes.get(num)
