"""What is not as asked is refused in a sentence; what is an option changes no number."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor

from contracts.checks import run
from contracts.world import Trio, fresh
from expunge.core.errors import InputError
from expunge.distributed.ranks import joined
from expunge.distributed.sharding import Layout, check_obtained, shard
from expunge.distributed.shards import full
from expunge.scoring.generate import generate_ids
from reference.pool import Pool

Ranks = Callable[[int], Pool]


def refused(kind: str) -> str:
    """The sentence of a refusal."""
    view, size = fresh("dense"), dist.get_world_size()
    settings: dict[str, Any] = {
        "size": {"world_size": size + 1},
        "offload": {"world_size": size, "cpu_offload": True},
    }.get(kind, {"world_size": size})
    if kind == "half":
        view.model.to(torch.bfloat16)
    with pytest.raises(InputError) as caught:
        shard(view.model, Layout(**settings))
        if kind == "twice":
            shard(view.model, Layout(**settings))
        if kind == "obtained":
            check_obtained(view.model, Layout(world_size=size + 1))
    return str(caught.value)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("size", "3 ranks were asked for and 2 are there"),
        ("half", "load the model in float32"),
        ("twice", "sharded already"),
        ("obtained", "lies on 2 ranks, not 3"),
        ("offload", "no GPU"),
    ],
)
def test_another_layout_than_asked_is_refused(kind: str, said: str, ranks: Ranks) -> None:
    assert all(said in sentence for sentence in ranks(2).run(refused, kind))


def test_more_processes_than_started_are_refused() -> None:
    with pytest.raises(InputError, match="2 processes were asked for and 1 started"), joined(2):
        pass


def trained(trio: Trio, layout: dict[str, Any], precision: str) -> Any:
    """Losses, weights and types after training, or the refusal."""
    view = fresh("dense")
    shard(view.model, Layout(world_size=dist.get_world_size(), **layout))
    try:
        result = run(trio, view, "dense", precision=precision)
    except InputError as error:
        return str(error)
    types = {(type(weight), weight.dtype) for weight in view.model.parameters()}
    weights = {name: full(weight) for name, weight in view.model.named_parameters()}
    return [entry["forget"] for entry in result.losses], weights, types


@pytest.mark.parametrize("objective", ["npo", "rmu", "dpo"])
def test_recomputing_activations_changes_nothing(objective: str, ranks: Ranks) -> None:
    plain = ranks(2).run(trained, Trio(objective, "sam"), {}, "fp32")[0]
    recomputed = ranks(2).run(trained, Trio(objective, "sam"), {"activation_checkpointing": True}, "fp32")[0]
    assert plain[0] == recomputed[0]
    assert all(torch.equal(weight, recomputed[1][name]) for name, weight in plain[1].items())


def test_a_perturbed_activation_is_not_recomputed(ranks: Ranks) -> None:
    answers = ranks(2).run(trained, Trio("npo", "latent"), {"activation_checkpointing": True}, "fp32")
    assert all("activation checkpointing" in answer for answer in answers)


def test_bf16_computes_near_fp32_and_keeps_fp32_masters(ranks: Ranks) -> None:
    exact = ranks(2).run(trained, Trio("npo"), {}, "fp32")[0]
    near = ranks(2).run(trained, Trio("npo"), {"gathered": "bf16"}, "bf16")[0]
    assert near[2] == {(DTensor, torch.float32)} or {dtype for _, dtype in near[2]} == {torch.float32}
    assert near[0] != exact[0] and near[0] == pytest.approx(exact[0], rel=0.05)


@pytest.mark.parametrize(("smoother", "precision"), [("curvature", "bf16"), ("none", "fp32")])
def test_a_pass_that_bf16_shards_cannot_run_is_refused(smoother: str, precision: str, ranks: Ranks) -> None:
    answers = ranks(2).run(trained, Trio("npo", smoother), {"gathered": "bf16"}, precision)
    assert all("gather them in fp32" in answer for answer in answers)


def generated(spread: bool) -> list[tuple[int, ...]]:
    view = fresh("dense")
    if spread:
        shard(view.model, Layout(world_size=dist.get_world_size()))
    return generate_ids(view, [(1, 5, 6), (1, 7)], {0}, max_new_tokens=6, temperature=1.0, seed=3)


def test_a_spread_model_writes_what_the_whole_one_writes(ranks: Ranks) -> None:
    assert ranks(2).run(generated, True) == [generated(False)] * 2
