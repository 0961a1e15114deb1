"""MUSE, six-way evaluation of unlearning (Shi et al., arXiv 2407.06460): BBC news, or novels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from expunge.benchmarks import muse_measure
from expunge.benchmarks.base import Benchmark, OwnScore, Seen
from expunge.benchmarks.pieces import FEW_SHOT, check_words, in_context, members, passages
from expunge.benchmarks.tables import Source, Table
from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact, Knowledge, Probe
from expunge.knowledge.leaks import words_of
from expunge.knowledge.passages import CONTINUATION
from expunge.knowledge.splits import share
from expunge.knowledge.worlds.texts import unrelated
from expunge.metrics.base import Reading
from expunge.registry import benchmark, suggestion

HUBS = {"news": "muse-bench/MUSE-News", "books": "muse-bench/MUSE-Books"}
NUM_FOLDS = 4


@benchmark("muse")
@dataclass(frozen=True, kw_only=True)
class Muse(Benchmark):
    """MUSE-News or MUSE-Books from a folder or the hub; the model is taken to know them (the published target models).

    ``data`` is a folder with ``<config>/<split>.json`` (or ``.jsonl``, ``.txt``), or the hub name of ``corpus``; the
    texts are other people's and are not packaged. Forget facts: the texts (form ``passage``), verbatim prompts (form
    ``continuation``) and questions (``qa``; with MUSE's solved examples before it ``few_shot``). ``size`` 1–4 takes the
    forget texts from ``scal`` (each holds the one before), ``fold`` 1–4 from ``sust``. With ``folds`` all four are the
    requests of a recipe with ``requests: 4``, each unlearned from the model that the one before left (the paper's
    sustainability; only News has folds). A verbatim prompt goes with the fold whose texts hold it, a question
    with the only fold whose texts hold its answer, and what belongs to no fold is left out (our choice: the data do not
    say). Retained texts are what the unlearner sees, retain questions measure
    utility; ``eval_fraction`` of the texts measures it too. Streams ``privleak_forget``, ``privleak_holdout`` and,
    where there is one, ``privleak_retain``: one text a row, from its beginning. Own scores: ROUGE-L F1 and PrivLeak
    (:mod:`expunge.benchmarks.muse_measure`).

    ``passage_words`` cuts texts; 1000 words fit MUSE's 2048 tokens (our choice), ``None`` leaves them whole.
    """

    taught: ClassVar[bool] = False
    template: ClassVar[str | None] = "plain"
    own_scores: ClassVar[Mapping[str, OwnScore]] = muse_measure.SCORES
    membership: ClassVar[tuple[str, str] | None] = muse_measure.SIDES
    corpus: str = "news"
    data: str | None = None
    fold: int | None = None
    folds: bool = False
    size: int | None = None
    eval_fraction: float = 0.0
    passage_words: int | None = 1000

    def __post_init__(self) -> None:
        """Refuse an unknown corpus, and folds that MUSE does not have."""
        if self.corpus not in HUBS:
            raise InputError(f"unknown MUSE corpus {self.corpus!r}; {suggestion(self.corpus, HUBS)}")
        check_words(self.passage_words)
        if (self.fold is not None) + (self.size is not None) + self.folds > 1:
            raise InputError("muse takes its texts either from a fold or from a size, or from all folds; give one.")
        for key in ("fold", "size"):
            value = getattr(self, key)
            if value is not None and not 1 <= value <= NUM_FOLDS:
                raise InputError(f"muse {key} is {value}; it lies between 1 and {NUM_FOLDS}.")

    def build(self, seed: int) -> Knowledge:
        """The corpus; the seed orders nothing but the shared part of the retained texts."""
        source = Source.of(self.data, HUBS[self.corpus], f"muse/{self.corpus}")
        forget, requests = self._folds(source) if self.folds else (self._at_once(source), ())
        retained = passages(source.table("raw", "retain1"), "retain", self.passage_words)
        train, held_out = share(retained, (1 - self.eval_fraction, self.eval_fraction), derive(seed, "retain"))
        return Knowledge(
            "muse",
            forget,
            train,
            (*_questions(source, "retain"), *held_out),
            streams={**self._privleak(source), "unrelated": unrelated(len(_texts(forget)), seed)},
            requests=requests,
        )

    def _at_once(self, source: Source) -> tuple[Fact, ...]:
        """The texts, the verbatim prompts and the questions."""
        texts = passages(self._forget(source), "forget", self.passage_words)
        return (*texts, *_verbatim(source.table("verbmem", "forget")), *_questions(source, "forget"))

    def _folds(self, source: Source) -> tuple[tuple[Fact, ...], tuple[tuple[str, ...], ...]]:
        """The facts of all folds, and the ids of each."""
        folds = [
            passages(source.table("sust", f"forget_{fold}"), f"fold{fold}", self.passage_words)
            for fold in range(1, NUM_FOLDS + 1)
        ]
        said = [_said(texts) for texts in folds]
        asked = (*_verbatim(source.table("verbmem", "forget")), *_questions(source, "forget"))
        parts = [[*texts, *(fact for fact in asked if _place(fact, said) == n)] for n, texts in enumerate(folds)]
        ids = tuple(tuple(fact.id for fact in part) for part in parts)
        return tuple(fact for part in parts for fact in part), ids

    def measure(self, seen: Seen) -> dict[str, Reading]:
        """What the model writes beside the truth, and whether it gives its texts away."""
        return muse_measure.measure(seen)

    def _forget(self, source: Source) -> Table:
        """The texts to forget."""
        if self.fold is not None:
            return source.table("sust", f"forget_{self.fold}")
        return source.table("raw", "forget") if self.size is None else source.table("scal", f"forget_{self.size}")

    def _privleak(self, source: Source) -> dict[str, tuple[Fact, ...]]:
        """The membership sets."""
        tables = {name: source.table("privleak", name) for name in ("forget", "holdout")}
        if retained := source.optional("privleak", "retain"):
            tables["retain"] = retained
        return {f"privleak_{name}": members(table, name, self.passage_words) for name, table in tables.items()}


def _texts(facts: Sequence[Fact]) -> list[Fact]:
    """The facts that are whole texts."""
    return [fact for fact in facts if fact.of_form("passage")]


def _said(facts: Sequence[Fact]) -> str:
    """The words of the texts, between spaces."""
    return f" {' '.join(word for fact in facts for word in words_of(fact.probes[0].answer))} "


def _place(fact: Fact, said: Sequence[str]) -> int | None:
    """The one fold whose texts hold what the fact says: a verbatim prompt with what follows, or the answer alone."""
    probe = fact.probes[0]
    text = f"{probe.prompt} {probe.answer}" if probe.form == CONTINUATION else probe.answer
    words = f" {' '.join(words_of(text))} "
    found = [place for place, texts in enumerate(said) if words in texts]
    return found[0] if len(found) == 1 else None


def _verbatim(table: Table) -> tuple[Fact, ...]:
    """A prefix and the words that follow it, as raw text."""
    rows = ((f"verbatim-{number}", row) for number, row in enumerate(table))
    return tuple(Fact(key, key, (Probe(row.text("prompt"), row.text("gt"), CONTINUATION),)) for key, row in rows)


def _questions(source: Source, side: str) -> tuple[Fact, ...]:
    """Questions of one side, with and without its solved examples."""
    icl = source.optional("knowmem", f"{side}_qa_icl")
    shown = [(row.text("question"), row.text("answer")) for row in icl]
    return tuple(
        _question(f"{side}-qa-{number}", row.text("question"), row.text("answer"), shown)
        for number, row in enumerate(source.table("knowmem", f"{side}_qa"))
    )


def _question(key: str, question: str, answer: str, shown: list[tuple[str, str]]) -> Fact:
    few_shot = (Probe(in_context(shown, question), answer, FEW_SHOT),) if shown else ()
    return Fact(key, key, (Probe(question, answer, "qa"), *few_shot))
