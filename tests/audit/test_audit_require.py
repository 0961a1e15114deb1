"""--require: far ends decide, a shortfall outranks missing evidence, and what cannot be read is refused."""

from typing import Any

import pytest

from expunge.audit.require import Requirement, unmet
from expunge.core.errors import ExpungeError, InconclusiveError, InputError, ThresholdError


def audit(**changes: Any) -> dict[str, Any]:
    level = {"value": 0.05, "low": 0.0, "high": 0.2}
    method = {"label": "NPO", "verdict": "suppressed", "utility_before": 0.95, "before": level, "after": level}
    return {"worlds": [{"label": "people", "methods": [{**method, "e_star": level, **changes}]}]}


def demand(found: dict[str, Any], *texts: str) -> ExpungeError | None:
    return unmet(found, [Requirement.parse(text) for text in texts])


@pytest.mark.parametrize("text", ["suppressed", "utility>=0.9", "excess<=0.2", "after <= 0.25", "before>=0.0"])
def test_what_is_met_passes(text: str) -> None:
    assert demand(audit(), text) is None


@pytest.mark.parametrize(
    ("text", "changes", "error", "code"),
    [
        ("forgotten", {}, ThresholdError, 3),
        ("utility>=0.96", {}, ThresholdError, 3),
        ("excess<=0.1", {}, ThresholdError, 3),  # the value is below, its upper end is not
        ("before>=0.04", {}, ThresholdError, 3),  # the value is above, its lower end is not
        ("forgotten", {"verdict": "inconclusive"}, InconclusiveError, 4),
        ("excess<=0.1", {"e_star": None}, InconclusiveError, 4),
        ("utility>=0.5", {"utility_before": None}, InconclusiveError, 4),
    ],
)
def test_what_is_not_met_says_so(text: str, changes: dict[str, Any], error: type[ExpungeError], code: int) -> None:
    found = demand(audit(**changes), text)
    assert type(found) is error and found.exit_code == code
    assert str(found).startswith("people, NPO: ")


def test_a_shortfall_outranks_what_is_unknown() -> None:
    assert isinstance(demand(audit(e_star=None), "excess<=0.1", "utility>=0.99"), ThresholdError)


@pytest.mark.parametrize("text", ["forgoten", "speed<=1", "utility=0.9", "utility>=high"])
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="cannot read the requirement"):
        Requirement.parse(text)
