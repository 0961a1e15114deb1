"""Facts to token rows, keyed so that a score finds its way back to the probe. Importing this needs no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from expunge.knowledge.facts import Fact, Probe
from expunge.knowledge.passages import CONTINUATION

if TYPE_CHECKING:
    from expunge.models.chat import Encoder
    from expunge.models.rows import Row


@dataclass(frozen=True, slots=True)
class Keyed:
    """A probe with the fact that it asks for. ``key`` is ``{fact.id}/{form}/{n}``, n counting from 0 in its form."""

    key: str
    fact: Fact
    probe: Probe


def keyed(facts: Sequence[Fact], forms: Sequence[str] | None = None) -> Iterator[Keyed]:
    """Every probe whose form is wanted (``None``: every probe), in the order of ``facts``."""
    for fact in facts:
        counts: Counter[str] = Counter()
        for probe in fact.probes:
            if forms is None or probe.form in forms:
                yield Keyed(f"{fact.id}/{probe.form}/{counts[probe.form]}", fact, probe)
                counts[probe.form] += 1


def is_document(probe: Probe) -> bool:
    """Whether the probe is a text without a prompt: all of it is trained on, none of it is an answer."""
    return probe.prompt == ""


def rows_of(facts: Sequence[Fact], encoder: Encoder, forms: Sequence[str] | None = None) -> list[Row]:
    """One row a probe, in the order of :func:`keyed`; probes without a prompt become documents.

    Raises :class:`expunge.core.errors.InputError`, naming the key, when a probe does not fit the model's context.
    """
    return [_row(item, encoder) for item in keyed(facts, forms)]


def check_lengths(facts: Sequence[Fact], encoder: Encoder) -> None:
    """Raise :class:`expunge.core.errors.InputError` for the first probe that does not fit the model's context."""
    rows_of(facts, encoder)


def _row(item: Keyed, encoder: Encoder) -> Row:
    if is_document(item.probe):
        return encoder.document(item.probe.answer, item.key)
    return _encoder_of(item.probe, encoder).encode(item.probe.prompt, item.probe.answer, item.key)


def question_ids(probe: Probe, encoder: Encoder) -> tuple[int, ...]:
    """What a model is given before it answers ``probe``."""
    return _encoder_of(probe, encoder).prompt_ids(probe.prompt)


def _encoder_of(probe: Probe, encoder: Encoder) -> Encoder:
    """A continuation of raw text is no question, so no template is put around it."""
    return encoder.raw if probe.form == CONTINUATION else encoder
