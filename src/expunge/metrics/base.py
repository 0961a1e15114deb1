"""The metric contract: arithmetic on evidence that the scoring passes gathered, with an interval over subjects."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

from expunge.core.errors import InputError
from expunge.models.view import View
from expunge.scoring.choices import Choice
from expunge.scoring.contrast import Contrast
from expunge.scoring.divergence import RowKL
from expunge.scoring.own_answers import OwnAnswer
from expunge.scoring.probes import Asked, ProbeScore

Need = Literal[
    "scores",
    "generations",
    "divergences",
    "contrasts",
    "asked",
    "model",
    "original",
    "control",
    "membership",
    "choices",
    "wrong_answers",
    "own_answers",
    "margins",
]
MISSING = {
    "scores": "no probe was scored",
    "generations": "no text was generated",
    "divergences": "the original model is not at hand",
    "contrasts": "no permuted answers were scored",
    "asked": "no probe was asked",
    "model": "the model itself is not at hand",
    "original": "the original model is not at hand",
    "control": "no model that never knew the facts is at hand",
    "membership": "no facts that no model was taught are at hand",
    "choices": "no probe has wrong answers to choose from",
    "wrong_answers": "no question has wrong answers",
    "own_answers": "no answer of the model's own was scored",
    "margins": "one model alone has no distribution; KLoM is read over replicates, in the audit",
}


class Lender(Protocol):
    """Hands out a model; one that is read from disk is read when first asked for."""

    def view(self) -> View:
        """The model."""
        ...


class Attackable(Protocol):
    """Facts that were taught and facts that were not, as membership attacks score them, row by row."""

    def sides(self, score: str, *, control: bool = False) -> "tuple[list[Value], list[Value]]":
        """Scores of the members and of the others under the model, or under the control."""
        ...


class Answered(Protocol):
    """Questions whose right and wrong answers are scored when they are first read."""

    def scored(self, *, control: bool = False) -> Sequence[ProbeScore]:
        """All answers under the model, or under the control."""
        ...


@dataclass(frozen=True, slots=True)
class Margins:
    """One probe of one subject: its margin under several unlearned and several retrained models."""

    subject: str
    unlearned: tuple[float, ...]
    retrained: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was gathered about a set of facts under one model; ``None`` means that it was not gathered.

    ``generations`` and ``divergences`` are aligned with ``scores``; a document has no question, so its generation is
    ``None`` and is not judged. ``reasons`` may say why a part is missing.
    ``end_ids`` are the token ids that end an answer. ``asked`` are the encoded probes, and ``model``, ``original`` (θ₀)
    and ``control`` (never knew the facts) lend the models themselves, for metrics that look inside. ``membership``
    holds the facts beside facts that no model was taught, ``choices`` the probes with their wrong answers as options,
    ``wrong_answers`` one question a fact with right and wrong answers, ``own_answers`` what the model itself answers
    and how sure it is, and ``margins`` the probes under several models.
    """

    scores: Sequence[ProbeScore] | None = None
    generations: Sequence[str | None] | None = None
    divergences: Sequence[RowKL] | None = None
    contrasts: Sequence[Contrast] | None = None
    end_ids: frozenset[int] = frozenset()
    reasons: tuple[tuple[Need, str], ...] = ()
    asked: Sequence[Asked] | None = None
    model: Lender | None = None
    original: Lender | None = None
    control: Lender | None = None
    membership: Attackable | None = None
    choices: Sequence[Choice] | None = None
    wrong_answers: Answered | None = None
    own_answers: Sequence[OwnAnswer] | None = None
    margins: Sequence[Margins] | None = None


@dataclass(frozen=True, slots=True)
class Value:
    """One row's contribution: a weighted value belonging to a subject."""

    subject: str
    value: float
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """A metric's value with a 95 % interval over ``n`` subjects, or ``value=None`` and the ``reason``.

    ``layers``, of a metric that reads layer by layer, has one value a block from the first on, ``None`` where there
    was nothing to read. ``roc``, of an attack's AUC, are the corners of its curve: false and true positive rate.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    reason: str | None = None
    layers: tuple[float | None, ...] | None = None
    roc: tuple[tuple[float, float], ...] | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON form; ``reason``, ``layers`` and ``roc`` appear only where there are any."""
        numbers = {"value": self.value, "low": self.low, "high": self.high, "n": self.n}
        profile: dict[str, Any] = {"layers": list(self.layers)} if self.layers is not None else {}
        curve = {"roc": [list(point) for point in self.roc]} if self.roc is not None else {}
        return numbers | ({"reason": self.reason} if self.reason else {}) | profile | curve


@dataclass(frozen=True, kw_only=True)
class Metric:
    """Base of all metrics; fields are the metric's parameters.

    ``direction``: what a model that forgot shows (``lower`` or ``higher`` values on the forget set); ``range`` the
    possible values; ``never_trained`` what a model that never saw the facts gives, ``None`` where that depends on
    the facts; ``needs`` the evidence read; ``proportion`` whether rows are shares of trials. A ``costly`` metric runs
    models itself, or says much the same as another, and is measured only where it is asked for by name; one that is
    ``forget_only`` has nothing to say about facts that stay. ``of_original`` says that it means something of the
    original too: a study that asks for it measures the original by it as well. One ``over_replicates`` compares
    several models and is read where they meet, in the audit.
    """

    direction: ClassVar[Literal["lower", "higher"]] = "lower"
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    never_trained: ClassVar[float | None] = None
    needs: ClassVar[tuple[Need, ...]] = ("scores",)
    proportion: ClassVar[bool] = False
    costly: ClassVar[bool] = False
    forget_only: ClassVar[bool] = False
    of_original: ClassVar[bool] = False
    over_replicates: ClassVar[bool] = False

    def rows(self, evidence: Evidence) -> list[Value]:
        """One value a row that the metric can judge."""
        raise NotImplementedError

    def compute(self, evidence: Evidence, *, seed: int = 0) -> Reading:
        """The weighted mean over rows with its interval; a missing need gives a reason, never a number."""
        if (lack := self.lacking(evidence)) is not None:
            return lack
        for need in ("generations", "divergences"):
            self._check_aligned(evidence, need)
        values = self.rows(evidence)
        if not values:
            return Reading(None, reason="not computed: no row that this metric can judge.")
        return interval(values, proportion=self.proportion, seed=seed)

    def lacking(self, evidence: Evidence) -> Reading | None:
        """A reading that names the first need that was not gathered; ``None`` where all is there."""
        for need in self.needs:
            if getattr(evidence, need) is None:
                return Reading(None, reason=f"not computed: {dict(evidence.reasons).get(need, MISSING[need])}.")
        return None

    def _check_aligned(self, evidence: Evidence, need: str) -> None:
        if need not in self.needs:
            return
        given, rows = len(getattr(evidence, need)), len(evidence.scores or ())
        if given != rows:
            raise InputError(f"evidence has {given} {need} for {rows} rows; gather both from the same facts.")


def interval(values: Sequence[Value], *, proportion: bool, seed: int = 0, resamples: int = 2000) -> Reading:
    """Weighted mean and its 95 % percentile interval, subjects resampled as clusters.

    For a proportion the interval reaches at least Clopper–Pearson's (Biometrika 1934) on the number of subjects:
    rows of one subject are not independent, and a bootstrap of identical values has no width.
    """
    sums: dict[str, list[float]] = {}
    for item in values:
        pair = sums.setdefault(item.subject, [0.0, 0.0])
        pair[0] += item.value * item.weight
        pair[1] += item.weight
    table_S2 = np.array(list(sums.values()))
    mean, n = float(table_S2[:, 0].sum() / table_S2[:, 1].sum()), len(table_S2)
    draws_RS2 = table_S2[np.random.default_rng(seed).integers(n, size=(resamples, n))].sum(1)
    low, high = (float(q) for q in np.quantile(draws_RS2[:, 0] / draws_RS2[:, 1], [0.025, 0.975]))
    if proportion:
        exact = clopper_pearson(mean * n, n)
        low, high = min(low, exact[0]), max(high, exact[1])
    return Reading(mean, min(low, mean), max(high, mean), n)


def clopper_pearson(successes: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Exact binomial interval; ``successes`` may be fractional when it sums shares."""
    from scipy.stats import beta

    tail = (1 - level) / 2
    low = float(beta.ppf(tail, successes, n - successes + 1)) if successes > 0 else 0.0
    high = float(beta.ppf(1 - tail, successes + 1, n - successes)) if successes < n else 1.0
    return low, high
