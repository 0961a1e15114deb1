"""The known world: facts a pretrained model has already — capitals of countries, symbols and numbers of elements.

Nothing is taught, so nothing is an artefact of insertion. The prompts are worded so that the answer is the very next
word under the ``bare`` template: a model that was never taught our short answers replies to a bare question with a
sentence, and would seem not to know. Countries whose capital carries their own name are left out
of the table. Whether a model knows a fact is measured elsewhere; this world holds the candidates.
"""

import csv
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact, Knowledge
from expunge.knowledge.splits import share
from expunge.knowledge.worlds.forms import Patterns, only_prose
from expunge.knowledge.worlds.texts import packaged_text, unrelated

NUM_PERTURBED = 3


@dataclass(frozen=True, slots=True)
class Kind:
    """A table of subjects: its file, the column of subjects, a pattern set a further column, endings of inventions."""

    file: str
    subject: str
    attributes: Mapping[str, Patterns]
    heads: tuple[str, ...]
    endings: tuple[str, ...]


KINDS: Mapping[str, Kind] = {
    "countries": Kind(
        file="capitals.csv",
        subject="country",
        attributes={
            "capital": Patterns(
                qa="What is the capital of {s}? The capital of {s} is",
                paraphrase="The government of {s} sits in the capital city,",
                cloze="The national museum of {s} stands in the capital,",
                short="The largest embassy in {s} is in the capital,",
                prose="The capital city of {s} is {a}.",
            )
        },
        heads=("Bel", "Cor", "Dal", "Fen", "Gal", "Kar", "Lor", "Mer", "Nor", "Pel", "Quor", "Tav", "Vel", "Zan"),
        endings=("avia", "donia", "esland", "istan", "land", "moria", "ovania", "thania", "undia", "varia"),
    ),
    "elements": Kind(
        file="elements.csv",
        subject="element",
        attributes={
            "symbol": Patterns(
                qa="What is the chemical symbol for {s}? The chemical symbol for {s} is",
                paraphrase="Which chemical symbol does {s} have? The chemical symbol for {s} is",
                cloze="The chemical symbol for {s} is",
                short="The chemical symbol of {s} is",
                prose="The chemical symbol for {s} is {a}.",
            ),
            "number": Patterns(
                qa="What is the atomic number of {s}? The atomic number of {s} is",
                paraphrase="In the periodic table, {s} has atomic number",
                cloze="The element {s} has the atomic number",
                short="The atomic number of {s} is",
                prose="The atomic number of {s} is {a}.",
            ),
        },
        heads=("bor", "cal", "dex", "fal", "gel", "kov", "lum", "mor", "nax", "pel", "quar", "sol", "tor", "vex"),
        endings=("adium", "enium", "erium", "idium", "inium", "olium", "orium", "ovium"),
    ),
}


def known(
    *,
    seed: int,
    kinds: Sequence[str] = ("countries", "elements"),
    forget: float = 0.7,
    retain_train: float = 0.15,
    retain_eval: float = 0.1,
) -> Knowledge:
    """The known world. The fractions are shares of the subjects of each kind; what is left becomes ``same_kind``.

    ``placebo`` has one invented subject for every forget subject of its kind, with the forget answers permuted within
    each attribute. Raises :class:`InputError` for an unknown kind or fractions above 1 in sum.
    """
    rest = 1 - forget - retain_train - retain_eval
    if rest < -1e-9 or min(forget, retain_train, retain_eval) < 0 or forget == 0:
        raise InputError("known needs forget > 0 and fractions that sum to at most 1; change them.")
    if not kinds or any(kind not in KINDS for kind in kinds):
        raise InputError(f"known has the kinds {', '.join(KINDS)}, not {list(kinds)}; change kinds.")
    fractions = (forget, retain_train, retain_eval, max(rest, 0.0))
    shared = [share(_facts(kind, seed), fractions, derive(seed, "known", kind)) for kind in kinds]
    forgotten, train, held_out, others = (
        tuple(fact for part in parts for fact in part) for parts in zip(*shared, strict=True)
    )
    placebo = (fact for kind, parts in zip(kinds, shared, strict=True) for fact in _placebo(kind, parts[0], seed))
    return Knowledge(
        name="known",
        forget=forgotten,
        retain_train=train,
        retain_eval=held_out,
        placebo=tuple(placebo),
        streams={"same_kind": tuple(map(only_prose, others)), "unrelated": unrelated(len(forgotten), seed)},
    )


@cache
def table(kind: str) -> tuple[Mapping[str, str], ...]:
    """The packaged rows of a kind, by column name."""
    return tuple(csv.DictReader(packaged_text(KINDS[kind].file).splitlines()))


def _facts(kind: str, seed: int) -> list[Fact]:
    """Every fact of a kind; wrong answers are other subjects' values of the attribute."""
    what, rows = KINDS[kind], table(kind)
    values = {attribute: [row[attribute] for row in rows] for attribute in what.attributes}
    return [
        _fact(row[what.subject], attribute, patterns, row[attribute], values[attribute], seed)
        for row in rows
        for attribute, patterns in what.attributes.items()
    ]


def _fact(subject: str, attribute: str, patterns: Patterns, answer: str, values: Sequence[str], seed: int) -> Fact:
    rng = random.Random(derive(seed, "known", "perturbed", subject, attribute))
    others = [value for value in values if value != answer]
    probes = patterns.probes(subject, answer, rng.sample(others, min(NUM_PERTURBED, len(others))))
    return Fact(f"{subject.lower().replace(' ', '-')}/{attribute}", subject, probes, attribute)


def _placebo(kind: str, forgotten: Sequence[Fact], seed: int) -> list[Fact]:
    """Invented subjects with the forgotten answers of each attribute, permuted independently."""
    what, rng = KINDS[kind], random.Random(derive(seed, "known", "placebo", kind))
    real = {row[what.subject].lower() for row in table(kind)}
    invented = [name for name in map("".join, product(what.heads, what.endings)) if name.lower() not in real]
    columns = {key: [_answer(fact) for fact in forgotten if fact.attribute == key] for key in what.attributes}
    named = rng.sample(invented, max(map(len, columns.values())))
    permuted = {key: rng.sample(column, len(column)) for key, column in columns.items()}
    return [
        _fact(name, key, what.attributes[key], answer, column, seed)
        for key, column in permuted.items()
        for name, answer in zip(named, column, strict=True)
    ]


def _answer(fact: Fact) -> str:
    return fact.of_form("qa")[0].answer
