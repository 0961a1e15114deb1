"""Gathering the evidence that a set of metrics reads, each part once."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from expunge.core.errors import InputError
from expunge.knowledge.encode import question_ids
from expunge.knowledge.facts import Fact
from expunge.metrics.base import Evidence, Metric, Need
from expunge.metrics.membership_sides import Membership
from expunge.metrics.truth_ratio import PERTURBED
from expunge.metrics.wrong_answers import WrongAnswers
from expunge.models.chat import Encoder
from expunge.models.view import View
from expunge.registry import build
from expunge.scoring.choices import Choice, choices
from expunge.scoring.contrast import Contrast, contrast
from expunge.scoring.divergence import kl_by_row
from expunge.scoring.engines import Engine
from expunge.scoring.generate import generate
from expunge.scoring.own_answers import own_answers
from expunge.scoring.probes import Asked, ProbeScore, ask, asking_forms, score_asked

SPARE_TOKENS = 8
DOCUMENT = ("passage",)
CHOICE = "choice"
"""The form of a question with lettered options; where a set has it, options are read in it alone."""


class Lent:
    """A model that is read when first asked for and kept until it is released."""

    def __init__(self, read: Callable[[], View]) -> None:
        self._read = read
        self._view: View | None = None

    def view(self) -> View:
        """The model; read anew after a release."""
        if self._view is None:
            self._view = self._read()
        return self._view

    def release(self) -> None:
        """Let go of the model."""
        self._view = None


def gather(
    view: View,
    encoder: Encoder,
    facts: Sequence[Fact],
    *,
    forms: Sequence[str] | None = None,
    needs: Collection[Need] = ("scores", "generations", "contrasts"),
    original: View | Lent | None = None,
    control: View | Lent | None = None,
    contrasted: Sequence[Fact] | None = None,
    untaught: Sequence[Fact] = (),
    taught: Sequence[Fact] = (),
    seed: int = 0,
) -> Evidence:
    """Score, generate, compare with ``original`` and contrast, as far as ``needs`` asks and the facts allow.

    Without ``forms`` every question is asked, and documents by their continuation. ``contrasted`` are the facts to
    contrast where they are not all of ``facts`` (V, say). ``untaught`` are facts that no model was taught, beside which
    membership attacks read ``facts``, or ``taught`` where a benchmark has documents for that; their passes are made
    when a metric first uses them. What cannot be gathered is left out with its reason; metrics then say so. The models
    are passed on for metrics that look inside: a :class:`Lent` one is read only when it is used, and the caller
    releases it once the metrics are computed.
    """
    lent: dict[str, Any] = {"model": _lender(view), "original": _lender(original), "control": _lender(control)}
    asked = ask(facts, encoder, forms or asking_forms(facts))
    scores = score_asked(view, asked)
    texts = _texts(view, encoder, scores) if "generations" in needs else None
    start = lent["original"] if "divergences" in needs else None
    kl = kl_by_row(start.view(), view, [item.row for item in asked]) if start is not None else None
    rivals = facts if contrasted is None else contrasted
    found, reasons = _contrasts(view, encoder, rivals, forms, seed) if "contrasts" in needs else (None, ())
    ends = frozenset(encoder.end_ids)
    more: dict[str, Any] = {
        "membership": _membership((asked, scores), (taught, untaught), forms, encoder, lent),
        "choices": _choices(view, encoder, facts, forms) if "choices" in needs else None,
        "wrong_answers": _wrong_answers(encoder, facts, forms, lent),
        "own_answers": own_answers(view, ends, asked) if "own_answers" in needs else None,
    }
    return Evidence(scores, texts, kl, found, ends, reasons, asked, **lent, **more)


def _lender(given: View | Lent | None) -> Lent | None:
    return Lent(lambda: given) if isinstance(given, View) else given


def _membership(
    at_hand: tuple[Sequence[Asked], Sequence[ProbeScore]],
    sides: tuple[Sequence[Fact], Sequence[Fact]],
    forms: Sequence[str] | None,
    encoder: Encoder,
    lent: Mapping[str, Lent | None],
) -> Membership | None:
    """Both sides of a membership attack, ``None`` without untaught facts: documents whole, or facts as they are asked.

    Without documents of its own the first side is what was asked, with the scores that are at hand.
    """
    (taught, untaught), model = sides, lent["model"]
    if not untaught or model is None:
        return None
    ends, control = frozenset(encoder.end_ids), lent["control"]
    if taught:
        return Membership(ask(taught, encoder, DOCUMENT), ask(untaught, encoder, DOCUMENT), ends, model, control)
    others = ask(untaught, encoder, forms or asking_forms(untaught))
    return Membership(at_hand[0], others, ends, model, control, at_hand[1])


def _choices(
    view: View, encoder: Encoder, facts: Sequence[Fact], forms: Sequence[str] | None
) -> Sequence[Choice] | None:
    """The options of lettered questions; where there are none, of the first form asked that has wrong answers."""
    form = _first_with_wrong(facts, (CHOICE, *(forms or asking_forms(facts))))
    return None if form is None else choices(view, encoder, facts, form)


def _wrong_answers(
    encoder: Encoder, facts: Sequence[Fact], forms: Sequence[str] | None, lent: Mapping[str, Lent | None]
) -> WrongAnswers | None:
    """Every fact's question in the first form asked that has wrong answers; nothing is scored yet."""
    form, model = _first_with_wrong(facts, forms or asking_forms(facts)), lent["model"]
    if form is None or model is None:
        return None
    first = [(fact, next((probe for probe in fact.of_form(form) if probe.perturbed), None)) for fact in facts]
    questions = [
        replace(fact, probes=(probe, *(replace(probe, answer=text, form=PERTURBED) for text in probe.perturbed)))
        for fact, probe in first
        if probe is not None
    ]
    return WrongAnswers(ask(questions, encoder, (form, PERTURBED)), model, lent["control"])


def _first_with_wrong(facts: Sequence[Fact], forms: Sequence[str]) -> str | None:
    having = {probe.form for fact in facts for probe in fact.probes if probe.prompt and probe.perturbed}
    return next((form for form in forms if form in having), None)


def spoken(
    view: View,
    encoder: Encoder,
    evidence: Evidence,
    facts: Sequence[Fact],
    needs: Collection[Need] = (),
    engine: Engine | None = None,
) -> Evidence:
    """``evidence`` cut down to ``facts``, with the answers that the model writes to them; nothing is scored again.

    The answers' own probabilities are scored where ``needs`` names ``own_answers``. ``engine`` writes the answers where
    one is given.
    """
    wanted = {fact.id for fact in facts}
    scores = [item for item in evidence.scores or () if item.fact.id in wanted]
    own = own_answers(view, evidence.end_ids, _only(evidence.asked, wanted)) if "own_answers" in needs else None
    return Evidence(scores, _texts(view, encoder, scores, engine), end_ids=evidence.end_ids, own_answers=own)


def _only(asked: Sequence[Asked] | None, wanted: Collection[str]) -> list[Asked]:
    return [item for item in asked or () if item.fact.id in wanted]


def _texts(
    view: View, encoder: Encoder, scores: Sequence[ProbeScore], engine: Engine | None = None
) -> list[str | None]:
    """Greedy answers aligned with ``scores``; ``None`` for a document, which asks nothing."""
    questions = [item for item in scores if item.probe.prompt]
    if not questions:
        return [None] * len(scores)
    longest = max(len(item.score.logprobs) for item in questions) + SPARE_TOKENS
    prompts = [question_ids(item.probe, encoder) for item in questions]
    said = iter(generate(view, encoder, prompts, max_new_tokens=longest, engine=engine))
    return [next(said) if item.probe.prompt else None for item in scores]


def _contrasts(
    view: View, encoder: Encoder, facts: Sequence[Fact], forms: Sequence[str] | None, seed: int
) -> tuple[list[Contrast] | None, tuple[tuple[Need, str], ...]]:
    try:
        return contrast(view, encoder, facts, forms=forms or ("qa",), seed=seed), ()
    except InputError as error:
        return None, (("contrasts", str(error).rstrip(".")),)


def metric_named(name: str) -> Metric:
    """The registered metric; :class:`InputError` suggests the nearest name."""
    found = build("metric", name)
    assert isinstance(found, Metric)
    return found
