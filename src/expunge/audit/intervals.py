"""95 % intervals that stay honest with few subjects and few replicates.

A percentile bootstrap over clusters is too narrow twice: n resampled units show only (n-1)/n of their variance, and
a spread estimated from few units needs a t-quantile, not 1.96. So the percentile distances are stretched by

    κ = t_ν √(k·B + g·W) / (1.96 · sd of the bootstrap)

with B the variance of the mean seen between replicates (m-1 degrees of freedom), W the variance from resampling
subjects within replicates (Σ(n-2) degrees: two folds a replicate), g = f/(f-1) for the smaller fold of f subjects,
and ν their Welch-Satterthwaite degrees of freedom. With one replicate B = 0 and this is the t-stretched percentile
interval ("expanded percentile", Hesterberg 2015, section 5.3.3).

B already contains W's share of noise, so B + W is too large on purpose: when B comes out small by luck, W holds the
interval open and ν rises; when replicates truly differ, B rules and ν falls to m-1. Under a normal model this covers
≥ 92.7 % for every ratio of the two variances and any m ≥ 3 (≥ 95 % while replicates differ no more than
1.4 times the subject noise of one of them); B alone with t_{m-1} covers 95 % but finds an excess of 0.3 at 40
subjects × 3 replicates in fewer than eight studies of ten. Two replicates give one degree of freedom, where the same
rule would fall to 88 %; k = 3 there (else 1) restores ≥ 92.7 %. tests/audit/test_audit_coverage.py checks all this.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from expunge.audit.types import Floats, Interval, Ints

TAIL = 0.025
NORMAL = 1.959964
TWO_REPLICATES = 3.0


def clopper_pearson(mean: float, num: int) -> tuple[float, float]:
    """Exact 95 % ends for a proportion of ``num`` subjects; a fractional count uses the same beta quantiles."""
    hits = min(max(mean, 0.0), 1.0) * num
    low = float(stats.beta.ppf(TAIL, hits, num - hits + 1)) if hits > 1e-9 else 0.0
    high = float(stats.beta.ppf(1 - TAIL, hits + 1, num - hits)) if hits < num - 1e-9 else 1.0
    return low, high


def between(residual_M: Floats) -> float:
    """B: variance of the mean over replicates, 0 with one replicate."""
    return float(residual_M.var(ddof=1) / len(residual_M)) if len(residual_M) > 1 else 0.0


def within(residual_BM: Floats, slots_BM: Ints) -> float:
    """W: variance of the mean over replicates that resampling subjects alone produces."""
    num = slots_BM.shape[1]
    drawn = [residual_BM[slots_BM == position] for position in range(num)]
    return float(sum(values.var() for values in drawn if values.size) / num**2)


def half_width(between_part: float, within_part: float, replicates: int, freedom: int) -> float:
    """t_ν √(k·B + W'): B and W' = g·W are variances, ``freedom`` the degrees of freedom of W'."""
    between_part *= TWO_REPLICATES if replicates == 2 else 1.0
    total = between_part + within_part
    doubt = within_part**2 / max(freedom, 1) + between_part**2 / max(replicates - 1, 1)
    return float(stats.t.ppf(1 - TAIL, total**2 / doubt) * np.sqrt(total))


def stretch(residual_M: Floats, residual_BM: Floats, slots_BM: Ints, sizes: Sequence[int]) -> float:
    """κ of the module docstring; ``sizes`` are the numbers of subjects by replicate."""
    spread = float(residual_BM.mean(axis=1).std())
    if spread < 1e-12:
        return 1.0
    smaller = max(min(sizes) // 2, 2)
    within_part = within(residual_BM, slots_BM) * smaller / (smaller - 1)
    freedom = sum(sizes) - 2 * len(sizes)
    return half_width(between(residual_M), within_part, len(sizes), freedom) / (NORMAL * spread)


def interval(value: float, residual_M: Floats, residual_BM: Floats, slots_BM: Ints, sizes: Sequence[int]) -> Interval:
    """The stretched percentile interval of ``value``.

    ``residual_M`` and ``residual_BM`` are the linearised deviations from ``value`` by replicate and by resampled
    slot; the mean of the former is 0.
    """
    deviation_B = residual_BM.mean(axis=1)
    below, above = np.quantile(deviation_B, [TAIL, 1 - TAIL])
    factor = stretch(residual_M, residual_BM, slots_BM, sizes)
    return Interval(value, value + factor * min(float(below), 0.0), value + factor * max(float(above), 0.0))


def widened(found: Interval, low: float, high: float) -> Interval:
    """``found``, at least as wide as the given ends."""
    return Interval(found.value, min(found.low, low), max(found.high, high))
