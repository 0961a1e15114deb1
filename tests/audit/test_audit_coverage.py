"""Simulated studies with known truth: how often the interval holds 0, and how often a planted excess is found.

The slow tests hold the stated rates over 1,000 studies. The fast ones use fewer and the bound that a true rate as
low as stated would break once in 200 runs.
"""

import time

import numpy as np
import pytest
from scipy import stats

from expunge.audit.compare import compare
from expunge.audit.intervals import NORMAL, between, clopper_pearson, half_width, interval, within
from expunge.audit.table import Table
from reference.audit_studies import study

COVERAGE, POWER = 0.93, 0.80
# subjects, replicates, base log-odds of the control, spread of a model's own replicate effect
SIZES = [
    (6, 1, -1.5, 0.0),
    (6, 1, 0.0, 0.0),
    (20, 1, -1.5, 0.0),
    (20, 1, 0.0, 0.0),
    (8, 2, 0.0, 0.4),
    (40, 2, -1.5, 1.0),
    (40, 3, -1.5, 0.0),
    (40, 3, 0.0, 0.4),
    (40, 3, 0.0, 1.0),
    (20, 5, 0.0, 0.5),
]


def _excess(studies, subjects, replicates, resamples=500, **options):
    rng = np.random.default_rng(11)
    for number in range(studies):
        rows = study(rng, subjects, replicates, **options)
        table = Table(rows, resamples=resamples, seed=number, usable_only=False)
        models = (table.rows("method", "model"), table.rows("control", "control"), table.rows("original", "original"))
        found = compare(table, *models)
        if found.e_star is not None:
            yield found.e_star


def _rate(flags, least_share, studies):
    flags = list(flags)
    assert len(flags) >= least_share * studies
    return np.mean(flags)


@pytest.mark.parametrize(("subjects", "replicates", "base", "model_sd"), SIZES)
def test_two_never_trained_models_are_told_equal(subjects, replicates, base, model_sd):
    found = _excess(60, subjects, replicates, resamples=150, base=base, model_sd=model_sd)
    assert _rate((e.contains(0.0) for e in found), 0.9, 60) >= stats.binom.ppf(0.005, 60, COVERAGE) / 60


@pytest.mark.slow
@pytest.mark.parametrize(("subjects", "replicates", "base", "model_sd"), SIZES)
def test_two_never_trained_models_are_told_equal_in_1000_studies(subjects, replicates, base, model_sd):
    start = time.process_time()
    found = _excess(1000, subjects, replicates, base=base, model_sd=model_sd)
    assert _rate((e.contains(0.0) for e in found), 0.9, 1000) >= COVERAGE
    assert time.process_time() - start < 60


@pytest.mark.parametrize("model_sd", [0.0, 0.15])
def test_a_planted_excess_is_found(model_sd):
    found = list(_excess(80, 40, 3, resamples=200, base=-1.5, model_sd=model_sd, planted=0.3))
    assert _rate((e.low > 0.10 for e in found), 1.0, 80) >= stats.binom.ppf(0.005, 80, POWER) / 80
    assert np.mean([e.value for e in found]) == pytest.approx(0.3, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("model_sd", [0.0, 0.15])
def test_a_planted_excess_is_found_in_1000_studies(model_sd):
    found = list(_excess(1000, 40, 3, base=-1.5, model_sd=model_sd, planted=0.3))
    assert _rate((e.low > 0.10 for e in found), 1.0, 1000) >= POWER
    assert np.mean([e.low <= 0.3 <= e.high for e in found]) >= COVERAGE


def _normal_coverage(replicates, ratio, studies=800, freedom=60):
    """Share of normal samples covered; ``ratio`` is replicate variance over one replicate's subject variance."""
    rng = np.random.default_rng(3)
    subject_part = 1 / replicates
    true = subject_part * (1 + ratio)
    error = np.abs(rng.normal(0, np.sqrt(true), studies))
    spread = true * rng.chisquare(replicates - 1, studies) / (replicates - 1)
    noise = subject_part * rng.chisquare(freedom, studies) / freedom
    some = zip(error, spread, noise, strict=True)
    return np.mean([e < half_width(b, w, replicates, freedom) for e, b, w in some])


@pytest.mark.parametrize("replicates", [2, 3, 5])
@pytest.mark.parametrize("ratio", [0.0, 1.0, 8.0, 100.0])
def test_width_covers_whatever_the_share_of_replicate_noise(replicates, ratio):
    assert _normal_coverage(replicates, ratio) >= stats.binom.ppf(0.005, 800, 0.927) / 800


def test_one_replicate_is_a_t_stretched_percentile_interval():
    rng = np.random.default_rng(0)
    residual_BM = rng.normal(0, 0.1, (20_000, 1))
    found = interval(0.2, np.zeros(1), residual_BM, np.zeros((20_000, 1), dtype=np.int64), [12])
    width = stats.t.ppf(0.975, 10) * np.sqrt(6 / 5) * 0.1
    assert found.high - 0.2 == pytest.approx(width, rel=0.04) and 0.2 - found.low == pytest.approx(width, rel=0.04)


def test_variance_parts():
    slots_BM = np.array([[0, 1], [1, 1], [0, 0]])
    residual_BM = np.array([[1.0, 5.0], [7.0, 9.0], [3.0, 5.0]])
    assert between(np.array([-0.3, 0.1, 0.2])) == pytest.approx(np.var([-0.3, 0.1, 0.2], ddof=1) / 3)
    assert between(np.zeros(1)) == 0.0
    assert within(residual_BM, slots_BM) == pytest.approx((np.var([1, 3, 5]) + np.var([5, 7, 9])) / 4)
    assert pytest.approx(stats.norm.ppf(0.975)) == NORMAL


@pytest.mark.parametrize(("hits", "num"), [(0, 40), (3, 40), (40, 40), (1, 1)])
def test_clopper_pearson_inverts_the_binomial_tails(hits, num):
    low, high = clopper_pearson(hits / num, num)
    assert high == 1.0 if hits == num else stats.binom.cdf(hits, num, high) == pytest.approx(0.025)
    assert low == 0.0 if hits == 0 else stats.binom.sf(hits - 1, num, low) == pytest.approx(0.025)
