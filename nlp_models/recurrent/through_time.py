"""The scan of a cell with its own backward pass (`jax.custom_vjp`), a chunk of steps at a time.

The forward loop goes over chunks of time. For each, the inputs' share of the gates is one matrix
product, then the steps follow one another. The backward loop takes the chunks in the opposite
order: coefficients, the steps, and the weights' gradients as one matrix product a chunk. With one
chunk of T steps that is: everything hoisted out of the scan, weight gradients after it. Shorter
chunks compute the same while what they hold still lies in the cache, and never write the inputs'
share of the gates, or the gradient of the gates, to memory in full. `platforms` says how long they
are.
"""

from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax import Array, lax

from nlp_models import platforms
from nlp_models.recurrent.adjoints import Adjoint
from nlp_models.recurrent.cells import inputs


def scan(
    adjoint: Adjoint,
    params: dict,
    carry: Any,
    x: Array,
    lengths: Array | None,
    reverse: bool,
) -> tuple[Any, Array]:
    """`sequential.scan` of the cell that an adjoint belongs to; same arguments, same results.

    Args:
      adjoint: the cell's forward and backward step.
      params: its parameters.
      carry: the carry before the first step read, arrays `[B, N]`.
      x: inputs `[B, T, D]`.
      lengths: real inputs of each row `[B]`, or None.
      reverse: read each row from its last real input to its first.

    Returns:
      (carry after the last step read, y `[B, T, N]`).

    Raises:
      TypeError: under forward-mode differentiation.
    """
    real = None
    if lengths is not None:
        real = (jnp.arange(x.shape[1])[:, None] < lengths)[..., None]  # [T, B, 1]
    if reverse:
        x, real = jnp.flip(x, 1), None if real is None else jnp.flip(real, 0)
    size = _chunk_size(x.shape[0], x.shape[1], params['b'])
    try:
        carry, y = cast(Any, _scan)(adjoint, size, params, carry, x, real)
    except TypeError as error:
        if 'forward-mode' not in str(error):
            raise
        raise TypeError(
            'forward-mode differentiation (jvp, jacfwd, hessian) of a recurrence needs '
            "backward='autodiff', not its hand-derived backward pass (custom_vjp)"
        ) from error
    return carry, jnp.flip(y, 1) if reverse else y


def _chunk_size(batch_size: int, length: int, b: Array) -> int:
    """Steps of a chunk: what `platforms` allows for the gates `[B, G·N]` of each."""
    limit = platforms.choices().scan_chunk_bytes
    if not limit:
        return length
    steps = limit // (batch_size * b.nbytes)
    return min(length, max(8, min(32, steps)))


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _scan(adjoint, size, params, carry, x, real):
    carry, y, _ = _forward(adjoint, size, params, carry, x, real, keep=False)
    return carry, y


def _first(carry: Any) -> Array:
    """The h of a carry."""
    return carry[0] if isinstance(carry, tuple) else carry


def _forward(adjoint, size, params, carry, x, real, *, keep):
    """Run the chunks; returns (carry, y `[B, T, N]`, what is kept, arrays `[T, B, …]`)."""
    weights = {k: _blocks(a) for k, a in params.items() if k not in ('U', 'b')}

    def step(carry, now):
        u, real = now
        new, kept = adjoint.forward(weights, carry, u)
        y = _first(new)
        if real is not None:
            new = jax.tree.map(lambda a, b: jnp.where(real, a, b), new, carry)
            y = jnp.where(real, y, 0)
        return new, (y, kept if keep else ())

    def chunk(begin, count, carry):
        u = inputs(params, _time_first(x, begin, count))
        carry, (y, kept) = lax.scan(step, carry, (u, _cut(real, begin, count)))
        return carry, (jnp.swapaxes(y, 0, 1), kept)

    carry, (y, kept) = _over_chunks(chunk, carry, x.shape[1], size, (1, 0))
    return carry, y, kept


def _scan_forward(adjoint, size, params, carry, x, real):
    end, y, kept = _forward(adjoint, size, params, carry, x, real, keep=True)
    return (end, y), (params, carry, x, real, y, kept)


def _scan_backward(adjoint, size, saved, gradient):
    params, start, x, real, y, kept = saved
    dcarry, dy = gradient
    h_start = _first(start)
    transposed = {k: a.T for k, a in params.items() if a.ndim == 2 and k != 'U'}
    sums = jax.tree.map(lambda a: jnp.zeros(a.shape, jnp.promote_types(a.dtype, 'float32')), params)

    def step(dcarry, now):
        dy, coefficients, real = now
        given = (dcarry[0] + dy, *dcarry[1:]) if isinstance(dcarry, tuple) else dcarry + dy
        new, handed = adjoint.backward(transposed, given, coefficients)
        if real is not None:
            new = jax.tree.map(lambda a, b: jnp.where(real, a, b), new, dcarry)
            handed = jax.tree.map(lambda a: jnp.where(real, a, 0), handed)
        return new, handed

    def chunk(begin, count, state):
        dcarry, sums = state
        real_now = _cut(real, begin, count)
        kept_now = jax.tree.map(lambda a: _cut(a, begin, count), kept)
        h = _time_first(y, begin, count)
        # y is zero where an input is not real; before the first real one h is still the start's.
        before = jnp.maximum(begin - 1, 0)
        known = begin > 0
        if real is not None:
            known = known & lax.dynamic_slice_in_dim(real, before, 1)[0]
        first = jnp.where(known, _time_first(y, before, 1)[0], h_start)
        h_prev = jnp.concatenate([first[None], h[:-1]])
        if real_now is not None and count > 1:
            inner = jnp.where(real_now[:-1], h_prev[1:], h_start)
            h_prev = jnp.concatenate([h_prev[:1], inner])
        coefficients = adjoint.coefficients(kept_now, h_prev, h)
        dy_now = _time_first(dy, begin, count)
        if real_now is not None:
            dy_now = jnp.where(real_now, dy_now, 0)
        dcarry, handed = lax.scan(step, dcarry, (dy_now, coefficients, real_now), reverse=True)
        du, products, biases = adjoint.gradients(kept_now, coefficients, h_prev, handed)
        products['U'] = (_time_first(x, begin, count), du)
        biases['b'] = du
        added = {name: _product(*pair) for name, pair in products.items()}
        added |= {name: jnp.sum(a, (0, 1), dtype=sums[name].dtype) for name, a in biases.items()}
        sums = {name: total + added[name] for name, total in sums.items()}
        dx = du @ params['U'].T
        return (dcarry, sums), jnp.swapaxes(dx, 0, 1)

    (dcarry, sums), dx = _over_chunks(chunk, (dcarry, sums), x.shape[1], size, 1, reverse=True)
    dparams = {name: total.astype(params[name].dtype) for name, total in sums.items()}
    return dparams, dcarry, dx, None


_scan.defvjp(_scan_forward, _scan_backward)


def _blocks(w: Array) -> Array | tuple[Array, ...]:
    """A weight matrix `[N, G·N]` as its G square blocks, where that is faster to multiply by."""
    limit = platforms.choices().scan_block_bytes
    if w.ndim < 2 or not limit or w.nbytes < limit:
        return w
    return tuple(jnp.split(w, w.shape[1] // w.shape[0], axis=1))


def _product(left: Array, right: Array) -> Array:
    """Σ leftᵀ right over steps and rows: `[T, B, M]`, `[T, B, G]` to `[M, G]`, in float32."""
    columns = jnp.transpose(left, (2, 0, 1)).reshape(left.shape[-1], -1)
    rows = right.reshape(-1, right.shape[-1])
    wide = jnp.promote_types(left.dtype, 'float32')
    return jnp.matmul(columns, rows, preferred_element_type=wide)


def _cut(a: Array | None, begin, count: int) -> Array | None:
    """Steps of an array `[T, …]`."""
    return None if a is None else lax.dynamic_slice_in_dim(a, begin, count)


def _time_first(a: Array, begin, count: int) -> Array:
    """Steps of an array `[B, T, …]`, as `[count, B, …]`."""
    return jnp.swapaxes(lax.dynamic_slice_in_dim(a, begin, count, 1), 0, 1)


def _over_chunks(chunk, carry, length: int, size: int, axes, *, reverse: bool = False):
    """Run `chunk(begin, count, carry) -> (carry, outputs)` over time and join the outputs.

    Args:
      chunk: the function; `count` is static.
      carry: handed from chunk to chunk.
      length: T.
      size: steps of a chunk; a shorter one at the end takes what is left over.
      axes: the outputs' axis of time; a tree that is a prefix of theirs.
      reverse: from the last chunk to the first.

    Returns:
      (carry, outputs over all T steps).
    """
    number, rest = divmod(length, size)
    if number == 1 and rest == 0:
        return chunk(0, size, carry)
    shapes = jax.eval_shape(partial(chunk, 0, size), carry)[1]
    axes = jax.tree.map(lambda axis, part: jax.tree.map(lambda _: axis, part), axes, shapes)

    def allocate(axis, shape):
        whole = (*shape.shape[:axis], length, *shape.shape[axis + 1 :])
        return lax.empty(whole, shape.dtype)

    def write(whole, part, axis, begin):
        return lax.dynamic_update_slice_in_dim(whole, part, begin, axis)

    def run(begin, count, carry, buffers):
        carry, outputs = chunk(begin, count, carry)
        buffers = jax.tree.map(partial(write, begin=begin), buffers, outputs, axes)
        return carry, buffers

    def loop(state):
        def body(i, state):
            index = number - 1 - i if reverse else i
            return run(index * size, size, *state)

        return lax.fori_loop(0, number, body, state)

    def tail(state):
        return run(number * size, rest, *state) if rest else state

    state = carry, jax.tree.map(allocate, axes, shapes)
    return loop(tail(state)) if reverse else tail(loop(state))
