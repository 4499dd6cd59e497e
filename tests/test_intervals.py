"""Intervals hold the mean as often as they say, and degenerate cases have an answer."""

import math

import numpy as np
import pytest
from scipy import stats

from nlp_models.analysis import intervals
from nlp_models.errors import InputError


def test_a_textbook_interval():
    # Five numbers with mean 3 and s² = 2.5: t_4 at 97.5 % is 2.776445.
    found = intervals.student_t([1.0, 2.0, 3.0, 4.0, 5.0])
    half = 2.7764451 * math.sqrt(2.5 / 5)
    assert found.mean == 3
    assert found.low == pytest.approx(3 - half, rel=1e-6)
    assert found.high == pytest.approx(3 + half, rel=1e-6)
    assert found.deviation == pytest.approx(math.sqrt(2.5))
    assert found.count == 5


def test_the_same_as_scipys():
    values = np.random.default_rng(0).normal(size=7)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    found = intervals.student_t(list(values), confidence=0.9)
    assert found.low == pytest.approx(low, rel=1e-9)
    assert found.high == pytest.approx(high, rel=1e-9)


def test_intervals_of_five_seeds_hold_the_mean_in_95_of_100_cases():
    rng = np.random.default_rng(1)
    samples = rng.normal(2.0, 3.0, (2000, 5))
    inside = [i.low <= 2.0 <= i.high for i in map(intervals.student_t, samples.tolist())]
    assert 0.935 < np.mean(inside) < 0.965  # three standard errors of 2000 trials


def test_one_value_says_nothing_and_equal_ones_are_a_point():
    one = intervals.student_t([0.3])
    assert (one.mean, one.low, one.high) == (0.3, -math.inf, math.inf)
    assert math.isnan(one.deviation)
    # The mean of 0.1s is not 0.1 in floating point: the point must be.
    same = intervals.student_t([0.1] * 7)
    assert (same.mean, same.low, same.high, same.deviation) == (0.1, 0.1, 0.1, 0.0)


def test_pairs_cancel_what_seeds_have_in_common():
    luck = np.random.default_rng(2).normal(0, 10, 6)
    ours, others = (luck + 1).tolist(), luck.tolist()
    found = intervals.student_t(intervals.differences(ours, others))
    assert found.mean == pytest.approx(1)
    assert found.high - found.low < 1e-12
    apart = intervals.student_t(ours)
    assert apart.high - apart.low > 5


@pytest.mark.parametrize('values', [[], [1.0, math.nan], [math.inf, 0.0]])
def test_what_has_no_interval_is_refused(values):
    with pytest.raises(InputError, match='values'):
        intervals.student_t(values)


def test_pairs_must_be_pairs():
    with pytest.raises(InputError, match='as many numbers'):
        intervals.differences([1.0, 2.0], [1.0])


def test_seeds_needed_decide_in_four_of_five_repetitions():
    n = intervals.seeds_needed(1.0, 0.6)
    assert n is not None
    drawn = np.random.default_rng(0).normal(0.6, 1.0, (2000, n))
    shown = np.mean([intervals.student_t(row.tolist()).low > 0 for row in drawn])
    # Four standard errors of 2000 repetitions, and what the approximation is off by.
    assert shown == pytest.approx(0.8, abs=0.05)


def test_seeds_needed_is_the_first_number_that_suffices():
    n = intervals.seeds_needed(1.0, 0.5)
    assert n is not None

    def half(n):
        return (stats.t.ppf(0.975, n - 1) + stats.t.ppf(0.8, n - 1)) / math.sqrt(n)

    assert half(n) < 0.5 <= half(n - 1)
    many = intervals.seeds_needed(1.0, 0.1)
    assert many is not None
    assert half(many) < 0.1
    assert many < 1.1 * ((1.96 + 0.8416) / 0.1) ** 2
    assert intervals.seeds_needed(1.0, 0.0) is None
    assert intervals.seeds_needed(1.0, 1e-6) is None
