"""The win map: where, in length and width, which way of reading a sequence is the fastest.

Forward and backward pass of one sequence (B = 1): the GRU by the scan, by Newton's iteration with
full and with diagonal Jacobians, the minimal GRU step by step and by an associative scan, and one
layer of causal self-attention with its projections. The width is the state's, the inputs' and
attention's model width. They are not the same function, and not as good at the same things: the map
is about time.
"""

import time
from collections.abc import Callable
from typing import Any

import jax

from nlp_models import costs, models, timing
from nlp_models.benchmark import attention_works, feasibility, works
from nlp_models.benchmark.bench import Bench
from nlp_models.benchmark.families import heads
from nlp_models.benchmark.results import Row
from nlp_models.benchmark.works import Setting, Work

# Strategy to (cell, evaluation); attention has none.
STRATEGIES = {
    'scan': ('gru', 'sequential'),
    'newton': ('gru', 'newton'),
    'quasi_newton': ('gru', 'quasi_newton'),
    'min_scan': ('mingru', 'sequential'),
    'associative': ('mingru', 'associative'),
    'attention': None,
}
GRU, MINGRU = ('scan', 'newton', 'quasi_newton'), ('min_scan', 'associative')  # one function each
SLOW = 1.0  # seconds of a call above which it is timed once, and the others go on without it


def rows(bench: Bench) -> None:
    """Every width, and for each the lengths from the shortest on: what is short foretells more."""
    group = bench.config.win_map
    before: dict[str, tuple[float, float]] = {}  # strategy to (seconds, FLOPs) one length before
    for width in group.widths:
        before.clear()
        for length in group.lengths:
            known = dict(before)

            def measure(length: int = length, width: int = width, known: dict = known) -> Row:
                return point(bench, length, width, known)

            key = {'work': 'win map', 'shape': {'T': length, 'D': width}}
            settings = [group.to_dict(), bench.config.seed, _cells(bench)]
            row = bench.results.row('win_map', key, settings, measure)
            if row is None or 'seconds' not in row:
                continue
            for strategy, seconds in row['seconds'].items():
                if seconds is not None:
                    before[strategy] = seconds, flops(bench, strategy, length, width)


def point(bench: Bench, length: int, width: int, known: dict[str, tuple[float, float]]) -> Row:
    """One point of the map.

    Args:
      bench: the benchmark.
      length: T.
      width: N and D.
      known: what each strategy took at the same width and a shorter length, and its FLOPs there.

    Returns:
      `seconds` and `infeasible` (strategy to why) of every strategy, `fastest`, `ratio` (the second
      fastest's time over the fastest's; None where there is no second), `seconds_per_token`; and
      the same among those that compute one function: `fastest_gru`, `ratio_gru`, `fastest_mingru`,
      `ratio_mingru`.
    """
    group = bench.config.win_map
    infeasible: dict[str, str] = {}
    calls: dict[str, Callable[[], Any]] = {}
    seconds: dict[str, float | None] = dict.fromkeys(STRATEGIES)
    for strategy in STRATEGIES:
        why = predicted(bench, strategy, length, width, known.get(strategy))
        if not why:
            try:
                work = make(bench, strategy, length, width)
                why = feasibility.too_large(work.peak_memory, group)
                if not why:
                    once = first_call(work)
                    why = feasibility.too_slow(once, group)
                    if not why and once > SLOW:
                        seconds[strategy] = min(once, first_call(work))
                    elif not why:
                        calls[strategy] = work.call
            except jax.errors.JaxRuntimeError as error:  # out of memory after all
                why = f'failed: {str(error).splitlines()[0][:80]}'
        if why:
            infeasible[strategy] = why
    timers = [timing.block_timer(call) for call in calls.values()]
    if timers:
        times = timing.rounds(timers, seconds=group.seconds, least=group.rounds)
        for strategy, values in zip(calls, times, strict=True):
            seconds[strategy] = sorted(values)[len(values) // 2]
    name, ratio = lead(seconds)
    gru, gru_ratio = lead({name: seconds[name] for name in GRU})
    mingru, mingru_ratio = lead({name: seconds[name] for name in MINGRU})
    return {
        'seconds': seconds,
        'infeasible': infeasible,
        'fastest': name,
        'ratio': ratio,
        'seconds_per_token': (seconds[name] or 0.0) / length if name else None,
        'fastest_gru': gru,
        'ratio_gru': gru_ratio,
        'fastest_mingru': mingru,
        'ratio_mingru': mingru_ratio,
    }


def lead(seconds: dict[str, float | None]) -> tuple[str | None, float | None]:
    """The fastest of some strategies, and the second fastest's time over its own (None: alone)."""
    order = sorted((value, name) for name, value in seconds.items() if value is not None)
    if not order:
        return None, None
    return order[0][1], order[1][0] / order[0][0] if len(order) > 1 else None


def first_call(work: Work) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    jax.block_until_ready(work.call())
    return time.perf_counter() - started


def predicted(
    bench: Bench, strategy: str, length: int, width: int, known: tuple[float, float] | None
) -> str:
    """Why a point cannot be measured, from formulas and what was measured before it."""
    group = bench.config.win_map
    if known is not None:
        seconds = known[0] * flops(bench, strategy, length, width) / known[1]
        if why := feasibility.too_slow(seconds, group):
            return why
    if STRATEGIES[strategy] is None:
        plain = bench.config.win_map.attention == 'plain'
        return feasibility.attention(1, length, width, heads(width), plain, group)
    r, evaluation = recurrence(bench, strategy, length, width)
    if known is not None:
        return feasibility.too_large(feasibility.recurrent_bytes(r, evaluation), group)
    return feasibility.recurrent(r, evaluation, bench.rates['float32'], group)


def recurrence(
    bench: Bench, strategy: str, length: int, width: int
) -> tuple[costs.Recurrence, str]:
    """A recurrent strategy's cost at a point, and its evaluation."""
    name, evaluation = STRATEGIES[strategy]  # pyright: ignore[reportGeneralTypeIssues]
    model = bench.config.cells[name]
    cell = models.CELLS[model.family](model)
    return works.recurrence(cell, Setting(1, length, width)), evaluation


def flops(bench: Bench, strategy: str, length: int, width: int) -> float:
    """FLOPs of a strategy at a point."""
    if STRATEGIES[strategy] is None:
        return costs.attention_layer_flops(1, length, width, passes=costs.FORWARD_BACKWARD)
    return feasibility.recurrent_flops(*recurrence(bench, strategy, length, width))


def make(bench: Bench, strategy: str, length: int, width: int) -> Work:
    """Compile a strategy at a point."""
    passes, seed = costs.FORWARD_BACKWARD, bench.config.seed
    entry = STRATEGIES[strategy]
    if entry is None:
        implementation = bench.config.win_map.attention
        return attention_works.attention_layer(
            1, length, width, heads(width), passes=passes, implementation=implementation, seed=seed
        )
    name, evaluation = entry
    setting = Setting(1, length, width, evaluation)
    return works.recurrent(bench.config.cells[name], setting, passes=passes, seed=seed)


def _cells(bench: Bench) -> list[Any]:
    names = {entry[0] for entry in STRATEGIES.values() if entry is not None}
    return [bench.config.cells[name].to_dict() for name in sorted(names)]
