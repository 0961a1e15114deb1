"""The verdict on each group of facts, method by method: which attribute, or which request, comes back."""

from collections.abc import Callable

from expunge.report.costs import Grid
from expunge.report.shapes import Method
from expunge.report.text import number

CAPTION = "Verdict by group of facts, each with a worst point of its own"
HEADS = ("Group", "Scored subjects (V)", "Unlearned (before)", "Relearned (worst, after)", "Excess recovery", "Verdict")


def of_method(method: Method, say: Callable[[str], str] = str) -> Grid:
    """One row a group; empty where the audit judged the whole only. Foreign text goes through ``say``."""
    rows = tuple(
        (
            say(group.name),
            str(group.num_v_subjects),
            number(group.before, "share"),
            number(group.after, "share"),
            number(group.e_star, "ratio"),
            say(group.verdict),
            say("; ".join(reason.rstrip(".") for reason in group.reasons)),
        )
        for group in method.groups
    )
    return Grid((*HEADS, "Reasons"), rows)
