"""The known world: a consistent table, disjoint sets, placebo answers permuted within an attribute."""

from collections import Counter

import pytest

from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact
from expunge.knowledge.worlds.forms import ASKED
from expunge.knowledge.worlds.known import known, table
from expunge.knowledge.worlds.texts import sentences, unrelated


def pairs(facts: tuple[Fact, ...]) -> list[tuple[str, str]]:
    return [(fact.attribute, fact.of_form("qa")[0].answer) for fact in facts]


def test_tables_have_distinct_entries_and_no_capital_that_its_country_gives_away() -> None:
    countries, elements = table("countries"), table("elements")
    assert len(countries) >= 120 and len(elements) >= 100
    for rows, columns in ((countries, ("country", "capital")), (elements, ("element", "symbol", "number"))):
        assert all(len({row[column] for row in rows}) == len(rows) for column in columns)
    assert not [row for row in countries if row["country"] in row["capital"] or row["capital"] in row["country"]]
    assert [int(row["number"]) for row in elements] == list(range(1, len(elements) + 1))


def test_sets_are_disjoint_by_subject_and_every_fact_has_every_form() -> None:
    world = known(seed=0)
    parts = (world.forget, world.retain_train, world.retain_eval, world.placebo, world.streams["same_kind"])
    subjects = [{fact.subject for fact in part} for part in parts]
    assert all(subjects) and len(set.union(*subjects)) == sum(map(len, subjects))
    assert len(subjects[0]) >= 80
    assert all({probe.form for probe in fact.probes} == {*ASKED, "prose"} for part in parts[:4] for fact in part)
    assert known(seed=0) == world != known(seed=1)


def test_placebo_gives_the_forgotten_answers_to_invented_subjects() -> None:
    world = known(seed=0)
    assert Counter(pairs(world.placebo)) == Counter(pairs(world.forget))
    assert pairs(world.placebo) != pairs(world.forget)
    real = {row[column] for kind, column in (("countries", "country"), ("elements", "element")) for row in table(kind)}
    assert not real & {fact.subject for fact in world.placebo}
    assert len({fact.subject for fact in world.placebo}) == len({fact.subject for fact in world.forget})


def test_placebo_answers_are_permuted_within_each_attribute_apart() -> None:
    world = known(seed=0, kinds=["elements"])
    of: dict[str, dict[str, str]] = {}
    for fact in world.placebo:
        of.setdefault(fact.subject, {})[fact.attribute] = fact.of_form("qa")[0].answer
    real = {(row["symbol"], row["number"]) for row in table("elements")}
    assert sum((answers["symbol"], answers["number"]) in real for answers in of.values()) < len(of) / 4


def test_only_the_prose_form_shows_an_answer() -> None:
    for fact in known(seed=0).forget:
        answer = fact.of_form("qa")[0].answer
        assert all(answer not in probe.prompt for probe in fact.probes if len(answer) > 3)
        assert answer in fact.of_form("prose")[0].answer


def test_one_kind_alone_and_bad_parameters() -> None:
    assert {fact.attribute for fact in known(seed=0, kinds=["countries"]).forget} == {"capital"}
    with pytest.raises(InputError, match="kinds"):
        known(seed=0, kinds=["planets"])
    with pytest.raises(InputError, match="at most 1"):
        known(seed=0, forget=0.9, retain_train=0.9)


def test_unrelated_texts_are_distinct_documents() -> None:
    assert len(set(sentences())) == len(sentences()) >= 60
    facts = unrelated(10, seed=1)
    assert len(facts) == 10 and facts == unrelated(10, seed=1) != unrelated(10, seed=2)
    assert all(fact.probes[0].prompt == "" for fact in facts)
