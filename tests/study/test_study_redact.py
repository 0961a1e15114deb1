"""A redacted study holds no text of its facts, counts as before, and goes on from where it was."""

import json
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from expunge.api import verify
from expunge.core.errors import InputError
from expunge.report.write import build
from expunge.study import redact
from expunge.study.facts_io import read
from expunge.study.run import run
from reference.tiny_study import RECIPE, cell, copied, finished


@pytest.fixture(scope="module")
def texts() -> set[str]:
    """Every prompt, answer and subject of the study's facts, and what models said and stored."""
    knowledge = read(cell(finished(), "knowledge")).knowledge
    facts = [*knowledge.forget, *knowledge.retain_train, *knowledge.retain_eval, *knowledge.streams["same_kind"]]
    found = {text for fact in facts for p in fact.probes for text in (p.prompt, p.answer)}
    found |= {fact.subject for fact in facts} | {fact.id for fact in facts}
    for path in finished().glob("cells/*/samples.jsonl"):
        found |= {json.loads(row).get("generated") or "" for row in path.read_text().split("\n") if row}
    return {json.dumps(text, ensure_ascii=False)[1:-1] for text in found if len(text) > 5}


@pytest.fixture(scope="module")
def redacted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study, redacted after it was done."""
    study = copied(tmp_path_factory.mktemp("redacted") / "run")
    assert run(RECIPE, out=study, redact=True).done == 0
    build(study)
    return study


def leaks(study: Path, texts: set[str]) -> list[tuple[str, str]]:
    """File and text, wherever a text is found outside the models."""
    files = [path for path in study.rglob("*") if path.is_file() and "model" not in path.parts]
    return [(str(path), text) for path in files for content in [path.read_text()] for text in texts if text in content]


def numbers(study: Path) -> Any:
    """The audit without its texts: the facts that are shown, and the attributes that groups are named by."""
    worlds = json.loads((study / "audit.json").read_text())["worlds"]
    for group in (group for world in worlds for method in world["methods"] for group in method.get("groups", ())):
        group.pop("attribute")
    return [{key: value for key, value in world.items() if key != "to_forget"} for world in worlds]


def test_there_was_something_to_redact(texts: set[str]) -> None:
    assert len(texts) > 20 and len({path for path, _ in leaks(finished(), texts)}) > 5


def test_no_text_is_left_and_the_numbers_are(redacted: Path, texts: set[str]) -> None:
    assert leaks(redacted, texts) == [] and numbers(redacted) == numbers(finished())
    assert "redacted:" in (redacted / "report.html").read_text()
    old, new = (
        [json.loads(row) for row in (cell(study, "evaluate", "npo") / "samples.jsonl").read_text().splitlines()]
        for study in (finished(), redacted)
    )
    assert [(row["hit"], row["probability"]) for row in old] == [(row["hit"], row["probability"]) for row in new]
    pairs = {(before["subject"], after["subject"]) for before, after in zip(old, new, strict=True)}
    assert len(pairs) == len({before for before, _ in pairs}) == len({after for _, after in pairs}) > 1


def test_the_key_is_private_and_of_one_study(redacted: Path, tmp_path: Path) -> None:
    assert stat.S_IMODE((redacted / ".salt").stat().st_mode) == 0o600
    redact.begin(tmp_path)
    first, second = redact.of(redacted), redact.of(tmp_path)
    assert first and second and first.text("Ann") != second.text("Ann") and first.text("Ann") == first.text("Ann")
    assert first.text(first.text("Ann")) == first.text("Ann") and first.text("") == ""
    redact.begin(tmp_path)
    assert redact.of(tmp_path) == second
    for damage in ("zz", "", "00"):
        (tmp_path / ".salt").write_text(damage)
        with pytest.raises(InputError, match="damaged"):
            redact.of(tmp_path)


def test_it_verifies_as_far_as_can_be(redacted: Path) -> None:
    found = verify(redacted)
    assert found.problems == []
    assert {check.cell.partition("-")[0] for check in found.checks if "not checkable: redacted" in check.notes} == {
        "attack",
        "evaluate",
    }


def test_a_further_method_runs_on_the_facts_and_leaves_no_text(redacted: Path, texts: set[str], tmp_path: Path) -> None:
    study, more = tmp_path / "run", {**RECIPE, "methods": ["npo", "simnpo"]}
    shutil.copytree(redacted, study)
    for name in ("report.html", "report.md"):
        (study / name).unlink()
    again = run(more, out=study)
    assert again.exit_code == 0 and leaks(study, texts) == []
    plain = tmp_path / "plain"
    shutil.copytree(finished(), plain)
    assert run(more, out=plain).exit_code == 0 and numbers(study) == numbers(plain)
    assert run(more, out=study).done == 0, "what is redacted is not drawn anew for nothing"


def test_a_study_redacted_from_the_start_never_writes_samples_in_the_clear(tmp_path: Path, texts: set[str]) -> None:
    seen: list[tuple[str, str]] = []

    def look(event: str, done: Any, sentence: str) -> None:
        files = [tmp_path / "run" / "cells" / done.folder / name for name in ("samples.jsonl", "audit.json")]
        content = "".join(path.read_text() for path in files if event == "done" and path.exists())
        seen.extend((done.folder, text) for text in texts if text in content)

    assert run(RECIPE, out=tmp_path / "run", redact=True, notify=look).exit_code == 0
    assert seen == [] and leaks(tmp_path / "run", texts) == [] and numbers(tmp_path / "run") == numbers(finished())


def test_a_failure_is_recorded_without_its_words() -> None:
    record = {"status": "failed", "error": "ValueError: Ann Smith", "traceback": "Ann", "points": [{"id": "before"}]}
    found = redact.Redactor(b"key").record({**record, "leaks": [{"text": "Ann", "subjects": ["Ann"]}]})
    assert "Ann" not in json.dumps(found) and found["points"] == [{"id": "before"}]
