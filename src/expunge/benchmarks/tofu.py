"""TOFU, a task of fictitious unlearning (Maini et al., arXiv 2401.06121): 200 invented authors, 20 questions each."""

import json
import os
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.benchmarks.base import Benchmark
from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact, Knowledge, Probe
from expunge.knowledge.splits import share
from expunge.knowledge.worlds.texts import unrelated
from expunge.registry import benchmark, suggestion

QUESTIONS = 20
SPLITS = ("forget01", "forget05", "forget10")
HUB = "locuslab/TOFU"
Rows = Sequence[Mapping[str, Any]]


@benchmark("tofu")
@dataclass(frozen=True, kw_only=True)
class Tofu(Benchmark):
    """TOFU from a folder of its JSON lines or from the hub; a subject is an author, 20 consecutive rows of ``full``.

    ``folder`` is a folder, or the hub name ``locuslab/TOFU``; ``None`` means ``$EXPUNGE_DATA/tofu`` (by default
    ``../shared/data/tofu``). ``retain_authors`` are drawn from the seed among those that no forget split holds, the
    share ``eval_fraction`` of them for utility. Forms: ``qa`` with the split's perturbed answers, and ``paraphrase``
    (paraphrased question, same answer) where TOFU gives one: forget authors, and the first 20 retain authors.
    """

    split: str = "forget05"
    folder: str | None = None
    retain_authors: int = 40
    eval_fraction: float = 0.5
    same_kind_authors: int = 5

    def build(self, seed: int) -> Knowledge:
        """The split's authors to forget, and retain authors of this seed."""
        if self.split not in SPLITS:
            raise InputError(f"unknown TOFU split {self.split!r}; {suggestion(self.split, SPLITS)}")
        full = self._rows("full")
        forget = self._rows(f"{self.split}_perturbed")
        start = len(full) - len(forget)
        if [row["question"] for row in full[start:]] != [row["question"] for row in forget]:
            raise InputError(f"TOFU's {self.split}_perturbed is not the end of 'full'; fetch the data set again.")
        retain, others = self._retained(full, seed)
        train, held_out = share(retain, (1 - self.eval_fraction, self.eval_fraction), derive(seed, "retain"))
        facts = _facts(forget, start)
        streams = {"same_kind": tuple(_document(fact) for fact in others), "unrelated": unrelated(len(facts), seed)}
        return Knowledge("tofu", facts, train, held_out, streams=streams)

    def _retained(self, full: Rows, seed: int) -> tuple[tuple[Fact, ...], tuple[Fact, ...]]:
        """The retain authors' facts, and further authors for texts of the same kind."""
        free = len(full) // QUESTIONS - 20
        wanted = self.retain_authors + self.same_kind_authors
        if wanted > free:
            raise InputError(f"TOFU has {free} authors outside forget10, {wanted} are asked for; lower retain_authors.")
        authors = random.Random(derive(seed, "tofu", "authors")).sample(range(free), wanted)
        perturbed = self._rows("retain_perturbed")
        rows = [*perturbed, *full[len(perturbed) :]]
        if [row["question"] for row in full[: len(perturbed)]] != [row["question"] for row in perturbed]:
            raise InputError("TOFU's retain_perturbed is not the start of 'full'; fetch the data set again.")
        return _of_authors(rows, authors[: self.retain_authors]), _of_authors(rows, authors[self.retain_authors :])

    def _rows(self, name: str) -> Rows:
        """The rows of one configuration, from the folder or the hub."""
        folder = Path(self.folder) if self.folder else Path(os.environ.get("EXPUNGE_DATA", "../shared/data")) / "tofu"
        if self.folder == HUB and not folder.is_dir():
            return _from_hub(name)
        path = folder / f"{name}.json"
        if not path.is_file():
            raise InputError(f"{path} does not exist; set EXPUNGE_DATA, or folder to TOFU's folder or to {HUB}.")
        return _parse(path)


def _parse(path: Path) -> Rows:
    """A file of JSON lines with questions and answers."""
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            rows.append({**row, "question": row["question"], "answer": row["answer"]})
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise InputError(f"{path}, row {number}: not a TOFU row ({error}); fetch the data set again.") from error
    return rows


def _from_hub(name: str) -> Rows:
    """One configuration of the hub's data set (split ``train``)."""
    try:
        from datasets import load_dataset
    except ImportError:
        raise InputError("TOFU from the hub needs the package datasets; install expunge[hub].") from None
    try:
        return [dict(row) for row in load_dataset(HUB, name, split="train")]
    except Exception as error:
        raise InputError(f"{HUB} {name!r} is not to be had ({error}); check the network or use a folder.") from error


def _of_authors(rows: Rows, authors: Iterable[int]) -> tuple[Fact, ...]:
    """The facts of the given authors, in order of ``full``."""
    starts = [author * QUESTIONS for author in sorted(authors)]
    return tuple(fact for start in starts for fact in _facts(rows[start : start + QUESTIONS], start))


def _facts(rows: Rows, start: int) -> tuple[Fact, ...]:
    """Rows as facts; ``start`` is the first row's index in ``full``."""
    return tuple(_fact(row, start + offset) for offset, row in enumerate(rows))


def _fact(row: Mapping[str, Any], index: int) -> Fact:
    wrong = tuple(row.get("perturbed_answer") or ())
    probes = [Probe(row["question"], row["answer"], "qa", wrong)]
    if row.get("paraphrased_question"):
        probes.append(Probe(row["paraphrased_question"], row["answer"], "paraphrase", wrong))
    return Fact(f"tofu-{index:04d}", f"author-{index // QUESTIONS:03d}", tuple(probes))


def _document(fact: Fact) -> Fact:
    """An author's answer as a text."""
    return Fact(f"{fact.id}/text", fact.subject, (Probe("", fact.probes[0].answer, "passage"),))
