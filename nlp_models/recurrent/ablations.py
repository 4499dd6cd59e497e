"""Cells with a part taken out, to see what it was for: the LSTM's gates, its sum, the RNN's lack.

Parameters and carries are as in `cells`; where a gate is taken out its share of `W`, `U` and `b` is
gone too, so who wants equal numbers of parameters gives these cells more units. They have no
hand-derived backward pass.
"""

import jax.numpy as jnp
from jax.nn import sigmoid

from nlp_models.recurrent.cells import Cell, Hidden, Input, inputs

Carry = tuple[Hidden, Hidden]


def lstm_without_forget(params: dict, carry: Carry, x: Input) -> tuple[Carry, Hidden]:
    """C_t = C_{t−1} + i ⊙ C̃, h_t = o ⊙ tanh(C_t); gate order i, o, C̃.

    The cell of Hochreiter & Schmidhuber 1997, before Gers et al. 2000 gave it a forget gate.

    Args:
      params: `W` `[N, 3N]`, `U` `[D, 3N]`, `b` `[3N]`.
      carry: (h_{t−1}, C_{t−1}), each `[B, N]`.
      x: x_t `[B, D]`.

    Returns:
      ((h_t, C_t), h_t).
    """
    h, c = carry
    i, o, c_tilde = jnp.split(inputs(params, x) + h @ params['W'], 3, axis=-1)
    c = c + sigmoid(i) * jnp.tanh(c_tilde)
    h = sigmoid(o) * jnp.tanh(c)
    return (h, c), h


def lstm_without_input(params: dict, carry: Carry, x: Input) -> tuple[Carry, Hidden]:
    """C_t = f ⊙ C_{t−1} + C̃, h_t = o ⊙ tanh(C_t); gate order f, o, C̃ (NIG of Greff et al. 2017).

    Args:
      params: `W` `[N, 3N]`, `U` `[D, 3N]`, `b` `[3N]`.
      carry: (h_{t−1}, C_{t−1}), each `[B, N]`.
      x: x_t `[B, D]`.

    Returns:
      ((h_t, C_t), h_t).
    """
    h, c = carry
    f, o, c_tilde = jnp.split(inputs(params, x) + h @ params['W'], 3, axis=-1)
    c = sigmoid(f) * c + jnp.tanh(c_tilde)
    h = sigmoid(o) * jnp.tanh(c)
    return (h, c), h


def lstm_without_output(params: dict, carry: Carry, x: Input) -> tuple[Carry, Hidden]:
    """C_t = f ⊙ C_{t−1} + i ⊙ C̃, h_t = tanh(C_t); gate order f, i, C̃ (NOG of Greff et al. 2017).

    Args:
      params: `W` `[N, 3N]`, `U` `[D, 3N]`, `b` `[3N]`.
      carry: (h_{t−1}, C_{t−1}), each `[B, N]`.
      x: x_t `[B, D]`.

    Returns:
      ((h_t, C_t), h_t).
    """
    h, c = carry
    f, i, c_tilde = jnp.split(inputs(params, x) + h @ params['W'], 3, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(c_tilde)
    h = jnp.tanh(c)
    return (h, c), h


def lstm_coupled(params: dict, carry: Carry, x: Input) -> tuple[Carry, Hidden]:
    """C_t = f ⊙ C_{t−1} + (1 − f) ⊙ C̃; gate order f, o, C̃ (CIFG of Greff et al. 2017).

    What is forgotten is what is written, as in a GRU.

    Args:
      params: `W` `[N, 3N]`, `U` `[D, 3N]`, `b` `[3N]`.
      carry: (h_{t−1}, C_{t−1}), each `[B, N]`.
      x: x_t `[B, D]`.

    Returns:
      ((h_t, C_t), h_t).
    """
    h, c = carry
    f, o, c_tilde = jnp.split(inputs(params, x) + h @ params['W'], 3, axis=-1)
    f = sigmoid(f)
    c = f * c + (1 - f) * jnp.tanh(c_tilde)
    h = sigmoid(o) * jnp.tanh(c)
    return (h, c), h


def lstm_not_additive(params: dict, carry: Hidden, x: Input) -> tuple[Hidden, Hidden]:
    """All three gates, but the old state reaches the new one through W and tanh alone.

        f, i, o = sigmoid(W_{f,i,o} h_{t−1} + U_{f,i,o} x_t + b_{f,i,o})
        h_t = o ⊙ tanh(i ⊙ tanh(W_C (f ⊙ h_{t−1}) + U_C x_t + b_C))

    The sum f ⊙ C_{t−1} + i ⊙ C̃ is gone; what f kept of the state is read by the candidate. So the
    old state passes all three gates, where it passes f alone in an LSTM: biases of b = 2.2 keep as
    much of it at the start as the LSTM's one forget gate with its bias of 1, sigmoid(b)³ =
    sigmoid(1).

    Args:
      params: `W` `[N, 3N]`, `W_h` `[N, N]`, `U` `[D, 4N]`, `b` `[4N]`.
      carry: h_{t−1} `[B, N]`.
      x: x_t `[B, D]`.

    Returns:
      (h_t, h_t).
    """
    h = carry
    u, u_c = jnp.split(inputs(params, x), [3 * h.shape[-1]], axis=-1)
    f, i, o = jnp.split(sigmoid(u + h @ params['W']), 3, axis=-1)
    c_tilde = jnp.tanh(u_c + (f * h) @ params['W_h'])
    h = o * jnp.tanh(i * c_tilde)
    return h, h


def rnn_residual(params: dict, carry: Hidden, x: Input) -> tuple[Hidden, Hidden]:
    """The RNN with a residual connection and no gate: h_t = h_{t−1} + σ(W h_{t−1} + U x_t + b).

    Args:
      params: `W` `[N, N]`, `U` `[D, N]`, `b` `[N]`.
      carry: h_{t−1} `[B, N]`.
      x: x_t `[B, D]`.

    Returns:
      (h_t, h_t).
    """
    h = carry + jnp.tanh(inputs(params, x) + carry @ params['W'])
    return h, h


CELLS = {
    'lstm_without_forget': Cell(lstm_without_forget, gates=3, carries=2),
    'lstm_without_input': Cell(lstm_without_input, gates=3, carries=2, memory_gates=(0,)),
    'lstm_without_output': Cell(lstm_without_output, gates=3, carries=2, memory_gates=(0,)),
    'lstm_coupled': Cell(lstm_coupled, gates=3, carries=2, memory_gates=(0,)),
    'lstm_not_additive': Cell(
        lstm_not_additive, gates=4, own_candidate=True, memory_gates=(0, 1, 2)
    ),
    'rnn_residual': Cell(rnn_residual, gates=1),
}
"""Families of `models.build` that a study compares with `rnn` and `lstm`."""
