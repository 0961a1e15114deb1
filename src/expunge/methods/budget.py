"""Holding the utility budget where the model is changed outside the training loop."""

from collections.abc import Callable

from expunge.methods.work import Work

HALVINGS = 10
"""Below a thousandth of the change there is nothing left of the method."""


def largest_within(work: Work, place: Callable[[float], None]) -> float:
    """Call ``place(share)`` with 1, ½, ¼ … until the model holds the settings' ``max_kl``, and return the share.

    ``place`` puts the model at that share of the whole change. Without a budget the share is 1. After
    :data:`HALVINGS` the share is 0: no part of the change is affordable. Below 1 the record says ``max_kl``.
    """
    place(1.0)
    share, tried = 1.0, 0
    # Written so that a NaN counts as over the budget.
    while (spent := work.spent()) and not spent.kl <= spent.limit and share:
        tried += 1
        share = 0.5**tried if tried <= HALVINGS else 0.0
        place(share)
    if share < 1:
        work.note(0, 0, "max_kl")
    return share
