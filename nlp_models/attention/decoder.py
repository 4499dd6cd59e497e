"""The decoder-only transformer: a causal stack of blocks behind `types.SequenceModel`."""

from typing import Any

import jax

from nlp_models.attention import cache as kv
from nlp_models.attention.config import BlockConfig
from nlp_models.attention.layers import Layers
from nlp_models.types import Params, SequenceModel


def make_decoder(
    config: BlockConfig, *, max_length: int, positions: str = 'learned', **options: Any
) -> SequenceModel:
    """A causal transformer: positions added, L blocks, and a final norm where they are pre-norm.

    Its state is a tuple of the layers' key/value caches, which grows with the text up to the size
    of the window; None where `start` is told that nothing will be handed on.

    Args:
      config: of the blocks, causal.
      max_length: tokens in all that learned positions are made for.
      positions: 'learned' (GPT-2), 'sinusoidal', 'rotary' or 'none'.
      **options: `embed_norm`, `remat` and `scan_layers` of `layers.Layers`.

    Returns:
      A `SequenceModel` from x `[B, T, D]` to y `[B, T, D]`.
    """
    layers = Layers(config, max_length=max_length, positions=positions, **options)

    def start(params: Params, batch_size: int, max_length: int = 0) -> Any:
        del params
        return start_caches(config, batch_size, max_length)

    def apply(params: Params, state: Any, x: jax.Array, *, lengths=None, key=None):
        return layers.run(params, x, caches=state, lengths=lengths, key=key)

    return SequenceModel(layers.init, start, apply)


def start_caches(config: BlockConfig, batch_size: int, max_length: int) -> Any:
    """An empty cache for each layer; None for a `max_length` of 0."""
    if max_length == 0:
        return None
    return tuple(
        kv.start(
            batch_size,
            max_length,
            config.kv_heads,
            config.head,
            config.dtype,
            window=config.window,
        )
        for _ in range(config.num_layers)
    )
