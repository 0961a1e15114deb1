"""Evaluate cells where a recipe asks for membership attacks, a judge and calibration; and ``expunge evaluate``."""

import json
from pathlib import Path
from typing import Any

import pytest

from expunge import api, registry
from expunge.core.errors import InputError
from expunge.metrics.judged import Judged
from expunge.metrics.membership_attacks import ATTACKS
from expunge.study.kinds import audit, evaluate
from expunge.study.plan import study_of
from expunge.study.recipe import load, resolve
from expunge.study.yaml import dump, parse
from reference import membership_readout as twins
from reference.tiny_study import RECIPE, cell

ASKED = {"costly": ["mia_*", "calibration_error", "brier_score"], "judge": {"name": "rouge", "threshold": 0.4}}
WORLD = {**RECIPE["knowledge"], "num_placebo": 6}


def asking(**more: Any) -> dict[str, Any]:
    return {**RECIPE, "knowledge": WORLD, "placebo": False, "eval": {**RECIPE["eval"], **more}}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study that asks for all of it."""
    done = api.run(asking(**ASKED), out=tmp_path_factory.mktemp("asked") / "run")
    assert not done.failed
    return done.folder


def metrics(folder: Path, label: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((cell(folder, "evaluate", label) / "record.json").read_text())["metrics"]
    return found


def test_every_attack_is_in_the_record_of_every_model_with_its_curve(ran: Path) -> None:
    for label in ("npo", "control", "original, as the others"):
        found = metrics(ran, label)
        for name in ATTACKS:
            assert (found[name]["value"] is None) == bool(found[name].get("reason")), name
            assert ("roc" in found[name]) == name.endswith("_auc") - name.endswith("_relative_auc"), name
        curve = found["mia_loss_auc"]
        assert twins.area([(point[0], point[1]) for point in curve["roc"]]) == pytest.approx(curve["value"])
    same = metrics(ran, "control")
    assert same["mia_loss_relative_auc"]["value"] == 0.0 and same["mia_reference_auc"]["value"] == 0.5
    assert metrics(ran, "original, as the others")["mia_loss_auc"]["value"] > 0.8, "it was taught them"
    assert not set(ATTACKS) & set(metrics(ran, ": original")), "its first cell stays as it was"
    report = (ran / "report.md").read_text()
    assert "mia loss auc" in report and "mia gradnorm tpr1" in report and "original, as the others" not in report


def test_the_judge_rules_on_what_was_written(ran: Path) -> None:
    """Word by word on the record's own texts: the share whose longest common subsequence is 0.4 of the answer."""
    folder = cell(ran, "evaluate", "original, as the others")
    rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    said = [row for row in rows if row["split"] == "forget" and row["generated"] is not None]
    from reference.metrics_twins import rouge_l_recall

    hits = [rouge_l_recall(row["answer"], row["generated"]) >= 0.4 for row in said]
    found = metrics(ran, "original, as the others")["judged"]
    assert found["value"] == pytest.approx(sum(hits) / len(hits)) and found["n"] > 0
    assert "no judge was chosen" in metrics(ran, ": original")["judged"]["reason"]


def test_the_metric_is_built_with_the_judge_and_its_parameters() -> None:
    """On so small a model all judges may agree, so what is built is looked at too."""
    entry = registry.get("metric", "judged")
    assert evaluate._built(entry, {"judge": ASKED["judge"]}) == Judged(judge=ASKED["judge"])
    assert evaluate._built(entry, {}) == Judged() != Judged(judge="containment")


def test_calibration_is_read_from_the_few_facts_that_are_answered(ran: Path) -> None:
    found = metrics(ran, "npo")
    for name in ("calibration_error", "brier_score", "retain_eval.calibration_error"):
        assert 0 <= found[name]["low"] <= found[name]["value"] <= found[name]["high"] <= 1, name


def test_what_is_asked_changes_evaluations_alone_and_the_recipe_reads_back() -> None:
    plain, asked = study_of(load(asking())), study_of(load(asking(**ASKED)))
    old = {cell.folder for cell in plain.cells}
    assert {cell.kind for cell in asked.cells if cell.folder not in old} == {"evaluate", "audit"}
    recipe = resolve(asking(**ASKED))
    assert resolve(parse(dump(recipe.as_dict()), "resolved")) == recipe and len(recipe.eval.costly) == 32
    judged = study_of(load(asking(judge="containment")))
    others = [c for c in judged.cells if c.kind == "evaluate" and c.folder not in old]
    assert others and all("control_model" not in c.inputs for c in others), "a judge reads no control"
    with pytest.raises(InputError, match="did you mean 'rouge'"):
        load(asking(judge={"name": "rogue"}))
    with pytest.raises(InputError, match="no metric matches"):
        load(asking(costly=["mio_*"]))


def test_in_text_alone_the_judge_is_in_the_cell_and_nothing_else_changes() -> None:
    address = "http://127.0.0.1:1/v1?model=m"
    base = {**RECIPE, "methods": [], "knowledge": {**WORLD, "taught": False}, "given": {"candidates": {"m": address}}}
    base |= {"attacks": ["sampling"], "model": "smollm2"}
    folders = []
    for more in ({}, {"judge": "containment"}):
        cells = study_of(load({**base, "eval": {**RECIPE["eval"], **more}})).cells
        folders.append({cell.folder: cell for cell in cells})
        (one,) = [cell for cell in cells if cell.kind == "evaluate_text"]
        assert set(one.config) == {"original", "eval", "seed", *more}
        assert set(one.config["eval"]) == {"samples", "sample_tokens", "generate", "answer_tokens", "forms", "costly"}
    assert {folders[1][name].kind for name in folders[1].keys() - folders[0].keys()} <= {
        "evaluate_text", "attack_text", "audit",
    }  # fmt: skip


def rows(folder: Path, name: str, start: int, number: int) -> Path:
    lines = [
        {"prompt": f"Where was person {n} born?", "answer": f"town {n * 7}", "subject": f"p{n}"}
        for n in range(start, start + number)
    ]
    path = folder / name
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_evaluate_takes_a_control_a_holdout_and_a_judge(tmp_path: Path) -> None:
    forget, kept, holdout = (rows(tmp_path, f"{n}.jsonl", 20 * n, 5) for n in range(3))
    wanted = ["mia_loss_*", "cka_control", "calibration_error"]
    asked = {"original": "tiny", "metrics": wanted, "out": tmp_path / "out"}
    done = api.evaluate("tiny", forget, kept, control="tiny", holdout=holdout, judge="containment", **asked).metrics
    assert done["forget/cka_control"]["value"] == pytest.approx(1.0), "it is the control"
    assert done["forget/mia_loss_relative_auc"]["value"] == 0.0 and done["forget/mia_loss_auc"]["n"] == 5
    assert done["forget/judged"]["value"] == 0.0 and done["forget/calibration_error"]["value"] is not None
    assert "forget/mia_zlib_auc" not in done and "retain_eval/mia_loss_auc" not in done
    bare = api.evaluate("tiny", forget, kept, **asked).metrics
    assert "no facts that no model was taught" in bare["forget/mia_loss_auc"]["reason"]
    assert "no model that never knew" in bare["forget/cka_control"]["reason"]
    with pytest.raises(InputError, match="is also in holdout"):
        api.evaluate("tiny", forget, kept, holdout=forget, **asked)


def test_replicates_of_a_metric_without_interval_have_none_together() -> None:
    """Forget quality is a p-value alone; the outermost of ends that are not known is not known."""
    assert audit._outermost(min, [0.4, 0.1]) == 0.1 and audit._outermost(max, [0.4, 0.1]) == 0.4
    assert audit._outermost(min, [None, None]) is None and audit._outermost(max, [0.4, None]) is None
