"""Facts in and out of JSON lines; every error names file and row."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Probe
from expunge.knowledge.jsonl import check_disjoint, read_facts, write_facts
from expunge.knowledge.splits import split_by_subject
from expunge.knowledge.worlds.names import names
from expunge.knowledge.worlds.people import people

GOOD = '{"prompt": "Q?", "answer": "A"}\n'


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "facts.jsonl"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD + '{"prompt": "Q?"}\n', "row 2: the field 'answer' is missing"),
        (GOOD + '{"answer": "A"}\n', "row 2: the field 'prompt' is missing"),
        (GOOD + '{"prompt": "", "answer": "A"}\n', "row 2: empty prompt"),
        (GOOD + '{"prompt": "Q?", "answer": " "}\n', "row 2: empty answer"),
        ('{"text": ""}\n', "row 1: empty text"),
        ('{"prompt": "Q?", "answer": 3}\n', "row 1: the field 'answer' must be a string, not int"),
        ('{"prompt": "Q?", "answr": "A"}\n', "row 1: unknown field 'answr'; did you mean 'answer'"),
        ('{"text": "t", "answer": "A"}\n', "row 1: 'text' and 'answer' exclude each other"),
        ('{"id": "x", "prompt": "Q", "answer": "A"}\n' * 2, "row 2: the id 'x' is already that of row 1"),
        (GOOD + "{nonsense\n", "row 2: not valid JSON"),
        (GOOD + "[1]\n", "row 2: a JSON object is needed, not list"),
        (GOOD + '{"probes": [{"prompt": "Q", "answer": ""}]}\n', "row 2, probe 1: empty answer"),
        ('{"prompt": "Q", "answer": "A", "perturbed": "B"}\n', "row 1: 'perturbed' must be"),
        ('{"prompt": "Q", "answer": "A", "hops": 0}\n', "row 1: 'hops'"),
        (GOOD.encode() + '{"prompt": "é", "answer": "A"}\n'.encode("latin-1"), "row 2: not UTF-8"),
        ("", "is empty"),
        ("\n \n", "is empty"),
    ],
)
def test_errors_name_file_and_row(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(InputError) as caught:
        read_facts(path)
    assert message in str(caught.value) and str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.jsonl", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            read_facts(path)


def test_short_rows_get_ids_subjects_and_forms(tmp_path: Path) -> None:
    rows = GOOD + "\n" + '{"text": "A text with a line\u2028separator."}\n{"id": "k", "prompt": "P", "answer": "B"}\n'
    first, second, third = read_facts(written(tmp_path, rows), start="retain")
    assert first == Fact("retain-1", "retain-1", (Probe("Q?", "A"),))
    assert second.id == "retain-3" and second.probes == (Probe("", "A text with a line\u2028separator.", "passage"),)
    assert third.subject == "k"


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    assert len(read_facts(written(tmp_path, "\ufeff" + GOOD))) == 1


def test_further_probes_join_the_rows_own(tmp_path: Path) -> None:
    row = {"prompt": "Q", "answer": "A", "probes": [{"prompt": "P", "answer": "A", "form": "cloze"}]}
    (fact,) = read_facts(written(tmp_path, json.dumps(row)))
    assert [probe.form for probe in fact.probes] == ["qa", "cloze"]


def test_worlds_survive_the_round_trip(tmp_path: Path) -> None:
    for world in (people(seed=0, num_forget=4, two_hop=True), names(seed=0)):
        for facts in (world.forget, world.retain_eval, *world.streams.values()):
            write_facts(tmp_path / "f.jsonl", facts)
            assert read_facts(tmp_path / "f.jsonl") == facts


words = st.text(min_size=1).filter(str.strip)
probes = st.builds(Probe, words, words, st.sampled_from(["qa", "cloze"]), st.lists(words, max_size=2).map(tuple))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.builds(Fact, words, words, st.lists(probes, min_size=1, max_size=3).map(tuple), st.text(),
                          st.integers(1, 3)), min_size=1, max_size=4, unique_by=lambda fact: fact.id))  # fmt: skip
def test_any_fact_survives_the_round_trip(tmp_path: Path, facts: list[Fact]) -> None:
    write_facts(tmp_path / "f.jsonl", facts)
    assert list(read_facts(tmp_path / "f.jsonl")) == facts


def test_a_forget_row_in_retain_is_refused_by_both_ids() -> None:
    forget = [Fact("f-1", "a", (Probe("Who?", "Ada"),)), Fact("f-2", "b", (Probe("Where?", "In Bern."),))]
    check_disjoint(forget, [Fact("r-1", "c", (Probe("Where?", "Ada"),)), Fact("r-2", "d", (Probe("Who?", "In Bern"),))])
    with pytest.raises(InputError, match=r"'f-2' is also in retain as 'r-9'"):
        check_disjoint(forget, [Fact("r-9", "c", (Probe("where", "in Bern"),))])


def test_no_answer_of_v_stands_in_t(tmp_path: Path) -> None:
    towns = ["Bern", "Oslo", "Bern", "Rome", "Lima", "Kiel", "Oslo by the sea", "Graz"]
    rows = [{"prompt": f"Where is {index}?", "answer": town} for index, town in enumerate(towns)]
    facts = read_facts(written(tmp_path, "\n".join(map(json.dumps, rows))))
    for seed in range(10):
        split = split_by_subject(facts, seed=seed)
        shown = " ".join(f"{p.prompt} {p.answer}" for fact in split.train for p in fact.probes).lower()
        assert not [p.answer for fact in split.score for p in fact.probes if p.answer.lower() in shown]
