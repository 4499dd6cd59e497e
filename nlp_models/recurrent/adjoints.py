"""The hand-derived backward step of each cell, beside the forward step it belongs to.

Back-propagation through time (Werbos 1990) runs the adjoint of a cell from the last step to the
first. Four things make it fast, and they are what an `Adjoint` says of its cell:

- the forward step keeps what the backward one reads (`kept`), and no more: activations after
  their nonlinearity, from which the derivatives follow (tanh′ = 1 − tanh², σ′ = σ(1 − σ));
- what does not depend on the gradient that comes in (`coefficients`) is worked out for many steps
  at once; what is left inside the loop is a few products and one matrix product;
- the loop hands on the gradient of the pre-activations alone; those of the weights are one matrix
  product over many steps, after it (`gradients`), not a sum inside it;
- all gates go through one tanh: σ(a) = (1 + tanh(a/2)) / 2.

Notation: δv is the gradient of the loss by v; a_t is the pre-activation, u_t + h_{t−1} W; u_t is
x_t U + b. Every array is `[B, …]` in the steps and `[T, B, …]` where many steps are treated at
once. The equations of the cells themselves are in `cells.py`, whose results these must equal.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array


class Adjoint(NamedTuple):
    """A cell's forward step that keeps what its backward step needs, and that backward step.

    Attributes:
      forward: `(weights, carry, u) -> (carry, kept)`, one step; y is the carry's h. `weights` are
        the cell's parameters without `U` and `b`; `kept` is a tuple of arrays `[B, …]`.
      coefficients: `(kept, h_prev, h) -> coefficients`, of many steps at once, elementwise.
      backward: `(transposed, δcarry, coefficients) -> (δcarry_prev, handed)`, one step;
        `transposed` are the weight matrices' transposes, the δh that comes in holds δy already.
      gradients: `(kept, coefficients, h_prev, handed) -> (δu, {name: (left, right)}, {name: δa})`,
        of many steps at once: the gradient of the matrix `name` is Σ leftᵀ right over steps and
        rows, that of a bias the sum of δa.
    """

    forward: Callable[..., tuple[Any, tuple]]
    coefficients: Callable[..., tuple]
    backward: Callable[..., tuple[Any, Any]]
    gradients: Callable[..., tuple[Array, dict, dict]]


def _gates(a: Array, sigmoids: int, tanhs: int) -> Array:
    """Activate gates side by side, the first ones by σ and the others by tanh, in one pass."""
    size = a.shape[-1] // (sigmoids + tanhs)
    scale = jnp.repeat(jnp.asarray([0.5] * sigmoids + [1.0] * tanhs, a.dtype), size)
    shift = jnp.repeat(jnp.asarray([0.5] * sigmoids + [0.0] * tanhs, a.dtype), size)
    return scale * jnp.tanh(scale * a) + shift


def _split(a: Array, parts: int) -> list[Array]:
    return jnp.split(a, parts, axis=-1)


def _join(*parts: Array) -> Array:
    return jnp.concatenate(parts, axis=-1)


def dot(h: Array, w: Array | tuple[Array, ...]) -> Array:
    """The product h W, where W may lie in blocks of columns."""
    return _join(*[h @ block for block in w]) if isinstance(w, tuple) else h @ w


def rnn(activation: Callable[[Array], Array], derivative: Callable[[Array], Array]) -> Adjoint:
    """Elman's cell: h = σ(a).

        δa = δh ⊙ σ′(a),   δh_{t−1} = δa Wᵀ,   δW = Σ h_{t−1}ᵀ δa

    Nothing is kept but h itself, which is the output anyway.

    Args:
      activation: σ.
      derivative: σ′ as a function of h = σ(a).

    Returns:
      The adjoint.
    """

    def forward(weights, h, u):
        return activation(u + dot(h, weights['W'])), ()

    def coefficients(kept, h_prev, h):
        del kept, h_prev
        return (derivative(h),)

    def backward(transposed, dh, coefficients):
        da = dh * coefficients[0]
        return da @ transposed['W'], da

    def gradients(kept, coefficients, h_prev, da):
        del kept, coefficients
        return da, {'W': (h_prev, da)}, {}

    return Adjoint(forward, coefficients, backward, gradients)


def _lstm_forward(weights, carry, u):
    h, c = carry
    gates = _gates(u + dot(h, weights['W']), 3, 1)
    f, i, o, c_tilde = _split(gates, 4)
    c_new = f * c + i * c_tilde
    return (o * jnp.tanh(c_new), c_new), (gates, c)


def _lstm_coefficients(kept, h_prev, h):
    del h_prev
    gates, c_prev = kept
    f, i, o, c_tilde = _split(gates, 4)
    tanh_c = jnp.where(o > 0, h / jnp.where(o > 0, o, 1), 0)  # where o is 0, it counts for nothing
    by_gate = _join(
        c_prev * f * (1 - f),
        c_tilde * i * (1 - i),
        tanh_c * o * (1 - o),
        i * (1 - c_tilde * c_tilde),
    )
    return by_gate, o * (1 - tanh_c * tanh_c), f


def _lstm_backward(transposed, carry, coefficients):
    dh, dc = carry
    by_gate, by_cell, f = coefficients
    dc = dc + dh * by_cell
    da = _join(dc, dc, dh, dc) * by_gate
    return (da @ transposed['W'], dc * f), da


def _lstm_gradients(kept, coefficients, h_prev, da):
    del kept, coefficients
    return da, {'W': (h_prev, da)}, {}


# δC_t = δC_t + δh ⊙ o ⊙ (1 − tanh² C_t)
# δa = [δC ⊙ C_{t−1} f′, δC ⊙ C̃ i′, δh ⊙ tanh(C_t) o′, δC ⊙ i ⊙ (1 − C̃²)],  f′ = f(1 − f), …
# δh_{t−1} = δa Wᵀ,   δC_{t−1} = δC ⊙ f
LSTM = Adjoint(_lstm_forward, _lstm_coefficients, _lstm_backward, _lstm_gradients)


def _gru_forward(weights, h, u):
    size = h.shape[-1]
    z, r = _split(jax.nn.sigmoid(u[..., : 2 * size] + dot(h, weights['W'])), 2)
    h_tilde = jnp.tanh(u[..., 2 * size :] + dot(r * h, weights['W_h']))
    return h + z * (h_tilde - h), (z, r, h_tilde)


def _gru_coefficients(kept, h_prev, h):
    del h
    z, r, h_tilde = kept
    by_update = (h_tilde - h_prev) * z * (1 - z)
    by_candidate = z * (1 - h_tilde * h_tilde)
    by_reset = h_prev * r * (1 - r)
    return by_update, by_candidate, by_reset, r, 1 - z


def _gru_backward(transposed, dh, coefficients):
    by_update, by_candidate, by_reset, r, past = coefficients
    da_h = dh * by_candidate
    dq = da_h @ transposed['W_h']  # of q = r ⊙ h_{t−1}
    da = _join(dh * by_update, dq * by_reset)
    return dh * past + dq * r + da @ transposed['W'], (da, da_h)


def _gru_gradients(kept, coefficients, h_prev, handed):
    del coefficients
    da, da_h = handed
    return _join(da, da_h), {'W': (h_prev, da), 'W_h': (kept[1] * h_prev, da_h)}, {}


# With q = r ⊙ h_{t−1}:
# δa_h = δh ⊙ z ⊙ (1 − h̃²),   δq = δa_h W_hᵀ
# δa_z = δh ⊙ (h̃ − h_{t−1}) ⊙ z(1 − z),   δa_r = δq ⊙ h_{t−1} ⊙ r(1 − r)
# δh_{t−1} = δh ⊙ (1 − z) + δq ⊙ r + [δa_z, δa_r] Wᵀ
GRU = Adjoint(_gru_forward, _gru_coefficients, _gru_backward, _gru_gradients)


def _gru_after_forward(weights, h, u):
    size = h.shape[-1]
    w = dot(h, weights['W'])
    z, r = _split(jax.nn.sigmoid(u[..., : 2 * size] + w[..., : 2 * size]), 2)
    m = w[..., 2 * size :] + weights['b_r']
    h_tilde = jnp.tanh(u[..., 2 * size :] + r * m)
    return h + z * (h_tilde - h), (z, r, h_tilde, m)


def _gru_after_coefficients(kept, h_prev, h):
    del h
    z, r, h_tilde, m = kept
    by_candidate = z * (1 - h_tilde * h_tilde)
    by_update = (h_tilde - h_prev) * z * (1 - z)
    return _join(by_update, by_candidate * m * r * (1 - r), by_candidate * r), by_candidate, 1 - z


def _gru_after_backward(transposed, dh, coefficients):
    by_gate, _, past = coefficients
    dw = _join(dh, dh, dh) * by_gate
    return dh * past + dw @ transposed['W'], (dw, dh)


def _gru_after_gradients(kept, coefficients, h_prev, handed):
    del kept
    dw, dh = handed
    size = dh.shape[-1]
    du = _join(dw[..., : 2 * size], dh * coefficients[1])
    return du, {'W': (h_prev, dw)}, {'b_r': dw[..., 2 * size :]}


# With m = h_{t−1} W_h + b_r, and δw the gradient of h_{t−1} W:
# δa_h = δh ⊙ z ⊙ (1 − h̃²),   δm = δa_h ⊙ r
# δa_z = δh ⊙ (h̃ − h_{t−1}) ⊙ z(1 − z),   δa_r = δa_h ⊙ m ⊙ r(1 − r)
# δw = [δa_z, δa_r, δm],   δh_{t−1} = δh ⊙ (1 − z) + δw Wᵀ
GRU_RESET_AFTER = Adjoint(
    _gru_after_forward, _gru_after_coefficients, _gru_after_backward, _gru_after_gradients
)

RNN = {
    'tanh': rnn(jnp.tanh, lambda h: 1 - h * h),
    'sigmoid': rnn(jax.nn.sigmoid, lambda h: h * (1 - h)),
}
