"""Teaching before or between suppressions, up to the level at which θ₀ knew its facts."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from expunge.methods.fields import check_keys
from expunge.methods.work import Work
from expunge.models.rows import Row
from expunge.objectives.cross_entropy import CrossEntropy
from expunge.scopes.base import Scope
from expunge.training.config import TrainConfig
from expunge.training.stopping import mean_nll

TOLERANCE = 0.05
"""Nats a token above θ₀'s mean NLL at which teaching may end: greedy answers are right there. Our choice."""
EVERY = 8
"""Steps between two readings of that level, which cost as much as several steps. Our choice."""
SETTINGS: Mapping[str, Any] = {"epochs": 8.0, "schedule": "cosine", "warmup": 0.05}
"""What taught a small Llama a second place for 160 facts without costing it others; a constant rate costs many."""


def usual() -> Mapping[str, Any]:
    """The settings of a teaching stage where none are given, as a field's default."""
    return dict(SETTINGS)


def check_settings(settings: Mapping[str, Any], key: str) -> None:
    """Refuse what is no training setting, naming the method parameter ``key``."""
    check_keys(settings, [item.name for item in fields(TrainConfig)], f"method parameter {key!r}")


def known_rows(work: Work) -> list[Row]:
    """Forget and retain rows, as θ₀ was taught them; keys may recur, as nothing is stored by them."""
    return [*work.rows("forget"), *work.rows("retain")]


def known_level(work: Work) -> float:
    """The mean NLL, in nats, that counts as known: that of the model as it is now plus :data:`TOLERANCE`."""
    return TOLERANCE + mean_nll(work.view(), known_rows(work), work.precision())


def teach(
    work: Work, rows: Sequence[Row], settings: Mapping[str, Any], level: float | None = None, scope: Scope | None = None
) -> None:
    """Cross-entropy on ``rows``, to the end or until their mean NLL is at most ``level``.

    ``settings`` are above the method's own. No budget and no forget level apply: they judge the suppression.
    """
    free: dict[str, Any] = {"max_kl": None, "stop_forget_nll": None, "stop_learned_nll": level}
    work.train(CrossEntropy(), streams={"teach": rows}, scope=scope, **{"eval_every": EVERY, **settings, **free})
