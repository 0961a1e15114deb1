"""Gathering the evidence that a set of metrics reads, each part once."""

from collections.abc import Collection, Sequence

from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact
from expunge.metrics.base import Evidence, Metric, Need
from expunge.models.chat import Encoder
from expunge.models.view import View
from expunge.registry import build
from expunge.scoring.contrast import Contrast, contrast
from expunge.scoring.divergence import kl_by_row
from expunge.scoring.generate import generate
from expunge.scoring.probes import Asked, ask, score_asked

SPARE_TOKENS = 8


def gather(
    view: View,
    encoder: Encoder,
    facts: Sequence[Fact],
    *,
    forms: Sequence[str] | None = None,
    needs: Collection[Need] = ("scores", "generations", "contrasts"),
    original: View | None = None,
    seed: int = 0,
) -> Evidence:
    """Score, generate, compare with ``original`` and contrast, as far as ``needs`` asks and the facts allow.

    What cannot be gathered is left out with its reason; metrics then say so.
    """
    asked = ask(facts, encoder, forms)
    scores = score_asked(view, asked)
    texts = _texts(view, encoder, asked) if "generations" in needs else None
    wanted = "divergences" in needs and original is not None
    kl = kl_by_row(original, view, [item.row for item in asked]) if wanted and original is not None else None
    found, reasons = _contrasts(view, encoder, facts, forms, seed) if "contrasts" in needs else (None, ())
    return Evidence(scores, texts, kl, found, frozenset(encoder.end_ids), reasons)


def _texts(view: View, encoder: Encoder, asked: Sequence[Asked]) -> list[str | None]:
    """Greedy answers aligned with ``asked``; ``None`` for a document, which asks nothing."""
    questions = [item for item in asked if item.probe.prompt]
    if not questions:
        return [None] * len(asked)
    longest = max(item.row.num_labels for item in questions) + SPARE_TOKENS
    said = iter(generate(view, encoder, [item.probe.prompt for item in questions], max_new_tokens=longest))
    return [next(said) if item.probe.prompt else None for item in asked]


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
