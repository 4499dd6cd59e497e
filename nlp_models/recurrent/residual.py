"""A deep stack of recurrent layers, each inside a residual block like a transformer's."""

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp

from nlp_models.attention import bottleneck
from nlp_models.attention.blocks import FeedForward, Norm
from nlp_models.attention.config import BlockConfig
from nlp_models.recurrent import sequential
from nlp_models.recurrent.cells import Cell
from nlp_models.recurrent.stack import dropout, init_cell, run_layer
from nlp_models.types import Key, Params, SequenceModel


def make_residual_stack(
    cell: Cell,
    *,
    num_layers: int,
    hidden_size: int,
    dropout_rate: float = 0.0,
    orthogonal: bool = True,
    forget_bias: float = 1.0,
    evaluate: Callable = sequential.scan,
    backward: str = 'custom',
    adapter_size: int = 0,
    adapter_placement: str = 'houlsby',
) -> SequenceModel:
    """A stack of residual blocks, each with a recurrent layer where a transformer has attention.

        x ← x + Cell(LN(x))
        x ← x + FFN(LN(x))      FFN 4 N wide, with gelu

    and a LayerNorm at the end: the pre-LN transformer's block (`attention.blocks`). Cells whose
    gates see x_t alone are shallow by themselves, so what is published of them is stacked in such
    blocks (Feng et al. 2024, whose blocks may have a short convolution too; these have none).

    Its state is a tuple of the layers' carries: constant in size, however long the text.

    Args:
      cell: the cell of every layer.
      num_layers: L.
      hidden_size: N, and D.
      dropout_rate: dropped from what each half adds.
      orthogonal: see `stack.init_cell`.
      forget_bias: see `stack.init_cell`.
      evaluate: see `stack.make_stack`.
      backward: of LayerNorms and feed-forward layers, as in `attention.blocks.BlockConfig`.
      adapter_size: units of the adapters behind cell and feed-forward layer; 0 for none.
      adapter_placement: which of the two have one (`attention.bottleneck.has`).

    Returns:
      A `SequenceModel` from x `[B, T, N]` to y `[B, T, N]`, in x's dtype.
    """
    places = {'cell': 'attention', 'feed_forward': 'feed_forward'}
    adapted = [
        of for of, as_ in places.items() if adapter_size and bottleneck.has(adapter_placement, as_)
    ]

    def parts(dtype: Any) -> tuple[Any, Any]:
        """LayerNorm and feed-forward layer, to compute in a dtype."""
        config = BlockConfig(
            width=hidden_size,
            num_heads=1,  # of no attention
            feed_forward_size=4 * hidden_size,
            num_layers=num_layers,
            init_std=0.0,
            backward=backward,
            dtype=dtype,
        )
        return Norm(config), FeedForward(config)

    def init(key: Key) -> Params:
        norm, feed_forward = parts(jnp.float32)
        x = jnp.zeros((1, 1, hidden_size))

        def init_layer(key: Key) -> Params:
            key_cell, key_feed_forward = jax.random.split(key)
            adapters = {
                f'{of}_{bottleneck.NAME}': bottleneck.init(
                    jax.random.fold_in(key, i), hidden_size, adapter_size
                )
                for i, of in enumerate(adapted)
            }
            return {
                **adapters,
                'cell': init_cell(
                    cell,
                    key_cell,
                    hidden_size,
                    hidden_size,
                    orthogonal=orthogonal,
                    forget_bias=forget_bias,
                ),
                'cell_norm': norm.init(key, x)['params'],
                'feed_forward': feed_forward.init(key_feed_forward, x)['params'],
                'feed_forward_norm': norm.init(key, x)['params'],
            }

        keys = jax.random.split(key, num_layers)
        layers = {f'layer_{i}': init_layer(k) for i, k in enumerate(keys)}
        return {**layers, 'final_norm': norm.init(key, x)['params']}

    def start(params: Params, batch_size: int, max_length: int = 0) -> Any:
        del params, max_length  # the state has the same size for every text
        return (sequential.start(cell, batch_size, hidden_size),) * num_layers

    def apply(params: Params, state: Any, x: jax.Array, *, lengths=None, key=None):
        norm, feed_forward = parts(x.dtype)

        def normal(name: Params, x: jax.Array) -> jax.Array:
            return cast(jax.Array, norm.apply({'params': name}, x))

        def drop(y: jax.Array, place: int) -> jax.Array:
            if key is None or dropout_rate == 0:
                return y
            return dropout(jax.random.fold_in(key, place), dropout_rate, y)

        def adapt(layer: Params, of: str, y: jax.Array) -> jax.Array:
            name = f'{of}_{bottleneck.NAME}'
            return bottleneck.apply(layer[name], y, backward=backward) if of in adapted else y

        new_state = []
        for i, carry in enumerate(state):
            layer = params[f'layer_{i}']
            carry, y = run_layer(
                evaluate, cell, layer['cell'], carry, normal(layer['cell_norm'], x), lengths
            )
            x = x + adapt(layer, 'cell', drop(y, 2 * i))
            y = normal(layer['feed_forward_norm'], x)
            y = cast(jax.Array, feed_forward.apply({'params': layer['feed_forward']}, y))
            x = x + adapt(layer, 'feed_forward', drop(y, 2 * i + 1))
            new_state.append(carry)
        return tuple(new_state), normal(params['final_norm'], x)

    return SequenceModel(init, start, apply)
