"""What one cell costs over a sequence: counted, read off compiled programs, and by the clock.

Parameters and state are counted on what the model would make. Operations are counted by formula
(`costs`) and by XLA on a program whose steps are written out, since XLA has the body of a loop once
whatever its length. Memory is what differentiation keeps, and what the compiled program plans for.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nlp_models import costs, timing, trees
from nlp_models.recurrent import sequential
from nlp_models.recurrent.cells import Cell
from nlp_models.recurrent.stack import init_cell
from nlp_models.training import parallel


class Shape(NamedTuple):
    """Of what a cell reads and carries.

    Attributes:
      batch_size: B.
      length: T.
      input_size: D, the tutorial's n.
      hidden_size: N, the tutorial's h.
    """

    batch_size: int
    length: int
    input_size: int
    hidden_size: int


def place() -> str:
    """Where clocks are read, as a reader is told: '2 CPU cores', or the device's kind."""
    device = jax.local_devices()[0]
    if device.platform == 'cpu':
        cores = parallel.num_cores()
        return f'{cores} CPU core' + ('s' if cores > 1 else '')
    return device.device_kind


def count_parameters(cell: Cell, input_size: int, hidden_size: int) -> int:
    """How many numbers a cell's parameters are; none is made."""
    return trees.count(_parameters(cell, Shape(1, 1, input_size, hidden_size)))


def state_bytes(cell: Cell, hidden_size: int) -> int:
    """Bytes carried from step to step for one sequence, float32."""
    return trees.num_bytes(jax.eval_shape(lambda: sequential.start(cell, 1, hidden_size)))


def kept_bytes(cell: Cell, shape: Shape, backward: str = 'custom') -> float:
    """What the forward pass keeps for the backward pass, for each token.

    That is what grows with T of the arrays that `jax.vjp` closes over: inputs, outputs, gates;
    parameters are kept too but do not grow.

    Args:
      cell: the cell.
      shape: B, T, D, N.
      backward: as in `sequential.scan`.

    Returns:
      Bytes a token, float32.
    """
    longer = shape._replace(length=2 * shape.length)
    grown = kept_in_all(cell, longer, backward) - kept_in_all(cell, shape, backward)
    return grown / (shape.batch_size * shape.length)


def kept_in_all(cell: Cell, shape: Shape, backward: str = 'custom') -> int:
    """All bytes that `jax.vjp` closes over after a forward pass, parameters among them, float32.

    Args:
      cell: the cell.
      shape: B, T, D, N.
      backward: as in `sequential.scan`.

    Returns:
      Bytes of a whole batch.
    """
    pullback = jax.eval_shape(
        lambda params, x: jax.vjp(_forward(cell, shape, backward), params, x)[1],
        _parameters(cell, shape),
        _inputs(shape),
    )
    return trees.num_bytes(pullback)


def planned_bytes(cell: Cell, shape: Shape, backward: str = 'custom') -> int | None:
    """What the compiled forward and backward pass needs beside its arguments.

    Temporaries and results: what an RNN keeps for the backward pass is its outputs, which are a
    result, and of the others a part.

    Args:
      cell: the cell.
      shape: B, T, D, N.
      backward: as in `sequential.scan`.

    Returns:
      Bytes, or None where the compiler does not tell.
    """
    x, params = _inputs(shape), _parameters(cell, shape)
    y = jax.ShapeDtypeStruct((*x.shape[:2], shape.hidden_size), x.dtype)
    both = _both(_forward(cell, shape, backward))
    analysis = jax.jit(both).lower(params, x, y).compile().memory_analysis()
    if analysis is None:
        return None
    return int(analysis.temp_size_in_bytes + analysis.output_size_in_bytes)


def operations(cell: Cell, shape: Shape) -> dict[str, float]:
    """FLOPs of the forward and backward pass, by formula and by XLA's count.

    Args:
      cell: the cell, not linear in its carry.
      shape: B, T, D, N; T steps are written out, so it must be small.

    Returns:
      `formula`: those of matrix products; `compiled`: all that XLA counts in the compiled program,
      what is done element by element too.
    """

    def forward(params: Any, start: tuple) -> jax.Array:
        carry, x, outputs = *start, []
        for t in range(shape.length):
            carry, y = cell.step(params, carry, x[:, t])
            outputs.append(y)
        return jnp.stack(outputs, axis=1)

    # The carry is no constant and has a gradient, so that the first step costs what others do.
    carry = jax.eval_shape(lambda: sequential.start(cell, shape.batch_size, shape.hidden_size))
    x, params = _inputs(shape), _parameters(cell, shape)
    y = jax.ShapeDtypeStruct((*x.shape[:2], shape.hidden_size), x.dtype)
    analysis: Any = jax.jit(_both(forward)).lower(params, (carry, x), y).compile().cost_analysis()
    r = costs.Recurrence(*shape, cell.gates, cell.gates, cell.carries)
    return {
        'formula': costs.sequential_flops(r, costs.FORWARD_BACKWARD),
        'compiled': float(analysis['flops']),
    }


def clocks(
    cells: Mapping[str, Cell],
    shape: Shape,
    *,
    passes: int,
    seeds: Sequence[int],
    rounds: int,
    block_seconds: float,
    backward: str = 'custom',
) -> dict[str, list[float]]:
    """Seconds of one call, all cells in turn, step by step on one device.

    Every seed is a measurement of its own, with parameters and inputs of its own: the median of
    some rounds, in each of which every cell has one turn.

    Args:
      cells: by name.
      shape: B, T, D, N.
      passes: `costs.FORWARD` or `costs.FORWARD_BACKWARD`.
      seeds: of the measurements.
      rounds: of each of them.
      block_seconds: how long a turn takes at least, about.
      backward: as in `sequential.scan`.

    Returns:
      Name to seconds, one number a seed.
    """
    functions = {}
    for name, cell in cells.items():
        forward = _forward(cell, shape, backward)
        functions[name] = jax.jit(forward if passes == costs.FORWARD else _both(forward))
    found: dict[str, list[float]] = {name: [] for name in cells}
    for seed in seeds:
        key_params, key_x, key_y = jax.random.split(jax.random.key(seed), 3)
        x = jax.random.normal(key_x, _inputs(shape).shape)
        y = jax.random.normal(key_y, (*x.shape[:2], shape.hidden_size))
        timers = []
        for name, cell in cells.items():
            params = init_cell(cell, key_params, shape.input_size, shape.hidden_size)
            arguments = (params, x) if passes == costs.FORWARD else (params, x, y)
            call = partial(functions[name], *arguments)
            jax.block_until_ready(call())  # compiles, at the first seed
            timers.append(timing.block_timer(call, block_seconds=block_seconds))
        times = timing.rounds(timers, seconds=0.0, least=rounds, most=rounds)
        for name, mine in zip(cells, times, strict=True):
            found[name].append(statistics.median(mine))
    return found


def _parameters(cell: Cell, shape: Shape) -> Any:
    make = partial(init_cell, cell, input_size=shape.input_size, hidden_size=shape.hidden_size)
    return jax.eval_shape(make, jax.random.key(0))


def _inputs(shape: Shape) -> jax.ShapeDtypeStruct:
    size = (shape.batch_size, shape.length, shape.input_size)
    return jax.ShapeDtypeStruct(size, jnp.float32)


def _forward(cell: Cell, shape: Shape, backward: str) -> Callable:
    def forward(params: Any, x: jax.Array) -> jax.Array:
        carry = sequential.start(cell, shape.batch_size, shape.hidden_size)
        return sequential.scan(cell, params, carry, x, backward=backward)[1]

    return forward


def _both(forward: Callable) -> Callable:
    """`(params, x, cotangent of y) -> (y, gradients of params and x)`."""

    def both(params: Any, x: Any, cotangent: jax.Array) -> Any:
        y, pullback = jax.vjp(forward, params, x)
        return y, pullback(cotangent)

    return both
