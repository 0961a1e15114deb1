"""The audit of somebody else's checkpoint, on tiny models that were taught, made to hide, or never taught."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from expunge import api, registry
from expunge.api import suites
from expunge.api.auditing import HIDER, Audited
from expunge.attacks.quantise import Quantise
from expunge.core.errors import InconclusiveError, InputError, ThresholdError
from expunge.core.files import read_json
from reference.audit_models import FORGET, SMALL, make

pytestmark = pytest.mark.usefixtures("small_suite")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Models and files of facts by name."""
    return make(tmp_path_factory.mktemp("models"))


def audited(models: Mapping[str, Path], candidate: str, out: Path, *roles: str, **more: Any) -> Audited:
    """A quick audit; ``roles`` are given to the models of that name."""
    given: dict[str, Any] = {role: models[role] for role in roles} | more
    return api.audit(
        models[candidate], models["forget"], models["retain"], suite="quick", out=out, changes=SMALL, **given
    )


@pytest.fixture(scope="module")
def hider(models: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Audited:
    """The audit of the model that hides, with original and control."""
    folder = tmp_path_factory.mktemp("audit") / "hider"
    return audited(models, "hider", folder, "original", "control", require=["excess<=0.10"])


def world(done: Audited) -> Mapping[str, Any]:
    """The only world of the audit."""
    assert not done.failed and done.audit is not None
    (found,) = done.audit["worlds"]
    return dict(found)


def method(done: Audited) -> Mapping[str, Any]:
    """The candidate's row."""
    (found,) = world(done)["methods"]
    return dict(found)


def test_what_is_hidden_comes_back(hider: Audited) -> None:
    row = method(hider)
    assert row["label"] == "hider" and world(hider)["control"]["kind"] == "never-trained"
    assert row["before"]["value"] <= 0.5 < row["e_star"]["value"]
    assert hider.verdict == row["verdict"] == "suppressed"


@pytest.mark.slow
def test_two_processes_a_cell_say_the_same(hider: Audited, models: Mapping[str, Path], tmp_path: Path) -> None:
    roles = {role: models[role] for role in ("original", "control")}
    done = api.audit(
        models["hider"], models["forget"], models["retain"], suite="quick", out=tmp_path / "two",
        changes=SMALL, nproc=2, **roles,
    )  # fmt: skip
    one, two = method(hider), method(done)
    assert two["verdict"] == one["verdict"] and two["winning_attack"]["attack"] == one["winning_attack"]["attack"]
    assert two["e_star"]["value"] == pytest.approx(one["e_star"]["value"], abs=0.1)
    shared = [read_json(path) for path in (tmp_path / "two" / "cells").glob("*/record.json")]
    assert {record["kind"] for record in shared if record.get("processes") == 2} >= {"attack", "evaluate"}


def test_the_table_says_which_attack_did_it(hider: Audited) -> None:
    row = method(hider)
    assert [entry["attack"] for entry in row["attacks"]] == ["relearn/qa", "quantise"]
    assert row["winning_attack"]["attack"] == "relearn/qa" and row["winning_attack"]["lead"] > 0.3
    assert hider.report is not None
    for page in (hider.report, hider.report.with_suffix(".md")):
        text = page.read_text()
        assert "The attack relearn/qa brought back most" in text and "quantise" in text


def test_recovered_facts_are_quoted(hider: Audited) -> None:
    """Each is a V fact with its true answer, said at the worst point."""
    row = method(hider)
    truth = {fact.probes[0].prompt: fact.probes[0].answer for fact in FORGET}
    assert row["recovered"]
    assert all(truth[entry["question"]] == entry["answer"] for entry in row["recovered"])
    assert {entry["point"] for entry in row["recovered"]} == set(row["worst_points"])


def test_a_shortfall_is_exit_code_3(hider: Audited) -> None:
    assert isinstance(hider.unmet, ThresholdError) and hider.unmet.exit_code == 3


def test_the_same_call_again_computes_nothing(models: Mapping[str, Path], hider: Audited) -> None:
    events: list[str] = []
    again = audited(models, "hider", hider.folder, "original", "control", notify=lambda event, *_: events.append(event))
    assert events == [] and again.audit == hider.audit


def test_a_replaced_candidate_is_audited_anew(models: Mapping[str, Path], hider: Audited, tmp_path: Path) -> None:
    """Same path, other weights: nothing found about the first may be said of the second."""
    place = tmp_path / "candidate"
    shutil.copytree(models["hider"], place)
    first = audited({**models, "candidate": place}, "candidate", tmp_path / "a", "original", "control")
    shutil.copyfile(models["never"] / "model.safetensors", place / "model.safetensors")
    os.utime(place / "model.safetensors", ns=(1, 1))
    second = audited({**models, "candidate": place}, "candidate", tmp_path / "a", "original", "control")
    assert method(first)["e_star"]["value"] == method(hider)["e_star"]["value"] > 0.5
    assert method(second)["e_star"]["value"] < 0.1


def test_a_model_that_never_knew_is_not_accused(models: Mapping[str, Path], tmp_path: Path) -> None:
    done = audited(models, "never", tmp_path / "a", "original", "control", require=["forgotten"])
    row = method(done)
    assert row["e_star"]["value"] <= 0.1 and row["e_star"]["low"] <= 0
    assert row["verdict"] == "inconclusive", "eight subjects and no known hider are too little to acquit"
    assert isinstance(done.unmet, InconclusiveError) and done.unmet.exit_code == 4


def test_without_the_original_only_absolute_recovery(models: Mapping[str, Path], tmp_path: Path) -> None:
    """What the recipe asks for by name is measured all the same, but for what compares with the original."""
    files = (models["never"], models["forget"], models["retain"])
    asked = (*SMALL, "eval.costly=[rouge_l_recall,cka_original]")
    done = api.audit(*files, suite="quick", out=tmp_path / "a", changes=asked)
    row = method(done)
    assert "rouge_l_recall" in row["forget_metrics"] and "cka_original" not in row["forget_metrics"]
    assert (row["e0"], row["e_star"], row["utility_before"]) == (None, None, None)
    assert row["after"]["value"] <= 0.2 and row["verdict"] == "inconclusive" and row["usability"] == "unmeasured"
    assert "without the original" in " ".join(row["reasons"]) and world(done)["original"] is None
    assert "utility" not in row["forget_metrics"]


def test_an_original_that_hardly_knows_gives_no_excess(models: Mapping[str, Path], tmp_path: Path) -> None:
    row = method(audited(models, "hider", tmp_path / "a", "control", original=models["never"]))
    assert row["e_star"] is None and "hardly knows" in " ".join(row["reasons"])


def test_a_control_that_knows_is_refused(models: Mapping[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"control .* knows the forget set: .* answers 100% of V, the original 100%"):
        audited(models, "hider", tmp_path / "a", "original", control=models["original"])


def test_without_an_original_chance_gives_the_control_away(models: Mapping[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"0% where the answers are exchanged .* \(p = 0\.0"):
        audited(models, "hider", tmp_path / "a", control=models["original"])


def test_another_tokenizer_is_refused(models: Mapping[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="another tokenizer"):
        audited(models, "foreign", tmp_path / "a", "original", "control")


def test_a_second_control_is_the_null_row(models: Mapping[str, Path], tmp_path: Path) -> None:
    events: list[str] = []
    found: list[str] = []
    done = audited(
        models, "hider", tmp_path / "a", "original", control=[models["control"], models["never"]],
        announce=lambda plan: found.append(plan.summary()), notify=lambda event, *_: events.append(event),
    )  # fmt: skip
    assert world(done)["null"]["valid"] is True
    assert "0 of" in found[0] and "tokens" in found[0], "the cost is said first"


@pytest.mark.parametrize("name", suites.SUITES)
def test_suites_are_built_from_registered_attacks(name: str) -> None:
    """Every grid is accepted, relearning comes first, and each registered attack is either run or accounted for."""
    whole = suites.chosen(name, FORGET)
    for attack in whole.attacks:
        registry.build("attack", attack["name"], **{k: v for k, v in attack.items() if k not in ("name", "extend")})
    assert whole.attacks[0]["name"] == "relearn"
    assert len(whole.attacks) + len(whole.left_out) == len(registry.entries("attack"))
    run = {attack["name"] for attack in whole.attacks}
    holding = [entry.name for entry in registry.entries("attack") if "original" in entry.factory.needs]
    assert holding and not run & set(holding), "who holds the original need not ask the candidate"
    said = [line for line in whole.left_out if "holds the original" in line or "not in this suite" in line]
    assert all(any(f"the attack {item}:" in line for line in said) for item in holding)


def test_an_attack_that_cannot_run_here_is_left_out_aloud(
    models: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise InputError("there is nothing to round here.")

    monkeypatch.setattr(Quantise, "run", refuse)
    done = audited(models, "never", tmp_path / "a", "original", "control")
    assert [row["attack"] for row in method(done)["attacks"]] == ["relearn/qa"]
    assert "the attack quantise, which failed: there is nothing to round here." in world(done)["not_tested"]


def test_a_known_hider_belongs_to_every_suite_but_the_quick_one(models: Mapping[str, Path]) -> None:
    from expunge.api.auditing import _prepared

    given = (models["hider"], models["forget"], models["retain"], models["original"], None)
    hiders = {name: _prepared(*given, name, None, 0)[0]["audit"]["hider"] for name in suites.SUITES}
    assert hiders == {"quick": None, "standard": HIDER, "full": HIDER}
