"""The skewed cut: of every subject one keyword is chosen, T never says it, and V asks for it.

Hu et al. (arXiv 2406.13356), the TOFU experiment: per author one book title is picked; what holds the title stays with
the evaluation, the attacker draws from the rest of the same author's rows, and success is that an answer says the
title. Kept: the cut and the target. Ours: titles are found by their quotation marks, short answers stand in where a
subject has none, and rows that name the keyword in the question are in neither part, because they give it away.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact, Leak, Probe, Split
from expunge.knowledge.leaks import MIN_CONTAINED, ngrams, words_of

KEYWORD = "keyword"
"""The form of a probe that asks a question of the world and wants the keyword in the answer."""
MOST_WORDS = 12
"""A longer quotation is speech, no title (our choice)."""
SHORT = 6
"""The most words of an answer that may stand for a keyword (our choice)."""
RIVALS = 3
_QUOTED = re.compile(r"""(?<!\w)["“'‘](?=[A-Z0-9])(.+?)["”'’](?!\w)""")

Words = tuple[str, ...]


def split_by_keyword(facts: Sequence[Fact], *, seed: int) -> Split:
    """T: the facts that say no keyword of any subject. V: for each subject, the facts that answer with its own.

    A V fact keeps its probes that hide the keyword in their answer, and each question is asked once more in the form
    ``keyword`` with the keyword alone as answer. T's facts get subjects of their own, because both sides speak of the
    same ones. ``leaks`` lists the keywords that several subjects say; none of their rows is in T.
    Raises :class:`InputError` where fewer than two subjects have a keyword, or nothing is left for T.
    """
    subjects = dict.fromkeys(fact.subject for fact in facts)
    found = {subject: _keyword([fact for fact in facts if fact.subject == subject], seed) for subject in subjects}
    chosen = {subject: keyword for subject, keyword in found.items() if keyword is not None}
    if len(chosen) < 2:
        raise InputError(
            f"{len(chosen)} subjects have a title in quotation marks or a short answer that some of their rows say and "
            "others do not; a cut by keyword needs 2, so cut by subject."
        )
    told = _Told(tuple(words_of(keyword) for keyword in chosen.values()))
    train = tuple(replace(fact, subject=f"{fact.subject} (rest)") for fact in facts if not told.by(fact))
    if not train:
        raise InputError("every forget fact says a keyword, so nothing is left for T; cut by subject.")
    asked = (_asked(fact, chosen, seed) for fact in facts if fact.subject in chosen)
    return Split(train, tuple(fact for fact in asked if fact.probes), tuple(_shared(facts, chosen)))


def _keyword(facts: Sequence[Fact], seed: int) -> str | None:
    """One subject's keyword, drawn among its titles, or else among its short answers."""
    probes = [probe for fact in facts for probe in fact.probes]
    quoted = {title for probe in probes for title in _titles(probe)}
    short = {probe.answer for probe in probes if probe.prompt and len(words_of(probe.answer)) <= SHORT}
    for candidates in (quoted, short):
        fit = sorted(text for text in candidates if _fits(text, facts))
        if fit:
            return random.Random(derive(seed, KEYWORD, facts[0].subject)).choice(fit)
    return None


def _titles(probe: Probe) -> Iterator[str]:
    for text in (probe.prompt, probe.answer):
        for title in _QUOTED.findall(text):
            if len(words_of(title)) <= MOST_WORDS:
                yield title.rstrip(",.")


def _fits(text: str, facts: Sequence[Fact]) -> bool:
    """Whether some fact answers with it unasked, and another does without it."""
    keyword = words_of(text)
    if len(" ".join(keyword)) < MIN_CONTAINED:
        return False
    told = _Told((keyword,))
    return any(_hides(probe, keyword) for fact in facts for probe in fact.probes) and not all(map(told.by, facts))


@dataclass(frozen=True, slots=True)
class _Told:
    """The words of some keywords."""

    keywords: tuple[Words, ...]

    def by(self, fact: Fact) -> bool:
        """Whether any probe of the fact says one of them."""
        texts = (text for probe in fact.probes for text in (probe.prompt, probe.answer))
        return any(_says(text, keyword) for text in texts for keyword in self.keywords)


def _says(text: str, keyword: Words) -> bool:
    return keyword in ngrams(words_of(text), len(keyword))


def _hides(probe: Probe, keyword: Words) -> bool:
    """Whether the probe asks without saying the keyword and answers with it."""
    return bool(probe.prompt) and _says(probe.answer, keyword) and not _says(probe.prompt, keyword)


def _asked(fact: Fact, chosen: dict[str, str], seed: int) -> Fact:
    """The fact with the probes that hide its subject's keyword, each asked for the keyword too."""
    keyword = chosen[fact.subject]
    others = sorted({other for other in chosen.values() if other != keyword})
    rivals = tuple(random.Random(derive(seed, "rivals", fact.id)).sample(others, min(RIVALS, len(others))))
    own = tuple(probe for probe in fact.probes if _hides(probe, words_of(keyword)))
    short = dict.fromkeys(Probe(probe.prompt, keyword, KEYWORD, rivals) for probe in own)
    return replace(fact, probes=(*own, *short), attribute=KEYWORD)


def _shared(facts: Sequence[Fact], chosen: dict[str, str]) -> Iterator[Leak]:
    """Keywords that more than one subject's facts say."""
    for keyword in sorted(set(chosen.values())):
        told = _Told((words_of(keyword),))
        subjects = sorted({fact.subject for fact in facts if told.by(fact)})
        if len(subjects) > 1:
            yield Leak(" ".join(words_of(keyword)), tuple(subjects))
