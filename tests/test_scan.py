"""The dependency scan reads what pip-audit says, and takes no answer for no finding."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

PATH = Path(__file__).parents[1] / ".ci" / "scan.py"


@pytest.fixture(scope="module")
def scan() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scan", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def said(*rows: dict[str, object]) -> str:
    return json.dumps({"dependencies": rows, "fixes": []})


CLEAN = {"name": "click", "version": "8.5.1", "vulns": []}
BAD = {
    "name": "idna", "version": "1.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["3.7"]}, {"id": "GHSA-2", "fix_versions": []}],
}  # fmt: skip
UNFINDABLE = {"name": "torch", "skip_reason": "Dependency not found on PyPI"}


def test_a_vulnerable_pin_is_named_with_what_mends_it(scan: ModuleType) -> None:
    assert scan.read(said(CLEAN, BAD)) == ["idna 1.0: PYSEC-1, GHSA-2; mended in 3.7."]
    assert scan.read(said(CLEAN, UNFINDABLE)) == []


@pytest.mark.parametrize("answer", ["", "Traceback (most recent call last):", "[]", said(), said(UNFINDABLE)])
def test_no_answer_is_no_finding_and_is_told_apart(answer: str, scan: ModuleType) -> None:
    assert scan.read(answer) is None


def test_a_scan_that_was_not_made_is_said_loudly(
    scan: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scan.venv, "create", lambda *_, **__: None)
    for answers, why in (([None], "cannot be installed"), (["", None], "cannot be reached")):
        replies = iter(answers)
        monkeypatch.setattr(scan, "_done", lambda *_, replies=replies, **__: next(replies))
        assert scan.main("pins.txt") == 0
        assert f"DEPENDENCY SCAN SKIPPED: {scan.TOOL if 'installed' in why else ''}" in (err := capsys.readouterr().err)
        assert why in err
    replies = iter(["", said(BAD)])
    monkeypatch.setattr(scan, "_done", lambda *_, **__: next(replies))
    assert scan.main("pins.txt") == 1 and "1 vulnerable pins" in capsys.readouterr().out
