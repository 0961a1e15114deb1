"""What texts tell of V: rows that hold one of its answers or share a long phrase with them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from expunge.knowledge.facts import Fact, Probe
from expunge.knowledge.leaks import MIN_CONTAINED, NGRAM_WORDS, ngrams, words_of
from expunge.knowledge.passages import askable

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overlap:
    """``rows`` texts, of which some hold an answer of V, some share a phrase with one, and ``kept`` do neither."""

    rows: int
    with_answer: int
    with_phrase: int
    telling: int
    kept: tuple[Fact, ...]

    def as_dict(self, dropped: bool) -> dict[str, Any]:
        """The counts for a record, with a sentence; ``dropped`` says whether the telling rows are left out."""
        fate = "dropped" if dropped else "kept, because they are T's own"
        line = f"{self.telling} of {self.rows} rows tell an answer of V or share {NGRAM_WORDS} words with one"
        counts = {"rows": self.rows, "with_answer": self.with_answer, "with_phrase": self.with_phrase}
        left_out = self.telling if dropped else 0
        return {**counts, "dropped": left_out, "line": f"{line}; they are {fate}." if self.telling else f"{line}."}


def overlap(facts: Sequence[Fact], scored: Sequence[Fact], ngram: int = NGRAM_WORDS) -> Overlap:
    """Compare the probes of ``facts`` with the answers of ``scored`` (V), by the rules of :func:`find_leaks`.

    A row tells when its answer is one of V's, when one of V's of at least :data:`MIN_CONTAINED` characters stands
    anywhere in it, or when it shares ``ngram`` words in a row with an answer or document of V.
    """
    told = _Told(scored, ngram)
    marks = [(fact, [(probe, told.answer_in(probe), told.phrase_in(probe)) for probe in fact.probes]) for fact in facts]
    flat = [(answer, phrase) for _, own in marks for _, answer, phrase in own]
    free = (
        replace(fact, probes=tuple(probe for probe, answer, phrase in own if not (answer or phrase)))
        for fact, own in marks
    )
    return Overlap(
        rows=len(flat),
        with_answer=sum(answer for answer, _ in flat),
        with_phrase=sum(phrase for _, phrase in flat),
        telling=sum(answer or phrase for answer, phrase in flat),
        kept=tuple(fact for fact in free if fact.probes),
    )


class _Told:
    """The answers and phrases of V."""

    def __init__(self, scored: Sequence[Fact], ngram: int) -> None:
        asked = (probe for fact in scored for probe in askable(fact) if probe.prompt)
        self.ngram = ngram
        self.answers = {words for probe in asked if (words := words_of(probe.answer))}
        self.held = {words for words in self.answers if len(" ".join(words)) >= MIN_CONTAINED}
        self.sizes = {len(words) for words in self.held}
        whole = (words_of(probe.answer) for fact in scored for probe in fact.probes)
        self.phrases = {gram for words in whole for gram in ngrams(words, ngram)}

    def answer_in(self, probe: Probe) -> bool:
        """Whether the row is, or holds, an answer of V."""
        if words_of(probe.answer) in self.answers:
            return True
        return any(not self.held.isdisjoint(ngrams(text, size)) for text in _texts(probe) for size in self.sizes)

    def phrase_in(self, probe: Probe) -> bool:
        """Whether the row shares a long phrase with an answer or document of V."""
        return any(not self.phrases.isdisjoint(ngrams(text, self.ngram)) for text in _texts(probe))


def _texts(probe: Probe) -> Iterable[Words]:
    return words_of(probe.prompt), words_of(probe.answer)
