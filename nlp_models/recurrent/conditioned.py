"""A recurrent decoder conditioned on an encoder's output, with attention to it or without."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nlp_models.recurrent import attending, sequential
from nlp_models.recurrent.cells import Cell
from nlp_models.recurrent.stack import dropout, make_stack
from nlp_models.types import ConditionedModel, Key, Params

ATTENTIONS = ('none', 'bahdanau', 'luong')


class Lookup(NamedTuple):
    """What the decoder attends to.

    Attributes:
      memory: the encoder's output `[B, S, M]`.
      projected: its part of Bahdanau's scores `[B, S, N]`; None for Luong's.
      real: which of its places are no padding `[B, S]`.
    """

    memory: jax.Array
    projected: jax.Array | None
    real: jax.Array


def make_conditioned_stack(
    cell: Cell,
    *,
    attention: str,
    num_layers: int,
    input_size: int,
    hidden_size: int,
    memory_size: int,
    dropout_rate: float = 0.0,
    orthogonal: bool = True,
    forget_bias: float = 1.0,
    evaluate: Callable = sequential.scan,
) -> ConditionedModel:
    """A recurrent stack whose state starts from a bidirectional encoder's last states.

        carry_0 = tanh(W_s [→h_S ; ←h_1] + b_s)        of each layer

    'none' sees no more of the source than that (Sutskever et al. 2014). 'bahdanau' reads
    [x_t ; c_t], with c_t looked up by the top layer's h_{t−1}, so that every step waits for the
    one before (Bahdanau et al. 2015). 'luong' looks up c_t with h_t, all steps at once where the
    text is known (Luong et al. 2015, without input feeding). What both give is

        y_t = tanh(W_c [c_t ; h_t])                    Luong et al. 2015, equation 5

    Args:
      cell: the cell of every layer.
      attention: one of `ATTENTIONS`.
      num_layers: L.
      input_size: D.
      hidden_size: N.
      memory_size: M, of the encoder's output: two directions of M / 2.
      dropout_rate: dropped from what one layer hands to the next.
      orthogonal: see `stack.init_cell`.
      forget_bias: see `stack.init_cell`.
      evaluate: see `stack.make_stack`; Bahdanau's steps are taken one by one whatever it is.

    Returns:
      A `ConditionedModel` from x `[B, T, D]` to y `[B, T, N]`. Its state is (the layers' carries,
      `Lookup` or None).
    """
    additive = attention == 'bahdanau'
    stack = make_stack(
        cell,
        num_layers=num_layers,
        input_size=input_size + (memory_size if additive else 0),
        hidden_size=hidden_size,
        dropout_rate=dropout_rate,
        orthogonal=orthogonal,
        forget_bias=forget_bias,
        evaluate=evaluate,
    )
    carries = num_layers * cell.carries

    def init(key: Key) -> Params:
        keys = jax.random.split(key, 4)
        params = stack.init(keys[0])
        kernel = jax.random.normal(keys[1], (memory_size, carries * hidden_size))
        params['start'] = {
            'kernel': kernel / memory_size**0.5,
            'bias': jnp.zeros(carries * hidden_size),
        }
        if attention == 'none':
            return params
        look = attending.init_bahdanau if additive else attending.init_luong
        params['attention'] = look(keys[2], hidden_size, memory_size)
        both = memory_size + hidden_size
        params['out'] = {'kernel': jax.random.normal(keys[3], (both, hidden_size)) / both**0.5}
        return params

    def start(params: Params, memory: jax.Array, lengths: jax.Array, max_length: int = 0) -> Any:
        del max_length  # the state has the same size for every text
        rows, half = jnp.arange(len(memory)), memory_size // 2
        ends = jnp.concatenate(
            [memory[rows, lengths - 1, :half], memory[:, 0, half:]], axis=-1
        )  # where each direction has read the whole source
        first = params['start']
        first = jnp.tanh(ends @ first['kernel'].astype(ends.dtype) + first['bias'])
        parts = iter(jnp.split(first.astype(jnp.float32), carries, axis=-1))
        state = tuple(
            next(parts) if cell.carries == 1 else tuple(next(parts) for _ in range(cell.carries))
            for _ in range(num_layers)
        )
        if attention == 'none':
            return state, None
        real = jnp.arange(memory.shape[1]) < lengths[:, None]
        projected = None
        if additive:
            projected = memory @ params['attention']['U'].astype(memory.dtype)
        return state, Lookup(memory, projected, real)

    def apply(params: Params, state: Any, x: jax.Array, *, lengths=None, key=None):
        carry, lookup = state
        if attention == 'none':
            carry, y = stack.apply(params, carry, x, lengths=lengths, key=key)
            return (carry, None), y
        look, out = jax.tree.map(
            lambda a: a.astype(x.dtype), (params['attention'], params['out']['kernel'])
        )
        if not additive:
            carry, h = stack.apply(params, carry, x, lengths=lengths, key=key)
            c = attending.luong(look, h, lookup.memory, lookup.real)
        else:
            carry, (c, h) = attend_step_by_step(params, carry, x, look, lookup, lengths, key)
        return (carry, lookup), jnp.tanh(jnp.concatenate([c, h], axis=-1) @ out)

    def attend_step_by_step(
        params: Params, carry: Any, x: Any, look: Any, lookup: Any, lengths: Any, key: Any
    ) -> Any:
        layers = jax.tree.map(
            lambda a: a.astype(x.dtype), [params[f'layer_{i}'] for i in range(num_layers)]
        )
        steps = x.shape[1]
        real = jnp.full(len(x), steps) if lengths is None else lengths

        def step(carry: Any, inputs: Any) -> Any:
            x_t, t = inputs
            before = jax.tree.map(lambda a: a.astype(x_t.dtype), carry)
            top = before[-1] if cell.carries == 1 else before[-1][0]
            c = attending.bahdanau(look, top, lookup.memory, lookup.projected, lookup.real)
            y, after = jnp.concatenate([x_t, c], axis=-1), []
            for i, (layer, old) in enumerate(zip(layers, before, strict=True)):
                if i > 0 and dropout_rate > 0 and key is not None:
                    y = dropout(jax.random.fold_in(jax.random.fold_in(key, i), t), dropout_rate, y)
                new, y = cell.step(layer, old, y)
                after.append(new)
            kept = jax.tree.map(
                lambda new, old: jnp.where((t < real)[:, None], new.astype(old.dtype), old),
                tuple(after),
                carry,
            )
            return kept, (c, y)

        carry, (c, h) = lax.scan(step, carry, (jnp.swapaxes(x, 0, 1), jnp.arange(steps)))
        return carry, (jnp.swapaxes(c, 0, 1), jnp.swapaxes(h, 0, 1))

    return ConditionedModel(init, start, apply)
