"""Placebo facts of one's own: who never existed, whose answers are given, and what cannot be turned."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Probe
from expunge.knowledge.leaks import words_of
from expunge.knowledge.placebo import ALL, placebo_facts
from expunge.knowledge.splits import split_by_subject
from expunge.knowledge.worlds.people import people

WORLD = people(seed=3, num_forget=30, num_retain_train=6, num_retain_eval=6, num_placebo=0)
RETAIN = (*WORLD.retain_train, *WORLD.retain_eval)
TRUE = {fact.id: fact for fact in WORLD.forget}


def drawn(seed: int = 0, num: int | str = ALL, forget: Sequence[Fact] = WORLD.forget) -> tuple[Fact, ...]:
    return placebo_facts(forget, RETAIN, num, seed)


def pairs(seed: int) -> list[tuple[Fact, Fact]]:
    """Every placebo fact with the true one in whose place it stands."""
    return [(made, TRUE[made.id.partition("/")[2]]) for made in drawn(seed)]


def homes(*rows: tuple[str, str], ask: str = "Where does {} live?", attribute: str = "home") -> list[Fact]:
    """One question a subject."""
    return [Fact(f"f{n}", name, (Probe(ask.format(name), answer),), attribute) for n, (name, answer) in enumerate(rows)]


FOUR = (("Ann Berg", "Rome"), ("Tom Falk", "Oslo"), ("Eva Holm", "Bonn"), ("Ida Krog", "Cork"))


@pytest.mark.parametrize("seed", range(4))
def test_nobody_of_that_name_exists(seed: int) -> None:
    real = {fact.subject for fact in (*WORLD.forget, *RETAIN)}
    texts = " ".join(text for fact in (*WORLD.forget, *RETAIN) for p in fact.probes for text in (p.prompt, p.answer))
    names = list(dict.fromkeys(fact.subject for fact in drawn(seed)))
    assert len(names) == 30 and real.isdisjoint(names)
    for name in names:
        assert name not in texts
        assert all(any(name.split()[n] == other.split()[n] for other in real) for n in range(2))


@pytest.mark.parametrize("seed", range(4))
def test_no_answer_is_true_of_whom_the_name_or_the_wording_recalls(seed: int) -> None:
    """Nor is any of another type: it answers the same attribute of somebody else, and all are used equally."""
    for made, true in pairs(seed):
        answer = made.probes[0].answer
        words = set(made.subject.split())
        recalled = [other for other in (*WORLD.forget, *RETAIN) if words & set(other.subject.split())]
        assert answer not in {probe.answer for other in (true, *recalled) for probe in other.probes}
        assert answer in {other.probes[0].answer for other in WORLD.forget if other.attribute == true.attribute}
    assert max(Counter(made.probes[0].answer for made, _ in pairs(seed)).values()) <= 2


@pytest.mark.parametrize("seed", range(4))
def test_it_is_asked_and_told_like_the_true_one(seed: int) -> None:
    for made, true in pairs(seed):
        assert (made.attribute, made.hops) == (true.attribute, true.hops)
        old, new = true.probes[0].answer, made.probes[0].answer
        for own, other in zip(made.probes, true.probes, strict=True):
            assert own.form == other.form and own.prompt.replace(made.subject, true.subject) == other.prompt
            said = own.answer.replace(made.subject, true.subject).replace(new, old)
            assert said == other.answer and (own.prompt or old not in own.answer)


def test_a_seed_is_a_draw_and_the_draw_can_be_cut() -> None:
    assert drawn(0) == drawn(0) != drawn(1)
    few = drawn(0, 5)
    assert len({fact.subject for fact in few}) == 5
    cut = split_by_subject(drawn(0), seed=0)
    assert len({fact.subject for fact in cut.score}) >= 14


def test_answers_that_name_their_subject_name_the_new_one() -> None:
    told = homes(*((name, f"{name} lives in {town}.") for name, town in FOUR))
    for fact in placebo_facts(told, (), ALL, 0):
        name, town = fact.subject, fact.probes[0].answer.split()[-1]
        assert fact.probes[0] == Probe(f"Where does {name} live?", f"{name} lives in {town}")
        assert dict(FOUR).get(name) is None


def test_without_an_attribute_the_wording_says_what_is_asked() -> None:
    both = [*homes(*FOUR, attribute=""), *homes(*((n, f"a {t} cat") for n, t in FOUR), ask="Pet of {}?", attribute="")]
    mixed = [replace(fact, id=f"{n}") for n, fact in enumerate(both)]
    made = placebo_facts(mixed, (), ALL, 0)
    assert {fact.probes[0].answer.endswith("cat") for fact in made if fact.probes[0].prompt.startswith("Pet")} == {True}
    assert {fact.probes[0].answer.endswith("cat") for fact in made if fact.probes[0].prompt.startswith("W")} == {False}


def test_particles_of_a_name_recall_nobody() -> None:
    banks = homes(("Bank of Erin", "Cork"), ("House of Lund", "Oslo"), ("Order of Rook", "Bonn"), ask="Seat of {}?")
    assert len(placebo_facts(banks, (), ALL, 0)) >= 2


def test_a_question_that_recalls_its_subject_by_another_word_is_left_out() -> None:
    """Asked about "Tom Holm", it would still ask about Ann."""
    asked = homes(*FOUR)
    asked[0] = replace(asked[0], probes=(*asked[0].probes, Probe("Where did Ann go after Ann Berg left?", "Rome")))
    made = {fact.id.partition("/")[2]: fact for fact in placebo_facts(asked, (), ALL, 0)}
    assert len(made["f0"].probes) == 1 and not any("Ann go" in p.prompt for f in made.values() for p in f.probes)


@pytest.mark.parametrize(
    ("facts", "num", "told"),
    [
        (homes(*FOUR, ask="Where does she live?"), ALL, "does not name its subject"),
        (homes(("Ada", "Rome"), ("Ivo", "Oslo")), ALL, "subjects of two words or more"),
        (homes(FOUR[0]), ALL, "no new name"),
        (homes(*((name, "Rome") for name, _ in FOUR)), ALL, "at least two facts of each"),
        ([Fact(name, name, (Probe("", f"{name} lives in {town}.", "prose"),)) for name, town in FOUR], 1, "is a text"),
        (homes(*FOUR), 5, "4 of 5 placebo subjects can be drawn: there is one for each true subject"),
    ],
)
def test_what_cannot_be_turned_is_refused_with_the_reason(facts: list[Fact], num: int | str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        placebo_facts(facts, (), num, 0)


def test_names_are_compared_without_case() -> None:
    """A text that speaks of "tom berg" keeps anybody from being called so."""
    spoken = Fact("t", "t", (Probe("", "long ago tom berg and ann falk met", "passage"),))
    for seed in range(12):
        made = placebo_facts(homes(*FOUR), [spoken], ALL, seed)
        assert not {words_of(fact.subject) for fact in made} & {("tom", "berg"), ("ann", "falk")}
