"""Evaluate cells: costly metrics by name only, nothing else computed for them, and no row scored twice."""

import json
from pathlib import Path
from typing import Any

import pytest

from expunge.core.errors import InputError
from expunge.metrics import utility
from expunge.metrics.utility import baseline
from expunge.registry import entries
from expunge.scoring.probes import ask, score_asked
from expunge.study.plan import study_of
from expunge.study.recipe import load
from expunge.study.run import run
from reference.readout import fact, hides, knows
from reference.tiny_study import RECIPE, cell

COSTLY = ("cka_original", "cka_control", "depth_score", "concept_cosine", "knn_answer")


def asking(*names: str) -> dict[str, Any]:
    return RECIPE | {"eval": {**RECIPE["eval"], "costly": list(names)}}


def test_costly_metrics_are_measured_where_a_recipe_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And utility scores the stored samples only: R_eval has its scores already."""
    rows: list[list[str]] = []
    plain = utility.score
    monkeypatch.setattr(utility, "score", lambda view, asked: rows.append([r.key for r in asked]) or plain(view, asked))
    assert run(asking(*COSTLY), out=tmp_path / "run").exit_code == 0
    made, first = (_metrics(cell(tmp_path / "run", "evaluate", label)) for label in ("npo", "original"))
    for name in COSTLY:
        assert made[name]["value"] is not None or made[name]["reason"], name
    assert len(made["cka_control"]["layers"]) == 1 and made["cka_original"]["value"] < 1 + 1e-9
    assert "depth_score" in made and "retain_eval.depth_score" not in made and "concept_overlap" not in made
    assert not set(COSTLY) & set(first), "the original's own cell stays as it was"
    same = _metrics(cell(tmp_path / "run", "evaluate", "control"))
    assert same["cka_control"]["value"] == pytest.approx(1) and same["depth_score"]["value"] in (None, pytest.approx(1))
    samples_alone = [keys for keys in rows if all(key.startswith("sample") for key in keys)]
    assert len(samples_alone) == 2, "of the control's and of the unlearned model's evaluation; attacks score all"


def _metrics(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "record.json").read_text())["metrics"]
    return found


def test_without_being_asked_no_cell_changes_and_with_it_only_evaluations_do() -> None:
    ordinary, asked = study_of(load(RECIPE)), study_of(load(asking("cka_control")))
    old = {c.folder for c in ordinary.cells}
    assert {c.kind for c in asked.cells if c.folder not in old} == {"evaluate", "audit"}
    assert all("costly" not in c.config and "costly" not in c.config.get("eval", {}) for c in ordinary.cells)
    first = [c for c in asked.cells if c.kind == "evaluate" and c.config["original"]]
    assert all(c.folder in old for c in first)
    others = [c for c in asked.cells if c.kind == "evaluate" and not c.config["original"]]
    assert others and all(c.inputs["control_model"].kind == "teach" for c in others)


def test_an_unknown_costly_metric_is_refused() -> None:
    with pytest.raises(InputError, match="did you mean 'depth_score'"):
        load(asking("depth_scor"))


def test_metrics_that_run_a_model_are_costly() -> None:
    """Two are not alike: the distance of weights needs models and runs none; ROUGE's F1 is asked for by name only."""
    runs = {"model", "original", "control", "membership", "choices", "own_answers", "margins"}
    for entry in entries("metric"):
        wanted = bool(runs & set(entry.factory.needs)) and entry.name != "weight_distance"
        assert (wanted or entry.name == "rouge_l_f1") == entry.factory.costly, entry.name


def test_utility_is_the_same_from_scores_that_are_there() -> None:
    loaded = hides()
    kept, texts = tuple(map(fact, range(20, 24))), tuple(map(fact, range(30, 33)))
    measure = baseline(knows().view(), loaded.encoder, kept, texts, measure_generation=False)
    scored = score_asked(loaded.view(), ask(kept, loaded.encoder, ("qa",)))
    given, fresh = measure(loaded.view(), scored=scored), measure(loaded.view())
    assert given.parts == pytest.approx(dict(fresh.parts), abs=1e-5) and given.value < 1
    with pytest.raises(InputError, match="not those of its questions"):
        measure(loaded.view(), scored=scored[1:])
