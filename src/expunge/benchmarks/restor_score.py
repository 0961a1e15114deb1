"""How far the original facts came back, without any judge: mean log-probability of right and of other answers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Knowledge
from expunge.metrics.base import Reading, Value
from expunge.models.chat import Encoder
from expunge.models.view import View
from expunge.scoring.probes import score_facts

ORIGINAL = "original"
"""The stream of questions about the corrupted entities, with the answers that are to come back."""


@dataclass(frozen=True, slots=True)
class Restored:
    """Mean log-probability in nats a token: of the true answers, of others' answers, and of the corrupting documents.

    ``accuracy`` is the share of true facts whose answer is greedily given. The data set holds no corrupted answers by
    property, so its documents stand for them.
    """

    correct: float
    random: float
    corrupted: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class RestoredRows:
    """The rows behind :class:`Restored`, a value a fact, a wrong answer and a document."""

    correct: list[Value]
    random: list[Value]
    corrupted: list[Value]
    accuracy: list[Value]


def restored(view: View, encoder: Encoder, knowledge: Knowledge, form: str = "qa") -> Restored:
    """The readings of one model on a world of the benchmark ``restor``, questions asked in ``form``."""
    rows = restored_rows(view, encoder, knowledge, form)
    return Restored(*(fmean(item.value for item in part) for part in _parts(rows)))


def restored_rows(view: View, encoder: Encoder, knowledge: Knowledge, form: str = "qa") -> RestoredRows:
    """What :func:`restored` takes the means of. :class:`InputError` where no original fact has the form."""
    facts = knowledge.streams.get(ORIGINAL, ())
    if not any(fact.of_form(form) for fact in facts):
        raise InputError(f"the knowledge has no original facts in form {form!r}; build it by the benchmark restor.")
    right = score_facts(view, encoder, facts, (form,))
    return RestoredRows(
        correct=[Value(item.fact.subject, -item.score.nll_mean) for item in right],
        random=_logprobs(view, encoder, _wrong(facts, form), form),
        corrupted=_logprobs(view, encoder, knowledge.forget, "passage"),
        accuracy=[Value(item.fact.subject, float(item.score.greedy)) for item in right],
    )


def recovery(clean: float, corrupted: float, unlearned: float) -> float:
    """(unlearned − corrupted)/(clean − corrupted): 1 where all came back, 0 where nothing did.

    ``clean`` is the model before corruption. :class:`InputError` where corruption changed nothing: there is nothing
    to recover.
    """
    if clean == corrupted:
        raise InputError("clean and corrupted score the same, so there is nothing to recover; corrupt more.")
    return (unlearned - corrupted) / (clean - corrupted)


def recovery_reading(
    clean: Sequence[Value], corrupted: Sequence[Value], unlearned: Sequence[Value], *, seed: int = 0
) -> Reading:
    """:func:`recovery` of the means, with a 95 % interval over subjects resampled for all three models at once.

    The rows are those of the same questions in the same order. Resamples in which corruption changed nothing have no
    recovery and are left out.
    """
    subjects = list(dict.fromkeys(item.subject for item in clean))
    places = [subjects.index(item.subject) for item in clean]
    table_S3 = np.zeros((len(subjects), 3))
    for column, rows in enumerate((clean, corrupted, unlearned)):
        np.add.at(table_S3[:, column], places, [item.value for item in rows])
    total = table_S3.sum(0)
    try:
        value = recovery(*(float(part) for part in total))
    except InputError as error:
        return Reading(None, reason=f"not computed: {error}")
    chosen_RS = np.random.default_rng(seed).integers(len(subjects), size=(2000, len(subjects)))
    sums_R3 = table_S3[chosen_RS].sum(1)
    kept_K3 = sums_R3[sums_R3[:, 0] != sums_R3[:, 1]]
    draws_K = (kept_K3[:, 2] - kept_K3[:, 1]) / (kept_K3[:, 0] - kept_K3[:, 1])
    low, high = (float(end) for end in np.quantile(draws_K, [0.025, 0.975]))
    return Reading(value, min(low, value), max(high, value), len(subjects))


def _parts(rows: RestoredRows) -> tuple[list[Value], ...]:
    return rows.correct, rows.random, rows.corrupted, rows.accuracy


def _wrong(facts: Sequence[Fact], form: str) -> tuple[Fact, ...]:
    """The same questions with every wrong answer."""
    made = (
        replace(fact, probes=tuple(replace(p, answer=text) for p in fact.of_form(form) for text in p.perturbed))
        for fact in facts
    )
    return tuple(fact for fact in made if fact.probes)


def _logprobs(view: View, encoder: Encoder, facts: Sequence[Fact], form: str) -> list[Value]:
    return [Value(item.fact.subject, -item.score.nll_mean) for item in score_facts(view, encoder, facts, (form,))]
