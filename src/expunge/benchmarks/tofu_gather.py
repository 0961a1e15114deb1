"""The passes of a TOFU evaluation: all answers of all sets are scored at once, and all questions answered once.

The answers to one question share its prompt, which is computed once (:mod:`expunge.scoring.sharing`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from expunge.benchmarks.tofu_parts import Rows
from expunge.benchmarks.tofu_rows import ANSWER, HOLDOUT, TofuSets
from expunge.core.errors import InputError
from expunge.knowledge.encode import question_ids
from expunge.metrics.gradient_norm import gradient_norms
from expunge.models.loaded import LoadedModel
from expunge.models.view import View
from expunge.scoring.generate import generate_ids
from expunge.scoring.memory import fitting_cache, fitting_tokens
from expunge.scoring.probes import Asked, ProbeScore, ask, score_asked
from expunge.scoring.teacher_forced import score

ASKED = ("forget", "retain", "ra", "wf")
"""The sets that are asked; the holdout set is only scored."""

NEW_TOKENS = 200
"""Most tokens of a generated answer, as in open-unlearning."""


@dataclass(frozen=True, slots=True)
class TofuEvidence:
    """What the passes gathered: scores by set and row, generated texts, and what membership attacks need."""

    scores: Mapping[str, Rows]
    texts: Mapping[str, tuple[str, ...]]
    end_ids: frozenset[int]
    gradients: Mapping[str, tuple[float, ...]] | None = None
    reference: Mapping[str, tuple[float, ...]] | None = None
    remarks: tuple[str, ...] = ()


def gather_tofu(
    loaded: LoadedModel, sets: TofuSets, *, reference: LoadedModel | None = None, gradients: bool = True
) -> TofuEvidence:
    """One scoring pass over all answers of all sets, one generation, and the two costlier attacks where wanted.

    ``reference`` is the model of the reference attack; ``gradients`` costs a backward pass for every forget and
    holdout row. :class:`InputError` names the row that has no label or at which the model is not a number.
    """
    asked = {name: ask(facts, loaded.encoder) for name, facts in sets.sets.items()}
    flat = [item for items in asked.values() for item in items]
    rows = score_sets(loaded.view(), asked)
    attacked = {name: _answers(asked[name]) for name in ("forget", HOLDOUT) if name in asked}
    return TofuEvidence(
        rows,
        {name: _said(loaded, rows[name]) for name in ASKED},
        frozenset(loaded.encoder.end_ids),
        _gradients(loaded, attacked) if gradients and HOLDOUT in asked else None,
        _reference_losses(reference, attacked) if reference is not None and HOLDOUT in asked else None,
        _padding_remark(loaded, flat),
    )


def score_sets(view: View, asked: Mapping[str, Sequence[Asked]]) -> dict[str, Rows]:
    """The one teacher-forced pass: the scores of each fact's answers by set."""
    flat = [item for items in asked.values() for item in items]
    done = score_asked(view, flat, max_tokens=fitting_tokens(view))
    scored = dict(zip((item.row.key for item in flat), done, strict=True))
    return {name: _by_fact(items, scored) for name, items in asked.items()}


def _by_fact(asked: Sequence[Asked], scored: Mapping[str, ProbeScore]) -> Rows:
    """The scores of each fact's answers; a fact's probes stand together."""
    facts = groupby(asked, key=lambda item: item.fact.id)
    return tuple(tuple(scored[item.row.key] for item in items) for _, items in facts)


def _answers(asked: Sequence[Asked]) -> list[Asked]:
    return [item for item in asked if item.probe.form == ANSWER]


def _said(loaded: LoadedModel, rows: Rows) -> tuple[str, ...]:
    encoder = loaded.encoder
    prompts = [question_ids(items[0].probe, encoder) for items in rows]
    view = loaded.view()
    made = generate_ids(view, prompts, encoder.end_ids, max_new_tokens=NEW_TOKENS, max_tokens=fitting_cache(view))
    ends = frozenset(encoder.end_ids)
    return tuple(encoder.decode([token for token in answer if token not in ends]).strip() for answer in made)


def _gradients(loaded: LoadedModel, attacked: Mapping[str, Sequence[Asked]]) -> dict[str, tuple[float, ...]]:
    return {
        name: tuple(gradient_norms(loaded.view(), [item.row for item in items], loaded.encoder.end_ids))
        for name, items in attacked.items()
    }


def _reference_losses(reference: LoadedModel, attacked: Mapping[str, Sequence[Asked]]) -> dict[str, tuple[float, ...]]:
    """The reference's mean losses on the very same tokens; :class:`InputError` where it would cut them otherwise."""
    found = {}
    for name, items in attacked.items():
        own = ask([item.fact for item in items], reference.encoder, (ANSWER,))
        for item, other in zip(items, own, strict=True):
            if item.row.ids != other.row.ids:
                raise InputError(f"the reference model cuts row {item.row.key!r} otherwise; use one of its kind.")
        found[name] = tuple(scored.nll_mean for scored in score(reference.view(), [item.row for item in items]))
    return found


def _padding_remark(loaded: LoadedModel, asked: Sequence[Asked]) -> tuple[str, ...]:
    """Rows in which open-unlearning's mask (id ≠ pad) would hide a token that the model sees here."""
    pad = loaded.tokenizer.pad_token_id
    pad = loaded.tokenizer.eos_token_id if pad is None else pad
    hidden = [item.row.key for item in asked if pad in item.row.ids[:-1]]
    if not hidden:
        return ()
    return (f"{len(hidden)} rows hold the padding token inside (first: {hidden[0]}); open-unlearning masks it there.",)


def empty_answers(found: TofuEvidence) -> tuple[str, ...]:
    """A sentence that names the rows to which the model answered nothing; they count as ROUGE 0."""
    silent = [
        found.scores[name][index][0].score.key
        for name, texts in found.texts.items()
        for index, text in enumerate(texts)
        if not text
    ]
    shown = ", ".join(silent[:5]) + (" …" if len(silent) > 5 else "")
    return (
        (f"the model answered nothing to {len(silent)} questions ({shown}); they count as ROUGE 0.",) if silent else ()
    )
