"""The decoder-only transformer: a causal stack of blocks behind `types.SequenceModel`."""

from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from nlp_models import trees
from nlp_models.attention import cache as kv
from nlp_models.attention.blocks import Block, BlockConfig, layer_norm
from nlp_models.attention.chunked import RESIDUALS
from nlp_models.attention.positions import sinusoidal
from nlp_models.types import Key, Params, SequenceModel

# What a scanned layer keeps for its backward pass: the products of dense layers and attention's own
# residuals. A loop cannot see what the backward pass could as well compute again from these, and
# would keep all that the gradients mention.
_KEPT = jax.checkpoint_policies.save_from_both_policies(
    jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    jax.checkpoint_policies.save_only_these_names(RESIDUALS),
)

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
      scan_layers: run the blocks as one `lax.scan`: compiled once instead of L times, and what is
        cheap to compute again is not kept for the backward pass. The layers'
        parameters, `layer_0`, `layer_1`, … otherwise, then lie stacked under `trees.LAYERS`, with
        the layer as their first axis (`trees.stack_layers` and `trees.unstack_layers`).

    Returns:
      A `SequenceModel` from x `[B, T, D]` to y `[B, T, D]`.
    """
    layers = [f'layer_{i}' for i in range(config.num_layers)]
    kind = Block
    if remat or scan_layers:
        kind = nn.remat(Block, policy=None if remat else _KEPT, prevent_cse=not scan_layers)
    block = kind(config)
    final_norm = layer_norm(config, 'final_norm')

    def init(key: Key) -> Params:
        keys = jax.random.split(key, config.num_layers + 1)
        x = jnp.zeros((1, 1, config.width), config.dtype)
        where = jnp.zeros((1, 1), jnp.int32)
        params: dict[str, Any] = {
            name: block.init(k, x, None, where, None, None)['params']
            for name, k in zip(layers, keys[1:], strict=True)
        }
        if scan_layers:
            params = trees.stack_layers(params)
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
            table = params['positions']
            here = table[None, : x.shape[1]] if state is None else table[where]
            x = x + here.astype(x.dtype)
        elif positions == 'sinusoidal':
            x = x + sinusoidal(where, config.width).astype(x.dtype)

        def run(x: Any, layer: Any) -> Any:
            layer_params, cache, layer_key = layer
            return block.apply({'params': layer_params}, x, cache, where, lengths, layer_key)

        keys = None if key is None else jax.random.split(key, len(layers))
        if scan_layers:
            # Outside the loop there is a cache for each layer, so that its rows come first.
            stacked = None if state is None else jax.tree.map(lambda *a: jnp.stack(a), *state)
            x, new = lax.scan(run, x, (params[trees.LAYERS], stacked, keys))
            caches = [jax.tree.map(lambda a: a[i], new) for i in range(len(layers))]  # noqa: B023
        else:
            caches: list[Any] = [None] * len(layers) if state is None else list(state)
            for i, name in enumerate(layers):
                layer_key = None if keys is None else keys[i]
                x, caches[i] = run(x, (params[name], caches[i], layer_key))
        if config.norm == 'pre':
            x = cast(jax.Array, final_norm.apply({'params': params['final_norm']}, x))
        return (None if state is None else tuple(caches)), x

    return SequenceModel(init, start, apply)
