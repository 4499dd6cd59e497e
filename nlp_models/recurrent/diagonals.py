"""The diagonals of ∂(new carry)/∂carry, derived by hand, for each cell of `cells`.

`diagonal(params, carry, u) -> diagonals`, with u the input's share of the gates `[B, G·N]` and the
diagonals in the carry's form: quasi-Newton's only need (`newton`). Each costs what a step costs; to
find one by differentiation costs as many steps as the carry is wide. With a the sum that a gate is
a function of, s′ = s (1 − s) for s = sigmoid(a) and t′ = 1 − t² for t = tanh(a).
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.nn import sigmoid


def _blocks(matrix: jax.Array, count: int) -> list[jax.Array]:
    """The diagonals of the square blocks that lie side by side in a matrix."""
    return [jnp.diagonal(block) for block in jnp.split(matrix, count, axis=-1)]


def rnn(params: dict, carry: jax.Array, u: jax.Array, *, activation: Any = jnp.tanh) -> jax.Array:
    """∂h_t/∂h_{t−1} = σ′(a) W_ii of each channel i of `cells.rnn`."""
    a = u + carry @ params['W']
    _, slope = jax.jvp(activation, (a,), (jnp.ones_like(a),))
    return slope * jnp.diagonal(params['W'])


def lstm(params: dict, carry: tuple, u: jax.Array) -> tuple[jax.Array, jax.Array]:
    """∂h_t/∂h_{t−1} and ∂C_t/∂C_{t−1} = f of `cells.lstm`, with C_{t−1} or h_{t−1} held.

    ∂h_t/∂h_{t−1} = o′ W_o tanh(C_t) + o (1 − tanh² C_t) (f′ W_f C_{t−1} + i′ W_i C̃ + i C̃′ W_C)
    """
    h, c = carry
    f, i, o, c_tilde = jnp.split(u + h @ params['W'], 4, axis=-1)
    f, i, o, c_tilde = sigmoid(f), sigmoid(i), sigmoid(o), jnp.tanh(c_tilde)
    w_f, w_i, w_o, w_c = _blocks(params['W'], 4)
    by_c = f * (1 - f) * w_f * c + i * (1 - i) * w_i * c_tilde + i * (1 - c_tilde**2) * w_c
    out = jnp.tanh(f * c + i * c_tilde)
    return o * (1 - o) * w_o * out + o * (1 - out**2) * by_c, f


def gru(params: dict, carry: jax.Array, u: jax.Array) -> jax.Array:
    """∂h_t/∂h_{t−1} of `cells.gru`.

    (1 − z) + (h̃ − h_{t−1}) z′ W_z + z h̃′ (r W_h + Σ_j h_j r′_j W_r[i, j] W_h[j, i]): every reset
    gate looks at channel i, and the candidate i at every reset channel.
    """
    h = carry
    w_z, w_r = jnp.split(params['W'], 2, axis=-1)
    u_zr, u_h = jnp.split(u, [2 * h.shape[-1]], axis=-1)
    z, r = jnp.split(sigmoid(u_zr + h @ params['W']), 2, axis=-1)
    h_tilde = jnp.tanh(u_h + (r * h) @ params['W_h'])
    inside = r * jnp.diagonal(params['W_h']) + (h * r * (1 - r)) @ (w_r.T * params['W_h'])
    return _gate(h, z, h_tilde, jnp.diagonal(w_z), inside)


def gru_reset_after(params: dict, carry: jax.Array, u: jax.Array) -> jax.Array:
    """∂h_t/∂h_{t−1} of `cells.gru_reset_after`.

    (1 − z) + (h̃ − h_{t−1}) z′ W_z + z h̃′ (r W_h + r′ W_r (h_{t−1} W_h + b_r))
    """
    h = carry
    u_z, u_r, u_h = jnp.split(u, 3, axis=-1)
    a_z, a_r, a_h = jnp.split(h @ params['W'], 3, axis=-1)
    w_z, w_r, w_h = _blocks(params['W'], 3)
    z, r, a_h = sigmoid(u_z + a_z), sigmoid(u_r + a_r), a_h + params['b_r']
    return _gate(h, z, jnp.tanh(u_h + r * a_h), w_z, r * w_h + r * (1 - r) * w_r * a_h)


def _gate(
    h: jax.Array, z: jax.Array, h_tilde: jax.Array, w_z: jax.Array, inside: jax.Array
) -> jax.Array:
    """What both GRUs have in common, with ∂ of the candidate's sum `inside`."""
    return 1 - z + (h_tilde - h) * z * (1 - z) * w_z + z * (1 - h_tilde**2) * inside
