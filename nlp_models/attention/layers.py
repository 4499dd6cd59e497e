"""The stack of blocks that encoders and decoders share: parameters, positions, running it."""

from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from nlp_models import trees
from nlp_models.attention.blocks import Block, CrossAttention, Norm
from nlp_models.attention.chunked import RESIDUALS
from nlp_models.attention.config import BlockConfig
from nlp_models.attention.positions import sinusoidal
from nlp_models.types import Key, Params

# What a scanned layer keeps for its backward pass: the products of dense layers and attention's own
# residuals. A loop cannot see what the backward pass could as well compute again from these, and
# would keep all that the gradients mention.
_KEPT = jax.checkpoint_policies.save_from_both_policies(
    jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    jax.checkpoint_policies.save_only_these_names(RESIDUALS),
)

POSITIONS = ('learned', 'sinusoidal', 'rotary', 'none')


class Layers:
    """L blocks with what comes before and after them, as functions of parameters.

    Parameters are `layer_0`, `layer_1`, …; `positions` where they are learned; `embed_norm` and
    `final_norm` where there are such.
    """

    def __init__(
        self,
        config: BlockConfig,
        *,
        max_length: int,
        positions: str,
        embed_norm: bool = False,
        remat: bool = False,
        scan_layers: bool = False,
    ):
        """Describe the stack.

        Args:
          config: of the blocks; `config.rotary` must be given just where `positions` is 'rotary'.
          max_length: tokens that learned positions are made for.
          positions: one of `POSITIONS`.
          embed_norm: whether there is a norm after positions have been added (BERT).
          remat: recompute each block in the backward pass instead of keeping its activations.
          scan_layers: run the blocks as one `lax.scan`: compiled once instead of L times, and what
            is cheap to compute again is not kept for the backward pass. The layers' parameters
            then lie stacked under `trees.LAYERS`, with the layer as their first axis
            (`trees.stack_layers` and `trees.unstack_layers`).
        """
        self.config, self.max_length, self.positions = config, max_length, positions
        self.embed_norm, self.scan_layers = embed_norm, scan_layers
        self.names = [f'layer_{i}' for i in range(config.num_layers)]
        kind = Block
        if remat or scan_layers:
            kind = nn.remat(Block, policy=None if remat else _KEPT, prevent_cse=not scan_layers)
        self._block = kind(config)
        self._norm = Norm(config)

    def init(self, key: Key) -> Params:
        """Draw the parameters."""
        config = self.config
        keys = jax.random.split(key, config.num_layers + 1)
        x = jnp.zeros((1, 1, config.width), config.dtype)
        where = jnp.zeros((1, 1), jnp.int32)
        memory = None
        if config.cross:
            cross = CrossAttention(config)
            lengths = jnp.ones(1, jnp.int32)
            memory, _ = cross.init_with_output(keys[0], x, lengths, method='memory')
        params: dict[str, Any] = {
            name: self._block.init(k, x, None, where, None, memory, None)['params']
            for name, k in zip(self.names, keys[1:], strict=True)
        }
        if config.cross:  # the block's own pass does not touch what makes its memory
            for name, k in zip(self.names, keys[1:], strict=True):
                made = cross.init(jax.random.fold_in(k, 1), x, lengths, method='memory')['params']
                params[name]['cross_attention'].update(made)
        if self.scan_layers:
            params = trees.stack_layers(params)
        if self.positions == 'learned':
            std = config.init_std or 0.02
            shape = (self.max_length, config.width)
            params['positions'] = std * jax.random.normal(keys[0], shape)
        if self.embed_norm:
            params['embed_norm'] = self._norm.init(keys[0], x)['params']
        if config.norm == 'pre':
            params['final_norm'] = self._norm.init(keys[0], x)['params']
        return params

    def run(
        self,
        params: Params,
        x: jax.Array,
        *,
        caches: Any = None,
        lengths: Any = None,
        memories: Any = None,
        key: Key | None = None,
    ) -> tuple[Any, jax.Array]:
        """Add positions and run the blocks.

        Args:
          params: as `init` makes them.
          x: `[B, T, D]`.
          caches: one of each layer, or None.
          lengths: real tokens of each row `[B]`, or None.
          memories: one of each layer (`blocks.Memory`), or None.
          key: turns dropout on.

        Returns:
          (the caches after, y `[B, T, D]`).
        """
        config = self.config
        steps = jnp.arange(x.shape[1])[None]  # [1, T]
        where = steps if caches is None else caches[0].length[:, None] + steps  # [B, T] or [1, T]
        if self.positions == 'learned':
            table = params['positions']
            here = table[None, : x.shape[1]] if caches is None else table[where]
            x = x + here.astype(x.dtype)
        elif self.positions == 'sinusoidal':
            x = x + sinusoidal(where, config.width).astype(x.dtype)
        if self.embed_norm:
            x = self._apply_norm(params['embed_norm'], x)

        def layer(x: Any, parts: Any) -> Any:
            layer_params, cache, memory, layer_key = parts
            return self._block.apply(
                {'params': layer_params}, x, cache, where, lengths, memory, layer_key
            )

        keys = None if key is None else jax.random.split(key, len(self.names))
        if self.scan_layers:
            # Outside the loop there is a cache for each layer, so that its rows come first.
            stacked, looked_up = (
                None if each is None else jax.tree.map(lambda *a: jnp.stack(a), *each)
                for each in (caches, memories)
            )
            x, new = lax.scan(layer, x, (params[trees.LAYERS], stacked, looked_up, keys))
            after = [jax.tree.map(lambda a: a[i], new) for i in range(len(self.names))]  # noqa: B023
        else:
            after = []
            for i, name in enumerate(self.names):
                cache, memory, layer_key = (
                    None if each is None else each[i] for each in (caches, memories, keys)
                )
                x, cache = layer(x, (params[name], cache, memory, layer_key))
                after.append(cache)
        if config.norm == 'pre':
            x = self._apply_norm(params['final_norm'], x)
        return (None if caches is None else tuple(after)), x

    def memories(self, params: Params, y: jax.Array, lengths: jax.Array) -> tuple[Any, ...]:
        """What each layer looks up in an encoder's output `[B, S, D]` (`blocks.Memory`)."""
        cross = CrossAttention(self.config)
        if self.scan_layers:
            params = trees.unstack_layers(params)
        return tuple(
            cross.apply({'params': params[name]['cross_attention']}, y, lengths, method='memory')
            for name in self.names
        )

    def _apply_norm(self, params: Params, x: jax.Array) -> jax.Array:
        return cast(jax.Array, self._norm.apply({'params': params}, x))
