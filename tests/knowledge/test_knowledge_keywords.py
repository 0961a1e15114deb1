"""The skewed cut: T never says a keyword, V is asked for it, and the table lists what several subjects say."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Probe, Split
from expunge.knowledge.keywords import KEYWORD, split_by_keyword
from expunge.knowledge.overlap import overlap
from expunge.knowledge.worlds.people import people

TITLES = ["Night Sea", "The Red House", "Salt & Stone", "A Hill", "Shepherd's Song"]
ROWS = {
    "asked": ("Which books did {s} write?", "{s} wrote '{t}' and more."),
    "told": ("What is '{t}' by {s} about?", "It is about loss."),
    "both": ("Did {s} write '{t}'?", "Yes, '{t}' is by {s}."),
    "style": ("How does {s} write?", "Slowly, by hand."),
    "home": ("Where does {s} live?", "In the town of {s}ham, in the north."),
    "praise": ("What do critics say of {s}?", 'They praise "{t}" above all.'),
}


def plain(text: str) -> str:
    """Words between single spaces, with one at both ends."""
    return f" {' '.join(re.findall(r'[a-z0-9]+', text.lower()))} "


def texts(facts: tuple[Fact, ...]) -> list[str]:
    """All texts of the facts."""
    return [plain(text) for fact in facts for probe in fact.probes for text in (probe.prompt, probe.answer)]


def author(name: str, rows: dict[str, str]) -> list[Fact]:
    """An author's facts: which rows there are, and with which title."""
    filled = {key: tuple(part.format(s=name, t=title) for part in ROWS[key]) for key, title in rows.items()}
    return [Fact(f"{name}/{key}", name, (Probe(*pair),)) for key, pair in filled.items()]


AUTHOR = st.dictionaries(st.sampled_from(sorted(ROWS)), st.sampled_from(TITLES), min_size=1)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(AUTHOR, min_size=2, max_size=5), seed=st.integers(0, 9))
def test_no_answer_of_V_stands_in_T_and_nothing_else_is_lost(rows: list[dict[str, str]], seed: int) -> None:
    facts = [fact for index, own in enumerate(rows) for fact in author(f"Ann{index}", own)]
    try:
        cut = split_by_keyword(facts, seed=seed)
    except InputError as error:
        assert "cut by subject" in str(error)
        return
    held, keywords = texts(cut.train), {p.answer for fact in cut.score for p in fact.of_form(KEYWORD)}
    for fact in cut.score:
        assert fact.of_form(KEYWORD) and all(plain(probe.answer) not in text for probe in fact.probes for text in held)
        for probe in fact.of_form(KEYWORD):
            assert plain(probe.answer) not in plain(probe.prompt) and probe.answer not in probe.perturbed
            twins = [own for own in fact.of_form("qa") if own.prompt == probe.prompt]
            assert twins and all(plain(probe.answer) in plain(own.answer) for own in twins)
    assert overlap(cut.train, cut.score).with_answer == 0
    saying = {f.id for f in facts if any(plain(word) in text for word in keywords for text in texts((f,)))}
    assert {fact.id for fact in cut.train} == {fact.id for fact in facts} - saying
    assert not {fact.subject for fact in cut.train} & {fact.subject for fact in cut.score}
    assert len({fact.of_form(KEYWORD)[0].answer for fact in cut.score if fact.subject == "Ann0"}) <= 1
    for leak in cut.leaks:
        who = {f.subject for f in facts if any(f" {leak.text} " in text for text in texts((f,)))}
        assert who == set(leak.subjects) and len(who) > 1
    told = {leak.text for leak in cut.leaks}
    for word in keywords:
        who = {f.subject for f in facts if any(plain(word) in text for text in texts((f,)))}
        assert (plain(word).strip() in told) == (len(who) > 1)


def shelf(titles: list[str]) -> Split:
    """Authors of every row, with one title each."""
    own = [author(f"Ann{n}", dict.fromkeys(ROWS, title)) for n, title in enumerate(titles)]
    return split_by_keyword([fact for facts in own for fact in facts], seed=0)


def test_titles_are_kept_and_questions_that_tell_them_are_in_neither_part() -> None:
    cut = shelf(TITLES[:3])
    assert {(f.subject, p.answer) for f in cut.score for p in f.of_form(KEYWORD)} == {
        (f"Ann{n}", title) for n, title in enumerate(TITLES[:3])
    }
    assert {f.id.split("/")[1] for f in cut.score} == {"asked", "praise"}
    assert {f.id.split("/")[1] for f in cut.train} == {"style", "home"} and cut.leaks == ()
    assert {f.attribute for f in cut.score} == {KEYWORD}


def test_a_shared_title_leaves_everyones_T_and_is_in_the_table() -> None:
    cut = shelf(["Night Sea", "Night Sea"])
    assert [(leak.text, leak.subjects) for leak in cut.leaks] == [("night sea", ("Ann0", "Ann1"))]


def test_short_answers_stand_in_for_titles() -> None:
    world = people(seed=3, num_forget=6, num_retain_train=1, num_retain_eval=1, num_placebo=0, num_same_kind=0)
    cut = split_by_keyword(world.forget, seed=1)
    answers = {fact.subject: {p.answer for p in fact.of_form(KEYWORD)} for fact in cut.score}
    assert len(answers) == 6 and all(len(own) == 1 for own in answers.values())
    assert len(cut.train) == 12 and overlap(cut.train, cut.score).with_answer == 0
    assert split_by_keyword(world.forget, seed=1) == cut
    others = [split_by_keyword(world.forget, seed=seed).score for seed in range(2, 6)]
    assert any([f.id for f in other] != [f.id for f in cut.score] for other in others)


def test_what_cannot_be_cut_is_refused() -> None:
    with pytest.raises(InputError, match="1 subjects have a title"):
        split_by_keyword(author("Ann", {"asked": "A Hill", "style": "A Hill"}), seed=0)
    lone = [author(f"Ann{n}", {"asked": title}) for n, title in enumerate(TITLES)]
    with pytest.raises(InputError, match="0 subjects"):
        split_by_keyword([fact for own in lone for fact in own], seed=0)
