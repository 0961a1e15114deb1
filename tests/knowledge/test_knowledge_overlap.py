"""What texts tell of V: a brute-force twin, and agreement with the rules by which subjects are joined."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.knowledge.facts import Fact, Probe
from expunge.knowledge.leaks import find_leaks
from expunge.knowledge.overlap import overlap

WORDS = ["red", "Red", "house", "hill", "by", "a", "the", "sea", "of", "green", "Bay", "stone", "b"]
TEXT = st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(" ".join)
PROBE = st.builds(Probe, st.one_of(st.just(""), TEXT), TEXT)
NGRAM = 3


def fact(name: str, *probes: Probe) -> Fact:
    """A fact of its own subject."""
    return Fact(name, name, probes)


def plain(text: str) -> str:
    """Words between single spaces, with one at both ends."""
    return f" {' '.join(re.findall(r'[a-z0-9]+', text.lower()))} "


def tells(row: Probe, scored: list[Fact]) -> bool:
    """A row tells an answer or shares three words, by searching strings."""
    texts = [plain(row.prompt), plain(row.answer)]
    for probe in (probe for each in scored for probe in each.probes):
        answer = plain(probe.answer)
        if probe.prompt and (texts[1] == answer or (len(answer) >= 6 and any(answer in text for text in texts))):
            return True
        words = answer.split()
        runs = [f" {' '.join(words[at : at + NGRAM])} " for at in range(len(words) - NGRAM + 1)]
        if any(run in text for run in runs for text in texts):
            return True
    return False


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(PROBE, min_size=1, max_size=6), scored=st.lists(PROBE.filter(lambda p: p.prompt), max_size=3))
def test_the_kept_rows_are_those_that_brute_force_keeps(rows: list[Probe], scored: list[Probe]) -> None:
    V = [fact(f"v{n}", probe) for n, probe in enumerate(scored)]
    found = overlap([fact("a", *rows)], V, NGRAM)
    assert [probe for each in found.kept for probe in each.probes] == [row for row in rows if not tells(row, V)]
    assert found.rows == len(rows) and found.telling == sum(tells(row, V) for row in rows)
    assert max(found.with_answer, found.with_phrase) <= found.telling <= found.with_answer + found.with_phrase


@settings(max_examples=150, deadline=None)
@given(row=PROBE, probe=PROBE.filter(lambda p: p.prompt))
def test_a_row_that_would_join_its_subject_with_Vs_is_never_kept(row: Probe, probe: Probe) -> None:
    """find_leaks also looks the other way, for the row's answer in V's text; what it finds this way must be found."""
    shared = find_leaks([fact("row", Probe("", row.answer)), fact("v", probe)], NGRAM)
    if shared:
        assert not overlap([fact("row", row)], [fact("v", probe)], NGRAM).kept


@pytest.mark.parametrize(
    ("text", "answers", "phrases"),
    [
        ("She moved to green bay.", 1, 0),
        ("The old bridge over the river was built by monks", 0, 1),
        ("A bay that is green", 0, 0),
    ],
)
def test_counts_name_the_rule(text: str, answers: int, phrases: int) -> None:
    V = [
        fact("v", Probe("Where?", "Green Bay")),
        fact("d", Probe("", "They say the old bridge over the river was built by monks long ago", "passage")),
    ]
    found = overlap([fact("a", Probe("", text, "passage"), Probe("", "nothing here", "passage"))], V)
    assert (found.with_answer, found.with_phrase, found.rows) == (answers, phrases, 2)
    told = found.as_dict(dropped=True)
    assert told["dropped"] == answers + phrases and told["line"].endswith("dropped." if told["dropped"] else "one.")
    assert found.as_dict(dropped=False)["dropped"] == 0


def test_a_continuation_is_an_answer_of_a_document() -> None:
    V = [fact("d", Probe("", "one two three four five six", "passage"))]
    assert overlap([fact("a", Probe("", "say four five six now", "passage"))], V).with_answer == 1
