"""The letters and the protocols of the whole codebase.

Axes, wherever arrays are named, commented or annotated:

| letter | axis |
|---|---|
| `B` | batch |
| `T` | time: positions of the sequence being read |
| `S` | source or key time: positions that attention looks at |
| `D` | model width (size of the vectors between layers) |
| `H` | attention heads |
| `K` | width of one head |
| `F` | width of the feed-forward layer |
| `V` | vocabulary |
| `N` | state width of a recurrent cell |
| `G` | gates of a recurrent cell |
| `L` | layers |

Parameters are plain nested dicts of arrays; a layer's are always under `layer_0/`, `layer_1/`, ….
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

Params = Any  # nested dict of arrays
State = Any  # pytree of arrays whose first axis is B, or None where nothing is kept
Key = jax.Array


class SequenceModel(NamedTuple):
    """A stack over vectors, recurrent or attention, as three pure functions.

    Attributes:
      init: `(key) -> params`.
      start: `(params, batch_size, max_length=0) -> state`, the state before the first token.
        `max_length` is the number of tokens (T summed over all calls to come) the state must be
        able to hold; 0 says that the state will not be handed on, so a model whose state grows
        with the text may return None.
      apply: `(params, state, x, *, lengths=None, key=None) -> (state, y)`, with x `[B, T, D]` and
        y `[B, T, width]`. Causal: y at t depends on x up to t alone. `lengths` `[B]` int32 says
        how many of the T vectors of each row are real: the state is that after the last real one,
        y past it has no meaning. `key` turns dropout on.
    """

    init: Callable[..., Params]
    start: Callable[..., State]
    apply: Callable[..., tuple[State, jax.Array]]


class LanguageModel(NamedTuple):
    """Embed, sequence model, head: the same three functions over tokens.

    One token is `apply` at T=1, a prompt is `apply` at T=len, truncated back-propagation through
    time hands the state on.

    Attributes:
      init: `(key) -> params`.
      start: `(params, batch_size, max_length=0) -> state`, as in `SequenceModel`.
      apply: `(params, state, tokens, *, lengths=None, key=None) -> (state, logits)`, with tokens
        `[B, T]` int32 and logits `[B, T, V]` float32: `log_softmax(logits)[:, t]` is the model's
        distribution of token t+1.
      context: how many tokens `apply` may be given in all from `start` on; None for no bound.
    """

    init: Callable[..., Params]
    start: Callable[..., State]
    apply: Callable[..., tuple[State, jax.Array]]
    context: int | None
