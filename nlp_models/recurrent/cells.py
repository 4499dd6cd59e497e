"""The recurrent cells: one pure function each, `cell(params, carry, x) -> (carry, y)`.

Every cell reads an input x_t `[B, D]` and a carry whose arrays are `[B, N]`, and has the parameters

    W [N, G·N]   recurrent weights       U [D, G·N]   input weights       b [G·N]   biases

with the G gates side by side in the order each docstring states. Where the last gate's recurrent
product is not with h_{t−1} itself, its weights are a matrix of their own, `W_h` `[N, N]`, and `W`
holds the others: a step then has nothing to cut out of a matrix. All cells use the weights in the
form `h W + x U + b` (rows are examples), which is the tutorial's `W h + U x + b` transposed.

`linear` has the cells whose carry changes by h_t = a_t ⊙ h_{t−1} + b_t.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import sigmoid
from jaxtyping import Array, Float

Carry = Any
Hidden = Float[Array, 'B N']
Input = Float[Array, 'B D']  # x_t, or its share of the gates, `[B, G·N]`: see `inputs`


class Cell(NamedTuple):
    """What has to be said of a cell function for parameters and a start to be made for it.

    Attributes:
      step: the cell function.
      gates: G, how many N-wide blocks its `U` and `b` hold, and its `W` (one less where there is
        a `W_h`).
      carries: how many `[B, N]` arrays it carries; with one, the carry is that array itself.
      memory_gates: those that the old state has to pass, such as a forget gate; their biases can
        start above zero.
      own_candidate: whether the last gate, the candidate, has its recurrent weights in `W_h`.
      reset_bias: whether there is a bias `b_r` `[N]` inside the reset (the reset-after GRU).
      adjoint: the hand-derived backward step (`recurrent/adjoints.py`), or None: then the scan is
        differentiated by JAX.
      terms: for a cell that is linear in its carry, `(params, u) -> (a, b)` with u the input's
        share of the gates `[…, G·N]` and a, b of h_t = a_t ⊙ h_{t−1} + b_t `[…, N]`; such a cell
        has no `W`. None for the others.
      log_space: whether `terms` gives log a and log b (then b is never negative).
      decay: whether there is a decay `nu` `[N]` (the linear recurrence).
      diagonal: `(params, carry, u) -> diagonals`, those of ∂(new carry)/∂carry in the carry's
        form (`recurrent/diagonals.py`), or None: then they are found column by column.
    """

    step: Callable[..., tuple[Carry, jax.Array]]
    gates: int
    carries: int = 1
    memory_gates: tuple[int, ...] = ()
    own_candidate: bool = False
    reset_bias: bool = False
    adjoint: Any = None
    terms: Callable[..., tuple[jax.Array, jax.Array]] | None = None
    log_space: bool = False
    decay: bool = False
    diagonal: Callable[..., Carry] | None = None


def state_size(cell: Cell, params: dict) -> int:
    """N, of a cell's parameters: every cell has G biases of that width."""
    return params['b'].shape[-1] // cell.gates


def inputs(params: dict, x: Float[Array, '*rows D']) -> Float[Array, '*rows GN']:
    """The input's share of the gates, x U + b.

    It does not depend on the carry, so whoever runs the cell may have computed it for all time
    steps at once: then `params` holds no `U`, and x is that share already.

    Args:
      params: a cell's parameters, with or without `U` and `b`.
      x: `[B, D]` or `[T, B, D]`; G·N wide in place of D where already projected.

    Returns:
      `[B, G·N]` or `[T, B, G·N]`.
    """
    return x @ params['U'] + params['b'] if 'U' in params else x


def rnn(
    params: dict, carry: Hidden, x: Input, *, activation: Callable = jnp.tanh
) -> tuple[Hidden, Hidden]:
    """Elman's recurrent cell: h_t = σ(W h_{t−1} + U x_t + b_h).

    Elman 1990, "Finding Structure in Time"; the tutorial's section 3. The output layer
    o_t = V h_t + b_o is the head of the language model.

    Args:
      params: `W` `[N, N]`, `U` `[D, N]`, `b` `[N]`: N·D + N² + N numbers.
      carry: h_{t−1} `[B, N]`.
      x: x_t `[B, D]`.
      activation: σ, tanh or the logistic sigmoid.

    Returns:
      (h_t, h_t).
    """
    h = activation(inputs(params, x) + carry @ params['W'])
    return h, h


def lstm(
    params: dict, carry: tuple[Hidden, Hidden], x: Input
) -> tuple[tuple[Hidden, Hidden], Hidden]:
    """Long short-term memory with a forget gate; gate order f, i, o, C̃.

        f, i, o = sigmoid(W_{f,i,o} h_{t−1} + U_{f,i,o} x_t + b_{f,i,o})
        C̃  = tanh(W_C h_{t−1} + U_C x_t + b_C)
        C_t = f ⊙ C_{t−1} + i ⊙ C̃
        h_t = o ⊙ tanh(C_t)

    Hochreiter & Schmidhuber 1997; the forget gate is Gers et al. 2000; the tutorial's section 4.1.
    Flax and torch order the gates i, f, g, o (g is C̃).

    Args:
      params: `W` `[N, 4N]`, `U` `[D, 4N]`, `b` `[4N]`: 4 (N·D + N² + N) numbers.
      carry: (h_{t−1}, C_{t−1}), each `[B, N]`.
      x: x_t `[B, D]`.

    Returns:
      ((h_t, C_t), h_t).
    """
    h, c = carry
    f, i, o, c_tilde = jnp.split(inputs(params, x) + h @ params['W'], 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(c_tilde)
    h = sigmoid(o) * jnp.tanh(c)
    return (h, c), h


def gru(params: dict, carry: Hidden, x: Input) -> tuple[Hidden, Hidden]:
    """Gated recurrent unit, reset before the product; gate order z, r, h̃.

        z, r = sigmoid(W_{z,r} h_{t−1} + U_{z,r} x_t + b_{z,r})
        h̃   = tanh(W_h (r ⊙ h_{t−1}) + U_h x_t + b_h)
        h_t = (1 − z) ⊙ h_{t−1} + z ⊙ h̃

    Cho et al. 2014, equations 5 to 8, with z and 1 − z as in the tutorial's section 4.2 (the paper
    has them the other way round). This is not the GRU of Flax, torch and cuDNN: see
    `gru_reset_after`.

    Args:
      params: `W` `[N, 2N]` of z and r, `W_h` `[N, N]`, `U` `[D, 3N]`, `b` `[3N]`: 3 (N·D + N² + N)
        numbers.
      carry: h_{t−1} `[B, N]`.
      x: x_t `[B, D]`.

    Returns:
      (h_t, h_t).
    """
    h = carry
    u_zr, u_h = jnp.split(inputs(params, x), [2 * h.shape[-1]], axis=-1)
    z, r = jnp.split(sigmoid(u_zr + h @ params['W']), 2, axis=-1)
    h_tilde = jnp.tanh(u_h + (r * h) @ params['W_h'])
    h = (1 - z) * h + z * h_tilde
    return h, h


def gru_reset_after(params: dict, carry: Hidden, x: Input) -> tuple[Hidden, Hidden]:
    """Gated recurrent unit, reset after the product; gate order z, r, h̃.

        z, r = sigmoid(W_{z,r} h_{t−1} + U_{z,r} x_t + b_{z,r})
        h̃   = tanh(r ⊙ (W_h h_{t−1} + b_r) + U_h x_t + b_h)
        h_t = (1 − z) ⊙ h_{t−1} + z ⊙ h̃

    The form of cuDNN, torch and Flax (Cho et al. 2014, first arXiv version's alternative): all
    recurrent products can be done at once. Those libraries order the gates r, z, n and write
    h_t = z ⊙ h_{t−1} + (1 − z) ⊙ n: their z is one minus ours, so the z weights change sign on
    the way.

    Args:
      params: `W` `[N, 3N]`, `U` `[D, 3N]`, `b` `[3N]`, `b_r` `[N]`: 3 (N·D + N² + N) + N numbers.
      carry: h_{t−1} `[B, N]`.
      x: x_t `[B, D]`.

    Returns:
      (h_t, h_t).
    """
    h = carry
    u_z, u_r, u_h = jnp.split(inputs(params, x), 3, axis=-1)
    w_z, w_r, w_h = jnp.split(h @ params['W'], 3, axis=-1)
    z, r = sigmoid(u_z + w_z), sigmoid(u_r + w_r)
    h_tilde = jnp.tanh(u_h + r * (w_h + params['b_r']))
    h = (1 - z) * h + z * h_tilde
    return h, h
