"""A document is asked for by its continuation, as raw text; it is trained on whole."""

from hypothesis import given
from hypothesis import strategies as st

from expunge.knowledge.encode import question_ids, rows_of
from expunge.knowledge.facts import Fact, Probe
from expunge.knowledge.passages import CONTINUATION, LONGEST, askable, continuation
from expunge.models.chat import Encoder
from expunge.models.tiny import byte_tokenizer
from expunge.scoring.probes import ask

WORDS = st.lists(st.text("abcdef.", min_size=1, max_size=6), min_size=4, max_size=40)


@given(words=WORDS)
def test_prefix_and_answer_are_consecutive_words_of_the_text(words: list[str]) -> None:
    found = continuation(Probe("", " ".join(words), "passage"))
    assert found is not None and found.form == CONTINUATION
    cut = len(words) // 2
    assert found.prompt.split() == words[:cut]
    assert found.answer.split() == words[cut : cut + LONGEST]


def test_short_texts_and_questions_are_left_alone() -> None:
    assert continuation(Probe("", "only three words", "passage")) is None
    assert continuation(Probe("Who?", "a b c d e f", "qa")) is None
    question = Probe("Who?", "Ada", "qa")
    assert askable(Fact("a", "a", (question,))) == (question,)


def test_a_document_is_trained_on_whole_and_asked_as_raw_text() -> None:
    encoder = Encoder(byte_tokenizer(), "plain")
    fact = Fact("doc", "doc", (Probe("", "one two three four five six", "passage"),))
    (taught,), (asked,) = ask([fact], encoder), ask([fact], encoder, ("qa",))
    assert taught.row.num_labels == len("one two three four five six")
    assert asked.probe == Probe("one two three", "four five six", CONTINUATION)
    assert asked.row.num_labels == len(" four five six"), "no template and no end token"
    assert asked.row.ids[: -asked.row.num_labels] == question_ids(asked.probe, encoder)
    assert "Question" not in encoder.decode(asked.row.ids)
    assert rows_of([fact], encoder)[0] == taught.row
