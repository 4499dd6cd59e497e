"""Clocks: how long device work takes, waited for."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax


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
