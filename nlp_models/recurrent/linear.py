"""The cells that are linear in their carry: h_t = a_t ⊙ h_{t−1} + b_t, with a and b of x_t alone.

Cells like those of `cells`, `cell(params, carry, x) -> (carry, y)`, but with no recurrent weights
`W`. Each has a second function that gives its a_t and b_t, or their logarithms; from these
`associative` finds all of h_1 … h_T at once.
"""

import jax
import jax.numpy as jnp
from jax.nn import sigmoid, softplus
from jaxtyping import Array, Float

from nlp_models.recurrent.cells import Hidden, Input, inputs

Gates = Float[Array, '*rows GN']
Terms = Float[Array, '*rows N']


def mingru(params: dict, carry: Hidden, x: Input) -> tuple[Hidden, Hidden]:
    """Minimal gated recurrent unit; gate order z, h̃.

        z   = sigmoid(U_z x_t + b_z)
        h̃  = g(U_h x_t + b_h)      g(a) = a + 1/2 where a ≥ 0, sigmoid(a) elsewhere
        h_t = (1 − z) ⊙ h_{t−1} + z ⊙ h̃

    Feng et al. 2024, "Were RNNs All We Needed?", section 3.1 and appendix B.1: a GRU whose gates do
    not look at h_{t−1}. g keeps h̃ positive, so that its logarithm exists.

    Args:
      params: `U` `[D, 2N]`, `b` `[2N]`: 2 (N·D + N) numbers.
      carry: h_{t−1} `[B, N]`.
      x: x_t `[B, D]`.

    Returns:
      (h_t, h_t).
    """
    u_z, u_h = jnp.split(inputs(params, x), 2, axis=-1)
    z = sigmoid(u_z)
    h = (1 - z) * carry + z * positive(u_h)
    return h, h


def mingru_terms(params: dict, u: Gates) -> tuple[Terms, Terms]:
    """Log a_t = log(1 − z) and log b_t = log z + log h̃ of `mingru` (appendix B.2.1).

    Args:
      params: nothing of them is read: all that depends on them is in u.
      u: U x_t + b `[…, 2N]`.

    Returns:
      (log a, log b), each `[…, N]`.
    """
    del params
    u_z, u_h = jnp.split(u, 2, axis=-1)
    return -softplus(u_z), -softplus(-u_z) + log_positive(u_h)


def minlstm(params: dict, carry: Hidden, x: Input) -> tuple[Hidden, Hidden]:
    """Minimal long short-term memory; gate order f, i, h̃.

        f, i = sigmoid(U_{f,i} x_t + b_{f,i})
        h̃   = g(U_h x_t + b_h)      g as in `mingru`
        h_t  = f / (f + i) ⊙ h_{t−1} + i / (f + i) ⊙ h̃

    Feng et al. 2024, section 3.2 and appendix B.1: an LSTM whose gates do not look at h_{t−1} and
    sum to one, without an output gate. f / (f + i) is computed as sigmoid(log f − log i), which
    no pair of gates can make 0 / 0.

    Args:
      params: `U` `[D, 3N]`, `b` `[3N]`: 3 (N·D + N) numbers.
      carry: h_{t−1} `[B, N]`.
      x: x_t `[B, D]`.

    Returns:
      (h_t, h_t).
    """
    u_f, u_i, u_h = jnp.split(inputs(params, x), 3, axis=-1)
    f = sigmoid(softplus(-u_i) - softplus(-u_f))
    h = f * carry + (1 - f) * positive(u_h)
    return h, h


def minlstm_terms(params: dict, u: Gates) -> tuple[Terms, Terms]:
    """Log a_t = log f/(f + i) and log b_t = log i/(f + i) + log h̃ of `minlstm` (appendix B.2.2).

    Args:
      params: nothing of them is read.
      u: U x_t + b `[…, 3N]`.

    Returns:
      (log a, log b), each `[…, N]`.
    """
    del params
    u_f, u_i, u_h = jnp.split(u, 3, axis=-1)
    difference = softplus(-u_f) - softplus(-u_i)  # log i − log f
    return -softplus(difference), -softplus(-difference) + log_positive(u_h)


def linear(params: dict, carry: Hidden, x: Input) -> tuple[Hidden, Hidden]:
    """Diagonal linear recurrence with learned decays: h_t = a ⊙ h_{t−1} + √(1 − a²) ⊙ (U x_t + b).

    a = exp(−exp(ν)) lies between 0 and 1 whatever ν is; √(1 − a²) gives h the variance of U x for
    every decay. Orvieto et al. 2023, "Resurrecting Recurrent Neural Networks for Long Sequences",
    equations 5 to 7, with real decays in place of complex ones.

    Args:
      params: `U` `[D, N]`, `b` `[N]`, `nu` `[N]`: N·D + 2 N numbers.
      carry: h_{t−1} `[B, N]`.
      x: x_t `[B, D]`.

    Returns:
      (h_t, h_t).
    """
    a, b = linear_terms(params, inputs(params, x))
    h = (a * carry + b).astype(carry.dtype)
    return h, h


def linear_terms(params: dict, u: Gates) -> tuple[Terms, Terms]:
    """The terms of `linear`: a, the same at every step, and b_t = √(1 − a²) ⊙ (U x_t + b).

    Args:
      params: `nu` `[N]`.
      u: U x_t + b `[…, N]`.

    Returns:
      (a, b_t), each `[…, N]`.
    """
    # In at least float32: a coarser a near 1 would be 1, and nothing would ever enter h.
    log_a = -jnp.exp(params['nu'].astype(jnp.promote_types(u.dtype, jnp.float32)))
    a = jnp.broadcast_to(jnp.exp(log_a), u.shape)
    return a.astype(log_a.dtype), jnp.sqrt(-jnp.expm1(2 * log_a)) * u


def positive(a: jax.Array) -> jax.Array:
    """g(a): a + 1/2 where a ≥ 0, sigmoid(a) elsewhere (Feng et al. 2024, appendix B.1)."""
    return jnp.where(a >= 0, a + 0.5, sigmoid(a))


def log_positive(a: jax.Array) -> jax.Array:
    """Log g(a): log(a + 1/2) where a ≥ 0, −softplus(−a) elsewhere."""
    # What is not chosen must have a finite derivative too: log(a + 1/2) is asked above 0 alone.
    return jnp.where(a >= 0, jnp.log(jnp.maximum(a, 0) + 0.5), -softplus(-a))
