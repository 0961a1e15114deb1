"""Methods of several stages on two ranks end in the weights of one process, or say why they need one.

Every registered method is tried, in float64, so that no tolerance hides a draw that differs or a norm of a part.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
import torch.distributed as dist

from contracts.checks import Weights
from contracts.methods import MODELS, fresh, run, whole
from expunge.core.errors import InputError
from expunge.distributed.sharding import Layout, shard
from expunge.distributed.shards import full
from expunge.methods import oracle_matching, work
from expunge.methods.grammar import MethodSpec, Part, parse
from expunge.methods.run import method_of
from expunge.models.load import LoadedModel, load
from reference.pool import Pool
from reference.spread import exact

Ranks = Callable[[int], Pool]
CLOSE = 1e-8
QUICK = ("hide_noise", "oracle_matching", "repselect", "seuf", "spunge", "task_vector", "undo", "whp")
"""One for each way of touching whole weights; the others are slow tests."""
ALONE = {"hide_rescaled": "rescales rows of one matrix and columns of another", "hide_fragile": "read from whole rows"}
"""The refusals, in their own words."""


def wide(loaded: LoadedModel) -> LoadedModel:
    """The model in float64; its experts one by one, as the grouped product knows no float64."""
    loaded.model.double()  # type: ignore[no-untyped-call]
    if hasattr(loaded.model.config, "num_experts"):
        loaded.model.set_experts_implementation("eager")
    return loaded


def done(part: Part, model: str, spread: bool) -> tuple[Weights, float] | str:
    """The weights that the method leaves and how far they moved, or the sentence with which it refuses."""
    loaded = wide(fresh(model))
    before = {name: weight.detach().clone() for name, weight in loaded.model.named_parameters()}
    if spread:
        shard(loaded.model, Layout(world_size=dist.get_world_size()))
    lent = mock.patch.object(oracle_matching, "load", lambda *values, **named: wide(load(*values, **named)))
    try:
        with exact(torch.float64), lent:
            run(part, loaded)
    except InputError as error:
        return str(error)
    after = {name: full(weight).clone() for name, weight in loaded.model.named_parameters()}
    return after, far(after, before)


def far(one: Weights, two: Weights) -> float:
    assert one.keys() == two.keys()
    return max(float((value - two[name]).abs().max()) for name, value in one.items())


def compared(part: Part) -> dict[str, Any]:
    """How far both ranks together end from one of them alone; rank 0 is the one."""
    for model in MODELS:
        together = done(part, model, True)
        if isinstance(together, str):
            continue
        alone = done(part, model, False) if dist.get_rank() == 0 else together
        assert not isinstance(alone, str), f"refused on one process only: {alone}"
        return {"apart": far(together[0], alone[0]), "moved": alone[1]}
    raise AssertionError(f"{part.name} runs on none of {MODELS}: {together}")


def alone(part: Part) -> str:
    """Why the method needs one process, if it does."""
    return method_of(MethodSpec(parts={"method": part})).alone()


TRIED = [part for part in whole() if not alone(part)]


@pytest.mark.parametrize(
    "part", [pytest.param(part, marks=() if part.name in QUICK else pytest.mark.slow, id=part.name) for part in TRIED]
)
def test_every_method_ends_where_it_ends_on_one_process(part: Part, ranks: Ranks) -> None:
    for found in ranks(2).run(compared, part):
        assert found["apart"] < CLOSE < 1e-5 < found["moved"], found


def staged(home: Path, spread: bool, again: bool) -> Weights:
    """What a method of three stages leaves that keeps each finished one in ``home``; ``again`` none may be trained."""
    loaded = fresh("tiny")
    if spread:
        shard(loaded.model, Layout(world_size=dist.get_world_size()))
    forbidden = (
        {"side_effect": AssertionError("a finished stage was trained again")} if again else {"wraps": work.train}
    )
    with mock.patch.object(work, "train", **forbidden):
        run(Part("method", "spunge"), loaded, home)
    return {name: full(weight).clone() for name, weight in loaded.model.named_parameters()}


def test_finished_stages_are_kept_in_parts_and_read_by_any_number(ranks: Ranks, tmp_path: Path) -> None:
    first = ranks(2).run(staged, tmp_path, True, False)[0]
    assert list(tmp_path.glob("stage-*/done/*.distcp"))
    assert all(far(found, first) == 0 for found in ranks(2).run(staged, tmp_path, True, True))
    assert far(staged(tmp_path, False, True), first) < 1e-6


def test_what_needs_one_process_says_why() -> None:
    said = {part.name: reason for part in whole() if (reason := alone(part))}
    assert said.keys() == ALONE.keys()
    assert all(words in said[name] for name, words in ALONE.items())


def test_a_method_needs_what_its_inner_method_needs() -> None:
    nested = parse({"name": "layered", "method": {"inner": {"name": "hide_rescaled", "method": {"inner": "npo"}}}})
    assert method_of(nested).alone() == alone(Part("method", "hide_rescaled"))
    assert not method_of(parse("npo+sam@lora")).alone()
