"""Cuts by subject: joins, refusals, sizes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Probe
from expunge.knowledge.leaks import words_of
from expunge.knowledge.splits import share, split_by_subject


def fact(subject: str, answer: str, prompt: str = "What is it?", key: str = "") -> Fact:
    return Fact(key or f"{subject}/{answer}", subject, (Probe(prompt, answer),))


def side(facts: tuple[Fact, ...]) -> set[str]:
    return {each.subject for each in facts}


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), subjects=st.integers(2, 30), fraction=st.floats(0.05, 0.95))
def test_without_leaks_the_cut_has_the_asked_size(seed: int, subjects: int, fraction: float) -> None:
    facts = [fact(f"s{index}", f"answer{index} {part}") for index in range(subjects) for part in ("x", "y")]
    split = split_by_subject(facts, fraction=fraction, seed=seed)
    assert split.leaks == () and not side(split.train) & side(split.score)
    assert len(side(split.train)) == min(max(round(fraction * subjects), 1), subjects - 1)
    assert sorted(split.train + split.score, key=facts.index) == facts


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), answers=st.lists(st.sampled_from("abcdefghij"), min_size=4, max_size=14))
def test_no_answer_stands_on_both_sides(seed: int, answers: list[str]) -> None:
    facts = [fact(f"s{index}", answer * 5) for index, answer in enumerate(answers)]
    if len(set(answers)) < 2:
        with pytest.raises(InputError):
            split_by_subject(facts, seed=seed)
        return
    split = split_by_subject(facts, seed=seed)
    assert split.train and split.score
    assert not {f.probes[0].answer for f in split.train} & {f.probes[0].answer for f in split.score}
    assert len(split.leaks) == sum(answers.count(answer) > 1 for answer in set(answers))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (fact("a", "Green Bay."), fact("b", "green bay")),
        (fact("a", "Copper Bay"), fact("b", "forty", "How far is it to Copper Bay?")),
        (fact("a", "one two three four five six seven eight"), fact("b", "0 one two three four five six seven eight")),
        (fact("a", "Copper Bay"), Fact("doc", "b", (Probe("", "They went to Copper Bay twice.", "passage"),))),
    ],
)  # fmt: skip
def test_each_leak_rule_joins_and_is_in_the_table(first: Fact, second: Fact) -> None:
    others = [fact(f"s{index}", f"answer{index}") for index in range(4)]
    for seed in range(8):
        split = split_by_subject([first, second, *others], seed=seed)
        assert ({"a", "b"} <= side(split.train)) or ({"a", "b"} <= side(split.score))
        assert [leak.subjects for leak in split.leaks] == [("a", "b")]
    assert words_of(split.leaks[0].text)[0] in ("green", "copper", "one")


def test_alike_questions_and_short_words_do_not_join() -> None:
    prompt = "What is the full name of the author who was born in this town?"
    facts = [fact("a", "Ute", prompt), fact("b", "Max", prompt), fact("c", "Kim", "Is it who Ute and Max like?")]
    assert split_by_subject(facts, seed=0).leaks == ()


def test_joins_chain_and_a_whole_chain_is_refused_by_naming_its_answer() -> None:
    chain = [fact("a", "red house"), fact("b", "red house"), fact("b", "blue house"), fact("c", "blue house")]
    split = split_by_subject([*chain, fact("d", "elsewhere")], seed=0)
    assert {frozenset(side(split.train)), frozenset(side(split.score))} == {frozenset("abc"), frozenset("d")}
    with pytest.raises(InputError, match=r"all 3 subjects share answers.*house"):
        split_by_subject(chain, seed=0)


def test_one_subject_and_bad_fractions_are_refused() -> None:
    with pytest.raises(InputError, match="fewer than two subjects"):
        split_by_subject([fact("a", "x")], seed=0)
    with pytest.raises(InputError, match="fraction"):
        split_by_subject([fact("a", "x"), fact("b", "y")], fraction=1.0, seed=0)


def test_the_cut_depends_on_the_seed() -> None:
    facts = [fact(f"s{index}", f"answer{index}") for index in range(20)]
    assert split_by_subject(facts, seed=0) == split_by_subject(facts, seed=0)
    assert len({frozenset(side(split_by_subject(facts, seed=seed).train)) for seed in range(5)}) == 5


def test_share_parts_every_subject_once() -> None:
    facts = [fact(f"s{index}", f"answer{index} {part}") for index in range(10) for part in ("x", "y")]
    parts = share(facts, (0.5, 0.3, 0.2), seed=0)
    assert [len(side(part)) for part in parts] == [5, 3, 2]
    assert len(set.union(*map(side, parts))) == 10 and sum(map(len, parts)) == 20
    assert share((), (0.5, 0.5), seed=0) == ((), ())
    with pytest.raises(InputError, match="sum to 1"):
        share(facts, (0.5, 0.3), seed=0)
