"""Models in parts are read as whole ones are: scores, texts and divergences, each rank with a share of the passes."""

from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
import torch
import torch.distributed as dist

from contracts.methods import fresh as loaded_fresh
from contracts.methods import people
from contracts.world import fresh
from expunge import registry
from expunge.attacks.base import Attack
from expunge.attacks.prompting import PromptAttack
from expunge.attacks.relearn import Relearn
from expunge.attacks.tuned import TunedPrompt
from expunge.distributed.sharding import Layout, shard
from expunge.knowledge.facts import Knowledge
from expunge.knowledge.splits import split_by_subject
from expunge.metrics.utility import baseline
from expunge.models.load import load
from expunge.models.rows import Row
from expunge.models.view import View
from expunge.scoring.divergence import kl_by_row
from expunge.scoring.generate import generate_ids
from expunge.scoring.teacher_forced import NotANumber, score
from reference.pool import Pool
from reference.spread import exact
from reference.tiny_rows import rows

Ranks = Callable[[int], Pool]
CLOSE = 1e-8


def viewed(spread: bool, other: bool = False) -> View:
    """A tiny model in float64."""
    view = fresh("dense")
    view.model.double()
    if other:
        torch.manual_seed(9)
        with torch.no_grad():
            for weight in view.model.parameters():
                weight.add_(0.1 * torch.randn_like(weight))
    if spread:
        shard(view.model, Layout(world_size=dist.get_world_size()))
    return view


def asked() -> list[Row]:
    """Rows of many lengths, and six that share a prompt, which are scored as a tree."""
    shared = [Row(f"s/{end}", (3, 9, 4, 7, 5, 8, end, 6), (False,) * 6 + (True, True)) for end in range(10, 16)]
    return [*rows("a", 11, seed=4), *shared]


def numbers(spread: bool) -> tuple[list[float], list[tuple[bool, ...]], int]:
    """Log-probabilities and hits of all rows, and how many passes this rank made."""
    view = viewed(spread)
    with exact(torch.float64), mock.patch.object(View, "within", autospec=True, side_effect=View.within) as counted:
        scores = score(view, asked(), max_tokens=24)
    return [value for item in scores for value in item.logprobs], [item.hits for item in scores], counted.call_count


@pytest.mark.parametrize("size", [2, 3])
def test_scores_are_those_of_one_process(size: int, ranks: Ranks) -> None:
    alone = numbers(False)
    together = ranks(size).run(numbers, True)
    for values, hits, _ in together:
        assert values == pytest.approx(alone[0], abs=CLOSE) and hits == alone[1]
    passes = {count for _, _, count in together}
    assert len(passes) == 1, "all ranks make the same number of passes"
    assert passes.pop() < 0.8 * alone[2], "each rank makes a share of them"


def nothing() -> tuple[list[Any], list[Any]]:
    view = viewed(True)
    return score(view, []), generate_ids(view, [], {0}, max_new_tokens=2)


def broken() -> str:
    """The refusal of a row that only one rank computes; another row is fine."""
    view = viewed(True)
    hidden = View.forward

    def diverged(self: View, batch: Any, **wanted: Any) -> Any:
        outputs = hidden(self, batch, **wanted)
        if dist.get_rank() == 1:
            outputs.final_hidden_ND.fill_(float("nan"))
        return outputs

    with mock.patch.object(View, "forward", diverged), pytest.raises(NotANumber) as caught:
        score(view, rows("a", 4, seed=4), max_tokens=9, share=False)
    return str(caught.value)


def test_no_rows_and_broken_rows_end_alike_on_all_ranks(ranks: Ranks) -> None:
    assert ranks(2).run(nothing) == [([], [])] * 2
    one, two = ranks(2).run(broken)
    assert one == two and "is not a number" in one


def written(spread: bool, temperature: float) -> list[tuple[int, ...]]:
    """What the model writes to prompts of many lengths; texts end after different numbers of tokens."""
    prompts = [row.ids for row in rows("p", 7, seed=2)]
    ends = set(range(0, 30, 7))
    with exact(torch.float64):
        return generate_ids(
            viewed(spread), prompts, ends, max_new_tokens=9, temperature=temperature, seed=3, max_tokens=40
        )


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_texts_are_those_of_one_process(temperature: float, ranks: Ranks) -> None:
    alone = written(False, temperature)
    assert len({len(text) for text in alone}) > 1
    assert ranks(3).run(written, True, temperature) == [alone] * 3


def divergences(spread: bool) -> list[float]:
    with exact(torch.float64):
        found = kl_by_row(viewed(spread, other=True), viewed(spread), rows("a", 9, seed=4), max_tokens=24)
    return [value for row in found for value in row.values]


def test_divergences_are_those_of_one_process(ranks: Ranks) -> None:
    alone = divergences(False)
    assert max(alone) > 1e-3
    for found in ranks(2).run(divergences, True):
        assert found == pytest.approx(alone, abs=CLOSE)


def attacks() -> dict[str, type[Attack]]:
    """Every registered attack by name."""
    return {entry.name: entry.factory for entry in registry.entries("attack")}  # type: ignore[misc]


SPREAD = [name for name, kind in attacks().items() if kind.spreads]
FEW: dict[str, Any] = {"rates": (1e-2,), "steps": (1, 3)}
GRIDS: dict[str, dict[str, Any]] = {
    "relearn": {**FEW, "lora_rates": (1e-2,), "access": ("full", "balanced", "lora"), "rank": 2},
    "unlearn_smooth": {},
    "sampling": {"budgets": (1, 2), "tokens": 3},
    "step_by_step": {"budgets": (1, 2), "tokens": 3},
}
"""Short grids; a published protocol has its own."""


def attacked(name: str, spread: bool) -> list[tuple[str, float, tuple[bool, ...], tuple[float, ...]]]:
    """Every point in float64: its id, utility, hits and log-probabilities."""
    loaded, facts = loaded_fresh("tiny"), people(0, 9)
    original = load("tiny", template="plain", seed=2) if "original" in attacks()[name].needs else None
    for held in (loaded, original):
        if held is not None:
            held.model.double()
        if spread and held is not None:
            shard(held.model, Layout(world_size=dist.get_world_size()))
    split = split_by_subject(facts[:6], seed=1)
    world = Knowledge("people", facts[:6], (), facts[6:], streams={"unrelated": people(6, 9)}, split=split)
    own = FEW if issubclass(attacks()[name], Relearn) else {}
    grid = registry.build("attack", name, **GRIDS.get(name, own))
    # A processor that knows bfloat16 would otherwise train in it.
    narrow = mock.patch.object(torch.cpu, "_is_avx512_bf16_supported", return_value=False)
    with exact(torch.float64), narrow:
        measure = baseline(loaded.view(), loaded.encoder, facts[6:], facts[6:])
        points = grid.run(loaded, world, split, measure, seed=2, original=original)
    return [
        (
            point.id,
            point.utility,
            tuple(probe.hit for probe in point.probes),
            tuple(probe.logprob for probe in point.probes),
        )
        for point in points
    ]


@pytest.mark.parametrize("name", SPREAD)
def test_every_attack_that_spreads_reads_what_one_process_reads(name: str, ranks: Ranks) -> None:
    alone = attacked(name, False)
    assert alone[-1][3] != pytest.approx(alone[0][3], abs=1e-4), "the attack moves nothing"
    for found in ranks(2).run(attacked, name, True):
        assert [point[0] for point in found] == [point[0] for point in alone]
        for one, two in zip(found, alone, strict=True):
            assert one[1] == pytest.approx(two[1], abs=CLOSE) and one[2] == two[2]
            assert one[3] == pytest.approx(two[3], abs=100 * CLOSE)


def test_attacks_that_train_ask_or_edit_blindly_spread() -> None:
    """But not those that search for a prompt, which need gradients of its tokens, nor those whose judge is asked."""
    ask = {name for name, kind in attacks().items() if issubclass(kind, PromptAttack)}
    search = {name for name, kind in attacks().items() if issubclass(kind, TunedPrompt)}
    train = {name for name, kind in attacks().items() if issubclass(kind, Relearn)}
    assert train and search < ask and train | (ask - search) | {"quantise", "noise", "interpolate"} == set(SPREAD)
    judged = {"name": "llm", "base_url": "http://localhost:9/v1", "model": "m"}
    assert registry.build("attack", "sampling").can_spread
    assert not registry.build("attack", "sampling", judge=judged).can_spread
