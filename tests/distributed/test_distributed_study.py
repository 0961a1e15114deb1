"""Cells that several processes share leave the records that one process leaves."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from expunge.core.errors import InputError
from expunge.core.files import read_json
from expunge.distributed.ranks import present
from expunge.models.load import load
from expunge.study.cells import Cell
from expunge.study.execute import Job, execute, kind_names, shares
from expunge.study.plan import study_of
from expunge.study.recipe import resolve
from expunge.study.run import plan, run
from expunge.study.store import Store
from expunge.study.together import part_of
from reference.pool import Pool
from reference.tiny_study import RECIPE, forked, results

Ranks = Callable[[int], Pool]
SHARED = ("attack", "evaluate", "teach", "unlearn")
PLAIN = {"optimizer": "sgd", "lr": 0.1, "precision": "fp32"}
"""AdamW's first steps make much of gradients that are rounding alone."""
OURS = {**RECIPE, **{key: {**RECIPE[key], "train": {**RECIPE[key]["train"], **PLAIN}} for key in ("teach", "unlearn")}}


@contextmanager
def wide() -> Iterator[None]:
    """A processor that knows bfloat16 would have the attacker train in it."""
    with mock.patch.object(torch.cpu, "_is_avx512_bf16_supported", return_value=False):
        yield


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study as one process computes it."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    with wide():
        assert run(OURS, out=folder).exit_code == 0
    return folder


def cells(**changes: Any) -> tuple[Cell, ...]:
    return study_of(resolve({**OURS, **changes})).cells


def together(root: Path, task: Any, home: Path) -> dict[str, Any]:
    """What rank 0 makes of a cell whose inputs are done."""
    inputs = {name: root / "cells" / folder for name, folder in task.inputs.items()}
    job = Job(task.config, inputs, home / "cell", home / "partial")
    with wide():
        outcome = part_of(task.kind, job, present())
    return {"metrics": outcome.metrics, "samples": outcome.samples, **outcome.extra, "hashes": outcome.hashes}


def near(value: Any) -> Any:
    """``value``, to be compared with numbers that differ by rounding alone."""
    if isinstance(value, dict):
        return {key: near(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [near(item) for item in value]
    return pytest.approx(value, abs=2e-3) if isinstance(value, float) else value


@pytest.mark.parametrize("kind", SHARED)
def test_two_ranks_leave_what_one_process_leaves(kind: str, study: Path, ranks: Ranks, tmp_path: Path) -> None:
    task = next(cell.task() for cell in reversed(cells()) if cell.kind == kind)
    (tmp_path / "cell").mkdir()
    found, other = ranks(2).run(together, study, task, tmp_path)
    record = read_json(study / "cells" / task.folder / "record.json")
    assert found["processes"] == 2 and found["peak_memory_mb"] == other["peak_memory_mb"] > 0
    assert near({"metrics": record["metrics"], "points": record.get("points")}) == {
        "metrics": json.loads(json.dumps(found["metrics"])), "points": json.loads(json.dumps(found.get("points"))),
    }  # fmt: skip
    lines = (study / "cells" / task.folder / "samples.jsonl").read_text().splitlines()
    assert near([json.loads(line) for line in lines]) == json.loads(json.dumps(found["samples"]))
    if kind in ("teach", "unlearn"):
        check_model(study / "cells" / task.folder / "model", tmp_path / "cell" / "model", found["hashes"]["model"])


def check_model(one: Path, two: Path, mark: str) -> None:
    """The same weights but for rounding, and the fingerprint that the record has."""
    alone, shared = load(one), load(two)
    theirs = dict(shared.model.named_parameters())
    with torch.no_grad():
        apart = max(float((weight - theirs[name]).abs().max()) for name, weight in alone.model.named_parameters())
    assert apart < 1e-3 and shared.fingerprint == mark != ""


def test_processes_are_no_part_of_any_cell() -> None:
    assert [cell.folder for cell in cells(processes=3)] == [cell.folder for cell in cells()]
    assert (
        "processes" not in resolve(RECIPE).as_dict() and resolve({**RECIPE, "processes": 3}).as_dict()["processes"] == 3
    )
    assert cells()[0].task(3).as_dict() == cells()[0].task().as_dict()
    assert cells()[0].task(3).processes == 3


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "two"])
def test_a_number_of_processes_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(InputError, match=r"processes is .* whole number from 1"):
        resolve({**RECIPE, "processes": wrong})


def test_what_cannot_be_shared_is_computed_by_one_process() -> None:
    assert {cell.kind for cell in cells() if shares(cell)} == set(SHARED) < set(kind_names())
    hidden = cells(methods=[{"name": "hide_rescaled", "method": {"inner": "npo"}}], attacks=["prune"])
    assert not any(shares(cell) for cell in hidden if cell.kind in ("unlearn", "attack"))
    judged = cells(eval={**RECIPE["eval"], "costly": ["mia_loss_auc"]})
    assert not all(shares(cell) for cell in judged if cell.kind == "evaluate")


def test_the_plan_counts_what_is_shared(tmp_path: Path) -> None:
    whole, shared = plan(RECIPE, out=tmp_path), plan({**RECIPE, "processes": 2}, out=tmp_path)
    count = sum(cell.kind in SHARED for cell in cells())
    assert (
        shared.summary() == f"{whole.summary()} {count} of these {len(cells())} cells are shared by 2 processes each."
    )


@pytest.mark.slow
def test_a_study_on_two_processes_a_cell(study: Path, tmp_path: Path) -> None:
    """Started for real; a study that was shared says who computed it and nothing else."""
    assert run({**OURS, "processes": 2}, out=tmp_path / "run").exit_code == 0
    alone, shared = results(study), results(tmp_path / "run")
    assert alone.keys() == shared.keys()
    for name, (record, _) in shared.items():
        assert record.pop("processes", 1) == (2 if name.partition("-")[0] in SHARED else 1)
        assert record.keys() == alone[name][0].keys()
    assert not list((tmp_path / "run" / "partial").iterdir())
    one, two = (read_json(folder / "audit.json") for folder in (study, tmp_path / "run"))
    assert one.keys() == two.keys()


@pytest.mark.slow
def test_a_failure_is_the_sentence_of_one_process(study: Path, tmp_path: Path) -> None:
    store = Store(Path(shutil.copytree(study, tmp_path / "run")))
    task = next(cell.task() for cell in cells() if cell.kind == "attack")
    for path in (store.root / "cells").glob("*/model/model.safetensors"):
        path.write_bytes(path.read_bytes()[:-4] + b"abcd")
    said = [execute(replace(task, processes=number), store, 1) for number in (1, 2)]
    assert said[0] == said[1] and "were changed; remove" in str(said[0])


def ranks_of(folder: Path) -> set[str]:
    """Processes that compute a cell of the study together."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if b"expunge.study.together" in words and any(str(folder).encode() in word for word in words):
                found.add(path.parent.name)
    return found


def until(true: Callable[[], bool], within: float = 120) -> None:
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads the list of processes from Linux")
def test_no_rank_outlives_who_asked(tmp_path: Path) -> None:
    long = {**OURS, "processes": 2, "teach": {"train": {**PLAIN, "epochs": 5000, "batch_size": 2}}}
    parent = forked(run, long, (), tmp_path / "run")
    until(lambda: len(ranks_of(tmp_path)) == 2)
    parent.kill()
    until(lambda: not ranks_of(tmp_path))
