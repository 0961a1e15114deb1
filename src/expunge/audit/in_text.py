"""What can be said of a model that is only asked, with or without the original.

It can be found to know, never to have forgotten. Without the original S₀ is taken as 1, as if it had known every fact:
E = (R_u − R_c)/(S₀ − R_c) only falls when S₀ rises, so what is then above ε is above ε for any original.
"""

from collections.abc import Mapping

import numpy as np

from expunge.audit.bootstrap import Reading
from expunge.audit.excess import excess
from expunge.audit.table import Rows, Table
from expunge.audit.types import Interval

UNSEEN = (
    "only what it writes was seen: no attack trained it, read its layers or its probabilities, "
    "so nobody knows what it still holds"
)
ASSUMED = "the original was not given, so recovery is reckoned as if it had known every fact: in truth it is no smaller"
MOSTLY = 0.5
"""Above this share of empty answers silence is said to be no evidence (our choice)."""


def obstacles(metrics: Mapping[str, Mapping[str, float]]) -> list[str]:
    """What forbids ``forgotten``, from the candidate's metrics: that only text was seen, and that there was none."""
    empty = metrics.get("empty", {}).get("value", 0.0)
    silent = f"{empty:.0%} of its answers are empty, and a model that says nothing may know everything"
    return [UNSEEN, *([silent] if empty > MOSTLY else [])]


def at_least(table: Table, rows: Rows, control: Rows, epsilon: float) -> tuple[Interval | None, Interval | None]:
    """e₀ and e* against an original that knew everything, each only where it is above ``epsilon``."""
    replicates = tuple(sorted(rows.keys() & control.keys()))
    if not replicates:
        return None, None
    sample = table.sample(rows, replicates)
    found = []
    for attacked in (False, True):
        model, other = (table.read(side, replicates, attacked=attacked) for side in (rows, control))
        found.append(excess(model, other, _certain(model), sample))
    e0, e_star = (item if item is not None and item.low > epsilon else None for item in found)
    return e0, e_star


def _certain(like: Reading) -> Reading:
    """The reading of a model that answers everything."""
    none = np.zeros(0, dtype=np.int64)
    return Reading(np.ones_like(like.values_M), np.ones_like(like.values_BM), none, none)
