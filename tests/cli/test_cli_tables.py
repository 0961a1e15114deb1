"""Tables show what the record holds, and nothing a model wrote can style the terminal."""

from typing import Any

import pytest

from expunge.cli import tables


def iv(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1}


def world(**changes: Any) -> dict[str, Any]:
    method = {
        "label": "npo", "verdict": "suppressed", "usability": "usable", "reasons": ["too [red]few[/red] subjects"],
        "before": iv(0.11), "after": iv(0.72), "e0": iv(0.1), "e_star": iv(0.63), "utility_before": 0.97,
        "utility_after": 0.9,
    }  # fmt: skip
    return {
        "label": "people", "original": iv(0.9),
        "control": {"before": iv(0.2), "after": iv(0.3), "kind": "never-trained"},
        "null": {"e_star": None, "valid": None, "reason": None}, "methods": [method], "seeds": [0], "num_v_subjects": 6,
        **changes,
    }  # fmt: skip


def test_verdicts_show_recovery_verdict_and_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    tables.verdicts({"worlds": [world()]})
    said = capsys.readouterr().out
    for part in ("people", "npo", "suppressed (usable)", "0.63 [0.53, 0.73]", "0.72", "0.97", "6 subjects"):
        assert part in said
    assert "too [red]few[/red] subjects" in said


def test_a_shared_reason_is_said_once_and_a_small_study_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    small = world()
    small["methods"] = [{**small["methods"][0], "label": label, "reasons": ["T was not learned"]} for label in "ab"]
    tables.verdicts({"worlds": [small]})
    said = capsys.readouterr().out
    assert said.count("T was not learned") == 1 and "a, b: T was not learned" in said
    assert "too small for the verdict 'forgotten'" in said
    tables.verdicts({"worlds": [world(num_v_subjects=40)]})
    assert "too small" not in capsys.readouterr().out


def test_a_null_row_that_failed_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    tables.verdicts({"worlds": [world(null={"e_star": iv(0.5), "valid": False, "reason": "does not contain 0"})]})
    assert "null row: does not contain 0" in capsys.readouterr().out


def test_a_world_without_control_or_recovery(capsys: pytest.CaptureFixture[str]) -> None:
    bare = world()
    bare["methods"][0] |= {"e_star": None, "utility_before": None}
    tables.verdicts({"worlds": [bare]})
    assert "npo" in capsys.readouterr().out


def test_answers_stand_side_by_side_and_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    tables.answers("Who?", {"out": "[bold]x[/bold]", "original": "Port Vell"})
    said = capsys.readouterr().out
    assert "[bold]x[/bold]" in said and "Port Vell" in said and "out" in said


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), ({"value": None, "reason": "x"}, "-"), (iv(0.5), "0.50 [0.40, 0.60]"), ({"value": 0.5}, "0.50")],
)
def test_interval(value: dict[str, float] | None, shown: str) -> None:
    assert tables.interval(value) == shown
