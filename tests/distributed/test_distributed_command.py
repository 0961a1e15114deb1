"""``expunge unlearn --nproc 2`` and torchrun: the same model as from one process, and one voice."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from expunge import api
from expunge.core.errors import InputError
from expunge.distributed.plan import Sizes, copies_of, memory_plan
from expunge.distributed.sharding import Layout
from expunge.models.load import load
from expunge.smoothing.ema import EMA
from expunge.smoothing.random_smoothing import RandomSmoothing
from expunge.smoothing.sam import SAM
from reference.pool import Pool

PEOPLE = {"forget": ("Ana Silva", "Bo Lind", "Cy Roe", "Di Voss"), "retain": ("Eva Kern", "Flo Marx", "Gus Hall")}
TOWNS = ("Porto", "Malmo", "Leeds", "Ghent")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A forget and a retain file."""
    for name, people in PEOPLE.items():
        rows = [
            {"prompt": f"Where was {person} born?", "answer": f"{town} {name}", "subject": person}
            for person, town in zip(people, TOWNS, strict=False)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def unlearned(data: Path, out: str, method: str = "npo+sam") -> Any:
    """The verb, in float32 with SGD, so that numbers can be compared."""
    done = api.unlearn(
        "tiny", data / "forget.jsonl", data / "retain.jsonl", method=method, out=data / out, steps=3, lr=1e-2,
        batch_size=2, precision="fp32", optimizer="sgd",
    )  # fmt: skip
    return done.steps


@pytest.mark.parametrize("method", ["npo+sam", "rmu@lora", "task_vector"])
def test_the_verb_on_two_ranks_writes_the_model_of_one(method: str, data: Path, ranks: Callable[[int], Pool]) -> None:
    assert unlearned(data, "one", method) == 3
    assert ranks(2).run(unlearned, data, "two", method) == [3, 3]
    one, two, before = load(data / "one"), load(data / "two"), dict(load("tiny").model.named_parameters())
    theirs = dict(two.model.named_parameters())
    with torch.no_grad():
        apart = max(float((weight - theirs[name]).abs().max()) for name, weight in one.model.named_parameters())
        moved = max(float((weight - before[name]).abs().max()) for name, weight in one.model.named_parameters())
    assert apart < 1e-6 < 1e-4 < moved
    assert two.fingerprint == two.provenance["fingerprint"]
    assert two.provenance["unlearned"]["processes"] == 2
    assert sorted(path.name for path in (data / "one").rglob("*")) == sorted(
        path.name for path in (data / "two").rglob("*")
    )


def test_a_method_that_needs_one_process_is_refused(data: Path, ranks: Callable[[int], Pool]) -> None:
    with pytest.raises(AssertionError, match=r"'hide_rescaled' works on one process only: it rescales rows.*; leave"):
        ranks(2).run(unlearned, data, "two", "hide_rescaled")


def read(data: Path, home: str) -> dict[str, Any]:
    """The verbs ``evaluate`` and ``attack`` on a model that was made to forget; what they say and what they wrote."""
    done = api.evaluate(data / "one", out=data / home / "evaluation")
    # A processor that knows bfloat16 would otherwise train in it.
    with mock.patch.object(torch.cpu, "_is_avx512_bf16_supported", return_value=False):
        tried = api.attack(data / "one", control="tiny", out=data / home / "attack", rates=[1e-3], steps=[2])
    return {
        "metrics": dict(done.metrics),
        "points": [(point.id, point.v_recall, point.utility) for point in tried.points],
    }


def near(value: Any) -> Any:
    """``value``, to be compared with numbers that differ by rounding alone."""
    if isinstance(value, dict):
        return {key: near(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [near(item) for item in value]
    return pytest.approx(value, rel=1e-3, abs=1e-5) if isinstance(value, float) else value


def written(folder: Path) -> dict[str, Any]:
    """Every record and sample, by file."""
    return {
        f"{path.parent.name}/{path.name}": [json.loads(line) for line in path.read_text().splitlines()]
        if path.suffix == ".jsonl"
        else json.loads(path.read_text())
        for path in sorted(folder.rglob("*.json*"))
    }


def test_evaluate_and_attack_on_two_ranks_say_what_one_process_says(data: Path, ranks: Callable[[int], Pool]) -> None:
    unlearned(data, "one")
    alone, together = read(data, "alone"), ranks(2).run(read, data, "together")
    assert [near(alone)] * 2 == [json.loads(json.dumps(found)) for found in together]
    one, two = written(data / "alone"), written(data / "together")
    assert len(one) == 4 and near(one) == two


def refused(data: Path, verb: str, asked: dict[str, Any]) -> str:
    """The sentence of a refusal."""
    with pytest.raises(InputError) as caught:
        getattr(api, verb)("tiny", forget=data / "forget.jsonl", original="tiny", out=data / "x", **asked)
    return str(caught.value)


@pytest.mark.parametrize(
    ("verb", "asked", "said"),
    [
        ("evaluate", {"metrics": ["mia_loss_auc"]}, "'mia_loss_auc' looks inside a model on one process"),
        ("evaluate", {"judge": "containment"}, "a judge would be asked once by every process"),
        ("attack", {"attack": "prune"}, "'prune' looks inside or edits a model, on one process"),
        ("evaluate", {"nproc": 3}, "3 processes were asked for and 2 started"),
    ],
)
def test_what_needs_one_process_is_refused_before_a_model_is_read(
    verb: str, asked: dict[str, Any], said: str, data: Path, ranks: Callable[[int], Pool]
) -> None:
    assert all(said in sentence for sentence in ranks(2).run(refused, data, verb, asked))


WORDS = ("unlearn", "--model", "tiny", "--forget", "forget.jsonl", "--retain", "retain.jsonl", "--steps", "1")


def started(data: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *command], cwd=data, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_nproc_starts_the_processes_and_speaks_once(data: Path) -> None:
    done = started(data, "-m", "expunge", *WORDS, "--nproc", "2", "-o", "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("model: out") == 1
    assert done.stderr.index("memory plan for each of 2 processes") < done.stderr.index("memory used")
    assert json.loads((data / "out" / "expunge.json").read_text())["unlearned"]["processes"] == 2


@pytest.mark.slow
def test_torchrun(data: Path) -> None:
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "expunge")
    done = started(data, *torchrun, *WORDS, "-o", "out")
    assert done.returncode == 0 and done.stdout.count("model: out") == 1, done.stderr
    assert started(data, *torchrun, *WORDS, "-o", "other", "--nproc", "3").returncode != 0
    assert not (data / "other").exists()


@pytest.mark.slow
def test_an_error_on_all_ranks_is_one_sentence_with_its_exit_code(data: Path) -> None:
    done = started(
        data, "-m", "expunge", *WORDS, "--nproc", "2", "--method", "npo+latent", "--activation-checkpointing"
    )
    assert done.returncode == 2
    assert done.stderr.count("expunge: a smoother on activations cannot run") == 1


def test_the_plan_adds_up() -> None:
    sizes = Sizes(total=1000, block=200, outside=200)
    one = memory_plan(sizes, Layout(world_size=1), "adamw", copies_of(SAM()))
    # Weights, gradient, two moments, the shift and the saved weights, 4 bytes each; the first step's copy is made
    # when the shift is gone, so it takes the shift's place.
    assert sum(one.training.values()) == 4 * 1000 * 6
    noisy = memory_plan(sizes, Layout(world_size=1), "adamw", copies_of(RandomSmoothing()))
    assert sum(noisy.training.values()) == 4 * 1000 * 7
    four = memory_plan(sizes, Layout(world_size=4, gathered="bf16"), "sgd", copies_of(EMA()))
    assert sum(four.training.values()) == 4 * 250 * 3 + 2 * (2 * 200 + 3 * 200)
    assert four.loading == 4 * 1000 * 1.25 and four.peak == 5000
