"""The area under the ROC curve and its interval: twins, ties, perfect separation, worlds that differ."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from expunge.audit.examine_auc import auc, auc_interval, score_ends, variance
from reference import examined

SCORES = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=12)


@given(known=SCORES, innocent=SCORES)
def test_it_counts_pairs_and_halves_ties(known: list[float], innocent: list[float]) -> None:
    value = auc(known, innocent)
    assert value == pytest.approx(examined.auc(known, innocent))
    assert value == pytest.approx(stats.mannwhitneyu(known, innocent).statistic / (len(known) * len(innocent)))
    assert value == pytest.approx(1 - auc(innocent, known))


def test_the_variance_is_that_of_exponential_scores() -> None:
    rng = np.random.default_rng(0)
    for value, sizes in ((0.8, (12, 12)), (0.95, (10, 10))):
        simulated = examined.exponential_variance(value, *sizes, rng)
        assert variance(value, *sizes) == pytest.approx(simulated, rel=0.1)
    larger = max(examined.exponential_variance(0.9, 8, 30, rng), examined.exponential_variance(0.9, 30, 8, rng))
    assert variance(0.9, 8, 30) == variance(0.9, 30, 8) == pytest.approx(larger, rel=0.1)


@pytest.mark.parametrize("value", [0.0, 0.03, 0.5, 0.9, 1.0])
def test_score_ends_are_the_outermost_values_that_are_not_refused(value: float) -> None:
    found = score_ends(value, 16, 20)
    assert found == pytest.approx(examined.ends_by_search(value, lambda a: variance(a, 16, 20)), abs=1e-4)
    assert found[0] <= value <= found[1]


def interval(known, innocent, worlds, **options):
    return auc_interval(known, innocent, worlds, **{"resamples": 300, "seed": 0, **options})


def test_perfect_separation_is_not_certainty() -> None:
    """The more models, the higher the lower end; a share of 1 in 5 that nobody could tell apart stays possible."""
    lows = []
    for count in (4, 16, 64):
        worlds = [str(index % 4) for index in range(count)]
        found = interval(np.ones(count), np.zeros(count), (worlds, worlds))
        assert (found.value, found.high) == (1.0, 1.0)
        lows.append(found.low)
    assert lows[0] < 0.7 < lows[1] < 1 - 0.2 / 2 < lows[2] < 0.99


def test_one_world_and_lone_models_have_an_interval() -> None:
    found = interval([1.0, 0.2, 0.9], [0.5], (["w"] * 3, ["w"]))
    assert 0 <= found.low < found.value < found.high <= 1 and found.value == pytest.approx(2 / 3)
    assert interval([1.0], [0.0], (["w"], ["v"])).low < 0.3


def test_worlds_that_differ_widen_it() -> None:
    """The same scores; in one case every world has both kinds of error, in the other one world has them all."""
    rng = np.random.default_rng(1)
    known, innocent = rng.normal(1.5, 1, 40), rng.normal(0, 1, 40)
    mixed = [str(index % 4) for index in range(40)]
    by_rank = [str(rank // 10) for rank in np.argsort(np.argsort(known))]
    even, uneven = interval(known, innocent, (mixed, mixed)), interval(known, innocent, (by_rank, mixed))
    assert even.value == uneven.value and uneven.high - uneven.low > 1.3 * (even.high - even.low)


def test_it_is_seeded_and_does_not_depend_on_the_order_of_models() -> None:
    rng = np.random.default_rng(2)
    known, innocent, worlds = rng.normal(1, 1, 12), rng.normal(0, 1, 12), [str(index % 3) for index in range(12)]
    one = interval(known, innocent, (worlds, worlds))
    assert one == interval(known, innocent, (worlds, worlds)) != interval(known, innocent, (worlds, worlds), seed=1)


@pytest.mark.parametrize(("hidden", "world_sd"), [(0.1, 0.0), (0.0, 0.0), (0.0, 1.0)])
def test_coverage(hidden: float, world_sd: float) -> None:
    """16 + 16 models of 4 worlds: the truth lies inside in at least 92 of 100 pools, also where most have no error.

    Knowing models score N(3, 1) and a share ``hidden`` of them as the innocent N(0, 1); a world shifts its knowing
    models by N(0, world_sd²).
    """
    rng = np.random.default_rng(3)
    spread = np.sqrt(2 + world_sd**2)
    truth = (1 - hidden) * stats.norm.cdf(3 / spread) + hidden * 0.5
    worlds, inside, runs = [str(index // 4) for index in range(16)], 0, 250
    for _ in range(runs):
        shift = np.repeat(rng.normal(0, world_sd, 4), 4)
        fooled = rng.random(16) < hidden
        known = np.where(fooled, rng.normal(0, 1, 16), rng.normal(3, 1, 16) + shift)
        found = interval(known, rng.normal(0, 1, 16), (worlds, worlds), resamples=100)
        inside += found.low <= truth <= found.high
    assert inside / runs >= 0.92
