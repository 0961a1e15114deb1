"""Rows are keyed by fact, form and number; probes without a prompt are documents."""

from expunge.knowledge.encode import check_lengths, keyed, rows_of
from expunge.knowledge.facts import Fact, Probe

FACTS = (
    Fact("a", "a", (Probe("P", "x"), Probe("R", "x", "cloze"), Probe("S", "x", "cloze"), Probe("", "t", "prose"))),
    Fact("b", "b", (Probe("Q", "y"),)),
)


class Recorder:
    """Stands in for the encoder: the calls are the rows."""

    def encode(self, prompt: str, answer: str, key: str) -> tuple[str, ...]:
        return ("encode", prompt, answer, key)

    def document(self, text: str, key: str) -> tuple[str, ...]:
        return ("document", text, key)


def test_every_probe_becomes_one_row_with_its_key() -> None:
    rows = rows_of(FACTS, Recorder())  # type: ignore[arg-type]
    assert rows == [
        ("encode", "P", "x", "a/qa/0"),
        ("encode", "R", "x", "a/cloze/0"),
        ("encode", "S", "x", "a/cloze/1"),
        ("document", "t", "a/prose/0"),
        ("encode", "Q", "y", "b/qa/0"),
    ]


def test_forms_choose_and_keys_stay() -> None:
    assert [item.key for item in keyed(FACTS, ["cloze"])] == ["a/cloze/0", "a/cloze/1"]
    assert rows_of(FACTS, Recorder(), ["choice"]) == []  # type: ignore[arg-type]


def test_lengths_are_checked_on_every_probe() -> None:
    seen = []

    class Refusing(Recorder):
        def encode(self, prompt: str, answer: str, key: str) -> tuple[str, ...]:
            seen.append(key)
            return super().encode(prompt, answer, key)

    check_lengths(FACTS, Refusing())  # type: ignore[arg-type]
    assert len(seen) == 4
