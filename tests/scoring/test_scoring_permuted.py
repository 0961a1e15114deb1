"""Permuted answers: a derangement within attribute and form, consistent over a fact's forms."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core.errors import InputError
from expunge.knowledge.facts import Probe
from expunge.scoring.permuted import permuted_answers
from reference.metrics_world import fact, facts


def answers(given_facts: object) -> list[str]:
    """The first probe's answers."""
    return [item.probes[0].answer for item in given_facts]  # type: ignore[attr-defined]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from("abcde"), min_size=8, max_size=20), st.integers(0, 99), st.sampled_from([1, -1]))
def test_is_a_derangement_that_keeps_ids_and_the_bag_of_answers(own: list[str], seed: int, shift: int) -> None:
    given_facts = [fact(number, answer) for number, answer in enumerate(own)]
    if max(map(own.count, own)) * 2 > len(own):
        with pytest.raises(InputError, match="one answer fills"):
            permuted_answers(given_facts, seed, shift=shift)
        return
    made = permuted_answers(given_facts, seed, shift=shift)
    assert all(new != old for new, old in zip(answers(made), own, strict=True))
    assert sorted(answers(made)) == sorted(own)
    assert [(item.id, item.subject) for item in made] == [(item.id, item.subject) for item in given_facts]
    assert all(len({probe.answer for probe in item.probes}) == 1 for item in made), "one donor for all forms"


def test_opposite_shifts_are_inverse_and_seeds_differ() -> None:
    given_facts = facts(0, 10)
    there = dict(zip(answers(given_facts), answers(permuted_answers(given_facts, 5)), strict=True))
    back = dict(zip(answers(given_facts), answers(permuted_answers(given_facts, 5, shift=-1)), strict=True))
    assert all(back[there[answer]] == answer for answer in there)
    assert permuted_answers(given_facts, 5) == permuted_answers(given_facts, 5) != permuted_answers(given_facts, 6)


def test_attributes_do_not_mix() -> None:
    homes = facts(0, 8)
    jobs = [replace(fact(n), id=f"j{n}", attribute="job", probes=(Probe("Job?", f"work{n}"),)) for n in range(8)]
    made = permuted_answers([*homes, *jobs], 0)
    assert set(answers(made[:8])) == set(answers(homes)) and set(answers(made[8:])) == set(answers(jobs))


def test_fewer_than_eight_rows_of_a_form_are_refused() -> None:
    with pytest.raises(InputError, match=r"'home' has 7 rows of form 'qa'"):
        permuted_answers(facts(0, 7), 0)


def test_choices_and_documents_are_left_out() -> None:
    extra = (Probe("A or B?", "A", "choice"), Probe("", "P lives in Orlo.", "prose"))
    given_facts = [replace(item, probes=item.probes + extra) for item in facts(0, 8)]
    assert all([probe.form for probe in item.probes] == ["qa", "cloze"] for item in permuted_answers(given_facts, 0))
    with pytest.raises(InputError, match="'f0'"):
        permuted_answers([replace(given_facts[0], probes=extra)], 0)
