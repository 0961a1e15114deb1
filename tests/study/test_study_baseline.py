"""Which method every other is put beside: the named one, at the same budget, after the same request."""

from pathlib import Path
from typing import Any

import pytest

from expunge.core.errors import InputError
from expunge.study.execute import Job
from expunge.study.kinds.audit import _baselines
from expunge.study.plan import study_of
from expunge.study.recipe import resolve
from expunge.study.released import baseline_of
from expunge.study.tuning.trials import study_of_trials

RAW: dict[str, Any] = {
    "name": "beside", "model": "tiny",
    "knowledge": {"name": "people", "num_forget": 4, "num_retain_train": 3, "num_retain_eval": 2, "num_placebo": 2},
    "methods": ["npo", "npo+sam", {"name": "npo", "label": "shallow", "train": {"max_kl": None}}],
    "attacks": [{"name": "relearn", "sources": ["qa"], "rates": [1e-3], "steps": [1]}],
}  # fmt: skip


def pairs(named: str | None, labels: list[str], own: dict[str, str] | None = None) -> dict[str, str]:
    """What the audit is told, of a world with these methods."""
    job = Job({} if named is None else {"baseline": named}, {}, Path(), Path())
    return dict(_baselines(job, {"sequence": {"methods": own}} if own else {}, labels))


def test_it_is_taken_at_the_same_budget() -> None:
    labels = ["NPO | KL 0.01", "SAM | KL 0.01", "NPO | KL 0.1", "SAM | KL 0.1", "shallow"]
    assert pairs("NPO", labels) == {labels[1]: labels[0], labels[3]: labels[2]}
    assert pairs("NPO | KL 0.1", labels) == {label: "NPO | KL 0.1" for label in labels if label != "NPO | KL 0.1"}
    assert pairs("NPO", ["NPO", "SAM", "shallow"]) == {"SAM": "NPO", "shallow": "NPO"}
    assert pairs(None, labels) == {}
    assert baseline_of("SAM | KL 1", "NPO", labels) is None


def test_after_a_request_it_is_the_baselines_own_model_after_it() -> None:
    own = {"NPO, 1 of 2": "NPO", "SAM, 1 of 2": "SAM"}
    assert pairs("NPO", list(own), own) == {"SAM, 1 of 2": "NPO, 1 of 2"}


def test_a_recipe_names_it_and_one_that_is_nobody_is_refused() -> None:
    plain, named = resolve(RAW), resolve({**RAW, "audit": {"baseline": "npo"}, "budgets": [0.1]})
    assert study_of(named).audit.config["baseline"] == "npo"
    assert "baseline" not in study_of(plain).audit.config, "the audits of older studies stay what they were"
    with pytest.raises(InputError, match=r"audit\.baseline is 'simnpo', which is no method here"):
        resolve({**RAW, "audit": {"baseline": "simnpo"}})
    with pytest.raises(InputError, match="no method here"):
        resolve({**RAW, "audit": {"baseline": "npo | KL 0.2"}, "budgets": [0.1]})


def test_trials_are_chosen_without_it() -> None:
    tune = {"attacks": [{"name": "relearn", "sources": ["prose"], "rates": [1e-3], "steps": [1]}]}
    tune |= {"space": {"train.lr": [1e-5, 1e-3]}, "trials": 2}  # type: ignore[dict-item]
    recipe = resolve({**RAW, "audit": {"baseline": "npo", "hider": "shallow"}, "tune": tune})
    assert study_of_trials(recipe).audit.baseline is None
