"""A gap for a suffix of fixed length between a question and its answer, in tokens and in text.

The template decides what stands between them, so the gap is found by rendering a question with a filler whose tokens
are known.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from expunge.attacks.variants import Variant, is_raw
from expunge.core.errors import InputError
from expunge.models.chat import Encoder
from expunge.models.rows import Row
from expunge.scoring.generate import Ids
from expunge.scoring.probes import Asked

FILLERS = (" !", "!", " x", "x", " a", ".")
"""What fills the gap before the search, repeated; the first that a tokenizer keeps apart (GCG begins with "! ! !")."""


@dataclass(frozen=True, slots=True)
class Filler:
    """A text that fills the gap and its tokens, all the same one."""

    text: str
    ids: Ids


@dataclass(frozen=True, slots=True)
class Gap:
    """The tokens around the gap of one question; ``labels`` belong to ``after``, ``before`` has at least a token."""

    key: str
    before: Ids
    after: Ids
    labels: tuple[bool, ...]

    def row(self, suffix: Ids) -> Row:
        """The question with ``suffix`` in its gap."""
        given = (False,) * (len(self.before) + len(suffix))
        return Row(self.key, (*self.before, *suffix, *self.after), (*given, *self.labels))


def asked_with(asked: Asked, text: str) -> Variant:
    """The question with ``text`` right after its last word."""
    return Variant(asked.probe.prompt + text, asked.probe.answer, raw=is_raw(asked))


def gap_of(encoder: Encoder, asked: Asked, filler: Filler) -> Gap | None:
    """The gap of one question; ``None`` where the filler's tokens do not come out as they are.

    Raises :class:`InputError` where question, filler and answer are longer than the context.
    """
    row = asked_with(asked, filler.text).row(encoder, asked.row.key)
    length = len(filler.ids)
    for start in range(row.labels.index(True) - length, 0, -1):
        if row.ids[start : start + length] == filler.ids:
            return Gap(row.key, row.ids[:start], row.ids[start + length :], row.labels[start + length :])
    return None


def opened(encoder: Encoder, asked: Sequence[Asked], length: int) -> tuple[Filler, dict[int, Gap]]:
    """The first filler that leaves a gap in every question, and the gaps by the question's place.

    Questions too long for a suffix have none. Raises :class:`InputError` where no question has room, or no filler fits.
    """
    for filler in _fillers(encoder.tokenizer, length):
        found = dict(_gaps(encoder, asked, filler))
        if not found:
            raise InputError(f"no T question has room for a suffix of {length} tokens; lower 'length'.")
        whole = {place: gap for place, gap in found.items() if gap is not None}
        if len(whole) == len(found):
            return filler, whole
    raise InputError(f"the tokenizer merges every filler ({', '.join(map(repr, FILLERS))}) with the text around it.")


def _gaps(encoder: Encoder, asked: Sequence[Asked], filler: Filler) -> Iterator[tuple[int, Gap | None]]:
    """The gaps of the questions that are not too long."""
    for place, item in enumerate(asked):
        with suppress(InputError):
            yield place, gap_of(encoder, item, filler)


def _fillers(tokenizer: Any, length: int) -> Iterator[Filler]:
    """Those that are one token each."""
    for piece in FILLERS:
        ids = tokenizer(piece, add_special_tokens=False)["input_ids"]
        if len(ids) == 1:
            yield Filler(piece * length, tuple(ids) * length)


def text_of(encoder: Encoder, gap: Gap, suffix: Ids) -> str:
    """What ``suffix`` reads as in its place: many tokenizers write a word's space only where something precedes it."""
    anchor = gap.before[-1:]
    return encoder.decode((*anchor, *suffix)).removeprefix(encoder.decode(anchor))


def sendable(encoder: Encoder, pairs: Sequence[tuple[Asked, Gap]], suffix: Ids) -> bool:
    """Whether the suffix, sent as text with any of these questions, comes out as the very tokens it was trained as."""
    text = text_of(encoder, pairs[0][1], suffix)
    return all(_same(encoder, asked, text, gap.row(suffix)) for asked, gap in pairs)


def _same(encoder: Encoder, asked: Asked, text: str, row: Row) -> bool:
    try:
        return asked_with(asked, text).row(encoder, row.key) == row
    except InputError:
        return False


def plain_tokens(tokenizer: Any, *, as_text: bool) -> list[int]:
    """Ids that a suffix may be made of: no special tokens; as text only what prints and re-tokenises to itself."""
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    ids = [token for token in sorted(tokenizer.get_vocab().values()) if token not in special]
    if not as_text:
        return ids
    texts = tokenizer.batch_decode([[token] for token in ids], clean_up_tokenization_spaces=False)
    again = tokenizer(texts, add_special_tokens=False)["input_ids"]
    whole = zip(ids, texts, again, strict=True)
    return [token for token, text, back in whole if back == [token] and text.isprintable() and text.strip()]
