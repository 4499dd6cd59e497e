"""How a recurrent decoder looks at an encoder's output: additive and multiplicative attention."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from nlp_models.types import Key


def init_bahdanau(key: Key, hidden_size: int, memory_size: int) -> dict[str, jax.Array]:
    """`W` `[N, N]`, `U` `[M, N]` and `v` `[N]` of `bahdanau`, from N(0, 1/fan in)."""
    key_w, key_u, key_v = jax.random.split(key, 3)
    return {
        'W': jax.random.normal(key_w, (hidden_size, hidden_size)) / hidden_size**0.5,
        'U': jax.random.normal(key_u, (memory_size, hidden_size)) / memory_size**0.5,
        'v': jax.random.normal(key_v, (hidden_size,)) / hidden_size**0.5,
    }


def bahdanau(
    params: dict,
    state: Float[Array, 'B N'],
    memory: Float[Array, 'B S M'],
    projected: Float[Array, 'B S N'],
    real: Bool[Array, 'B S'],
) -> Float[Array, 'B M']:
    """Additive attention: c = Σ_j α_j m_j, α = softmax(e), e_j = vᵀ tanh(W s + U m_j).

    Bahdanau et al. 2015, equations 5 and 6 and appendix A.1.2.

    Args:
      params: `W`, `U`, `v`.
      state: s, the decoder's state before the step.
      memory: m, the encoder's output.
      projected: U m, which is the same for every step.
      real: which places of the memory are no padding.

    Returns:
      c `[B, M]`.
    """
    scores = jnp.tanh((state @ params['W'])[:, None] + projected) @ params['v']  # [B, S]
    weights = _softmax(scores, real)
    return jnp.einsum('BS,BSM->BM', weights, memory)


def init_luong(key: Key, hidden_size: int, memory_size: int) -> dict[str, jax.Array]:
    """`W` `[N, M]` of `luong`, from N(0, 1/N)."""
    return {'W': jax.random.normal(key, (hidden_size, memory_size)) / hidden_size**0.5}


def luong(
    params: dict,
    states: Float[Array, 'B T N'],
    memory: Float[Array, 'B S M'],
    real: Bool[Array, 'B S'],
) -> Float[Array, 'B T M']:
    """Multiplicative attention: c_t = Σ_j α_tj m_j, α_t = softmax(e_t), e_tj = h_tᵀ W m_j.

    Luong et al. 2015, equations 7 and 8 ("general"), global. It looks with the state after the
    step, so all steps of a known text attend at once.

    Args:
      params: `W`.
      states: h, the decoder's states.
      memory: m, the encoder's output.
      real: which places of the memory are no padding.

    Returns:
      c `[B, T, M]`.
    """
    scores = jnp.einsum('BTM,BSM->BTS', states @ params['W'], memory)
    return jnp.einsum('BTS,BSM->BTM', _softmax(scores, real[:, None]), memory)


def _softmax(scores: jax.Array, real: jax.Array) -> jax.Array:
    """Over the last axis, in float32, with a weight of zero where the mask says no."""
    wide = jnp.where(real, scores.astype(jnp.float32), jnp.finfo(jnp.float32).min)
    return jax.nn.softmax(wide, axis=-1).astype(scores.dtype)
