"""The LSTM by cuDNN, on NVIDIA GPUs: one kernel for all time steps.

cuDNN has one form of LSTM, which is the one of `cells.lstm`, with its gates in the order i, f, g, o
(ours are f, i, o, C̃; g is C̃) and two biases that are added up (ours is the first, the other is
zero). It computes in float32, products in TF32 unless JAX's default matmul precision is 'highest'.
It has no forward-mode derivatives.
"""

from functools import cache
from typing import Any, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from nlp_models import platforms
from nlp_models.errors import require
from nlp_models.recurrent import cells, sequential
from nlp_models.recurrent.cells import Cell

_DTYPES = (jnp.float32, jnp.bfloat16)


def is_lstm(cell: Cell) -> bool:
    """Whether a cell is the one cuDNN has."""
    return cell.step is cells.lstm


def available() -> bool:
    """Whether the device is one that cuDNN runs on and the installed jaxlib has its LSTM."""
    return platforms.choices().platform == 'gpu' and _can_trace()


def takes(x: jax.Array) -> bool:
    """Whether cuDNN is there and computes in this dtype."""
    return x.dtype in _DTYPES and available()


@cache
def _can_trace() -> bool:
    """Whether the LSTM can be traced: it asks cuDNN for its workspace, so it needs the device."""
    from jax.experimental import rnn

    def one_step(x, weights):
        ones = jnp.ones(1, jnp.int32)
        return rnn.lstm(x, x, x, weights, ones, 1, 1, 1, 0.0, False)

    try:
        jax.eval_shape(one_step, jnp.zeros((1, 1, 1)), jnp.zeros(16))
    except Exception:  # whatever a missing library, plugin or device ends in
        return False
    return True


def weights(params: dict) -> Float[Array, 'weights']:
    """An LSTM's parameters as cuDNN wants them: U, W, b and zeros in one vector.

    Each matrix is transposed, `[4N, D]` and `[4N, N]`, with its gates in the order i, f, g, o.

    Args:
      params: `W` `[N, 4N]`, `U` `[D, 4N]`, `b` `[4N]`.

    Returns:
      `[4N (D + N + 2)]`.
    """

    def reorder(array):
        f, i, o, g = jnp.split(array.T, 4)
        return jnp.concatenate([i, f, g, o]).ravel()

    parts = [reorder(params[name]) for name in ('U', 'W', 'b')]
    return jnp.concatenate([*parts, jnp.zeros_like(params['b'])])


def scan(
    cell: Cell,
    params: dict,
    carry: Any,
    x: Float[Array, 'B T D'],
    *,
    lengths: Int[Array, 'B'] | None = None,
    reverse: bool = False,
) -> tuple[Any, Float[Array, 'B T N']]:
    """Run an LSTM over a sequence with cuDNN; what `sequential.scan` computes.

    Args:
      cell: the LSTM.
      params: `W` `[N, 4N]`, `U` `[D, 4N]`, `b` `[4N]`, float32 or bfloat16.
      carry: (h_0, C_0), each `[B, N]`.
      x: inputs `[B, T, D]`, float32 or bfloat16.
      lengths: how many of the T inputs of each row are real; all of them by default.
      reverse: read each row from its last real input to its first.

    Returns:
      ((h, C) after the last step read, y `[B, T, N]`).

    Raises:
      InputError: for another cell or dtype.
    """
    require(is_lstm(cell), 'cell', cell.step, 'must be the LSTM')
    require(x.dtype in _DTYPES, 'x.dtype', str(x.dtype), 'must be float32 or bfloat16 for cuDNN')
    if x.shape[1] == 1:
        return sequential.scan(cell, params, carry, x, lengths=lengths, reverse=reverse)
    from jax.experimental import rnn

    batch_size, steps, input_size = x.shape
    size = cells.state_size(cell, params)
    given = jnp.full(batch_size, steps, jnp.int32) if lengths is None else lengths
    y = x.astype(jnp.float32)
    y = flip(y, given) if reverse else y
    h, c = (a.astype(jnp.float32)[None] for a in carry)  # [1, B, N]
    vector = weights(params).astype(jnp.float32)
    # cuDNN reads at least one input of every row; a row without any keeps its carry below.
    read = jnp.maximum(given, 1).astype(jnp.int32)
    y, h, c = cast(Any, rnn.lstm)(y, h, c, vector, read, input_size, size, 1, 0.0, False)
    y = flip(y, given) if reverse else y
    last = tuple(new[0].astype(old.dtype) for new, old in zip((h, c), carry, strict=True))
    if lengths is not None:
        some = (lengths > 0)[:, None]
        last = tuple(jnp.where(some, new, old) for new, old in zip(last, carry, strict=True))
        real = (jnp.arange(steps) < lengths[:, None])[..., None]  # [B, T, 1]
        y = jnp.where(real, y, 0)
    return last, y.astype(x.dtype)


def flip(x: Float[Array, 'B T D'], lengths: Int[Array, 'B']) -> Float[Array, 'B T D']:
    """Each row's real part from its end to its beginning; what follows stays where it is."""
    t = jnp.arange(x.shape[1])
    places = jnp.where(t < lengths[:, None], lengths[:, None] - 1 - t, t)
    return jnp.take_along_axis(x, places[..., None], axis=1)
