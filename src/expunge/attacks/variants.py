"""One way of putting a question to a model, and the sentence patterns from which such ways are made."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from string import Formatter

from expunge.core.seeds import derive
from expunge.knowledge.facts import Knowledge, Split
from expunge.knowledge.passages import CONTINUATION
from expunge.models.chat import Encoder
from expunge.models.rows import Row
from expunge.models.text_only import Turn
from expunge.scoring.containment import contains
from expunge.scoring.probes import Asked


@dataclass(frozen=True, slots=True)
class Variant:
    """A prompt and the text that counts as giving the fact away.

    ``cost`` is the smallest budget at which the attacker has tried it. ``raw``: text as it stands, without a question
    template. ``begun``: words that the attacker puts at the start of the answer; ``leaked``: how many tokens of the
    answer itself are given. Neither is scored.
    """

    prompt: str
    answer: str
    cost: int = 1
    raw: bool = False
    begun: str = ""
    leaked: int = 0

    @property
    def shown(self) -> str:
        """All words that the model is given."""
        return f"{self.prompt} {self.begun}".rstrip()

    def row(self, encoder: Encoder, key: str) -> Row:
        """The tokens with those to be scored as labels."""
        row = self._encoder(encoder).encode(self.prompt, self.answer, key, begun=self.begun)
        return withheld(row, self.leaked, encoder.end_ids) if self.leaked else row

    @property
    def turn(self) -> Turn:
        """What is put to a model that answers freely."""
        return Turn(self.prompt, self.begun, self.raw)

    def _encoder(self, encoder: Encoder) -> Encoder:
        return encoder.raw if self.raw else encoder


def withheld(row: Row, given: int, end_ids: Sequence[int]) -> Row:
    """``row`` without its first ``given`` labels; the answer's last token always stays to be said.

    An end token after the answer is not counted: a model that says nothing but the end has said nothing.
    """
    places = [place for place, label in enumerate(row.labels) if label]
    body = len(places) - (row.ids[places[-1]] in end_ids)
    hidden = set(places[: min(given, max(body - 1, 0))])
    return Row(row.key, row.ids, tuple(label and place not in hidden for place, label in enumerate(row.labels)))


@dataclass(frozen=True, slots=True)
class Material:
    """What an attacker makes its prompts from. The model is not part of it: every model meets the same prompts."""

    knowledge: Knowledge
    split: Split
    encoder: Encoder
    seed: int
    forms: tuple[str, ...]

    def stream(self, asked: Asked, *labels: str | int) -> random.Random:
        """A random stream that belongs to one probe and the labels, whatever else is asked."""
        return random.Random(derive(self.seed, asked.fact.id, asked.probe.form, asked.probe.prompt, *labels))


def plain(asked: Asked) -> Variant:
    """The question as it is asked before the attack."""
    return Variant(asked.probe.prompt, asked.probe.answer, raw=is_raw(asked))


def is_raw(asked: Asked) -> bool:
    """Whether the probe continues a text and is no question."""
    return asked.probe.form == CONTINUATION


def subject_of(asked: Asked) -> str | None:
    """The subject where the question names it; identifiers such as ``author-3`` are no names."""
    return asked.fact.subject if contains(asked.probe.prompt, asked.fact.subject) else None


def filled(patterns: Iterable[str], asked: Asked) -> list[str]:
    """``patterns`` with ``{q}`` the question, ``{s}`` the subject's name and ``{k}`` what kind of thing is asked for.

    A pattern with a field that is not known of this probe is left out.
    """
    known = {"q": asked.probe.prompt, "s": subject_of(asked), "k": asked.fact.attribute.replace("_", " ") or None}
    wanted = [(pattern, {name for _, name, _, _ in Formatter().parse(pattern) if name}) for pattern in patterns]
    return [pattern.format(**known) for pattern, names in wanted if all(known[name] is not None for name in names)]


def in_order(prompts: Iterable[str], asked: Asked) -> list[Variant]:
    """Prompts that expect the probe's own answer; the n-th is tried with budget n."""
    raw = is_raw(asked)
    return [Variant(text, asked.probe.answer, cost, raw) for cost, text in enumerate(prompts, start=1)]
