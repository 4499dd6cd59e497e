"""Clocks: a clock of our own shows what is counted, where, and in which order."""

import itertools
import math
import statistics

import jax.numpy as jnp
import numpy as np
import pytest

from nlp_models import timing


class Clock:
    """Time that passes only where it is told to, and what was done in it."""

    def __init__(self):
        self.now = 0.0
        self.order = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds

    def work(self, name, durations):
        durations = itertools.cycle(durations)

        def call():
            self.order.append(name)
            self.now += next(durations)
            return jnp.zeros(())

        return call

    def paired(self, ours, peer, **options):
        return timing.paired(ours, peer, clock=self, sleep=self.sleep, **options)


def brute_force_coverage(n, k):
    """P(k-th smallest ≤ median ≤ k-th largest), over all 2ⁿ ways to lie below or above it."""
    inside = sum(k <= sum(below) <= n - k for below in itertools.product((0, 1), repeat=n))
    return inside / 2**n


@pytest.mark.parametrize('n', range(1, 15))
def test_the_interval_of_a_median_is_the_narrowest_that_covers(n):
    values = np.random.default_rng(n).permutation(n) + 1.0
    low, high, coverage = timing.median_interval(values.tolist())
    k = int(low)
    assert high == n + 1 - k
    assert coverage == pytest.approx(brute_force_coverage(n, k), abs=1e-12)
    if n >= 6:
        assert coverage >= 0.95
        assert 2 * (k + 1) > n + 1 or brute_force_coverage(n, k + 1) < 0.95
    else:
        assert (low, high) == (1, n)
        assert coverage < 0.95


def test_the_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits, coverages = 0, []
    for _ in range(2000):
        low, high, coverage = timing.median_interval(rng.lognormal(size=11).tolist())
        hits += low <= 1.0 <= high  # a lognormal's median is 1
        coverages.append(coverage)
    assert abs(hits / 2000 - coverages[0]) < 3 * math.sqrt(0.25 / 2000)


def test_ratio_medians_and_interval_of_known_durations():
    clock = Clock()
    durations = [1.0, 4.0, 2.0, 1.0, 8.0, 2.0, 3.0]
    # Warm-up and two calls to find out how often to call; then, in each round, one that is not
    # timed and one that is.
    ours = clock.work('ours', [1.0, 1.0, 1.0, *([50.0, 2.0] * 7)])
    peer = clock.work('peer', [9.0, 9.0, 1.0, *(d for pair in durations for d in (70.0, pair))])
    result = clock.paired(ours, peer, warm_up=1, seconds=0.0, least=7, block_seconds=0.5)
    ratios = sorted(d / 2 for d in durations)
    assert result.rounds == 7
    assert result.seconds == pytest.approx(2.0)
    assert result.peer_seconds == pytest.approx(statistics.median(durations))
    assert result.ratio == pytest.approx(statistics.median(ratios))
    assert result.ratio_interval == pytest.approx((ratios[0], ratios[-1]))  # n = 7: k = 1
    assert result.coverage == pytest.approx(1 - 2 / 2**7)


def test_the_order_changes_every_round_and_pauses_do_not_count():
    clock = Clock()
    result = clock.paired(
        clock.work('a', [1.0]), clock.work('b', [1.5]), warm_up=0, seconds=0.0, least=4, pause=100.0
    )
    assert ''.join(clock.order) == 'aabb' + 'aabb' + 'bbaa' + 'aabb' + 'bbaa'
    assert (result.seconds, result.peer_seconds, result.ratio) == pytest.approx((1.0, 1.5, 1.5))


def test_short_calls_are_repeated_within_a_turn():
    clock = Clock()
    result = clock.paired(
        clock.work('a', [0.01]),
        clock.work('b', [1.0]),
        warm_up=2,
        seconds=0.0,
        least=3,
        block_seconds=0.05,
    )
    assert clock.order.count('b') == 2 + 2 + 3 * (1 + 1)
    assert clock.order.count('a') == 2 + 2 + 3 * (1 + 5)
    assert (result.seconds, result.ratio) == pytest.approx((0.01, 100.0))


def test_rounds_follow_the_time_and_its_bounds():
    clock = Clock()
    options = dict(warm_up=0, pause=0.0)
    a, b = clock.work('a', [1.0]), clock.work('b', [1.0])
    assert clock.paired(a, b, seconds=20.0, least=2, **options).rounds == 5
    assert clock.paired(a, b, seconds=20.0, least=2, most=4, **options).rounds == 4
    few = clock.paired(a, b, seconds=0.0, least=3, **options)
    assert few.rounds == 3
    assert few.coverage == pytest.approx(0.75)


def test_every_call_is_waited_for():
    waited = []

    class Result:
        def block_until_ready(self):
            waited.append(1)
            return self

    timing.paired(Result, Result, warm_up=1, seconds=0.0, least=2, block_seconds=0.0, pause=0.0)
    assert len(waited) == 2 * (1 + 2 + 2 * 2)


def test_the_matmul_rate_is_two_n_cubed_over_the_fastest_call(monkeypatch):
    durations = itertools.chain([0.5, 0.25], itertools.repeat(0.5))
    now = [0.0]

    def clock():  # every second reading ends a call
        now.append(now[-1] + (next(durations) if len(now) % 2 == 0 else 0.0))
        return now[-1]

    monkeypatch.setattr(timing.time, 'perf_counter', clock)
    rate = timing.matmul_rate(jnp.float32, size=16, seconds=0.1)
    assert rate == pytest.approx(2 * 16**3 / 0.25)


def test_what_is_slow_is_warmed_up_once():
    clock = Clock()
    clock.paired(
        clock.work('a', [3.0]), clock.work('b', [0.1]), warm_up=4, seconds=0.0, least=1, pause=0.0
    )
    assert clock.order.count('a') == 1 + 2 + 1  # nor does it get a call that is not timed
    assert clock.order.count('b') == 4 + 2 + 2


def test_several_works_each_go_first():
    clock = Clock()
    calls = [clock.work(name, [1.0]) for name in 'abc']
    timers = [timing.block_timer(c, pause=0.0, clock=clock, sleep=clock.sleep) for c in calls]
    clock.order.clear()
    times = timing.rounds(timers, seconds=0.0, least=3, clock=clock)
    assert ''.join(clock.order) == 'aabbcc' + 'bbccaa' + 'ccaabb'
    assert times == [[1.0] * 3] * 3
