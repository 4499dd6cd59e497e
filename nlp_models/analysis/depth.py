"""Sequential depth: how many operations of a program must wait for one another.

In the work-depth model (Blelloch 1996, "Programming Parallel Algorithms") a program's depth is its
longest chain of operations each of which needs the result of the one before: the time it takes
where there are processors without end. It is counted here on what JAX has traced, so it is that of
the program and not of an idea of it.

    element by element                        1
    matrix product over K terms               1 + ⌈log₂ K⌉
    sum, maximum, running sum of n            ⌈log₂ n⌉
    moving and copying                        0
    scan                                      its steps, each waiting for the carry it is given
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from nlp_models.errors import require

# What only moves numbers, or makes them out of nothing.
_MOVES = frozenset(
    (
        *('reshape', 'transpose', 'squeeze', 'expand_dims', 'broadcast_in_dim', 'rev', 'copy'),
        *('slice', 'dynamic_slice', 'dynamic_update_slice', 'gather', 'scatter', 'split', 'iota'),
        *('concatenate', 'pad', 'convert_element_type', 'bitcast_convert_type', 'device_put'),
        *('stop_gradient', 'optimization_barrier', 'pvary', 'name'),
    )
)
_REDUCTIONS = ('reduce_', 'arg', 'cum')


def depth(
    function: Callable, *arguments: Any, iterations: int | None = None, branch: int = 0
) -> int:
    """The longest chain of operations of a function that wait for one another.

    Args:
      function: of arrays.
      *arguments: arrays, or their shapes and dtypes (`jax.ShapeDtypeStruct`); nothing is computed.
      iterations: how often the body of a `while_loop` is run, which no trace knows.
      branch: which branch of every `cond` is taken: 0 where its predicate is false, 1 where true.

    Returns:
      Operations, at least 0.

    Raises:
      InputError: for a `while_loop` without `iterations`.
    """
    closed = jax.make_jaxpr(function)(*arguments)
    ends = _run(closed.jaxpr, [0] * len(closed.jaxpr.invars), iterations, branch)
    return max(ends, default=0)


def _run(jaxpr: Any, starts: Sequence[int], iterations: int | None, branch: int) -> list[int]:
    """When each output is there, given when each input is."""
    times: dict[Any, int] = dict(zip(jaxpr.invars, starts, strict=True))

    def when(atom: Any) -> int:
        # A literal, whose value stands in the program, is always there; so are constants.
        return 0 if hasattr(atom, 'val') else times.get(atom, 0)

    for equation in jaxpr.eqns:
        ready = [when(atom) for atom in equation.invars]
        ends = _apply(equation, ready, iterations, branch)
        times.update(zip(equation.outvars, ends, strict=True))
    return [when(atom) for atom in jaxpr.outvars]


def _apply(equation: Any, ready: list[int], iterations: int | None, branch: int) -> list[int]:
    """When the results of one equation are there."""
    given = equation.params
    match equation.primitive.name:
        case 'scan':
            return _scan(given, ready, iterations, branch)
        case 'while':
            return _while(given, ready, iterations, branch)
        case 'cond':
            index, *operands = ready
            taken = given['branches'][branch].jaxpr
            return [max(index, end) for end in _run(taken, operands, iterations, branch)]
    inner = given.get('jaxpr', given.get('call_jaxpr', given.get('fun_jaxpr')))
    if inner is not None:  # a function that is called: jit, checkpoint, custom derivatives
        return _run(getattr(inner, 'jaxpr', inner), ready, iterations, branch)
    end = max(ready, default=0) + _cost(equation)
    return [end] * len(equation.outvars)


def _scan(given: Any, ready: list[int], iterations: int | None, branch: int) -> list[int]:
    body, consts, carries = given['jaxpr'].jaxpr, given['num_consts'], given['num_carry']
    fixed, carry, rows = (
        ready[:consts],
        ready[consts : consts + carries],
        ready[consts + carries :],
    )
    collected = [0] * (len(body.outvars) - carries)
    for _ in range(given['length']):
        ends = _run(body, [*fixed, *carry, *rows], iterations, branch)
        carry, new = ends[:carries], ends[carries:]
        collected = [max(a, b) for a, b in zip(collected, new, strict=True)]
    return [*carry, *collected]


def _while(given: Any, ready: list[int], iterations: int | None, branch: int) -> list[int]:
    require(iterations is not None, 'iterations', iterations, 'must say how often a loop is run')
    assert iterations is not None  # what `require` has said, for the type checker
    asked, fixed = given['cond_nconsts'], given['body_nconsts']
    condition, body = given['cond_jaxpr'].jaxpr, given['body_jaxpr'].jaxpr
    asks, consts, carry = ready[:asked], ready[asked : asked + fixed], ready[asked + fixed :]
    for _ in range(iterations):
        (known,) = _run(condition, [*asks, *carry], iterations, branch)
        # An iteration begins once it is known that there is one more.
        begun = [max(known, time) for time in carry]
        carry = _run(body, [*consts, *begun], iterations, branch)
    (known,) = _run(condition, [*asks, *carry], iterations, branch)
    return [max(known, time) for time in carry]


def _cost(equation: Any) -> int:
    """Operations of one primitive that wait for one another."""
    name = equation.primitive.name
    if name in _MOVES:
        return 0
    if name == 'dot_general':
        (contracted, _), _ = equation.params['dimension_numbers']
        shape = equation.invars[0].aval.shape
        return 1 + _levels(math.prod(shape[axis] for axis in contracted))
    if name == 'scatter-add' or name == 'scatter_add':
        return 1 + _levels(int(np.prod(equation.invars[1].aval.shape)))
    if name.startswith(_REDUCTIONS):
        shape = equation.invars[0].aval.shape
        axes = equation.params.get('axes', (equation.params.get('axis', 0),))
        return _levels(math.prod(shape[axis] for axis in axes))
    return 1


def _levels(number: int) -> int:
    """⌈log₂ n⌉: levels of a tree with n leaves."""
    return (max(number, 1) - 1).bit_length()
