"""What is minimised: functions of parameters, carried state and batch that return sums.

Sums and weights are returned apart and divided once, after everything has been added up over
microbatches and devices: a mean of means is wrong as soon as one of them holds fewer tokens.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from nlp_models.types import LanguageModel

Objective = Callable[..., tuple['Sums', Any]]


class Sums(NamedTuple):
    """A loss summed over tokens, and how many they were.

    Attributes:
      loss: Σ weight · loss, in nats.
      weight: Σ weight, in tokens.
    """

    loss: Float[Array, '']
    weight: Float[Array, '']


def cross_entropy(logits: Float[Array, 'B T V'], targets: Int[Array, 'B T']) -> Float[Array, 'B T']:
    """−log softmax(logits)[target], in nats.

    Args:
      logits: `[B, T, V]` float32.
      targets: `[B, T]`, in [0, V).

    Returns:
      `[B, T]` float32; NaN where a target is out of range.
    """
    # Not by index: the gradient of that is a scatter, one element after the other on a CPU.
    hit = targets[..., None] == jnp.arange(logits.shape[-1])
    picked = jnp.sum(jnp.where(hit, logits, 0), axis=-1)
    known = (targets >= 0) & (targets < logits.shape[-1])
    return jnp.where(known, jax.nn.logsumexp(logits, axis=-1) - picked, jnp.nan)


def language_modelling(model: LanguageModel, *, dropout: bool = False) -> Objective:
    """The next token's cross-entropy.

    Args:
      model: the model.
      dropout: whether the key is handed to the model.

    Returns:
      `(params, carry, batch, key) -> (Sums, carry)`. The batch holds `tokens` `[B, T + 1]`; with
      `weights` `[B, T]` the predictions count by these; with `restart` `[B]` the rows where it is
      not zero begin from `start` instead of from the carry. A carry of None begins there too, and
      then None is returned.
    """

    def objective(params, carry, batch, key=None):
        tokens = batch['tokens']
        state = model.start(params, tokens.shape[0])
        if carry is not None:
            restart = batch['restart']

            def pick(fresh, carried):
                return jnp.where(restart.reshape(-1, *[1] * (fresh.ndim - 1)) != 0, fresh, carried)

            state = jax.tree.map(pick, state, carry)
        state, logits = model.apply(params, state, tokens[:, :-1], key=key if dropout else None)
        nats = cross_entropy(logits, tokens[:, 1:])
        weights = batch.get('weights', jnp.ones_like(nats))
        # The gradient stops at the state handed over: truncated back-propagation through time.
        carry = None if carry is None else jax.lax.stop_gradient(state)
        return Sums(jnp.sum(nats * weights), jnp.sum(weights)), carry

    return objective
