"""Clocks: how long device work takes, waited for; two works side by side; what a matmul reaches."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

CONFIDENCE = 0.95
LONG = 2.0  # seconds of a call that does not feel what others left behind


class Paired(NamedTuple):
    """Two works timed in turn.

    Attributes:
      seconds: ours, the median over rounds, of one call.
      peer_seconds: the peer's.
      ratio: the median over rounds of peer ÷ ours: above 1, ours is the faster.
      ratio_interval: a distribution-free interval of that median (see `median_interval`).
      coverage: the probability with which such an interval holds the median: at least 95 %, unless
        there were fewer than 6 rounds.
      rounds: how many.
    """

    seconds: float
    peer_seconds: float
    ratio: float
    ratio_interval: tuple[float, float]
    coverage: float
    rounds: int


def median_interval(
    values: Sequence[float], confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """Where the median of the distribution lies that some values were drawn from.

    The values below the median are Binomial(n, ½) many, whatever the distribution, so the k-th
    smallest and the k-th largest enclose it with probability 1 − 2 P(Binomial(n, ½) < k). The
    largest such k is taken (Conover, "Practical Nonparametric Statistics", section 3.2).

    Args:
      values: independent, at least one.
      confidence: the least probability wanted.

    Returns:
      (low, high, coverage): the probability is `confidence` or more where the values suffice (6
      for 95 %), otherwise that of the least and the greatest of them.
    """
    ordered, n = sorted(values), len(values)
    k, outside = 1, 2.0 * 0.5**n
    while 2 * (k + 1) <= n + 1:
        wider = outside + 2.0 * math.comb(n, k) * 0.5**n
        if wider > 1 - confidence:
            break
        k, outside = k + 1, wider
    return ordered[k - 1], ordered[n - k], max(0.0, 1 - outside)


def rounds(
    measures: Sequence[Callable[[], float]],
    *,
    seconds: float = 4.0,
    least: int = 6,
    most: int = 200,
    clock: Callable[[], float] = time.perf_counter,
) -> list[list[float]]:
    """Measure several works in turn; who goes first moves on every round, so that drift cancels.

    Args:
      measures: each does its work and returns how many seconds it took.
      seconds: to spend on all rounds, about.
      least: rounds at least.
      most: rounds at most.
      clock: tells the time spent.

    Returns:
      What each returned, one number a round.
    """
    times: list[list[float]] = [[] for _ in measures]
    started, done = clock(), 0
    while done < least or (done < most and clock() - started < seconds):
        for i in range(len(measures)):
            at = (i + done) % len(measures)
            times[at].append(measures[at]())
        done += 1
    return times


def in_turn(ours: Callable[[], float], peer: Callable[[], float], **options: Any) -> Paired:
    """Measure two works in turn.

    Args:
      ours: does the work and returns how many seconds it took.
      peer: the same.
      **options: of `rounds`.

    Returns:
      The medians, their ratio and its interval.
    """
    mine, others = rounds([ours, peer], **options)
    ratios = [b / a for a, b in zip(mine, others, strict=True)]
    low, high, coverage = median_interval(ratios)
    return Paired(
        statistics.median(mine),
        statistics.median(others),
        statistics.median(ratios),
        (low, high),
        coverage,
        len(ratios),
    )


def block_timer(
    function: Callable[[], Any],
    *,
    block_seconds: float = 0.05,
    pause: float = 0.02,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> Callable[[], float]:
    """What times a function once it is asked to: seconds of one call, each call waited for.

    What is short is called several times in a row, so that the clock's and the thread pools' own
    time does not count; how often is found now, by one turn. Before it begins there is a pause in
    which the threads of whoever ran before come to rest (they look for work for some milliseconds),
    and, where a call takes less than `LONG`, one that is not timed, so that none pays for what
    another left in caches and memory.

    Args:
      function: what to call; returns arrays to wait for, or anything that needs no waiting.
      block_seconds: how long the calls take together at least, about.
      pause: seconds before them.
      clock: tells the time.
      sleep: waits.

    Returns:
      `() -> seconds`.
    """

    def block(calls: int, lead: bool = True) -> float:
        sleep(pause)
        if lead:
            jax.block_until_ready(function())
        started = clock()
        for _ in range(calls):
            jax.block_until_ready(function())
        return (clock() - started) / calls

    once = block(1)
    calls = max(1, math.ceil(block_seconds / max(once, 1e-6) - 1e-9))
    return partial(block, calls, lead=once < LONG)


def paired(
    ours: Callable[[], Any],
    peer: Callable[[], Any],
    *,
    warm_up: int = 2,
    seconds: float = 4.0,
    least: int = 6,
    most: int = 200,
    block_seconds: float = 0.05,
    pause: float = 0.02,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> Paired:
    """Time two functions in turn, each call waited for (see `block_timer`).

    Args:
      ours: what to call; returns arrays to wait for, or anything that needs no waiting.
      peer: the same.
      warm_up: calls of each before the clock starts; no more once a second is spent on them.
      seconds: to spend on all rounds, about.
      least: rounds at least.
      most: rounds at most.
      block_seconds: how long a turn takes at least, about.
      pause: seconds before each turn.
      clock: tells the time.
      sleep: waits.

    Returns:
      As `in_turn`, for one call.
    """
    timers = []
    for function in (ours, peer):
        started = clock()
        for _ in range(warm_up):
            jax.block_until_ready(function())
            if clock() - started > 1.0:
                break
        timers.append(
            block_timer(
                function, block_seconds=block_seconds, pause=pause, clock=clock, sleep=sleep
            )
        )
    return in_turn(*timers, seconds=seconds, least=least, most=most, clock=clock)


def median_seconds(
    function: Callable[[], Any], *, seconds: float = 1.0, least: int = 2, warm_up: int = 1
) -> float:
    """Time a call, its results waited for.

    Args:
      function: what to call; returns the arrays it computes.
      seconds: how long to go on calling it, about.
      least: how many calls to time at least.
      warm_up: calls before the clock starts (the first compiles).

    Returns:
      The median of the calls, in seconds.
    """
    for _ in range(warm_up):
        jax.block_until_ready(function())
    times: list[float] = []
    while len(times) < least or sum(times) < seconds:
        started = time.perf_counter()
        jax.block_until_ready(function())
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def matmul_rate(dtype: Any, *, size: int = 2048, seconds: float = 1.0) -> float:
    """What this machine's matrix multiplication reaches: the yardstick for everything else.

    Args:
      dtype: of both factors and the product.
      size: n of the n × n matrices, random.
      seconds: to spend, about.

    Returns:
      FLOP/s of one device with all its cores, 2 n³ a product; the fastest of the calls.
    """
    keys = jax.random.split(jax.random.key(0))
    a, b = (jax.random.normal(key, (size, size)).astype(dtype) for key in keys)
    multiply = jax.jit(jnp.matmul)
    jax.block_until_ready(multiply(a, b))
    times: list[float] = []
    while len(times) < 5 or sum(times) < seconds:
        started = time.perf_counter()
        jax.block_until_ready(multiply(a, b))
        times.append(time.perf_counter() - started)
    return 2.0 * size**3 / min(times)
