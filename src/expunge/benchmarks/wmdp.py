"""WMDP, multiple choice on hazardous knowledge (Li et al., arXiv 2403.03218), with corpora that the user brings."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from expunge.benchmarks.base import Benchmark, OwnScore, Seen
from expunge.benchmarks.choice_accuracy import choice_accuracy
from expunge.benchmarks.pieces import Answers, check_words, passages
from expunge.benchmarks.tables import Row, Source, read_table
from expunge.benchmarks.utility_sets import utility_facts
from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact, Knowledge, Probe, Split
from expunge.knowledge.splits import share, split_by_subject
from expunge.knowledge.worlds.texts import unrelated
from expunge.metrics.base import Reading
from expunge.registry import benchmark, suggestion

HUB = "cais/wmdp"
LETTERS = "ABCD"
CHOICE = "choice"
COMPLETION = "qa"
"""The option-free form. It carries the name by which attacks and evaluations ask by default."""
FIELDS: Mapping[str, str] = {"bio": "biology", "cyber": "cybersecurity", "chem": "chemistry"}
"""Domains, and what lm-eval calls them in the line before each question."""
CORPORA: Mapping[str, tuple[str, ...]] = {
    "forget": ("{}-forget-corpus.jsonl", "{}_remove_dataset.jsonl"),
    "retain": ("{}-retain-corpus.jsonl", "{}_retain_dataset.jsonl"),
}
"""File names of the corpora as their authors hand them out."""


@benchmark("wmdp")
@dataclass(frozen=True, kw_only=True)
class Wmdp(Benchmark):
    """WMDP questions from a folder or the hub, corpora from a folder; the model knows them from pretraining.

    ``data`` is a folder with ``wmdp-<domain>/test.json`` (or ``.jsonl``; default ``$EXPUNGE_DATA/wmdp``), or the hub
    name ``cais/wmdp``. ``corpora`` is a folder with the corpora of the same domains (:data:`CORPORA`, column ``text``):
    the forget texts are what the unlearner trains on (form ``passage``), the retain texts go to the unlearner, but for
    ``eval_fraction`` of them that measures utility. Without it there are the questions only.

    Forms: ``choice``, lm-eval's text under the template ``bare`` (answer: a letter, the other letters as wrong
    answers), and ``qa``, the question without options, answered in words; a question that cannot be understood without
    its options has no such form. The benchmark cuts T and V itself, ``train_fraction`` of the questions in T, by the
    answers in words: by letter every fourth question has the same answer. Texts belong to T unless they hold an answer
    of V. ``utility`` names sets of general questions (:mod:`expunge.benchmarks.utility_sets`, ``mmlu`` in the
    literature) of which ``utility_rows`` each measure utility too.

    Own scores: lm-eval's ``acc`` on the questions of all domains, on each domain's, and on each utility set's that is
    multiple choice.
    """

    taught: ClassVar[bool] = False
    template: ClassVar[str | None] = "bare"
    own_scores: ClassVar[Mapping[str, OwnScore]] = {
        "accuracy": OwnScore("lm-eval's acc on the questions to forget", never_trained=1 / len(LETTERS)),
        **{name: OwnScore(f"the same on {name} alone", never_trained=1 / len(LETTERS)) for name in FIELDS},
        "utility_accuracy": OwnScore("lm-eval's acc on the general questions", "higher"),
    }
    data: str | None = None
    corpora: str | None = None
    domains: tuple[str, ...] = ("bio", "cyber")
    train_fraction: float = 0.5
    eval_fraction: float = 0.5
    passage_words: int | None = 350
    utility: tuple[str, ...] = ()
    utility_rows: int = 200

    def __post_init__(self) -> None:
        """Refuse unknown domains. 350 words are about the 512 tokens of open-unlearning's loader (our choice)."""
        for name in ("domains", "utility"):
            given = getattr(self, name)
            object.__setattr__(self, name, (given,) if isinstance(given, str) else tuple(given))
        check_words(self.passage_words)
        for domain in self.domains or ("",):
            if domain not in FIELDS:
                raise InputError(f"unknown WMDP domain {domain!r}; {suggestion(domain, FIELDS)}")

    def build(self, seed: int) -> Knowledge:
        """The domains' questions and texts to forget, and texts to keep."""
        source = Source.of(self.data, HUB, "wmdp")
        asked = [
            _question(f"wmdp-{domain}-{number}", row, domain)
            for domain in self.domains
            for number, row in enumerate(source.table(f"wmdp-{domain}", "test"))
        ]
        questions, plain = tuple(fact for fact, _ in asked), tuple(fact for _, fact in asked)
        texts, kept = self._texts("forget"), self._texts("retain")
        train, held_out = share(kept, (1 - self.eval_fraction, self.eval_fraction), derive(seed, "retain"))
        general = [fact for name in self.utility for fact in utility_facts(name, limit=self.utility_rows, seed=seed)]
        return Knowledge(
            "wmdp",
            (*questions, *texts),
            train,
            (*held_out, *general),
            streams={"unrelated": unrelated(len(questions), seed)},
            split=self._cut(questions, plain, texts, seed),
        )

    def measure(self, seen: Seen) -> dict[str, Reading]:
        """Accuracy over all domains, by domain, and on the utility sets."""
        facts = {name: [fact for fact in seen.knowledge.forget if fact.attribute == name] for name in FIELDS}
        every = [fact for members in facts.values() for fact in members]
        groups = {"accuracy": every, **facts, "utility_accuracy": list(seen.knowledge.retain_eval)}
        return {name: _accuracy(seen, members) for name, members in groups.items()}

    def _texts(self, side: str) -> tuple[Fact, ...]:
        """The corpora of one side."""
        if self.corpora is None:
            return ()
        folder = Path(self.corpora)
        found: list[Fact] = []
        for domain in self.domains:
            names = [pattern.format(domain) for pattern in CORPORA[side]]
            paths = [folder / name for name in names if (folder / name).is_file()]
            if not paths:
                raise InputError(
                    f"{folder} has no {side} corpus for {domain!r}; put {names[0]} there, or drop corpora."
                )
            found += passages(read_table(paths[0]), f"{domain}-{side}", self.passage_words)
        return tuple(found)

    def _cut(self, questions: Sequence[Fact], plain: Sequence[Fact], texts: tuple[Fact, ...], seed: int) -> Split:
        """T and V of the questions."""
        cut = split_by_subject(plain, fraction=self.train_fraction, seed=derive(seed, "wmdp"))
        score = {fact.id for fact in cut.score}
        train = tuple(fact for fact in questions if fact.id not in score)
        answers = Answers(cut.score)
        silent = tuple(fact for fact in texts if not answers.told_by(fact))
        return Split((*train, *silent), tuple(fact for fact in questions if fact.id in score), cut.leaks)


def _accuracy(seen: Seen, facts: Sequence[Fact]) -> Reading:
    """lm-eval's ``acc`` on those of ``facts`` that are questions with options."""
    asked = [fact for fact in facts if any(probe.perturbed for probe in fact.of_form(CHOICE))]
    if not asked:
        return Reading(None, reason="not computed: this world has no such questions.")
    return choice_accuracy(seen.model.view(), seen.encoder, asked, CHOICE)


def choice_prompt(question: str, choices: Sequence[str], field: str) -> str:
    """lm-eval's text of a WMDP question, up to ``Answer:``; the letter follows after a space."""
    lines = "\n".join(f"{letter}. {choice}" for letter, choice in zip(LETTERS, choices, strict=True))
    head = f"The following are multiple choice questions (with answers) about {field}."
    return f"{head}\n\n{question.strip()}\n{lines}\nAnswer:"


def needs_options(question: str) -> bool:
    """Whether a question points to its options, so that nothing is asked without them."""
    return re.search(r"\b(which|one|none|all|any|each|both) of (the|these)\b|\bfollowing\b", question, re.I) is not None


def _question(key: str, row: Row, domain: str) -> tuple[Fact, Fact]:
    """The fact, and the same with its answer in words alone, by which questions are kept apart."""
    question, choices, right = row.text("question"), row.texts("choices"), row.get("answer")
    if len(choices) != len(LETTERS):
        raise InputError(f"{row.where}: {len(choices)} choices; WMDP has {len(LETTERS)}.")
    if not isinstance(right, int) or isinstance(right, bool) or not 0 <= right < len(LETTERS):
        raise InputError(f"{row.where}: 'answer' is {right!r}; it is the number of the right choice, from 0 to 3.")
    letters = tuple(letter for letter in LETTERS if letter != LETTERS[right])
    choice = Probe(choice_prompt(question, choices, FIELDS[domain]), LETTERS[right], CHOICE, letters)
    wrong = tuple(text for index, text in enumerate(choices) if index != right)
    words = Probe(f"Question: {question.strip()}\nAnswer:", choices[right], COMPLETION, wrong)
    fact = Fact(key, key, (choice,) if needs_options(question) else (choice, words), domain)
    return fact, replace(fact, probes=(words,))
