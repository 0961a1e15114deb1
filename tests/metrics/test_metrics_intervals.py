"""Intervals of metrics: over subjects, never narrower than the exact binomial for proportions."""

import numpy as np
import pytest

from expunge.metrics.base import Value, clopper_pearson, interval


def test_clopper_pearson_ends_have_exact_tails() -> None:
    """At the upper end, 3 or fewer of 12 have probability 2.5 %; at the lower end 3 or more."""
    from math import comb

    low, high = clopper_pearson(3, 12)

    def at_most(k: int, p: float) -> float:
        return sum(comb(12, j) * p**j * (1 - p) ** (12 - j) for j in range(k + 1))

    assert at_most(3, high) == pytest.approx(0.025) and 1 - at_most(2, low) == pytest.approx(0.025)
    assert clopper_pearson(0, 5)[0] == 0.0 and clopper_pearson(5, 5)[1] == 1.0


def test_identical_values_still_have_a_width_as_a_proportion() -> None:
    values = [Value(f"s{i}", 0.0) for i in range(10)]
    sure, honest = interval(values, proportion=False), interval(values, proportion=True)
    assert (sure.low, sure.high) == (0.0, 0.0) and honest.high == pytest.approx(1 - 0.025 ** (1 / 10))
    assert honest.n == 10


def test_rows_of_one_subject_are_one_observation() -> None:
    rng = np.random.default_rng(0)
    subjects = rng.normal(size=30)
    once = interval([Value(f"s{i}", v) for i, v in enumerate(subjects)], proportion=False)
    often = interval([Value(f"s{i}", v) for i, v in enumerate(subjects) for _ in range(20)], proportion=False)
    assert (once.low, once.high) == pytest.approx((often.low, often.high))
    width = 2 * 1.96 * subjects.std() / 30**0.5
    assert once.high - once.low == pytest.approx(width, rel=0.15)


def test_weights_weigh() -> None:
    found = interval([Value("a", 1.0, 3.0), Value("b", 0.0, 1.0)], proportion=False)
    assert found.value == pytest.approx(0.75) and found.low == 0.0 and found.high == 1.0
