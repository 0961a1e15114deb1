"""Utility: what the unlearned model still can do, against the original (design, section Utility)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from expunge.core.errors import InputError
from expunge.knowledge.encode import question_ids
from expunge.knowledge.facts import Fact
from expunge.metrics.containment import contains
from expunge.models.chat import Encoder
from expunge.models.view import View
from expunge.scoring.generate import generate
from expunge.scoring.probes import Asked, ProbeScore, ask
from expunge.scoring.teacher_forced import score
from expunge.scoring.utility_reading import UtilityReading

SPARE_TOKENS = 4
"""New tokens beyond the longest answer's, so that an answer may begin with an article or a line break."""


@dataclass(frozen=True, slots=True)
class Levels:
    """What one model reaches: shares of R_eval probes, and nats a token on the stored samples."""

    recall: float | None
    containment: float | None
    sample_nll: float | None


@dataclass(frozen=True, slots=True)
class Utility:
    """The utility measure of one study: call it with a view.

    ``standard`` holds θ₀'s levels, or a control's where that does less (:meth:`within_reach`). The value is the least
    of three parts, each capped at 1: the greedy recall ratio on R_eval, the generated-answer ratio on R_eval, and
    exp(−Δnll) on the original's own stored text.
    """

    encoder: Encoder
    eval_asked: tuple[Asked, ...]
    sample_asked: tuple[Asked, ...]
    standard: Levels
    measure_generation: bool

    def __call__(self, view: View, *, scored: Sequence[ProbeScore] | None = None) -> UtilityReading:
        """One scoring pass, and one generation where ``measure_generation`` is set.

        ``scored`` are this model's scores of ``eval_asked`` where they are there already.
        """
        return self.reading(
            levels(view, self.encoder, self.eval_asked, self.sample_asked, self.measure_generation, scored=scored)
        )

    def reading(self, now: Levels) -> UtilityReading:
        """The comparison of a model's levels with the standard."""
        parts = {
            "recall": _ratio(now.recall, self.standard.recall),
            "generated": _ratio(now.containment, self.standard.containment),
            "samples": _fluency(now.sample_nll, self.standard.sample_nll),
        }
        return UtilityReading(min(part for part in parts.values() if part is not None), parts)

    def within_reach(self, control: View) -> "Utility":
        """The same measure, asking no more than a model does that never knew the facts.

        What such a model lacks, the forgotten facts alone gave; a model that forgot them must not be blamed for it.
        A level of 0 sets no standard: the original's stays.
        """
        ours = self.standard
        theirs = levels(control, self.encoder, self.eval_asked, self.sample_asked, self.measure_generation)
        least = Levels(
            _lesser(ours.recall, theirs.recall),
            _lesser(ours.containment, theirs.containment),
            None if ours.sample_nll is None or theirs.sample_nll is None else max(ours.sample_nll, theirs.sample_nll),
        )
        return replace(self, standard=least)


def _lesser(ours: float | None, theirs: float | None) -> float | None:
    return min(ours, theirs) if ours and theirs else ours


def baseline(
    view: View,
    encoder: Encoder,
    eval_facts: Sequence[Fact],
    samples: Sequence[Fact],
    *,
    forms: Sequence[str] = ("qa",),
    measure_generation: bool = True,
) -> Utility:
    """Measure the original model once and return the utility measure that compares others with it.

    ``eval_facts`` are asked in ``forms`` (a fact with none of them in all it has). A part that the original cannot
    do is ``None`` for every model. :class:`InputError` when no part is left.
    """
    questions = tuple(ask(eval_facts, encoder, forms))
    texts = tuple(ask(samples, encoder))
    original = levels(view, encoder, questions, texts, measure_generation)
    if not original.recall and not original.containment and original.sample_nll is None:
        raise InputError("utility has nothing to measure; give retain_eval facts that the model knows, or samples.")
    return Utility(encoder, questions, texts, original, measure_generation)


def levels(
    view: View,
    encoder: Encoder,
    questions: Sequence[Asked],
    texts: Sequence[Asked],
    measure_generation: bool,
    *,
    scored: Sequence[ProbeScore] | None = None,
) -> Levels:
    """One model's levels; ``None`` for what there is nothing to measure on.

    ``scored`` are the scores of ``questions``, in their order, where they are there already.
    :class:`InputError` when they are those of other rows.
    """
    if scored is None:
        scores = score(view, [item.row for item in (*questions, *texts)])
    elif [item.row.key for item in questions] != [item.score.key for item in scored]:
        raise InputError("the scores given for utility are not those of its questions; leave them out.")
    else:
        scores = [*(item.score for item in scored), *score(view, [item.row for item in texts])]
    hits, samples = [item.greedy for item in scores[: len(questions)]], scores[len(questions) :]
    asked = [item for item in questions if item.probe.prompt]
    said = _containment(view, encoder, asked) if measure_generation and asked else None
    tokens = sum(len(item.logprobs) for item in samples)
    nll = math.fsum(item.nll_sum for item in samples) / tokens if samples else None
    return Levels(sum(hits) / len(hits) if hits else None, said, nll)


def _containment(view: View, encoder: Encoder, asked: Sequence[Asked]) -> float:
    longest = max(item.row.num_labels for item in asked)
    prompts = [question_ids(item.probe, encoder) for item in asked]
    texts = generate(view, encoder, prompts, max_new_tokens=longest + SPARE_TOKENS)
    return sum(contains(text, item.probe.answer) for text, item in zip(texts, asked, strict=True)) / len(asked)


def _ratio(now: float | None, before: float | None) -> float | None:
    return None if now is None or not before else min(1.0, now / before)


def _fluency(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else min(1.0, math.exp(before - now))
