"""What a model carries from token to token, in numbers: the state a sequence has to go through."""

from typing import Any

import jax
import jax.numpy as jnp

from nlp_models import costs, models


def state_size(model: Any, length: int) -> int:
    """Real numbers that one sequence's state holds once `length` tokens have been read.

    Of L layers: N L of the RNN and the GRU, 2 N L of the LSTM (h and C), and of a transformer its
    cache of keys and values, 2 L T · (heads of keys) · (their size). What counts tokens does not
    count. It is the state itself that is counted, not a formula.

    Args:
      model: a config's `model` group, of the architecture 'decoder'.
      length: T, tokens.

    Returns:
      The number; times 4 it is bytes in float32.
    """
    body = models.build_body(model, max_length=length)
    params = jax.eval_shape(body.init, jax.random.key(0))
    state = jax.eval_shape(lambda p: body.start(p, 1, length), params)
    leaves = jax.tree.leaves(state)
    return sum(leaf.size for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating))


def match_state(model: Any, target: int, length: int) -> int:
    """Set `model.hidden_size` so that the state comes closest to a number; returns that of units.

    Args:
      model: a recurrent `model` group, changed in place.
      target: numbers wanted.
      length: T, tokens.
    """

    def count(units: int) -> int:
        model.hidden_size = units
        return state_size(model, length)

    model.hidden_size = costs.closest_size(count, target)
    return model.hidden_size
