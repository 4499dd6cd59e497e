"""The encoder: a stack of blocks that reads both ways, behind `types.Encoder`."""

from dataclasses import replace
from typing import Any

import jax

from nlp_models.attention.config import BlockConfig
from nlp_models.attention.layers import Layers
from nlp_models.types import Encoder, Params


def make_encoder(
    config: BlockConfig, *, max_length: int, positions: str = 'learned', **options: Any
) -> Encoder:
    """A transformer whose tokens see all real tokens of their row (or those in a window).

    Args:
      config: of the blocks; not causal here, whatever it says.
      max_length: tokens that learned positions are made for.
      positions: 'learned' (BERT), 'sinusoidal', 'rotary' or 'none'.
      **options: `embed_norm`, `remat` and `scan_layers` of `layers.Layers`.

    Returns:
      An `Encoder` from x `[B, S, D]` to y `[B, S, D]`.
    """
    both_ways = replace(config, causal=False)
    layers = Layers(both_ways, max_length=max_length, positions=positions, **options)

    def encode(params: Params, x: jax.Array, *, lengths=None, key=None) -> jax.Array:
        return layers.run(params, x, lengths=lengths, key=key)[1]

    return Encoder(layers.init, encode, config.width)
