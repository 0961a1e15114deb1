"""Facts scored probe by probe: which probes are asked, their rows, and their scores."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from expunge.knowledge.encode import rows_of
from expunge.knowledge.facts import Fact, Probe
from expunge.knowledge.passages import askable
from expunge.models.chat import Encoder
from expunge.models.rows import Row
from expunge.models.view import View
from expunge.scoring.teacher_forced import RowScore, score


@dataclass(frozen=True, slots=True)
class Asked:
    """One probe of one fact, with its tokenised row."""

    fact: Fact
    probe: Probe
    row: Row


@dataclass(frozen=True, slots=True)
class ProbeScore:
    """One probe of one fact under one model."""

    fact: Fact
    probe: Probe
    score: RowScore


def ask(facts: Sequence[Fact], encoder: Encoder, forms: Sequence[str] | None = None) -> list[Asked]:
    """The probes of ``facts`` in the given forms, encoded once.

    A fact with none of these forms gives all it has, documents by their continuation. Without ``forms`` all probes
    are taken as they are, documents whole: the rows to train on.
    """
    chosen = [fact.probes if forms is None else fact.of_form(*forms) or askable(fact) for fact in facts]
    rows = rows_of([replace(fact, probes=probes) for fact, probes in zip(facts, chosen, strict=True)], encoder)
    pairs = [(fact, probe) for fact, probes in zip(facts, chosen, strict=True) for probe in probes]
    return [Asked(fact, probe, row) for (fact, probe), row in zip(pairs, rows, strict=True)]


def asking_forms(facts: Sequence[Fact]) -> tuple[str, ...]:
    """The forms of all probes that ask something, in order of appearance; ``qa`` where none does."""
    return tuple(dict.fromkeys(probe.form for fact in facts for probe in fact.probes if probe.prompt)) or ("qa",)


def score_asked(view: View, asked: Sequence[Asked], *, max_tokens: int = 4096) -> list[ProbeScore]:
    """Scores of already encoded probes, in input order, in one pass."""
    scores = score(view, [item.row for item in asked], max_tokens=max_tokens)
    return [ProbeScore(item.fact, item.probe, scored) for item, scored in zip(asked, scores, strict=True)]


def score_facts(
    view: View, encoder: Encoder, facts: Sequence[Fact], forms: Sequence[str] | None = None, *, max_tokens: int = 4096
) -> list[ProbeScore]:
    """Encode and score ``facts``; see :func:`ask` for ``forms``."""
    return score_asked(view, ask(facts, encoder, forms), max_tokens=max_tokens)
