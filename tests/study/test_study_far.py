"""Cells elsewhere: a Ray cluster and batch jobs leave what this machine alone leaves, also when one dies midway."""

import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from expunge.cli.app import build
from expunge.core.errors import InputError
from expunge.study import claims
from expunge.study.claims import Claims
from expunge.study.estimate import estimated
from expunge.study.execute import execute
from expunge.study.executors import remote
from expunge.study.executors.base import Place, environment, travelling
from expunge.study.plan import study_of
from expunge.study.recipe import load, resolve
from expunge.study.run import run
from expunge.study.store import Store
from reference.tiny_study import RECIPE, cell, copied, finished, results

SUICIDE = """
import os, signal
from pathlib import Path
from expunge.smoothing.base import Smoother

marks = Path(__file__).parent
calls, plain = [], Smoother.gradient
{tell}

def gradient(self, problem):
    calls.append(1)
    if len(calls) == 3:
        try:
            (marks / "killed").touch(exist_ok={always})
        except FileExistsError:
            pass
        else:
            os.kill(os.getpid(), signal.SIGKILL)
    return plain(self, problem)

Smoother.gradient = gradient
"""
"""Kills its process in the third of four unlearning steps: in the first process only, or in every one."""
NODE = 'import ray; (marks / f"node-{ray.get_runtime_context().get_node_id()}").touch()'


def plugin(folder: Path, tell: str = "", always: bool = False) -> Path:
    path = folder / "killing.py"
    path.write_text(SUICIDE.format(tell=tell, always=always))
    return path


def on(**executor: Any) -> dict[str, Any]:
    return {**RECIPE, "executor": executor}


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a Ray cluster of two nodes with one core each."""
    pytest.importorskip("ray", reason="the extra 'ray' is not installed: cells on a cluster are NOT tested")
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    options = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=options)
    made.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    yield made.address
    made.shutdown()


@pytest.mark.slow
def test_a_cluster_of_two_nodes_and_a_worker_that_dies(cluster: str, tmp_path: Path) -> None:
    killing = plugin(tmp_path, NODE)
    done = run(on(name="ray", address=cluster, retries=2), out=tmp_path / "run", plugins=[killing])
    assert (done.failed, done.exit_code) == ({}, 0) and (tmp_path / "killed").exists()
    assert len(list(tmp_path.glob("node-*"))) == 2, "cells ran on both nodes"
    assert results(tmp_path / "run") == results(finished())
    assert (tmp_path / "run" / "audit.json").read_text() == (finished() / "audit.json").read_text()
    assert not list((tmp_path / "run" / "cells").glob(".*")) and not (tmp_path / "run" / "claims").exists()


@pytest.mark.slow
def test_a_worker_that_always_dies_fails_its_cell_only(cluster: str, tmp_path: Path) -> None:
    recipe, killing = on(name="ray", address=cluster, retries=0), plugin(tmp_path, always=True)
    done = run(recipe, out=tmp_path / "run", plugins=[killing])
    (folder,) = done.failed
    assert folder.startswith("unlearn-") and "Ray worker died" in done.failed[folder] and done.exit_code == 1
    assert json.loads((cell(tmp_path / "run", "unlearn") / "record.json").read_text())["status"] == "failed"
    assert run(RECIPE, out=tmp_path / "run").exit_code == 0 and results(tmp_path / "run") == results(finished())


@pytest.mark.slow
def test_a_cluster_without_room_is_said_at_once(cluster: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no machine of the Ray cluster has 1 cores and 1 GPUs"):
        run(on(name="ray", address=cluster, gpus=1), out=tmp_path / "run")
    assert not __import__("ray").is_initialized()


def test_a_cluster_that_does_not_answer_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from expunge.study.executors.ray import Ray

    class Library:
        """Ray itself is not asked."""

        is_initialized = staticmethod(lambda: False)

    monkeypatch.setattr(Ray, "library", lambda self: Library)
    with pytest.raises(InputError, match=r"no Ray cluster answers at 127\.0\.0\.1:1 "):
        Ray(address="127.0.0.1:1").open(Place(Store(tmp_path)))


def batch(**options: Any) -> dict[str, Any]:
    """The study as jobs of submitit's executor on this machine."""
    pytest.importorskip("submitit", reason="the extra 'slurm' is not installed: batch jobs are NOT tested")
    return on(name="slurm", cluster="local", jobs=2, timeout_min=5, **options)


@pytest.mark.slow
def test_batch_jobs_and_one_that_is_killed(tmp_path: Path) -> None:
    recipe = batch(retries=1)
    done = run(recipe, out=tmp_path / "run", plugins=[plugin(tmp_path)])
    assert (done.failed, done.exit_code) == ({}, 0) and (tmp_path / "killed").exists()
    assert results(tmp_path / "run") == results(finished())
    assert (tmp_path / "run" / "audit.json").read_text() == (finished() / "audit.json").read_text()
    assert not list((tmp_path / "run" / "cells").glob(".*")) and not (tmp_path / "run" / "claims").exists()


@pytest.mark.slow
def test_a_job_that_always_dies_fails_its_cell_only(tmp_path: Path) -> None:
    study = copied(tmp_path / "run")
    made = cell(study, "unlearn")
    (made / "record.json").unlink()
    done = run(batch(retries=0), out=study, plugins=[plugin(tmp_path, always=True)])
    assert list(done.failed) == [made.name] and "ended without an answer" in done.failed[made.name]
    assert "0 retries included; see jobs/" in done.failed[made.name]


@pytest.mark.parametrize(("name", "module"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_extra_is_one_sentence_before_anything_is_written(
    name: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(RECIPE))
    words = ["run", str(tmp_path / "r.yaml"), "-o", str(tmp_path / "out"), "--executor", name]
    said = CliRunner().invoke(build(), words)
    assert (said.exit_code, (tmp_path / "out").exists()) == (2, False), said.stderr
    assert said.stderr == f"expunge: executor '{name}' needs the package {module}; pip install 'expunge[{name}]'.\n"


def test_the_executor_is_no_part_of_a_cell_and_comes_back_from_the_resolved_recipe() -> None:
    plain = resolve(RECIPE)
    section = {"name": "slurm", "partition": "gpu", "gpus": 2}
    far = resolve(on(**section))
    assert [item.hash for item in study_of(far).cells] == [item.hash for item in study_of(plain).cells]
    assert resolve(far.as_dict()) == far and far.as_dict()["executor"] == section
    assert "executor" not in plain.as_dict()
    short = load({**RECIPE, "executor": "ray"}, ["executor.cores=4"])
    assert short.executor is not None and short.executor.as_dict() == {"name": "ray", "cores": 4}


@pytest.mark.parametrize(
    ("executor", "sentence"),
    [
        ("rey", "did you mean 'ray'"),
        ({"name": "ray", "partition": "x"}, "no parameter 'partition'"),
        ({"gpus": 1}, "executor 'local' has no parameter 'gpus'"),
        ({"name": "ray", "cores": 0}, "at least 1"),
        ({"name": "slurm", "timeout_min": 0}, "at least 1"),
        ({"name": "slurm", "cluster": "slrm"}, "did you mean 'slurm'"),
        (3, "must be a name, or a mapping"),
    ],
)
def test_a_mistake_is_a_sentence(executor: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        resolve({**RECIPE, "executor": executor})


def test_the_command_line_names_the_executor_and_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from expunge.study import run as running

    asked: list[Any] = []
    retried: list[bool] = []

    def ask(recipe: Path, overrides: tuple[str, ...], *_: Any, retry_failed: bool, **__: Any) -> None:
        asked.extend(overrides)
        retried.append(retry_failed)
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "run", ask)
    words = ["run", "r.yaml", "executor.gpus=1", "--executor", "slurm", "--timeout-min", "60"]
    assert CliRunner().invoke(build(), words).exit_code == 130
    for flag in ("--retry-failed", "--no-retry-failed"):
        assert CliRunner().invoke(build(), ["run", "r.yaml", flag]).exit_code == 130
    assert retried == [True, True, False]
    named = load({**RECIPE, "executor": {"name": "ray", "address": "x"}}, asked).executor
    assert named is not None and named.as_dict() == {"name": "slurm", "gpus": 1, "timeout_min": 60}


def test_a_plan_counts_what_the_executor_takes_at_a_time(tmp_path: Path) -> None:
    workers = {name: estimated(study_of(resolve({**RECIPE, "executor": name, "workers": 3})), Store(tmp_path)).workers
               for name in ("local", "ray", "slurm")}  # fmt: skip
    assert workers == {"local": 3, "ray": 64, "slurm": 100}


def test_settings_reach_the_batch_system() -> None:
    from expunge.study.executors.slurm import Slurm

    assert Slurm(partition="a100", gpus=2, cores=8, memory_gb=40, timeout_min=90, more={"qos": "low"}).settings() == {
        "timeout_min": 90, "cpus_per_task": 8, "name": "expunge", "gpus_per_node": 2, "mem_gb": 40,
        "slurm_partition": "a100", "slurm_qos": "low",
    }  # fmt: skip


def test_a_far_process_gets_threads_and_paths_and_nothing_else_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "5")
    sent = travelling(3)
    assert sent["OMP_NUM_THREADS"] == "3" and sent["MALLOC_MMAP_MAX_"] == "5" and "HOME" not in sent
    assert sent.items() <= environment(3).items() and str(Path(remote.__file__).parents[3]) in sent["PYTHONPATH"]


def missing(study: Path) -> tuple[Any, Store]:
    """The finished study without its evaluation of npo, as a task."""
    store = Store(study)
    folder = cell(study, "evaluate", "npo")
    (folder / "record.json").unlink()
    return next(item for item in study_of(resolve(RECIPE)).cells if item.folder == folder.name).task(), store


def test_work_is_that_of_execute_while_its_run_lives_and_nothing_after(tmp_path: Path) -> None:
    task, store = missing(copied(tmp_path / "run"))
    plain = {"kind": task.kind, "label": task.label, "hash": task.hash, "config": task.config, "inputs": task.inputs}
    assert remote.work(str(store.root), plain, 1, [], "run-0123") == remote.GONE and store.status(task) == "missing"
    with Claims(store.root).joined() as held:
        assert remote.work(str(store.root), plain, 1, [], held.beacon) is None
    assert results(store.root) == results(finished())


def test_a_process_ends_when_the_beacon_stops_or_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []
    monkeypatch.setattr(claims, "BEAT_S", 0.01)
    monkeypatch.setattr(claims, "LOST_BEATS", 5)
    beacon = tmp_path / "claims" / "run-1.1.json"
    beacon.parent.mkdir()
    for name in ("stopped", "gone"):
        beacon.write_text("{}")
        over = threading.Event()

        def leave(code: int, name: str = name, over: threading.Event = over) -> None:
            ended.append(name)
            over.set()

        monkeypatch.setattr(remote.os, "_exit", leave)
        watch = threading.Thread(target=remote._watch, args=(tmp_path, "run-1", over))
        watch.start()
        if name == "gone":
            beacon.unlink()
        watch.join(10)
    assert ended == ["stopped", "gone"]


def test_a_process_goes_on_while_the_beacon_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "BEAT_S", 0.02)
    monkeypatch.setattr(claims, "LOST_BEATS", 3)
    monkeypatch.setattr(remote.os, "_exit", lambda code: pytest.fail("it ended"))
    over, looks = threading.Event(), iter(range(30))

    def beat(root: Path, name: str) -> int:
        number = next(looks, None)
        if number is None:
            over.set()
            return 0
        return number // 2

    monkeypatch.setattr(remote, "_beat", beat)
    remote._watch(tmp_path, "run-1", over)
    assert over.is_set()


def test_a_cell_that_only_another_machine_sees_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "SEEN_S", 0.2)
    task, store = missing(copied(tmp_path / "run"))
    said = remote.concluded(task, Place(store), 1, None)
    assert said is not None and "share the study's folder" in said and store.status(task) == "failed"
    assert execute(task, store, 1) is None and remote.concluded(task, Place(store), 1, None) is None
    assert remote.concluded(task, Place(store), 1, "no.") == "no."
