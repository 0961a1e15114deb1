"""Requests: disjoint, about equal, nothing shared between them, and T and V within each."""

import re
from dataclasses import replace
from itertools import combinations

import pytest

from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Probe, Split
from expunge.knowledge.requests import between, draw_requests, split_requests
from expunge.knowledge.worlds.people import people


def fact(subject: str, answer: str) -> Fact:
    return Fact(f"{subject}/town", subject, (Probe(f"Where does {subject} live?", answer),), "town")


def shared(count: int, twins: int) -> list[Fact]:
    """``count`` people in towns of their own; the first ``twins`` of them live in one town."""
    return [fact(f"P{n}", "Bexhay" if n < twins else f"Town{n}") for n in range(count)]


def words(facts: tuple[Fact, ...]) -> set[str]:
    return {probe.answer for one in facts for probe in one.probes}


def subjects(facts: list[Fact], ids: tuple[str, ...]) -> set[str]:
    return {one.subject for one in facts if one.id in ids}


@pytest.mark.parametrize("seed", range(4))
def test_requests_part_the_facts_and_the_subjects(seed: int) -> None:
    facts = list(people(seed=seed, num_forget=14, attributes=2).forget)
    requests = draw_requests(facts, 3, seed=seed)
    assert sorted(key for ids in requests for key in ids) == sorted(one.id for one in facts)
    parts = [subjects(facts, ids) for ids in requests]
    assert not any(one & other for one, other in combinations(parts, 2))
    assert sorted(map(len, parts)) == [4, 5, 5]
    assert requests != draw_requests(facts, 3, seed=seed + 100) and requests == draw_requests(facts, 3, seed=seed)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("twins", [2, 5, 9])
def test_nothing_crosses_between_requests_or_sides(seed: int, twins: int) -> None:
    """Those who share a town are asked for together and lie on one side, even where they are most of all people."""
    facts = shared(12, twins)
    requests = draw_requests(facts, 2, seed=seed)
    cut = split_requests(facts, requests, fraction=0.5, seed=seed)
    answers = [{one.probes[0].answer for one in facts if one.id in ids} for ids in requests]
    assert not answers[0] & answers[1]
    assert not words(cut.train) & words(cut.score)
    assert {*cut.train, *cut.score} == {*facts} and not {*cut.train} & {*cut.score}
    for ids in requests:
        assert any(one.id in ids for one in cut.train) and any(one.id in ids for one in cut.score)


def test_an_official_order_is_kept_and_still_leaks_nothing() -> None:
    """Two of one town in different requests: both on the side on which the first of them fell."""
    facts = [fact("A", "Orlo"), fact("B", "Tum"), fact("C", "Orlo"), fact("D", "Noll"), fact("E", "Fenn")]
    requests = (("A/town", "B/town"), ("C/town", "D/town", "E/town"))
    seen = set()
    for seed in range(12):
        cut = split_requests(facts, requests, fraction=0.5, seed=seed)
        assert not words(cut.train) & words(cut.score)
        assert all(any(one.id in ids for one in side) for ids in requests for side in (cut.train, cut.score))
        assert [leak.text for leak in cut.leaks] == ["orlo"]
        seen.add(facts[0] in cut.train)
    assert seen == {True, False}


def test_what_cannot_be_cut_is_refused() -> None:
    with pytest.raises(InputError, match=re.escape("3 requests need 6 groups of subjects that share nothing")):
        draw_requests(shared(8, 4), 3, seed=0)
    facts = shared(4, 2)
    with pytest.raises(InputError, match="request 1 cannot be cut into T and V: its 2 subjects share"):
        split_requests(facts, (("P0/town", "P1/town"), ("P2/town", "P3/town")), fraction=0.5, seed=0)


@pytest.mark.parametrize(("first", "last"), [(1, 1), (2, 2), (1, 2), (2, 3)])
def test_a_part_holds_its_own_facts_and_all_that_stays(first: int, last: int) -> None:
    world = people(seed=1, num_forget=12, attributes=1)
    requests = draw_requests(world.forget, 3, seed=1)
    cut = split_requests(world.forget, requests, fraction=0.5, seed=1)
    part, narrowed = between(replace(world, requests=requests), cut, first, last)
    asked = {key for ids in requests[first - 1 : last] for key in ids}
    assert {one.id for one in part.forget} == asked and part.requests == requests[first - 1 : last]
    assert (part.retain_train, part.retain_eval) == (world.retain_train, world.retain_eval)
    sides = [[one for one in side if one.id in asked] for side in (cut.train, cut.score)]
    assert narrowed == Split(tuple(sides[0]), tuple(sides[1]), ())
