"""The people world: no collisions, seeded, independent attributes, no answer of V in T."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Knowledge
from expunge.knowledge.splits import split_by_subject
from expunge.knowledge.worlds import words
from expunge.knowledge.worlds.forms import ASKED
from expunge.knowledge.worlds.people import ATTRIBUTES, people


def everyone(world: Knowledge) -> tuple[Fact, ...]:
    return world.forget + world.retain_train + world.retain_eval + world.placebo


def texts(facts: tuple[Fact, ...]) -> list[str]:
    return [f"{probe.prompt} {probe.answer}".lower() for fact in facts for probe in fact.probes]


def answers(facts: tuple[Fact, ...]) -> list[str]:
    return [fact.of_form("qa")[0].answer for fact in facts]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), sizes=st.tuples(*[st.integers(1, 12)] * 4), attributes=st.integers(1, 5))
def test_world_has_the_asked_sizes_and_no_collision(seed: int, sizes: tuple[int, ...], attributes: int) -> None:
    forget, train, held_out, placebo = sizes
    world = people(
        seed=seed, num_forget=forget, num_retain_train=train, num_retain_eval=held_out, num_placebo=placebo,
        attributes=attributes,
    )  # fmt: skip
    parts = (world.forget, world.retain_train, world.retain_eval, world.placebo)
    assert [len(part) for part in parts] == [size * attributes for size in sizes]
    facts = everyone(world)
    assert len({fact.id for fact in facts}) == len(facts)
    assert len({fact.subject for fact in facts}) == sum(sizes)
    assert len(set(answers(facts))) == len(facts)
    assert all({probe.form for probe in fact.probes} == {*ASKED, "prose"} for fact in facts)
    assert all(fact.of_form("qa")[0].answer not in fact.of_form("qa")[0].perturbed for fact in facts)


def test_same_seed_same_world_and_other_seed_another() -> None:
    assert people(seed=3, num_forget=5) == people(seed=3, num_forget=5)
    assert set(answers(people(seed=3, num_forget=5).forget)) != set(answers(people(seed=4, num_forget=5).forget))


def test_adding_an_attribute_leaves_the_others_as_they_were() -> None:
    few, many = people(seed=1, num_forget=6, attributes=2), people(seed=1, num_forget=6, attributes=5, two_hop=True)
    by_id = {fact.id: fact for fact in many.forget}
    assert all(by_id[fact.id] == fact for fact in few.forget)


@pytest.mark.parametrize("slot", [0, 1])
def test_attributes_are_independent_in_a_large_world(slot: int) -> None:
    """Chi-square on quarters of each slot's word list, for people in order and for every pair of attributes."""
    world = people(seed=0, num_forget=1400, num_retain_train=0, num_retain_eval=0, num_placebo=0, num_same_kind=0)
    column: dict[str, list[int]] = {"order": [index * 4 // 1400 for index in range(1400)]}
    for key in ("birthplace", "pet", "employer"):
        listed = ATTRIBUTES[key].values[slot]
        said = [fact.of_form("qa")[0].answer.split()[slot] for fact in world.forget if fact.attribute == key]
        column[key] = [listed.index(word) * 4 // len(listed) for word in said]
    for first, second in combinations(column, 2):
        table = np.zeros((4, 4))
        np.add.at(table, (column[first], column[second]), 1)
        assert table.sum() == 1400 and chi2_contingency(table).pvalue > 1e-4, (first, second)


def test_no_string_that_a_world_can_draw_occurs_inside_another() -> None:
    """Exhaustive over the slots: "h t" is inside "H T" only if H ends with h and T starts with t."""
    attributes = {key: attribute.values for key, attribute in ATTRIBUTES.items()} | {"emblem": words.EMBLEM}
    surnames = tuple(head + tail for head in words.LAST[0] for tail in words.LAST[1])
    assert len(set(surnames)) == len(surnames)
    holders = {**attributes, "name": (words.FIRST, surnames)}
    for key, (heads, tails) in attributes.items():
        for other, (longer_heads, longer_tails) in holders.items():
            ends = any(a.lower().endswith(b.lower()) and (key, a) != (other, b) for a in longer_heads for b in heads)
            same = set(heads) & set(longer_heads)
            pairs = ((a, b) for a in longer_tails for b in tails if (key, a) != (other, b))
            begins = any(a.lower().startswith(b.lower()) for a, b in pairs)
            if ends or same:
                assert not begins, (key, other)
    for heads, _ in attributes.values():
        assert not any(a != b and a.lower().endswith(b.lower()) for a in heads for b in heads)


@pytest.mark.parametrize("seed", range(3))
def test_nothing_outside_v_holds_an_answer_of_v(seed: int) -> None:
    world = people(seed=seed, num_forget=60, attributes=5, two_hop=True)
    split = split_by_subject(world.forget, seed=seed)
    assert split.leaks == () and len(split.train) == len(split.score)
    others = split.train + world.retain_train + world.streams["same_kind"] + world.streams["unrelated"]
    shown = "\n".join(texts(others))
    assert not [answer for answer in answers(split.score) if answer.lower() in shown]


def test_two_hop_facts_share_the_subject_and_compose() -> None:
    world = people(seed=0, num_forget=10, two_hop=True)
    by_key = {(fact.subject, fact.attribute): fact for fact in world.forget}
    for person in {fact.subject for fact in world.forget}:
        town, emblem, hop = (by_key[person, key] for key in ("birthplace", "emblem", "birthplace.emblem"))
        assert town.of_form("qa")[0].answer in emblem.of_form("qa")[0].prompt
        assert person in hop.of_form("qa")[0].prompt and hop.hops == 2 and emblem.hops == 1
        assert answers((emblem,)) == answers((hop,))
    split = split_by_subject(world.forget, seed=0)
    assert not {fact.subject for fact in split.train} & {fact.subject for fact in split.score}


def test_same_kind_texts_are_about_people_of_no_other_set() -> None:
    world = people(seed=0, num_forget=8, num_same_kind=5)
    texts_of_others = world.streams["same_kind"]
    assert Counter(fact.subject for fact in texts_of_others) == dict.fromkeys({f.subject for f in texts_of_others}, 3)
    assert not {fact.subject for fact in texts_of_others} & {fact.subject for fact in everyone(world)}
    assert all(probe.prompt == "" for fact in texts_of_others for probe in fact.probes)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [({"num_forget": 0}, "num_forget"), ({"attributes": 9}, "1 to 5"), ({"num_forget": 10**6}, "at most")],
)
def test_sizes_out_of_range_are_refused(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        people(seed=0, **sizes)
