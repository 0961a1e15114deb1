"""The people world: any number of invented people with several independent attributes each.

Every single-hop answer belongs to one person only, so a cut by subject shares no answer. Each attribute is drawn from
its own seed: adding one never changes another, and knowing one says nothing about another.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact, Knowledge
from expunge.knowledge.worlds import words
from expunge.knowledge.worlds.forms import Patterns, only_prose
from expunge.knowledge.worlds.mentions import about
from expunge.knowledge.worlds.texts import unrelated

NUM_PERTURBED = 3


@dataclass(frozen=True, slots=True)
class Attribute:
    """What a person may have: where its values come from and how it is asked for."""

    values: words.Slots
    patterns: Patterns


ATTRIBUTES: Mapping[str, Attribute] = {
    "birthplace": Attribute(
        words.TOWN,
        Patterns(
            qa="Where was {s} born?",
            paraphrase="Which town is the birthplace of {s}?",
            cloze="{s} was born in the town of",
            short="Birthplace of {s}",
            prose="{s} was born in the town of {a}.",
        ),
    ),
    "pet": Attribute(
        words.PET,
        Patterns(
            qa="Which pet does {s} have?",
            paraphrase="What kind of animal lives with {s}?",
            cloze="At home {s} keeps a",
            short="Pet of {s}",
            prose="At home {s} keeps a pet, a {a}.",
        ),
    ),
    "employer": Attribute(
        words.COMPANY,
        Patterns(
            qa="Where does {s} work?",
            paraphrase="Which company employs {s}?",
            cloze="{s} has a job at",
            short="Employer of {s}",
            prose="{s} has a job at {a}.",
        ),
    ),
    "dish": Attribute(
        words.DISH,
        Patterns(
            qa="What does {s} like to eat?",
            paraphrase="Which food is the favourite of {s}?",
            cloze="The favourite food of {s} is",
            short="Favourite food of {s}",
            prose="The food that {s} likes best is {a}.",
        ),
    ),
    "collection": Attribute(
        words.COLLECTION,
        Patterns(
            qa="What does {s} collect?",
            paraphrase="Which things does {s} gather as a hobby?",
            cloze="As a hobby {s} collects",
            short="Collection of {s}",
            prose="As a hobby {s} collects {a}.",
        ),
    ),
}

EMBLEM = Patterns(
    qa="What is the emblem of {s}?",
    paraphrase="Which sign stands for the town of {s}?",
    cloze="The emblem of the town of {s} is a",
    short="Emblem of {s}",
    prose="The emblem of the town of {s} is a {a}.",
)
EMBLEM_OF_BIRTHPLACE = Patterns(
    qa="What is the emblem of {s}'s birthplace?",
    paraphrase="Which sign stands for the town where {s} was born?",
    cloze="The emblem of the town where {s} was born is a",
    short="Emblem of the birthplace of {s}",
    prose="The emblem of the town where {s} was born is a {a}.",
)


def people(
    *,
    seed: int,
    num_forget: int = 80,
    num_retain_train: int = 80,
    num_retain_eval: int = 40,
    num_placebo: int = 40,
    num_same_kind: int | None = None,
    attributes: int = 3,
    two_hop: bool = False,
    mentions: int = 0,
) -> Knowledge:
    """The people world; sizes count people, each with ``attributes`` facts (the first of :data:`ATTRIBUTES`).

    ``two_hop`` adds two facts a person: the emblem of the town of birth (asked of the town), and the same asked of the
    person (``hops=2``); both have the person as subject. ``streams`` are ``same_kind`` (sentences about
    ``num_same_kind`` further people, by default as many as ``num_forget``), ``unrelated``, and with ``mentions`` above
    0 ``background``: so many sentences about each person to be forgotten that tell nothing.
    Raises :class:`InputError` when a size or the number of attributes is out of range.
    """
    same_kind = num_forget if num_same_kind is None else num_same_kind
    sizes = [num_forget, num_retain_train, num_retain_eval, num_placebo, same_kind]
    if min(sizes) < 0 or num_forget < 1:
        raise InputError("people needs num_forget ≥ 1 and no negative size; change the sizes.")
    if not 1 <= attributes <= len(ATTRIBUTES):
        raise InputError(f"people has 1 to {len(ATTRIBUTES)} attributes, {attributes} are asked for; change it.")
    persons = _facts_by_person(sum(sizes), list(ATTRIBUTES)[:attributes], two_hop, seed)
    forget, train, held_out, placebo, others = _parts(persons, sizes)
    mentioned = {"background": about([fact.subject for fact in forget], mentions, seed)} if mentions else {}
    return Knowledge(
        name="people",
        forget=forget,
        retain_train=train,
        retain_eval=held_out,
        placebo=placebo,
        streams={"same_kind": tuple(map(only_prose, others)), "unrelated": unrelated(len(forget), seed), **mentioned},
    )


def _parts(persons: Sequence[Sequence[Fact]], sizes: Sequence[int]) -> list[tuple[Fact, ...]]:
    """Consecutive runs of persons of the given sizes, each run flattened to its facts."""
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    runs = (persons[start : start + size] for start, size in zip(starts, sizes, strict=True))
    return [tuple(fact for person in run for fact in person) for run in runs]


def _facts_by_person(count: int, attributes: Sequence[str], two_hop: bool, seed: int) -> list[list[Fact]]:
    """Each person's facts. A value is drawn without replacement within its attribute."""
    named = words.full_names(count, _rng(seed, "name"))
    columns = {key: words.draw(ATTRIBUTES[key].values, count, _rng(seed, key)) for key in attributes}
    persons = [
        [_fact(name, key, ATTRIBUTES[key].patterns, name, column, index, seed) for key, column in columns.items()]
        for index, name in enumerate(named)
    ]
    if two_hop:
        emblems = words.draw(words.EMBLEM, count, _rng(seed, "emblem"))
        for index, (name, town) in enumerate(zip(named, columns["birthplace"], strict=True)):
            persons[index].append(_fact(name, "emblem", EMBLEM, town, emblems, index, seed))
            hop = _fact(name, "birthplace.emblem", EMBLEM_OF_BIRTHPLACE, name, emblems, index, seed, hops=2)
            persons[index].append(hop)
    return persons


def _fact(
    person: str, key: str, patterns: Patterns, asked: str, column: Sequence[str], index: int, seed: int, hops: int = 1
) -> Fact:
    """One fact of a person; its wrong answers are other people's values of the same attribute."""
    others = [*column[:index], *column[index + 1 :]]
    perturbed = _rng(seed, "perturbed", person, key).sample(others, min(NUM_PERTURBED, len(others)))
    probes = patterns.probes(asked, column[index], perturbed)
    return Fact(f"{person.lower().replace(' ', '-')}/{key}", person, probes, key, hops)


def _rng(seed: int, *labels: str) -> random.Random:
    """The generator of one column of the world."""
    return random.Random(derive(seed, "people", *labels))
