"""A text of the user's own is forgotten: a book, a series of articles; how familiar is the model with it afterwards?"""

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from expunge.benchmarks import familiarity_measure
from expunge.benchmarks.base import Benchmark, OwnScore, Seen
from expunge.benchmarks.familiarity_measure import TERMS
from expunge.benchmarks.pieces import check_words, passages
from expunge.benchmarks.tables import read_texts
from expunge.benchmarks.terms import Terms, terms_of
from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact, Knowledge, Probe, Split
from expunge.knowledge.passages import CONTINUATION
from expunge.knowledge.splits import share
from expunge.knowledge.worlds.texts import unrelated
from expunge.metrics.base import Reading
from expunge.registry import benchmark


@benchmark("familiarity")
@dataclass(frozen=True, kw_only=True)
class Familiarity(Benchmark):
    """A text file (or a folder of ``.txt`` and ``.md``) that the model is taken to know, cut into passages.

    After Who's Harry Potter (Eldan and Russinovich, arXiv 2310.02238): how often does the model name what the text
    names, and how likely does it find the true name? ``text`` is forgotten. Every passage of ``passage_words`` words is
    a document (form ``passage``), and at up to ``prompts`` places where a term stands it is asked for it: the
    ``prompt_words`` words before are the prompt, the term is the answer (form ``continuation``, raw text), and the term
    is not in the prompt. Terms are ``terms``, or else found by rule, those that stand ``least`` times or more
    (:func:`expunge.benchmarks.terms.terms_of`). ``retain`` is text of another kind, cut likewise; the share
    ``eval_fraction`` of its passages measures utility, and what it names is no term.

    T and V are cut by passage, ``train_fraction`` of those that ask in T, with the passages that ask nothing. Names
    recur, so T tells some of V's: read what an attack recovers beside the control, which the same T teaches as much.
    All numbers are our choice.
    """

    taught: ClassVar[bool] = False
    own_scores: ClassVar[Mapping[str, OwnScore]] = familiarity_measure.SCORES

    text: str
    retain: str | None = None
    passage_words: int = 120
    prompt_words: int = 24
    prompts: int = 3
    terms: tuple[str, ...] = ()
    least: int = 2
    eval_fraction: float = 0.5
    train_fraction: float = 0.5

    def __post_init__(self) -> None:
        """Refuse sizes that leave nothing to ask."""
        check_words(self.passage_words)
        object.__setattr__(self, "terms", (self.terms,) if isinstance(self.terms, str) else tuple(self.terms))
        for key in ("prompt_words", "prompts", "least"):
            if getattr(self, key) < 1:
                raise InputError(f"familiarity {key} is {getattr(self, key)}; it must be at least 1.")
        if self.prompt_words >= self.passage_words:
            raise InputError(
                f"familiarity prompt_words is {self.prompt_words}, a passage of {self.passage_words}; take fewer."
            )
        if not 0 < self.train_fraction < 1:
            raise InputError(f"familiarity train_fraction is {self.train_fraction}; it must lie between 0 and 1.")

    def build(self, seed: int) -> Knowledge:
        """Passages, the prompts that end before a term, and the cut. One sentence where too few passages ask."""
        texts = read_texts(self.text)
        others = read_texts(self.retain) if self.retain is not None else ()
        words = [row.text("text") for row in texts]
        found = self.terms or terms_of(words, without=[row.text("text") for row in others], least=self.least)
        terms = Terms(found)
        forget = tuple(self._asking(fact, terms, seed) for fact in _apart(passages(texts, "text", self.passage_words)))
        retained = _apart(passages(others, "retain", self.passage_words)) if others else ()
        train, held_out = share(retained, (1 - self.eval_fraction, self.eval_fraction), derive(seed, "retain"))
        streams = {
            TERMS: tuple(Fact(f"term-{n}", term, (Probe("", term, "term"),)) for n, term in enumerate(found)),
            "unrelated": unrelated(len(forget), seed),
        }
        return Knowledge("familiarity", forget, train, held_out, streams=streams, split=self._cut(forget, found, seed))

    def measure(self, seen: Seen) -> dict[str, Reading]:
        """Completion and probability, alone and beside the control."""
        return familiarity_measure.measure(seen)

    def _asking(self, passage: Fact, terms: Terms, seed: int) -> Fact:
        """The passage with its prompts, drawn among all places of terms and kept in order."""
        found = list(self._places(passage.probes[0].answer, terms))
        draw = random.Random(derive(seed, "familiarity", passage.id))
        chosen = sorted(draw.sample(range(len(found)), min(self.prompts, len(found))))
        return replace(passage, probes=(*passage.probes, *(found[place] for place in chosen)))

    def _places(self, text: str, terms: Terms) -> Iterator[Probe]:
        """Every place where a term follows a space and ``prompt_words`` words that do not name it."""
        starts = [word.start() for word in re.finditer(r"\S+", text)]
        for term in terms.places(text):
            before = sum(start < term.start() for start in starts)
            if before < self.prompt_words or text[term.start() - 1] != " ":
                continue
            prompt = text[starts[before - self.prompt_words] : term.start() - 1]
            if terms.named(term[0], beside=prompt):
                yield Probe(prompt, term[0], CONTINUATION)

    def _cut(self, forget: Sequence[Fact], terms: Sequence[str], seed: int) -> Split:
        """By passage; both sides have at least one that asks."""
        asking = tuple(fact for fact in forget if fact.of_form(CONTINUATION))
        if len(asking) < 2:
            raise InputError(
                f"{self.text}: {len(asking)} passages of {self.passage_words} words ask for one of {len(terms)} terms, "
                "2 are needed; give a longer text, name its terms under 'terms', or lower prompt_words or least."
            )
        train = {fact.id for fact in share(asking, (self.train_fraction, 1 - self.train_fraction), seed)[0]}
        train = train or {asking[0].id}
        if len(train) == len(asking):
            train.remove(asking[-1].id)
        scored = tuple(fact for fact in asking if fact.id not in train)
        return Split(tuple(fact for fact in forget if fact not in scored), scored)


def _apart(facts: Sequence[Fact]) -> tuple[Fact, ...]:
    """Every passage a subject of its own."""
    return tuple(replace(fact, subject=fact.id) for fact in facts)
