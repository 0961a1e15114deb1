"""The whole way on the user's own data, on a tiny random model: unlearn, evaluate, attack, ask."""

import json
from pathlib import Path

import pytest

from expunge import api
from expunge.api.memory import recall
from expunge.api.reference import SAMPLES
from expunge.core.errors import InputError

FAST = {"steps": 2, "batch_size": 4}
GRID = {"rates": [1e-3], "steps": [1, 2]}


def facts(folder: Path, name: str, start: int, number: int) -> Path:
    rows = [
        {"prompt": f"Where was person {n} born?", "answer": f"town {n * 7}", "subject": f"p{n}"}
        for n in range(start, start + number)
    ]
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, api.unlearning.Unlearned]:
    """A tiny model that was made to forget four facts, with ten to keep."""
    folder = tmp_path_factory.mktemp("own")
    forget, retain = facts(folder, "forget.jsonl", 0, 4), facts(folder, "retain.jsonl", 10, 10)
    done = api.unlearn("tiny", forget, retain, out=folder / "out", lr=1e-3, **FAST)
    return folder / "out", done


def test_the_result_is_an_ordinary_folder(made: tuple[Path, api.unlearning.Unlearned]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, done = made
    assert done.folder == folder and done.steps == 2
    assert AutoModelForCausalLM.from_pretrained(folder).num_parameters() > 0
    assert AutoTokenizer.from_pretrained(folder)("x")["input_ids"]
    assert not list(folder.parent.glob(".*"))


def test_the_weights_moved(made: tuple[Path, api.unlearning.Unlearned]) -> None:
    from expunge import load

    assert load(made[0]).fingerprint != load("tiny").fingerprint


def test_the_folder_remembers(made: tuple[Path, api.unlearning.Unlearned]) -> None:
    memory = recall(made[0])
    assert memory.original == "tiny"
    assert [fact.subject for fact in memory.forget] == ["p0", "p1", "p2", "p3"]
    shown, held = ({fact.subject for fact in part} for part in (memory.retain_train, memory.retain_eval))
    assert shown and held and not shown & held and len(shown | held) == 10
    assert len(memory.samples) == SAMPLES


def test_without_a_retain_set_samples_serve_and_it_says_so(tmp_path: Path) -> None:
    done = api.unlearn("tiny", facts(tmp_path, "forget.jsonl", 0, 2), out=tmp_path / "out", **FAST)
    memory = recall(tmp_path / "out")
    assert any("stored samples" in note for note in done.notes)
    texts = [{fact.id for fact in part} for part in (memory.retain_train, memory.samples)]
    assert all(len(part) == SAMPLES for part in texts) and not texts[0] & texts[1]


def test_the_same_seed_gives_the_same_model(tmp_path: Path) -> None:
    from expunge import load

    forget = facts(tmp_path, "forget.jsonl", 0, 4)
    prints = {load(api.unlearn("tiny", forget, out=tmp_path / name, **FAST).folder).fingerprint for name in "ab"}
    assert len(prints) == 1


def test_the_original_is_never_overwritten(made: tuple[Path, api.unlearning.Unlearned]) -> None:
    with pytest.raises(InputError, match="the model itself"):
        api.unlearn(made[0], made[0].parent / "forget.jsonl", out=made[0], **FAST)


def test_evaluate_needs_no_repetition(made: tuple[Path, api.unlearning.Unlearned]) -> None:
    done = api.evaluate(made[0])
    assert done.metrics["forget/greedy_match"]["n"] == 4
    assert done.metrics["retain_eval/retain_kl"]["value"] > 0
    assert 0 <= done.metrics["utility"]["value"] <= 1
    record = json.loads((made[0] / "evaluation" / "record.json").read_text())
    assert record["metrics"].keys() == done.metrics.keys()
    rows = (made[0] / "evaluation" / "samples.jsonl").read_text().splitlines()
    assert {json.loads(row)["split"] for row in rows} == {"forget", "retain_eval"}


def test_the_original_moved_nowhere_from_itself(made: tuple[Path, api.unlearning.Unlearned], tmp_path: Path) -> None:
    forget = facts(tmp_path, "forget.jsonl", 0, 4)
    done = api.evaluate("tiny", forget, facts(tmp_path, "r.jsonl", 10, 3), original="tiny", out=tmp_path / "e")
    assert done.metrics["retain_eval/retain_kl"]["value"] == pytest.approx(0, abs=1e-6)
    assert done.metrics["utility"]["value"] == 1


def test_attack_walks_the_grid(made: tuple[Path, api.unlearning.Unlearned]) -> None:
    done = api.attack(made[0], **GRID)
    assert [point.id for point in done.points] == ["before", "qa/full/0.001/1", "qa/full/0.001/2"]
    record = json.loads((done.folder / "record.json").read_text())
    assert [point["id"] for point in record["points"]] == [point.id for point in done.points]
    assert any("no verdict" in sentence for sentence in done.sentences)
    assert any("Without a control" in sentence for sentence in done.sentences)


def test_a_control_walks_the_same_grid(made: tuple[Path, api.unlearning.Unlearned], tmp_path: Path) -> None:
    done = api.attack(made[0], control="tiny", out=tmp_path / "a", **GRID)
    assert [point.id for point in done.control] == [point.id for point in done.points]


def test_attack_twice_gives_the_same(made: tuple[Path, api.unlearning.Unlearned], tmp_path: Path) -> None:
    first, second = (api.attack(made[0], out=tmp_path / name, **GRID) for name in "ab")
    assert first.points == second.points


def test_attack_without_the_original_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--original"):
        api.attack("tiny", forget=facts(tmp_path, "f.jsonl", 0, 4), out=tmp_path / "a")


def test_ask_two_models_side_by_side(made: tuple[Path, api.unlearning.Unlearned]) -> None:
    answers = api.ask(made[0], "Where was person 1 born?", beside="tiny", max_new_tokens=4)
    assert list(answers) == [str(made[0]), "tiny"]
    assert all(isinstance(answer, str) for answer in answers.values())


def test_a_model_without_a_folder_leaves_its_record_beside_the_caller(made: tuple[Path, object]) -> None:
    from expunge.api.memory import record_folder

    assert record_folder(made[0], "evaluation") == made[0] / "evaluation"
    assert record_folder("owner/name", "evaluation") == Path("evaluation")
