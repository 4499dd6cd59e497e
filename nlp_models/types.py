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


class Encoder(NamedTuple):
    """A stack over vectors that reads both ways, and so has no state to carry.

    Attributes:
      init: `(key) -> params`.
      encode: `(params, x, *, lengths=None, key=None) -> y`, with x `[B, S, D]` and y
        `[B, S, width]`. `lengths` `[B]` int32 says how many of the S vectors of each row are real:
        what follows them changes nothing, and y there has no meaning. `key` turns dropout on.
      width: of y.
    """

    init: Callable[..., Params]
    encode: Callable[..., jax.Array]
    width: int


class ConditionedModel(NamedTuple):
    """A sequence model that looks at an encoder's output while it reads.

    Attributes:
      init: `(key) -> params`.
      start: `(params, memory, lengths, max_length=0) -> state`, with the encoder's output `[B, S,
        D]` and its real lengths `[B]`; `max_length` as in `SequenceModel`. The state holds what is
        needed of the memory.
      apply: as in `SequenceModel`.
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
      vectors: as `apply`, but `[B, T, D]` what the head makes its logits of; None for a model that
        has none, an n-gram.
    """

    init: Callable[..., Params]
    start: Callable[..., State]
    apply: Callable[..., tuple[State, jax.Array]]
    context: int | None
    vectors: Callable[..., tuple[State, jax.Array]] | None = None


class TextEncoder(NamedTuple):
    """Embed, encoder, and where there is one a head that guesses masked tokens.

    Attributes:
      init: `(key) -> params`.
      encode: `(params, tokens, *, lengths=None, segments=None, key=None) -> y`, with tokens
        `[B, S]` int32 and y `[B, S, D]`. `lengths` and `key` as in `Encoder`; `segments` `[B, S]`
        int32 says which sentence each token is of, 0 by default.
      logits: `(params, y) -> logits`, `[B, S, D]` to `[B, S, V]` float32: the distribution of the
        token at each place itself. None where the model has no such head.
      context: the longest row it can read; None for no bound.
    """

    init: Callable[..., Params]
    encode: Callable[..., jax.Array]
    logits: Callable[..., jax.Array] | None
    context: int | None


class Seq2Seq(NamedTuple):
    """An encoder and a language model conditioned on its output.

    Attributes:
      init: `(key) -> params`.
      start: `(params, batch_size, max_length=0, *, source, source_lengths=None, key=None) ->
        state`: reads the sources `[B, S]` int32, of which the first `source_lengths` `[B]` tokens
        are real; the state holds what the decoder looks up in them. `max_length` as in
        `SequenceModel`, `key` turns dropout on.
      apply: as in `LanguageModel`.
      context: how many target tokens `apply` may be given in all; None for no bound.
      source_context: the longest source it can read; None for no bound.
    """

    init: Callable[..., Params]
    start: Callable[..., State]
    apply: Callable[..., tuple[State, jax.Array]]
    context: int | None
    source_context: int | None
