"""RWKU, real-world knowledge unlearning (Jin et al., arXiv 2406.10890): famous people, asked for on three levels."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from expunge.benchmarks.background import WORDS
from expunge.benchmarks.base import Benchmark
from expunge.benchmarks.pieces import Answers, check_words, members, passages
from expunge.benchmarks.tables import Row, Table, data_folder, read_table
from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact, Knowledge, Probe, Split
from expunge.knowledge.splits import share, split_by_subject
from expunge.knowledge.worlds.texts import unrelated
from expunge.registry import benchmark, suggestion

FORMS: Mapping[str, str] = {
    "cloze": "cloze",
    "simple question": "qa",
    "prefix injection": "prefix_injection",
    "affirmative suffix": "affirmative_suffix",
    "role play": "role_play",
    "multiple choice": "multiple_choice",
    "reverse query": "reverse_query",
    "synonym manipulation": "synonym_manipulation",
    "context hint": "background_hint",
    "background hint": "background_hint",
    "incontext learning": "in_context",
    "in-context learning": "in_context",
    "cross lingual": "cross_lingual",
    "cross lingal": "cross_lingual",
}
"""The data set's types (its own spellings among them) as forms: levels 1 and 2, then the nine types of level 3."""
LEVELS = ("forget_level1", "forget_level2", "forget_level3")
STREAMS = ("request", "passages", "background", "same_kind", "reject", "forget_mia", "retain_mia")
NEIGHBOURS = ("neighbor_level1", "neighbor_level2")


@benchmark("rwku")
@dataclass(frozen=True, kw_only=True)
class Rwku(Benchmark):
    """RWKU targets from folders of its JSON files; the model is taken to know them from pretraining.

    ``data`` is the folder above the targets' own (default ``$EXPUNGE_DATA/rwku``), ``targets`` name those folders.
    Probes of one target with the same answer are one fact in several forms (:data:`FORMS`), our reading: the data set
    does not link them. With several targets a subject is a target. With one, each fact is a subject of its own and the
    benchmark cuts T and V itself, ``train_fraction`` of the subjects in T; facts whose answer is the target's own name
    always go to T, since every question gives that name away.

    Neighbours are ``retain_eval``; RWKU gives the unlearner no retain set, so ``eval_fraction`` is 1; less lets it see
    the rest of the neighbours. ``passage_words`` cuts passages, and the membership texts to their beginning (``None``:
    whole, as published). Streams: ``request`` (name only), ``passages``, ``reject``, ``forget_mia``, ``retain_mia``. A
    text that holds an answer of V has that fact's subject, so that no attacker is taught it by mistake; ``same_kind``
    are the passages that hold none. ``background`` are the passages again, in pieces of 60 words where they are not
    cut: an attacker's rows are checked one by one, so that the shorter ones lose less.
    """

    taught: ClassVar[bool] = False
    data: str | None = None
    targets: tuple[str, ...] = ("stephen_king",)
    train_fraction: float = 0.5
    eval_fraction: float = 1.0
    passage_words: int | None = None

    def __post_init__(self) -> None:
        """Refuse passages of no length, and no target."""
        check_words(self.passage_words)
        object.__setattr__(self, "targets", (self.targets,) if isinstance(self.targets, str) else tuple(self.targets))
        if not self.targets:
            raise InputError("rwku needs at least one target; name a folder such as stephen_king.")

    def build(self, seed: int) -> Knowledge:
        """The targets' probes to forget, neighbours to keep."""
        folders = [_folder(data_folder(self.data, "rwku"), target) for target in self.targets]
        alone = len(folders) == 1
        forget = tuple(fact for folder in folders for fact in _forget(folder, alone))
        train, held_out = self._neighbours(folders, seed)
        split = self._cut(forget, _name(folders[0]), seed) if alone else None
        streams = {**self._streams(folders, split), "unrelated": unrelated(len(forget), seed)}
        return Knowledge("rwku", forget, train, held_out, streams=streams, split=split)

    def _neighbours(self, folders: list[Path], seed: int) -> tuple[tuple[Fact, ...], tuple[Fact, ...]]:
        """What the unlearner may see, and what measures utility; a neighbour is never parted, nor a target kept."""
        targets = {_name(folder).casefold() for folder in folders}
        facts = [fact for folder in folders for fact in _facts(_rows(folder, NEIGHBOURS), "neighbor")]
        kept = [fact for fact in dict.fromkeys(facts) if fact.subject.casefold() not in targets]
        train, held_out = share(kept, (1 - self.eval_fraction, self.eval_fraction), derive(seed, "neighbours"))
        return train, held_out

    def _cut(self, forget: tuple[Fact, ...], name: str, seed: int) -> Split:
        """T and V of one target's facts; those that ask for its name are in T."""
        given = tuple(fact for fact in forget if fact.probes[0].answer.casefold() == name.casefold())
        others = [fact for fact in forget if fact not in given]
        cut = split_by_subject(others, fraction=self.train_fraction, seed=derive(seed, "rwku"))
        return Split((*cut.train, *given), cut.score, cut.leaks)

    def _streams(self, folders: list[Path], split: Split | None) -> dict[str, tuple[Fact, ...]]:
        """The request, texts about the targets, refusals, and the membership sets."""
        answers = Answers(split.score if split else ())
        made: dict[str, list[Fact]] = {key: [] for key in STREAMS}
        for folder in folders:
            label, name, words = folder.name, _name(folder), self.passage_words
            texts = passages(_table(folder, "passage"), f"{label}/passage", words, name)
            made["request"].append(_request(folder))
            made["passages"] += [_owned(fact, answers) for fact in texts]
            made["background"] += passages(_table(folder, "passage"), f"{label}/background", words or WORDS, name)
            made["same_kind"] += [fact for fact in texts if split and not answers.told_by(fact)]
            made["reject"] += _refusals(_table(folder, "reject"), label)
            for stream in ("forget_mia", "retain_mia"):
                rows = members(_table(folder, stream), f"{label}/{stream}", words)
                made[stream] += [_owned(fact, answers) for fact in rows]
        return {key: tuple(facts) for key, facts in made.items() if facts}


def _owned(fact: Fact, answers: Answers) -> Fact:
    """``fact`` as a text about a fact of V that it gives away, if any."""
    told = answers.told_by(fact)
    return replace(fact, subject=told.subject) if told else fact


def _folder(data: Path, target: str) -> Path:
    """The folder of one target."""
    folder = data / target
    if not folder.is_dir():
        raise InputError(f"{data} has no target {target!r}; {suggestion(target, [p.name for p in data.iterdir()])}")
    return folder


def _table(folder: Path, name: str) -> Table:
    return read_table(folder / f"{name}.json")


def _rows(folder: Path, names: tuple[str, ...]) -> Table:
    return tuple(row for name in names for row in _table(folder, name))


def _name(folder: Path) -> str:
    """The target's name."""
    return _table(folder, "intro")[0].text("target")


def _request(folder: Path) -> Fact:
    """The request to forget, which is all that RWKU gives: a document whose subject is the target."""
    row = _table(folder, "intro")[0]
    return Fact(f"{folder.name}/request", row.text("target"), (Probe("", row.text("intro"), "passage"),))


def _forget(folder: Path, alone: bool) -> list[Fact]:
    """The target's facts; ``alone`` makes each a subject of its own."""
    facts = _facts(_rows(folder, LEVELS), "subject")
    return [Fact(fact.id, fact.id if alone else fact.subject, fact.probes) for fact in facts]


def _facts(rows: Table, subject: str) -> list[Fact]:
    """Probes of one subject with one answer as one fact, in order of appearance."""
    probes: dict[tuple[str, str], list[Probe]] = {}
    for row in rows:
        answer = row.text("answer")
        made = Probe(row.text("query"), answer, _form(row))
        probes.setdefault((row.text(subject), answer.strip().casefold()), []).append(made)
    return [Fact(f"{name}: {answer}", name, tuple(asked)) for (name, answer), asked in probes.items()]


def _form(row: Row) -> str:
    """The form of a row's type; a language in brackets is left out."""
    kind = row.text("type").split("(")[0].strip().casefold()
    if kind not in FORMS:
        raise InputError(f"{row.where}: unknown type {kind!r}; {suggestion(kind, FORMS)}")
    return FORMS[kind]


def _refusals(table: Table, label: str) -> list[Fact]:
    """RWKU's own questions with an evasive answer."""
    made = ((f"{label}/reject-{number}", row) for number, row in enumerate(table))
    return [Fact(key, key, (Probe(row.text("instruction"), row.text("output"), "qa"),)) for key, row in made]
