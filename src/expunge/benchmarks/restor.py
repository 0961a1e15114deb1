"""RESTOR (Rezaei et al., arXiv 2411.00204): corrupted facts are unlearned; do the original ones come back?"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from expunge.benchmarks import restor_measure
from expunge.benchmarks.base import Benchmark, OwnScore, Seen
from expunge.benchmarks.pieces import FEW_SHOT, in_context
from expunge.benchmarks.restor_score import ORIGINAL
from expunge.benchmarks.tables import Row, data_folder, read_json, read_table
from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact, Knowledge, Probe
from expunge.knowledge.splits import share, split_by_subject
from expunge.knowledge.worlds.texts import unrelated
from expunge.metrics.base import Reading
from expunge.registry import benchmark

__all__ = ["ORIGINAL", "Restor"]


@benchmark("restor")
@dataclass(frozen=True, kw_only=True)
class Restor(Benchmark):
    """Entities of RESTOR from a folder of its JSON files; the model is taught the corrupting documents.

    ``data`` is a folder with ``entities.json``, ``facts.json`` and ``<mix>.json`` (default ``$EXPUNGE_DATA/restor``).
    Forget facts are the documents (form ``passage``), the entity their subject: the file keeps an entity's documents
    together, and one that names no entity belongs to that of the document before it. ``documents`` per entity are
    taken (``None``: all 300). The other evaluated entities' facts are retained, ``retain_entities`` of them (``None``:
    all 40), the share ``eval_fraction`` of these for utility. Stream ``original``: the corrupted entities' true facts,
    the target of recovery; own scores read it (:mod:`expunge.benchmarks.restor_measure`).

    Forms of a true fact: ``qa`` and, with ``shots`` > 0 (the authors show 5), ``few_shot`` after examples of the same
    property about others. The answer is the first that is listed; wrong answers are other entities', ``num_wrong`` of
    them (3 is our choice). T and V are cut by entity, ``train_fraction`` in T; one generator wrote all documents, so
    entities are joined by runs of ``leak_words`` shared words only: with the usual 8 no cut is left (our choice).
    """

    own_scores: ClassVar[Mapping[str, OwnScore]] = restor_measure.SCORES

    data: str | None = None
    mix: str = "mix_a0"
    documents: int | None = None
    retain_entities: int | None = None
    eval_fraction: float = 0.5
    shots: int = 5
    num_wrong: int = 3
    train_fraction: float = 0.5
    leak_words: int = 16

    def __post_init__(self) -> None:
        """Refuse sizes below their least."""
        least = {"documents": 1, "retain_entities": 2, "shots": 0, "num_wrong": 1, "leak_words": 1}
        for key, size in least.items():
            value = getattr(self, key)
            if value is not None and value < size:
                raise InputError(f"restor {key} is {value}; it must be at least {size}.")

    def build(self, seed: int) -> Knowledge:
        """The corruption, what is retained, and what is to come back."""
        folder = data_folder(self.data, "restor")
        entities = tuple(row.text("text") for row in read_table(folder / "entities.json"))
        owned = _owned(read_table(folder / f"{self.mix}.json"), entities)
        forget = tuple(fact for rows in owned.values() for fact in rows[: self.documents])
        facts, context = _parts(folder / "facts.json")
        others = [entity for entity in entities if entity not in owned]
        kept = random.Random(derive(seed, "restor", "retain")).sample(others, len(others))[: self.retain_entities]
        asked = {entity: self._asked(entity, facts, context, seed, folder) for entity in (*owned, *kept)}
        retained = tuple(fact for entity in kept for fact in asked[entity])
        train, held_out = share(retained, (1 - self.eval_fraction, self.eval_fraction), derive(seed, "retain"))
        originals = tuple(fact for entity in owned for fact in asked[entity])
        streams = {ORIGINAL: originals, "unrelated": unrelated(len(forget), seed)}
        cut = split_by_subject(forget, fraction=self.train_fraction, seed=derive(seed, "restor"), ngram=self.leak_words)
        return Knowledge("restor", forget, train, held_out, streams=streams, split=cut)

    def measure(self, seen: Seen) -> dict[str, Reading]:
        """Log-probabilities, accuracy, and how much of the corruption is undone."""
        return restor_measure.measure(seen)

    def _asked(
        self, entity: str, facts: Mapping[str, Any], context: Mapping[str, Any], seed: int, folder: Path
    ) -> tuple[Fact, ...]:
        """The true facts of one entity, one a property."""
        where = f"{folder / 'facts.json'}, entity {entity!r}"
        if not isinstance(facts.get(entity), Mapping):
            raise InputError(f"{where}: not among the facts; fetch the data set again.")
        rows = ((key, Row(row, f"{where}, property {key}")) for key, row in facts[entity].items())
        return tuple(self._fact(entity, key, row, facts, context.get(key, ()), seed) for key, row in rows)

    def _fact(
        self, entity: str, key: str, row: Row, facts: Mapping[str, Any], context: Sequence[Mapping[str, str]], seed: int
    ) -> Fact:
        question, answers = row.text("question"), row.texts("answers")
        rng = random.Random(derive(seed, "restor", entity, key))
        listed = [other[key]["answers"][0] for name, other in facts.items() if name != entity and key in other]
        wrong = sorted({text for text in listed if text and text not in answers})
        perturbed = tuple(rng.sample(wrong, min(self.num_wrong, len(wrong))))
        probes = [Probe(question, answers[0], "qa", perturbed)]
        shown = [(item["question"], item["answer"]) for item in context if item["entity"] != entity][: self.shots]
        if shown:
            probes.append(Probe(in_context(shown, question), answers[0], FEW_SHOT, perturbed))
        return Fact(f"{entity}/{key}", entity, tuple(probes), key)


def _owned(table: Sequence[Row], entities: Sequence[str]) -> dict[str, list[Fact]]:
    """The documents of each corrupted entity, in the order of the file."""
    owned: dict[str, list[Fact]] = {}
    current: str | None = None
    for number, row in enumerate(table):
        text = row.text("text")
        current = next((entity for entity in entities if entity in text), current)
        if current is None:
            raise InputError(f"{row.where}: names no entity of entities.json; fetch the data set again.")
        owned.setdefault(current, []).append(Fact(f"document-{number}", current, (Probe("", text, "passage"),)))
    return owned


def _parts(path: Path) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Facts by entity and property, and solved examples by property."""
    value = read_json(path)
    if not isinstance(value, Mapping) or not all(isinstance(value.get(key), Mapping) for key in ("dset", "context")):
        raise InputError(f"{path}: the objects 'dset' and 'context' are needed; fetch the data set again.")
    return value["dset"], value["context"]
