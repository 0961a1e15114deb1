"""What a linear probe is trained on: facts whose answers the attacker holds, and their control task."""

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact, Knowledge, Probe, Split
from expunge.knowledge.passages import askable
from expunge.models.load import LoadedModel
from expunge.models.rows import Row
from expunge.scoring.label_states import label_states, without_end
from expunge.scoring.probes import Asked, ask

SOURCES: Mapping[str, Callable[[Knowledge, Split], tuple[Fact, ...]]] = {
    "T": lambda knowledge, split: split.train,
    "retain": lambda knowledge, split: (*knowledge.retain_train, *knowledge.retain_eval),
    "both": lambda knowledge, split: (*split.train, *knowledge.retain_train, *knowledge.retain_eval),
}
"""``T``: the forget facts that the attacker holds; ``retain``: facts that the model was to keep; ``both``."""


def known_facts(source: str, knowledge: Knowledge, split: Split, most: int) -> tuple[Fact, ...]:
    """At most ``most`` facts of a source, chosen evenly.

    Raises :class:`InputError` when there is none, or when one is about a subject of V.
    """
    facts = SOURCES[source](knowledge, split)
    if not facts:
        raise InputError(f"attack 'linear_probe': source {source!r} has no fact here; choose another source.")
    shared = {fact.subject for fact in facts} & {fact.subject for fact in split.score}
    if shared:
        raise InputError(
            f"attack 'linear_probe': source {source!r} and V share the subject {min(shared)!r}; split by subject, so "
            "that V measures what the hidden states hold and not what the probe was taught."
        )
    return facts[:: -(-len(facts) // most)]


def shuffled(facts: Sequence[Fact], forms: Sequence[str], seed: int) -> tuple[Fact, ...]:
    """The control task (Hewitt and Liang, arXiv 1909.03368, section 2): subjects with other subjects' answers.

    Answers go round a seeded circle within each attribute, so that every answer occurs as often as before; all forms
    of a fact take their answers from one donor. Facts are cut down to the probes that are asked.
    """
    groups: defaultdict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        groups[fact.attribute].append(replace(fact, probes=fact.of_form(*forms) or askable(fact)))
    found: dict[str, Fact] = {}
    for attribute, members in groups.items():
        circle = random.Random(derive(seed, "linear_probe", attribute)).sample(members, len(members))
        pairs = zip(circle, [*circle[1:], circle[0]], strict=True)
        found |= {fact.id: replace(fact, probes=tuple(_given(p, donor) for p in fact.probes)) for fact, donor in pairs}
    return tuple(found[fact.id] for fact in facts)


def _given(probe: Probe, donor: Fact) -> Probe:
    """``probe`` with the donor's answer to the same form, or to its first."""
    return replace(probe, answer=(donor.of_form(probe.form) or donor.probes)[0].answer)


@dataclass(frozen=True, slots=True)
class Seen:
    """A probe with its answer tokens (the closing end token left out) and the states before them, [L, N, D]."""

    asked: Asked
    tokens: tuple[int, ...]
    states_LND: Tensor


def seen(loaded: LoadedModel, asked: Sequence[Asked], layers: Sequence[int]) -> list[Seen]:
    """``asked`` with states; a document asks nothing and is left out."""
    items = [item for item in asked if item.probe.prompt]
    rows = [without_end(item.row, loaded.encoder.end_ids) for item in items]
    states = label_states(loaded.view(), rows, layers)
    return [Seen(item, _labels(row), kept) for item, row, kept in zip(items, rows, states, strict=True)]


def asked_plainly(facts: Sequence[Fact], loaded: LoadedModel, forms: Sequence[str]) -> list[Asked]:
    """The questions of ``facts`` in these forms."""
    return [item for item in ask(facts, loaded.encoder, forms) if item.probe.prompt]


def by_attribute(items: Sequence[Seen]) -> Mapping[str, list[Seen]]:
    """Items by the attribute of their fact; one with a single answer is left out: there is nothing to tell apart."""
    groups: defaultdict[str, list[Seen]] = defaultdict(list)
    for item in items:
        groups[item.asked.fact.attribute].append(item)
    return {name: members for name, members in groups.items() if len({item.tokens for item in members}) > 1}


def _labels(row: Row) -> tuple[int, ...]:
    return tuple(token for token, label in zip(row.ids, row.labels, strict=True) if label)
