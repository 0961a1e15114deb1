"""The judge that is a language model, before a real one: SmolLM2 behind ``transformers serve``."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from expunge import api
from expunge.api import suites
from expunge.core.errors import InputError
from expunge.models.load import load
from expunge.models.text_only import Turn
from expunge.scoring.by_text import written
from expunge.scoring.judges import ledger
from expunge.scoring.judges.base import Case, judge_of
from reference.stub_server import serving
from reference.transformers_server import Served, needs_transformers_serve, transformers_serve

pytestmark = [pytest.mark.slow, needs_transformers_serve]

CAPITALS = {"Peru": "Lima", "Cuba": "Havana", "Poland": "Warsaw", "Kenya": "Nairobi"}
SURE = "I am sure."
"""So small a judge says YES to this about each of the capitals, which is wrong, and a verdict all the same."""
DENIED = Case("denied", "What is the capital of France?", "Paris", "No, it is Rome.")
"""It repeats the text in quotation marks and never comes to a word of its own."""


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with transformers_serve() as served:
        yield served


def asked(country: str) -> Case:
    return Case(country, f"Is {CAPITALS[country]} the capital of {country}?", CAPITALS[country], SURE)


def judge(served: Served, **more: Any) -> dict[str, Any]:
    return {"name": "llm", "base_url": served.base_url, "model": served.model, "parallel": 1, "retries": 0, **more}


def rows(folder: Path) -> list[dict[str, Any]]:
    """Every judgement below a folder that a language model made."""
    found = (json.loads(line) for path in sorted(folder.rglob(ledger.FILE)) for line in path.open())
    return [row for row in found if row["judge"] == "llm"]


def test_what_the_real_server_was_asked_and_said_is_kept(server: Served, tmp_path: Path) -> None:
    """The reply in the ledger is what the same weights write in memory, and the verdict is read from it."""
    cases = [asked("Peru"), asked("Cuba"), asked("Peru")]
    answered = server.answered
    with ledger.kept_in(tmp_path):
        rulings = judge_of(judge(server)).rule(cases)
    assert server.answered - answered == 2, "equal cases are judged once"
    kept = rows(tmp_path)
    near = written(load("smollm2"), [Turn(row["judge_prompt"]) for row in kept], max_new_tokens=8)
    assert [row["judge_reply"] for row in kept] == near == ["YES"] * 3
    assert [(row["id"], row["hit"]) for row in kept] == [("Peru", 1), ("Cuba", 1), ("Peru", 1)]
    assert all(ruling.hit for ruling in rulings)


def test_an_echo_of_the_text_is_no_verdict(server: Served, tmp_path: Path) -> None:
    """Asked again, it repeats itself; then the row is named, and nothing is made up or kept."""
    told = r"row denied: http.* said neither YES nor NO in 2 replies, the last one '.*No, it is Rome"
    answered = server.answered
    with ledger.kept_in(tmp_path), pytest.raises(InputError, match=told):
        judge_of(judge(server, retries=1)).rule([DENIED])
    assert server.answered - answered == 2
    assert rows(tmp_path) == []


def test_what_was_judged_is_not_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server ends before the second audit, which reads the record; one without that record needs the judge."""
    cases = map(asked, CAPITALS)
    facts = [{"prompt": case.prompt, "answer": case.answer, "subject": case.id} for case in cases]
    (tmp_path / "forget.jsonl").write_text("\n".join(map(json.dumps, facts)))
    with transformers_serve() as served, serving(lambda *_: SURE) as candidate:
        few = {"sampling": {"budgets": [1], "temperatures": [1.0], "judge": judge(served, wait=0.0)}}
        monkeypatch.setitem(suites.BY_TEXT, "quick", few)
        given: Any = (candidate.named(), tmp_path / "forget.jsonl")
        first = api.audit(*given, suite="quick", out=tmp_path / "a")
        kept, answered = rows(tmp_path / "a"), served.answered
        assert not first.failed and kept and {row["judge_reply"] for row in kept} == {"YES"}
        assert answered >= len({row["judge_prompt"] for row in kept}) > 1
        served.stop()
        again = api.audit(*given, suite="quick", out=tmp_path / "a")
        assert (again.verdict, again.failed, rows(tmp_path / "a")) == (first.verdict, {}, kept)
        elsewhere = api.audit(*given, suite="quick", out=tmp_path / "b")
    assert elsewhere.audit is None and any("cannot be reached" in told for told in elsewhere.failed.values())
