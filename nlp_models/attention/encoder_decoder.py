"""The decoder of an encoder-decoder: causal, and each layer looks at the encoder's output."""

from dataclasses import replace
from typing import Any, NamedTuple

import jax

from nlp_models.attention.config import BlockConfig
from nlp_models.attention.decoder import start_caches
from nlp_models.attention.layers import Layers
from nlp_models.types import ConditionedModel, Params


class DecoderState(NamedTuple):
    """What is carried from token to token.

    Attributes:
      caches: of each layer (`cache.KVCache`), or None where nothing is to be handed on.
      memories: what each layer looks up in the encoder's output (`blocks.Memory`).
    """

    caches: Any
    memories: Any


def make_conditioned_decoder(
    config: BlockConfig, *, max_length: int, positions: str = 'learned', **options: Any
) -> ConditionedModel:
    """The right half of Vaswani et al. 2017, figure 1.

    Keys and values of the encoder's output are computed once, by `start`.

    Args:
      config: of the blocks; with cross-attention here, whatever it says.
      max_length: tokens in all that learned positions are made for.
      positions: 'learned', 'sinusoidal', 'rotary' or 'none'.
      **options: `embed_norm`, `remat` and `scan_layers` of `layers.Layers`.

    Returns:
      A `ConditionedModel` from x `[B, T, D]` to y `[B, T, D]`, with a memory `[B, S, D]`.
    """
    crossing = replace(config, cross=True)
    layers = Layers(crossing, max_length=max_length, positions=positions, **options)

    def start(
        params: Params, memory: jax.Array, lengths: jax.Array, max_length: int = 0
    ) -> DecoderState:
        caches = start_caches(crossing, len(memory), max_length)
        return DecoderState(caches, layers.memories(params, memory, lengths))

    def apply(params: Params, state: DecoderState, x: jax.Array, *, lengths=None, key=None):
        caches, y = layers.run(
            params, x, caches=state.caches, memories=state.memories, lengths=lengths, key=key
        )
        return state._replace(caches=caches), y

    return ConditionedModel(layers.init, start, apply)
