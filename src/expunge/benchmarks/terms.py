"""The terms of a text: the names and words that it has and ordinary text has not, found without asking any model."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from expunge.knowledge.leaks import ngrams, words_of

Words = tuple[str, ...]

SHORTEST = 3
"""Letters of the shortest term that is found by itself (our choice)."""
_WORD = re.compile(r"[^\W\d_]+")
_OPENS = re.compile(r"""(?:^|[.!?:;…"“”'‘’()\[\]\-–—*#]|\n)\s*$""")


def terms_of(texts: Iterable[str], *, without: Iterable[str] = (), least: int = 2) -> tuple[str, ...]:
    """Words that ``texts`` write with a capital where no sentence begins, ``least`` times or more, sorted.

    A word that they also write small is ordinary, and so is one that stands in the texts ``without``, in any case. The
    authors of Who's Harry Potter let a language model list such expressions (arXiv 2310.02238, section 3.2); this is a
    plain rule in its place. It finds single words; phrases are for the user to list.
    """
    counts: Counter[str] = Counter()
    ordinary = {word for text in without for word in words_of(text)}
    for text in texts:
        for found in _WORD.finditer(text):
            word = found[0]
            if word.islower():
                ordinary.add(word)
            elif word[0].isupper() and not _OPENS.search(text, max(0, found.start() - 4), found.start()):
                counts[word] += 1
    chosen = (word for word, count in counts.items() if count >= least and len(word) >= SHORTEST)
    return tuple(sorted(word for word in chosen if word.casefold() not in ordinary))


class Terms:
    """Terms to look for: where a text has one, and which of them another text names."""

    def __init__(self, terms: Sequence[str]) -> None:
        self._words = {words for term in terms if (words := words_of(term))}
        self._sizes = sorted({len(words) for words in self._words})
        longest = sorted(terms, key=len, reverse=True)
        self._place = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest))})(?!\w)") if longest else None

    def places(self, text: str) -> Iterator[re.Match[str]]:
        """Every term as it stands in ``text``, longer ones first where they overlap."""
        return iter(()) if self._place is None else self._place.finditer(text)

    def named(self, text: str, *, beside: str = "") -> Collection[Words]:
        """The terms in ``text``, case and punctuation aside, without those that stand in ``beside`` already."""
        return self._within(text) - self._within(beside)

    def _within(self, text: str) -> set[Words]:
        words = words_of(text)
        return {gram for size in self._sizes for gram in ngrams(words, size) if gram in self._words}
