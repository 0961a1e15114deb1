"""How well one number tells models that know from models that never knew: the area under the ROC curve.

AUC = P(s_P > s_N) + ½ P(s_P = s_N) for a random P (knows) and a random N (never knew); it equals the Mann-Whitney
statistic over n_P·n_N pairs (Hanley and McNeil, Radiology 1982). Its 95 % interval is the wider of two:

**Over worlds.** Models of one world share their facts, control and original, so they are no independent draws. Worlds
are resampled, then the models of each, and the percentile distances are stretched to t_ν √(B + W) as in
:mod:`expunge.audit.intervals`: B is the variance between worlds (Obuchowski, Biometrics 1997: the sums by world of
the models' influences), W the variance over independent models (DeLong, DeLong and Clarke-Pearson, Biometrics 1988).
B holds W's share already, on purpose: with 4 worlds √max(B, W) covers 92 % where a world shifts its models by one
standard deviation of their scores, √(B + W) 96 %.

**Where nothing went wrong.** With AUC 1 (or 0) every resample says the same and B = W = 0, but 16 models on each side
do not prove perfection. So both ends are also at least those of a score interval, all A with (Â - A)² ≤ z²·V(A), where
V is the variance that Hanley and McNeil give for exponential scores (Newcombe, Statistics in Medicine 2006, method 5):

    V(A) = [A(1-A) + (n_P-1)(Q₁-A²) + (n_N-1)(Q₂-A²)] / (n_P·n_N),   Q₁ = A/(2-A),   Q₂ = 2A²/(1+A)

It has one class vary more than the other, so the larger V of both assignments counts. At Â = 1 this gives 0.87 for
16 models on each side: a share q of hiders that nobody could tell from innocents makes AUC = 1 - q/2, and is missed
by a draw of n_P with probability (1-q)ⁿ; 0.025 of that for 16 is q = 0.21, AUC 0.90, which lies inside. This part
takes models for independent; worlds that differ cannot be seen where none has an error.

Shape suffixes: P models that know, N that never knew, R resamples, W worlds.
"""

from collections.abc import Sequence

import numpy as np
from scipy import optimize

from expunge.audit.intervals import NORMAL, TAIL, half_width, widened
from expunge.audit.types import Bools, Floats, Interval, Ints
from expunge.core.seeds import derive


def wins(known_P: Floats, innocent_N: Floats) -> Floats:
    """``[P, N]``: 1 where the model that knows scores higher, ½ for a tie, else 0."""
    difference_PN = known_P[:, None] - innocent_N[None, :]
    return np.asarray((np.sign(difference_PN) + 1) / 2)


def auc(known: Sequence[float], innocent: Sequence[float]) -> float:
    """The share of (knows, never knew) pairs that the score orders rightly; neither side may be empty."""
    return float(wins(np.asarray(known, dtype=float), np.asarray(innocent, dtype=float)).mean())


def auc_interval(
    known: Sequence[float],
    innocent: Sequence[float],
    worlds: tuple[Sequence[str], Sequence[str]],
    *,
    resamples: int,
    seed: int,
) -> Interval:
    """AUC with its interval; ``worlds`` name the world of every score, of ``known`` and of ``innocent``."""
    wins_PN = wins(np.asarray(known, dtype=float), np.asarray(innocent, dtype=float))
    value = float(wins_PN.mean())
    low, high = score_ends(value, *wins_PN.shape)
    found = widened(_over_worlds(wins_PN, worlds, resamples, seed), low, high)
    return Interval(value, max(found.low, 0.0), min(found.high, 1.0))


def variance(value: float, num_known: int, num_innocent: int) -> float:
    """V(A) of the module docstring, the larger of both assignments."""
    sides = ((num_known, num_innocent), (num_innocent, num_known))
    return max(_exponential(value, first, second) for first, second in sides)


def _exponential(value: float, first: int, second: int) -> float:
    one, other = value / (2 - value) - value**2, 2 * value**2 / (1 + value) - value**2
    return (value * (1 - value) + (first - 1) * one + (second - 1) * other) / (first * second)


def score_ends(value: float, num_known: int, num_innocent: int) -> tuple[float, float]:
    """The least and the largest A within z standard deviations of ``value``, the deviation being that of A itself."""

    def beyond(candidate: float) -> float:
        return (value - candidate) ** 2 - NORMAL**2 * variance(candidate, num_known, num_innocent)

    tiny = 1e-9
    low = optimize.brentq(beyond, 0.0, value - tiny) if value > tiny else 0.0
    high = optimize.brentq(beyond, value + tiny, 1.0) if value < 1 - tiny else 1.0
    return float(low), float(high)


def _over_worlds(wins_PN: Floats, worlds: tuple[Sequence[str], Sequence[str]], resamples: int, seed: int) -> Interval:
    """The stretched percentile interval of resampled worlds and models."""
    names = sorted({*worlds[0], *worlds[1]})
    draws_WP, draws_WN = (np.array([[one == name for one in side] for name in names]) for side in worlds)
    value = float(wins_PN.mean())
    deviation_R = _resampled(wins_PN, draws_WP, draws_WN, resamples, seed) - value
    spread = float(deviation_R.std()) if deviation_R.size else 0.0
    if spread < 1e-12:
        return Interval(value, value, value)
    width = half_width(*_parts(wins_PN, draws_WP, draws_WN), len(names), max(sum(wins_PN.shape) - 2, 1))
    below, above = np.quantile(deviation_R, [TAIL, 1 - TAIL])
    factor = width / (NORMAL * spread)
    return Interval(value, value + factor * min(float(below), 0.0), value + factor * max(float(above), 0.0))


def _parts(wins_PN: Floats, in_WP: Bools, in_WN: Bools) -> tuple[float, float]:
    """B and W: variances of AUC between worlds and over independent models."""
    num_known, num_innocent = wins_PN.shape
    of_P, of_N = wins_PN.mean(axis=1) - wins_PN.mean(), wins_PN.mean(axis=0) - wins_PN.mean()
    sums_W = in_WP @ of_P / num_known + in_WN @ of_N / num_innocent
    count = len(sums_W)
    between = count / (count - 1) * float(np.square(sums_W).sum()) if count > 1 else 0.0
    within = sum(float(side.var(ddof=1)) / len(side) for side in (of_P, of_N) if len(side) > 1)
    return between, within


def _resampled(wins_PN: Floats, in_WP: Bools, in_WN: Bools, resamples: int, seed: int) -> Floats:
    """AUC of every resample that holds models of both kinds."""
    rng = np.random.default_rng(derive(seed, "examine", *wins_PN.shape))
    count = len(in_WP)
    drawn_RW = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    weights_RP, weights_RN = (_weights(rng, drawn_RW, side) for side in (in_WP, in_WN))
    totals_R = weights_RP.sum(axis=1) * weights_RN.sum(axis=1)
    sums_R = np.einsum("rp,pn,rn->r", weights_RP, wins_PN, weights_RN, optimize=True)
    whole_R = totals_R > 0
    return np.asarray(sums_R[whole_R] / totals_R[whole_R])


def _weights(rng: np.random.Generator, drawn_RW: Ints, in_WM: Bools) -> Floats:
    """How often each model is drawn, its world having been drawn so often."""
    weights_RM = np.zeros((len(drawn_RW), in_WM.shape[1]))
    for world, mask_M in enumerate(in_WM):
        if size := int(mask_M.sum()):
            weights_RM[:, mask_M] = rng.multinomial(drawn_RW[:, world] * size, np.full(size, 1 / size))
    return weights_RM
