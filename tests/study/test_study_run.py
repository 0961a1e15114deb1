"""A whole study on a small random model: every kind of cell, the index, a rerun, a killed unlearning."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from expunge.smoothing.base import Smoother
from expunge.study.execute import execute
from expunge.study.facts_io import read
from expunge.study.plan import study_of
from expunge.study.recipe import load, resolve
from expunge.study.run import StudyResult, plan, run
from expunge.study.store import Store

RECIPE: dict[str, Any] = {
    "name": "e2e",
    "model": {"source": "small", "template": "plain", "layers": 2, "hidden": 64, "vocab": 600},
    "knowledge": {
        "name": "people", "num_forget": 4, "num_retain_train": 3, "num_retain_eval": 2, "num_placebo": 0,
        "num_same_kind": 2, "attributes": 2,
    },
    "teach": {"forms": ["qa"], "train": {"lr": 3e-3, "epochs": 40, "batch_size": 16}},
    "unlearn": {"train": {"lr": 3e-3, "steps": 4, "batch_size": 4, "checkpoint_every": 1}},
    "methods": ["npo"],
    "attacks": [{"name": "relearn", "rates": [3e-3], "steps": [1, 2], "batch_size": 4}],
    "eval": {"samples": 2, "sample_tokens": 4, "generate": 2},
    "workers": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    """The finished study."""
    return run(RECIPE, out=tmp_path_factory.mktemp("study") / "run")


def test_every_cell_is_done(done: StudyResult) -> None:
    assert (done.exit_code, done.failed, done.skipped) == (0, {}, {})
    records = [json.loads(path.read_text()) for path in done.folder.glob("cells/*/record.json")]
    assert {record["status"] for record in records} == {"done"} and len(records) == done.done
    assert {record["kind"] for record in records} == {"knowledge", "teach", "unlearn", "attack", "evaluate", "audit"}
    assert all(record["schema"] == 1 and record["wall_s"] >= 0 and record["peak_memory_mb"] > 0 for record in records)
    assert not list((done.folder / "cells").glob(".*")) and not list(done.folder.glob("partial/*"))


def test_audit_and_index_agree(done: StudyResult) -> None:
    assert done.audit is not None and done.audit == json.loads((done.folder / "audit.json").read_text())
    (world,) = done.audit["worlds"]
    assert world["original"]["value"] > 0.5 > world["control"]["before"]["value"]
    assert [method["label"] for method in world["methods"]] == ["npo"] and world["null"]["e_star"] is not None
    assert {curve["role"] for curve in world["curves"]} >= {"control", "method"}
    (entry,) = json.loads((done.folder / "index.json").read_text())["worlds"]
    cells = entry["cells"]
    named = [*cells["original"], *cells["control"], *cells["null"], *cells["methods"]["npo"]]
    assert len(named) == 4
    for row in named:
        folders = [row.get("teach"), row.get("unlearn"), row["evaluate"], *row["attack"]]
        assert all((done.folder / "cells" / name).is_dir() for name in folders if name)


def test_samples_hold_what_the_report_reads(done: StudyResult) -> None:
    (entry,) = json.loads((done.folder / "index.json").read_text())["worlds"]
    folder = done.folder / "cells" / entry["cells"]["methods"]["npo"][0]["evaluate"]
    rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    assert {row["split"] for row in rows} == {"forget", "retain_eval"}
    assert any(isinstance(row["generated"], str) for row in rows)
    metrics = json.loads((folder / "record.json").read_text())["metrics"]
    assert {"greedy_match", "utility", "retain_kl", "retain_eval.greedy_match"} <= set(metrics)


def test_nothing_in_t_answers_v(done: StudyResult) -> None:
    (folder,) = (done.folder / "cells").glob("knowledge-*")
    split = read(folder).split
    answers = {side: {probe.answer for fact in facts for probe in fact.of_form("qa")}
               for side, facts in {"T": split.train, "V": split.score}.items()}  # fmt: skip
    assert answers["T"] and answers["V"] and not answers["T"] & answers["V"]
    assert not {fact.subject for fact in split.train} & {fact.subject for fact in split.score}


def test_running_again_runs_nothing(done: StudyResult) -> None:
    again = run(done.folder / "recipe.yaml", out=done.folder)
    assert (again.done, again.already) == (0, done.done) and again.audit == done.audit


def test_plan_knows_what_is_done(done: StudyResult) -> None:
    planned = plan(RECIPE, out=done.folder)
    assert not planned.open and f"{done.done} of {done.done} cells are done" in planned.summary()
    fresh = plan(RECIPE, ["methods=[npo, npo+sam]"], out=done.folder)
    kinds = sorted(item.cell.kind for item in fresh.open)
    assert kinds == ["attack", "audit", "evaluate", "unlearn"]
    assert all(item.seconds > 0 for item in fresh.open) and len(fresh.open[0].columns()) == 6


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Ctrl-C in the third step of unlearning."""
    calls: list[int] = []
    plain = Smoother.gradient

    def gradient(self: Smoother, problem: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return plain(self, problem)

    with monkeypatch.context() as patch:
        patch.setattr(Smoother, "gradient", gradient)
        yield patch


def test_a_stopped_unlearning_resumes_to_the_same_weights(done: StudyResult, stopping: pytest.MonkeyPatch) -> None:
    store = Store(done.folder)
    cell = next(cell for cell in study_of(resolve(RECIPE)).cells if cell.kind == "unlearn")
    before = store.record(cell)
    kept = store.path(cell).rename(done.folder / "kept")
    with pytest.raises(KeyboardInterrupt):
        execute(cell.task(), store, 1)
    assert store.status(cell) == "missing" and any(store.partial(cell).rglob("*.safetensors"))
    stopping.undo()
    assert execute(cell.task(), store, 1) is None
    assert store.record(cell)["hashes"] == before["hashes"] and not store.partial(cell).exists()
    assert kept.is_dir()


def test_worlds_that_agree_share_cells(root: Path) -> None:
    study = study_of(load(root / "recipes" / "names.yaml", ["seeds=[0]"]))
    trunks = {
        world.label: next(entry.made for entry in replicates[0].entries if entry.role == "control")
        for world, replicates in study.worlds
    }
    assert trunks["k=7"].folder == trunks["k=5"].folder
    methods = [entry for entry in study.worlds[0][1][0].entries if entry.role == "method"]
    assert len({entry.made.folder for entry in methods if entry.made}) == len(methods) == 3


def test_worlds_that_differ_share_nothing() -> None:
    other = {**RECIPE["knowledge"], "label": "more", "num_retain_train": 4}
    cells = study_of(resolve({**RECIPE, "knowledge": [RECIPE["knowledge"], other]})).cells
    assert sum(cell.kind == "teach" for cell in cells) == 6


def test_known_facts_need_no_teaching(root: Path) -> None:
    study = study_of(load(root / "recipes" / "known.yaml"))
    assert {cell.kind for cell in study.cells} == {"knowledge", "evaluate", "unlearn", "attack", "audit"}
    roles = [entry.role for entry in study.worlds[0][1][0].entries]
    assert roles == ["original", "method", "method", "method"]
    attacks = [cell.config for cell in study.cells if cell.kind == "attack"]
    assert {attack["target"] for attack in attacks} == {"forget", "placebo"}
    real = [attack for attack in attacks if attack["target"] == "forget" and not attack["only_before"]]
    assert [attack["permuted"] for attack in real] == [True] * 3
