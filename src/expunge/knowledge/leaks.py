"""What one subject's facts say about another's: the strings that would carry an answer across a cut."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from expunge.knowledge.facts import Fact, Leak

NGRAM_WORDS = 8
MIN_CONTAINED = 4


def words_of(text: str) -> tuple[str, ...]:
    """Lower-case words without punctuation: the form in which strings are compared."""
    return tuple(re.findall(r"\w+", text.casefold()))


def find_leaks(facts: Sequence[Fact], ngram: int = NGRAM_WORDS) -> list[Leak]:
    """Every string shared by several subjects that would answer one of them, longest first; a subject set once.

    Three rules, on words: two subjects have the same answer; an answer of one (at least :data:`MIN_CONTAINED`
    characters) stands in another's text; two answers or documents share ``ngram`` words in a row. Prompts alone share
    nothing by the last rule: questions of one pattern are alike without telling anything.
    """
    shared = _owners_of_answers(facts)
    for gram, subjects in _owners_of_ngrams(facts, ngram).items():
        shared[gram] |= subjects
    longest: dict[frozenset[str], tuple[str, ...]] = {}
    for words, subjects in shared.items():
        if len(subjects) > 1:
            key = frozenset(subjects)
            longest[key] = max(longest.get(key, ()), words, key=lambda each: (len(" ".join(each)), each))
    leaks = [Leak(" ".join(words), tuple(sorted(subjects))) for subjects, words in longest.items()]
    return sorted(leaks, key=lambda leak: (-len(leak.text), leak.text, leak.subjects))


def _owners_of_answers(facts: Sequence[Fact]) -> defaultdict[tuple[str, ...], set[str]]:
    """Answer words to the subjects that have them as answer or anywhere in their text."""
    owners: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    for fact in facts:
        for probe in fact.probes:
            if probe.prompt and (answer := words_of(probe.answer)):
                owners[answer].add(fact.subject)
    sizes = {len(answer) for answer in owners if len(" ".join(answer)) >= MIN_CONTAINED}
    for fact in facts:
        for text in _texts(fact):
            for size in sizes:
                for gram in ngrams(text, size):
                    if gram in owners and len(" ".join(gram)) >= MIN_CONTAINED:
                        owners[gram].add(fact.subject)
    return owners


def _owners_of_ngrams(facts: Sequence[Fact], ngram: int) -> Mapping[tuple[str, ...], set[str]]:
    """Runs of ``ngram`` words in answers and documents to the subjects that have them."""
    owners: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    for fact in facts:
        for probe in fact.probes:
            for gram in ngrams(words_of(probe.answer), ngram):
                owners[gram].add(fact.subject)
    return owners


def _texts(fact: Fact) -> Iterator[tuple[str, ...]]:
    for probe in fact.probes:
        yield words_of(probe.prompt)
        yield words_of(probe.answer)


def ngrams(words: tuple[str, ...], size: int) -> set[tuple[str, ...]]:
    """Every run of ``size`` words."""
    return {words[start : start + size] for start in range(len(words) - size + 1)}
