"""Gathering the evidence that a set of metrics reads, each part once."""

from collections.abc import Callable, Collection, Sequence

from expunge.core.errors import InputError
from expunge.knowledge.encode import question_ids
from expunge.knowledge.facts import Fact
from expunge.metrics.base import Evidence, Metric, Need
from expunge.models.chat import Encoder
from expunge.models.view import View
from expunge.registry import build
from expunge.scoring.contrast import Contrast, contrast
from expunge.scoring.divergence import kl_by_row
from expunge.scoring.generate import generate
from expunge.scoring.probes import ProbeScore, ask, asking_forms, score_asked

SPARE_TOKENS = 8


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
    seed: int = 0,
) -> Evidence:
    """Score, generate, compare with ``original`` and contrast, as far as ``needs`` asks and the facts allow.

    Without ``forms`` every question is asked, and documents by their continuation. ``contrasted`` are the facts to
    contrast where they are not all of ``facts`` (V, say). What cannot be gathered is left out with its reason; metrics
    then say so. The models are passed on for metrics that look inside: a :class:`Lent` one is read only when it is
    used, and the caller releases it once the metrics are computed.
    """
    lent = {"model": _lender(view), "original": _lender(original), "control": _lender(control)}
    asked = ask(facts, encoder, forms or asking_forms(facts))
    scores = score_asked(view, asked)
    texts = _texts(view, encoder, scores) if "generations" in needs else None
    start = lent["original"] if "divergences" in needs else None
    kl = kl_by_row(start.view(), view, [item.row for item in asked]) if start is not None else None
    rivals = facts if contrasted is None else contrasted
    found, reasons = _contrasts(view, encoder, rivals, forms, seed) if "contrasts" in needs else (None, ())
    return Evidence(scores, texts, kl, found, frozenset(encoder.end_ids), reasons, asked, **lent)


def _lender(given: View | Lent | None) -> Lent | None:
    return Lent(lambda: given) if isinstance(given, View) else given


def spoken(view: View, encoder: Encoder, evidence: Evidence, facts: Sequence[Fact]) -> Evidence:
    """``evidence`` cut down to ``facts``, with the answers that the model writes to them; nothing is scored again."""
    wanted = {fact.id for fact in facts}
    scores = [item for item in evidence.scores or () if item.fact.id in wanted]
    return Evidence(scores, _texts(view, encoder, scores), end_ids=evidence.end_ids)


def _texts(view: View, encoder: Encoder, scores: Sequence[ProbeScore]) -> list[str | None]:
    """Greedy answers aligned with ``scores``; ``None`` for a document, which asks nothing."""
    questions = [item for item in scores if item.probe.prompt]
    if not questions:
        return [None] * len(scores)
    longest = max(len(item.score.logprobs) for item in questions) + SPARE_TOKENS
    prompts = [question_ids(item.probe, encoder) for item in questions]
    said = iter(generate(view, encoder, prompts, max_new_tokens=longest))
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
