"""Stored samples: the original model's own text, for utility and for users without a retain set."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar

from expunge.builders.base import Builder, Facts, Material, documents
from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact
from expunge.models.chat import Encoder
from expunge.models.view import View
from expunge.registry import builder
from expunge.scoring.generate import generate_ids

ROUNDS = 8
"""Times that texts are drawn before giving up."""
SHORTEST_NAME = 4
"""Characters of the shortest name that is looked for; shorter ones stand inside other words."""


@builder("stored_samples")
@dataclass(frozen=True, kw_only=True)
class StoredSamples(Builder):
    """Text that the original model writes from nothing at temperature 1, as documents.

    ``num`` texts of at most ``max_new_tokens`` tokens. Design, section Utility: 64 samples.
    """

    provides: ClassVar[tuple[str, ...]] = ("samples",)
    num: int = 64
    max_new_tokens: int = 24

    def build(self, material: Material) -> dict[str, Facts]:
        """The stream ``samples``, without what is to be forgotten; raises as :func:`stored_samples`."""
        view, encoder, seed = material.loaded.view(), material.loaded.encoder, material.seed
        made = stored_samples(view, encoder, self.num, self.max_new_tokens, seed=seed, without=material.forget)
        return {"samples": made}


def stored_samples(
    view: View,
    encoder: Encoder,
    num: int = 64,
    max_new_tokens: int = 24,
    *,
    seed: int,
    without: Sequence[Fact] = (),
) -> tuple[Fact, ...]:
    """``num`` sampled texts, each a fact of its own subject with one ``passage`` probe.

    Sampling starts where the encoder's documents start (BOS, or what stands for it), so that the texts are what
    the model itself finds likely there. Texts that name a subject or an answer of the facts ``without`` are left out:
    a model that forgot them must not be blamed for it. :class:`InputError` when too few texts are left.
    """
    texts = written(view, encoder, num, max_new_tokens, seed=seed, barred=_names(without))
    return documents(texts, "sample")


def written(
    view: View, encoder: Encoder, num: int, max_new_tokens: int, *, seed: int, barred: Collection[str] = ()
) -> list[str]:
    """``num`` sampled texts without the words ``barred`` (lower case); :class:`InputError` when too few are left."""
    start = encoder.document("text", "stored_samples")
    prompt = start.ids[: start.labels.index(True)]
    texts: list[str] = []
    for attempt in range(ROUNDS):
        draw = derive(seed, "stored_samples", attempt)
        ends = set(encoder.end_ids)
        made = generate_ids(view, [prompt] * num, ends, max_new_tokens=max_new_tokens, temperature=1.0, seed=draw)
        decoded = [encoder.decode(ids[:-1] if ids[-1] in ends else ids) for ids in made]
        texts += [text for text in decoded if text.strip() and not any(name in text.casefold() for name in barred)]
        if len(texts) >= num:
            return texts[:num]
    others = "blanks or what is to be forgotten" if barred else "blanks"
    raise InputError(f"the model wrote {len(texts)} of {num} samples and {others} otherwise; give a retain set.")


def _names(facts: Sequence[Fact]) -> frozenset[str]:
    """Subjects and answers of ``facts``, lower case; whole documents are no names."""
    answers = (probe.answer for fact in facts for probe in fact.probes if probe.prompt)
    found = (name.strip().casefold() for name in (*(fact.subject for fact in facts), *answers))
    return frozenset(name for name in found if len(name) >= SHORTEST_NAME)
