"""Several ranks compute what one process computes: gradients, steps and losses, for whatever is registered.

In float64 both must agree to 1e-8, so that no tolerance hides a lost factor, a row counted twice or a stale weight.
Every run takes three steps, clipped, with weight decay; the retain stream runs short, so fillers occur.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from contracts.world import Trio, names
from reference.pool import Pool
from reference.spread import ALIKE, compared, differences

Ranks = Callable[[int], Pool]
SGD = {"optimizer": "sgd", "lr": 1e-2}
CLOSE = 1e-8


def apart(pool: Pool, trios: list[Trio], dtype: torch.dtype = torch.float64, **changes: Any) -> dict[str, Any]:
    return differences(pool.run(compared, trios, dtype, changes or SGD))


def check(found: dict[str, Any], close: float = CLOSE) -> None:
    """Close, or refused with the same sentence as on one process, which only the latent adversary has reason to be."""
    alike = {name for name, far in found.items() if isinstance(far, str) and far.startswith(ALIKE)}
    assert all("+latent" in name for name in alike), found
    measured = {name: far for name, far in found.items() if name not in alike}
    wrong = {name: far for name, far in measured.items() if isinstance(far, str) or max(far.values()) > close}
    assert not wrong, wrong


@pytest.mark.parametrize("objective", names("objective"))
def test_every_objective(objective: str, ranks: Ranks) -> None:
    check(apart(ranks(2), [Trio(objective)]))


@pytest.mark.parametrize("smoother", names("smoother"))
def test_every_smoother(smoother: str, ranks: Ranks) -> None:
    check(apart(ranks(2), [Trio("npo", smoother)]))


@pytest.mark.parametrize("scope", ["expert", "layers", "lora", "magnitude"])
def test_a_scope_of_each_kind(scope: str, ranks: Ranks) -> None:
    check(apart(ranks(2), [Trio("npo", "none", scope)]))


@pytest.mark.slow
@pytest.mark.parametrize("scope", names("scope"))
def test_every_scope(scope: str, ranks: Ranks) -> None:
    check(apart(ranks(2), [Trio("npo", smoother, scope) for smoother in names("smoother")]))


def test_the_norms_of_a_masked_step_are_global(ranks: Ranks) -> None:
    check(apart(ranks(2), [Trio("rmu", "sam", "magnitude"), Trio("rmu", "sam", "lora")]))


@pytest.mark.parametrize("smoother", ["none", "sam"])
def test_adamw(smoother: str, ranks: Ranks) -> None:
    check(apart(ranks(2), [Trio("npo", smoother)], lr=1e-3))


def test_accumulation_and_an_odd_number_of_ranks(ranks: Ranks) -> None:
    """Three ranks share two rows: one computes fillers in every pass."""
    trios = [Trio("ilu", "direction_ablation"), Trio("dpo", "latent"), Trio("router_anchor", "random_smoothing")]
    check(apart(ranks(3), trios))
    check(apart(ranks(2), [Trio("ilu", "sam")], **SGD, micro_batch=1, batch_size=3))


def test_losses_in_float32(ranks: Ranks) -> None:
    found = apart(ranks(2), [Trio("npo", "sam"), Trio("rmu"), Trio("undial")], torch.float32, **SGD)
    assert all(far["losses"] < 1e-5 for far in found.values()), found


@pytest.mark.slow
@pytest.mark.parametrize("objective", names("objective"))
def test_every_pair(objective: str, ranks: Ranks) -> None:
    check(apart(ranks(2), [Trio(objective, smoother) for smoother in names("smoother")]))
