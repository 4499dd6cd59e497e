"""The decoder-only transformer: a causal stack of blocks behind `types.SequenceModel`."""

from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from nlp_models.attention import cache as kv
from nlp_models.attention.blocks import Block, BlockConfig, layer_norm
from nlp_models.attention.positions import sinusoidal
from nlp_models.types import Key, Params, SequenceModel

POSITIONS = ('learned', 'sinusoidal', 'rotary', 'none')


def make_decoder(
    config: BlockConfig,
    *,
    max_length: int,
    positions: str = 'learned',
    remat: bool = False,
    scan_layers: bool = False,
) -> SequenceModel:
    """A causal transformer: positions added, L blocks, and a final LayerNorm where they are pre-LN.

    Its state is a tuple of the layers' key/value caches, which grows with the text; None where
    `start` is told that nothing will be handed on.

    Args:
      config: of the blocks; `config.rotary` must say the same as `positions`.
      max_length: tokens in all that learned positions are made for.
      positions: 'learned' (GPT-2), 'sinusoidal', 'rotary' or 'none'.
      remat: recompute each block in the backward pass instead of keeping its activations.
      scan_layers: run the blocks as one `lax.scan` over their stacked parameters: compiled once
        instead of L times. The parameter tree is the same either way.

    Returns:
      A `SequenceModel` from x `[B, T, D]` to y `[B, T, D]`.
    """
    layers = [f'layer_{i}' for i in range(config.num_layers)]
    block = (nn.remat(Block) if remat else Block)(config)
    final_norm = layer_norm(config, 'final_norm')

    def init(key: Key) -> Params:
        keys = jax.random.split(key, config.num_layers + 1)
        x = jnp.zeros((1, 1, config.width), config.dtype)
        where = jnp.zeros((1, 1), jnp.int32)
        params = {
            name: block.init(k, x, None, where, None, None)['params']
            for name, k in zip(layers, keys[1:], strict=True)
        }
        if positions == 'learned':
            std = config.init_std or 0.02
            params['positions'] = std * jax.random.normal(keys[0], (max_length, config.width))
        if config.norm == 'pre':
            params['final_norm'] = final_norm.init(keys[0], x)['params']
        return params

    def start(params: Params, batch_size: int, max_length: int = 0) -> Any:
        del params
        if max_length == 0:
            return None
        head_size = config.width // config.num_heads
        return tuple(
            kv.start(batch_size, max_length, config.num_heads, head_size, config.dtype)
            for _ in layers
        )

    def apply(params: Params, state: Any, x: jax.Array, *, lengths=None, key=None):
        steps = jnp.arange(x.shape[1])[None]  # [1, T]
        where = steps if state is None else state[0].length[:, None] + steps  # [B, T] or [1, T]
        if positions == 'learned':
            x = x + params['positions'][where].astype(x.dtype)
        elif positions == 'sinusoidal':
            x = x + sinusoidal(where, config.width).astype(x.dtype)

        def run(x: Any, layer: Any) -> Any:
            layer_params, cache, layer_key = layer
            return block.apply({'params': layer_params}, x, cache, where, lengths, layer_key)

        caches: list[Any] = [None] * len(layers) if state is None else list(state)
        keys = [None] * len(layers) if key is None else list(jax.random.split(key, len(layers)))
        per_layer = list(zip([params[name] for name in layers], caches, keys, strict=True))
        if scan_layers:
            stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *per_layer)
            x, new = lax.scan(run, x, stacked)
            caches = [jax.tree.map(lambda a: a[i], new) for i in range(len(layers))]  # noqa: B023
        else:
            for i, layer in enumerate(per_layer):
                x, caches[i] = run(x, layer)
        if config.norm == 'pre':
            x = cast(jax.Array, final_norm.apply({'params': params['final_norm']}, x))
        return (None if state is None else tuple(caches)), x

    return SequenceModel(init, start, apply)
