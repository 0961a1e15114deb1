"""The grid grows exactly where the worst point lies on its edge."""

import pytest

from expunge.attacks.base import AttackPoint
from expunge.attacks.extend import extend
from expunge.attacks.relearn import Relearn


def at(lr: float, steps: int, access: str = "full") -> AttackPoint:
    """A point of the grid."""
    return AttackPoint("qa", access, lr, steps, 1.0, {}, True, 1.0, ())


GRID = Relearn(rates=(1e-5, 2e-5, 8e-5), steps=(1, 2, 4), sources=("qa", "prose"), access=("full", "lora"))


def test_inside_or_before_needs_nothing() -> None:
    assert extend(GRID, at(2e-5, 2)) is None and extend(GRID, at(0.0, 0)) is None


def test_the_longest_budget_doubles_at_its_own_rate() -> None:
    further = extend(GRID, at(2e-5, 4))
    assert further is not None and further.rows_of_grid() == [("qa", "full", 2e-5)] and further.steps == (1, 2, 4, 8)


@pytest.mark.parametrize(("lr", "beyond"), [(1e-5, 5e-6), (8e-5, 3.2e-4)])
def test_an_edge_rate_gets_its_neighbour_at_the_grids_ratio(lr: float, beyond: float) -> None:
    further = extend(GRID, at(lr, 2))
    assert further is not None and further.rates == pytest.approx((beyond,)) and further.steps == (1, 2, 4)
    assert further.sources == ("qa",) and further.access == ("full",)


def test_a_corner_extends_both_ways() -> None:
    further = extend(GRID, at(8e-5, 4))
    assert further is not None and further.rates == pytest.approx((8e-5, 3.2e-4)) and further.steps[-1] == 8


def test_a_lone_rate_is_both_edges_and_lora_has_its_own_rates() -> None:
    further = extend(Relearn(access=("lora",), lora_rates=(1e-3,), steps=(1, 4)), at(1e-3, 1, "lora"))
    assert further is not None and further.lora_rates == pytest.approx((1e-3 / 3, 3e-3))
    assert further.rows_of_grid()[0][:2] == ("qa", "lora")
