"""Recurrence step by step, recurrence in parallel over time, and attention, by the same clocks.

`growth` times a sequence model at several lengths, `exponents` fits how its time grows, `compare`
sets a cell's parallel evaluation beside the scan: same values, how deep, how long. What cells are
given to read comes from `random_draws` and `trained_draws`.
"""

import functools
import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nlp_models import timing
from nlp_models.analysis import solving
from nlp_models.analysis.depth import depth
from nlp_models.errors import require
from nlp_models.recurrent import associative, newton, sequential
from nlp_models.recurrent.cells import Cell, state_size
from nlp_models.recurrent.stack import init_cell
from nlp_models.types import SequenceModel


class Draw(NamedTuple):
    """A cell's parameters and what it is to read.

    Attributes:
      params: of the cell.
      x: `[B, T, D]`.
    """

    params: dict
    x: Any


class Comparison(NamedTuple):
    """A cell's parallel evaluation beside the scan, lists with one entry a draw.

    Attributes:
      iterations: solved linear recurrences: of Newton's method, else 1.
      converged: whether they led to the answer.
      errors: greatest difference of any output from the scan's.
      depth: operations that wait for one another, of the scan and in parallel.
      seconds: of one forward pass, by the scan and in parallel: medians over rounds.
    """

    iterations: list[int]
    converged: list[bool]
    errors: list[float]
    depth: list[tuple[int, int]]
    seconds: list[tuple[float, float]]


def exponents(lengths: Sequence[int], seconds: Sequence[Sequence[float | int]]) -> list[float]:
    """How time grows with length: slopes of log time against log T, each round by itself.

    Args:
      lengths: T, at least two different ones.
      seconds: of each length, one number a round; or counts of operations.

    Returns:
      One exponent a round: 1 for time in proportion to T, 0 for time that does not grow.

    Raises:
      InputError: for fewer than two lengths.
    """
    require(len(set(lengths)) >= 2, 'lengths', list(lengths), 'must hold at least two')
    x = np.log(np.asarray(lengths, np.float64))
    y = np.log(np.asarray(seconds, np.float64))  # [lengths, rounds]
    dx = x - x.mean()
    return (dx @ (y - y.mean(axis=0)) / (dx @ dx)).tolist()


def in_turns(
    calls: Sequence[Callable[[], Any]], *, rounds: int, block_seconds: float
) -> list[list[float]]:
    """Seconds of some calls, each warmed up, waited for, and timed in turn with the others.

    Args:
      calls: return arrays to wait for.
      rounds: turns of each.
      block_seconds: how long a turn takes at least, about.

    Returns:
      For each call its seconds, one number a round.
    """
    timers = []
    for call in calls:
        jax.block_until_ready(call())  # compiles
        timers.append(timing.block_timer(call, block_seconds=block_seconds))
    return timing.rounds(timers, seconds=0.0, least=rounds, most=rounds)


def afresh(
    draw: Callable[[int], Sequence[Callable[[], Any]]],
    seeds: Sequence[int],
    *,
    block_seconds: float,
) -> list[list[float]]:
    """Seconds of some calls in turn, every round on arrays of its own.

    Rounds on the same arrays would repeat one measurement: their spread would be the clock's alone.
    Who goes first moves on every round, so that drift cancels, as in `timing.rounds`.

    Args:
      draw: `(seed) -> calls`, as many for every seed and in the same order, of the same shapes;
        what they compile they should share.
      seeds: of the rounds.
      block_seconds: how long a turn takes at least, about.

    Returns:
      For each call its seconds, one number a seed.
    """
    calls = list(draw(seeds[0]))
    timers = [
        # Looks its call up when it is asked to; compiles now, and finds how often to call.
        timing.block_timer(lambda at=at: calls[at](), block_seconds=block_seconds)
        for at in range(len(calls))
    ]
    found: list[list[float]] = [[] for _ in calls]
    for first, seed in enumerate(seeds):
        calls[:] = draw(seed)
        for i in range(len(calls)):
            at = (first + i) % len(calls)
            found[at].append(timers[at]())
    return found


def random_draws(
    cell: Cell, seeds: Sequence[int], *, length: int, size: int, gain: float = 1.0
) -> list[Draw]:
    """Fresh parameters and Gaussian inputs, a sequence each.

    Args:
      cell: the cell.
      seeds: of parameters and inputs.
      length: T.
      size: D of the inputs, and N.
      gain: that recurrent weights are multiplied with: they start orthogonal, so it is their
        spectral radius.

    Returns:
      One draw a seed, x `[1, T, D]`.
    """
    found = []
    for seed in seeds:
        key_params, key_x = jax.random.split(jax.random.key(seed))
        params = init_cell(cell, key_params, size, size)
        params |= {name: gain * params[name] for name in ('W', 'W_h') if name in params}
        found.append(Draw(params, jax.random.normal(key_x, (1, length, size))))
    return found


def learn(model: Any, task: Any, seeds: Sequence[int]) -> tuple[Any, list[float]]:
    """Parameters learned on short texts of a task.

    Args:
      model: a config's `model` group.
      task: `name`, `setting`, `training` (see `solving.solve`).
      seeds: of parameters and data.

    Returns:
      (parameters, leaves with the seed as their first axis; shares of test answers that are right).
    """
    problem = solving.problem(task.name, task.setting.to_dict())
    outcome, params = solving.solve(model, problem, task.training, seeds=seeds, num_devices=1)
    return params, outcome.scores


def trained_draws(params: Any, task: Any, *, length: int) -> list[Draw]:
    """What was learned, and longer texts of the task to read.

    Args:
      params: of `learn`, recurrent, of whose cells the first layer's is taken.
      task: as for `learn`, and `grown`: the field of its setting that longer texts have more of.
      length: T of the texts, which are cut there; what is `grown` is set to it.

    Returns:
      One draw a seed, x `[1, T, D]`.

    Raises:
      InputError: where that makes texts shorter than T.
    """
    longer = solving.problem(task.name, task.setting.to_dict() | {task.grown: length})
    require(longer.length >= length, task.grown, length, 'must make texts that long')
    params = jax.tree.map(jnp.asarray, params)
    embedding, layer = params['embed']['embedding'], params['body']['layer_0']
    texts = longer.sample(0, np.arange(len(embedding)), split='test').inputs[:, :length]
    return [
        Draw(jax.tree.map(lambda a, i=i: a[i], layer), embedding[i][text][None])
        for i, text in enumerate(texts)
    ]


def passes(body: SequenceModel) -> Callable:
    """Both passes: `(params, x, cotangent of y) -> (y, gradients of params and x)`."""

    def both(params: Any, x: jax.Array, cotangent: jax.Array) -> Any:
        def forward(params: Any, x: jax.Array) -> jax.Array:
            return body.apply(params, body.start(params, x.shape[0], 0), x)[1]

        y, pullback = jax.vjp(forward, params, x)
        return y, pullback(cotangent)

    return both


def growth(
    body: SequenceModel,
    *,
    width: int,
    shapes: Sequence[tuple[int, int]],
    seed: int,
    rounds: int,
    block_seconds: float,
) -> list[list[float]]:
    """Seconds of a forward and backward pass at several lengths, all in turn, on one device.

    Args:
      body: reads and gives vectors of one width.
      width: D, of both.
      shapes: (B, T) of each.
      seed: of the first round's parameters and inputs; every other round has the next one.
      rounds: turns of each.
      block_seconds: how long a turn takes at least, about.

    Returns:
      For each shape its seconds, one number a round.
    """
    init, function = jax.jit(body.init), jax.jit(passes(body))

    def draw(seed: int) -> list[Callable[[], Any]]:
        key, calls = jax.random.key(seed), []
        params = init(key)
        for index, (batch_size, length) in enumerate(shapes):
            key_x, key_y = jax.random.split(jax.random.fold_in(key, index))
            shape = (batch_size, length, width)
            x, y = jax.random.normal(key_x, shape), jax.random.normal(key_y, shape)
            calls.append(functools.partial(function, params, x, y))
        return calls

    return afresh(draw, range(seed, seed + rounds), block_seconds=block_seconds)


def program_depth(body: SequenceModel, *, width: int, length: int, backward: bool = True) -> int:
    """Operations of a sequence model that wait for one another, for one sequence.

    Args:
      body: reads and gives vectors of one width.
      width: D, of both.
      length: T.
      backward: whether the backward pass counts too.

    Returns:
      Operations (see `depth`).
    """
    params = jax.eval_shape(body.init, jax.random.key(0))
    x = jax.ShapeDtypeStruct((1, length, width), jnp.float32)
    if backward:
        return depth(passes(body), params, x, x)
    return depth(lambda params, x: body.apply(params, body.start(params, 1, 0), x)[1], params, x)


def compare(cell: Cell, draws: Sequence[Draw], *, rounds: int, block_seconds: float) -> Comparison:
    """A cell's parallel evaluation beside the scan, forward.

    A cell that is linear in its carry is evaluated by an associative scan, any other by Newton's
    method with full Jacobians, whose iterations are counted and whose depth is that of as many.
    Where it does not converge it ends with the scan, and the depth of that is added.

    Args:
      cell: the cell.
      draws: parameters and inputs, all of the same shapes: each a measurement of its own.
      rounds: of each, in which both have one turn.
      block_seconds: how long a turn takes at least, about.

    Returns:
      The comparison.
    """
    linear = cell.terms is not None
    plain = jax.jit(functools.partial(sequential.scan, cell))

    def parallel(params: dict, carry: Any, x: jax.Array) -> Any:
        if not linear:
            return newton.solve(cell, params, carry, x)
        carry, y = associative.scan(cell, params, carry, x)
        return newton.Solution(carry, y, jnp.ones((), jnp.int32), jnp.ones((), bool))

    solve = jax.jit(parallel)
    found = Comparison([], [], [], [], [])
    for params, x in draws:
        carry = sequential.start(cell, x.shape[0], state_size(cell, params))
        arguments = (params, carry, jnp.asarray(x))
        solution = jax.block_until_ready(solve(*arguments))
        expected = jax.block_until_ready(plain(*arguments))[1]
        iterations, converged = int(solution.iterations), bool(solution.converged)
        found.iterations.append(iterations)
        found.converged.append(converged)
        found.errors.append(float(jnp.abs(solution.y - expected).max()))
        one = functools.partial(sequential.scan, cell)
        times = {'iterations': iterations, 'branch': int(converged)}
        found.depth.append((depth(one, *arguments), depth(parallel, *arguments, **times)))
        calls = [functools.partial(f, *arguments) for f in (plain, solve)]
        turns = in_turns(calls, rounds=rounds, block_seconds=block_seconds)
        found.seconds.append((statistics.median(turns[0]), statistics.median(turns[1])))
    return found
