"""``expunge audit`` says its cost first, shows what it found, then judges: exit codes 2, 3 and 4."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from expunge import api
from expunge.api.auditing import Audited
from expunge.cli.app import build
from expunge.core.errors import InconclusiveError, InputError, ThresholdError
from expunge.study.estimate import Plan

IV = {"value": 0.5, "low": 0.4, "high": 0.6}
METHOD: dict[str, Any] = {
    "label": "theirs", "verdict": "suppressed", "usability": "usable", "reasons": [], "before": IV, "after": IV,
    "e_star": IV, "utility_before": 1.0, "attacks": [{"attack": "relearn/qa", "after": IV, "e_star": IV}],
}  # fmt: skip
WORLD: dict[str, Any] = {
    "label": "forget", "original": IV, "control": {"before": IV, "after": IV}, "methods": [METHOD], "null": {},
    "seeds": [0], "num_v_subjects": 40,
}  # fmt: skip


def answered(monkeypatch: pytest.MonkeyPatch, unmet: Any = None, **failed: str) -> list[dict[str, Any]]:
    """A stand-in for the verb that notes how it was called."""
    calls: list[dict[str, Any]] = []

    def audit(*names: Any, announce: Any, **options: Any) -> Audited:
        calls.append({"names": names, **options})
        announce(Plan((), 0))
        return Audited(Path("s"), failed, "suppressed", {"worlds": [WORLD]}, Path("s/report.html"), unmet)

    monkeypatch.setattr(api, "audit", audit)
    return calls


@pytest.mark.parametrize(("error", "code"), [(ThresholdError, 3), (InconclusiveError, 4)])
def test_a_requirement_decides_the_exit_code(error: Any, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = answered(monkeypatch, error("it falls short."))
    words = ["audit", "theirs", "--forget", "f.jsonl", "--require", "excess<=0.10", "--control", "a", "--control", "b"]
    result = CliRunner().invoke(build(), words)
    assert result.exit_code == code and result.stderr == "expunge: it falls short.\n"
    assert calls[0]["require"] == ["excess<=0.10"] and calls[0]["control"] == ["a", "b"]
    assert calls[0]["suite"] == "standard" and calls[0]["placebo"] is None
    CliRunner().invoke(build(), ["audit", "theirs", "--forget", "f.jsonl", "--placebo", "5"])
    assert calls[1]["placebo"] == 5
    CliRunner().invoke(build(), ["audit", "theirs", "--forget", "f.jsonl", "--nproc", "2"])
    assert [call["nproc"] for call in calls] == [None, None, 2]


def test_the_cost_comes_first_and_the_findings_before_the_judgement(monkeypatch: pytest.MonkeyPatch) -> None:
    answered(monkeypatch, ThresholdError("short."))
    shown = CliRunner().invoke(build(), ["audit", "theirs", "--forget", "f.jsonl"]).stdout
    places = [shown.index(text) for text in ("cells are done", "suppressed", "relearn/qa", "report: s/report.html")]
    assert places == sorted(places)


def test_an_unfinished_audit_is_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    answered(monkeypatch, None, **{"attack-1": "memory ran out."})
    result = CliRunner().invoke(build(), ["audit", "theirs", "--forget", "f.jsonl"])
    assert result.exit_code == 1 and "attack-1: memory ran out." in result.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["theirs"], "name the file with --forget"),
        (["theirs", "--forget", "FILE", "--suite", "quik"], "unknown suite 'quik'"),
        (["theirs", "--forget", "FILE", "--require", "excess<0.1"], "cannot read the requirement"),
        (["theirs", "--forget", "FILE", *(["--control", "c"] * 3)], "3 controls"),
        (["theirs", "--forget", "FILE", "--placebo", "5"], "without the original only absolute recovery is told"),
        (["theirs", "--forget", "FILE", "--original", "o", "--placebo", "5"], "does not name its subject 'forget-1'"),
    ],
)
def test_bad_input_is_exit_code_2(words: list[str], told: str, tmp_path: Path) -> None:
    (tmp_path / "f.jsonl").write_text('{"prompt": "Where?", "answer": "There"}\n')
    real = [str(tmp_path / "f.jsonl") if word == "FILE" else word for word in words]
    result = CliRunner().invoke(build(), ["audit", *real, "-o", str(tmp_path / "out")])
    assert result.exit_code == InputError.exit_code and told in result.stderr
    assert not (tmp_path / "out").exists()
