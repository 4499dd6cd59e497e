"""Layers of one cell on top of each other, behind the three functions of `SequenceModel`."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.nn import initializers

from nlp_models.attention import bottleneck
from nlp_models.recurrent import sequential
from nlp_models.recurrent.cells import Cell
from nlp_models.types import Key, Params, SequenceModel


def init_cell(
    cell: Cell,
    key: Key,
    input_size: int,
    hidden_size: int,
    *,
    orthogonal: bool = True,
    forget_bias: float = 1.0,
) -> dict[str, jax.Array]:
    """Parameters of one cell.

    U is drawn from N(0, 1/D). W is orthogonal gate by gate (Saxe et al. 2014: the product of many
    keeps its norm) or drawn from N(0, 1/N). Biases are zero but for those of the gates that the
    old state has to pass, such as a forget gate (Jozefowicz et al. 2015: starting at 1 keeps the
    memory open). Decays a = exp(−exp(ν)) start between 0.1 and
    0.999, a² uniform (Orvieto et al. 2023, lemma 3.2).

    Args:
      cell: the cell.
      key: random key.
      input_size: D.
      hidden_size: N.
      orthogonal: whether W starts orthogonal.
      forget_bias: where the biases of `cell.memory_gates` start.

    Returns:
      `U` `[D, G·N]`, `b` `[G·N]` and, where the cell has them, `W` `[N, G·N]`, `W_h` `[N, N]` (then
      `W` is one block narrower), `b_r` `[N]` and `nu` `[N]`; float32.
    """
    key_w, key_u = jax.random.split(key)
    normal = initializers.variance_scaling(1.0, 'fan_in', 'normal')
    b = jnp.zeros((cell.gates, hidden_size))
    for gate in cell.memory_gates:
        b = b.at[gate].set(forget_bias)
    params = {'U': normal(key_u, (input_size, cell.gates * hidden_size)), 'b': b.reshape(-1)}
    if cell.terms is None:
        recurrent = initializers.orthogonal() if orthogonal else normal
        gate_keys = jax.random.split(key_w, cell.gates)
        blocks = [recurrent(k, (hidden_size,) * 2) for k in gate_keys]
        params['W'] = jnp.concatenate(blocks[: cell.gates - cell.own_candidate], axis=1)
        if cell.own_candidate:
            params['W_h'] = blocks[-1]
    if cell.reset_bias:
        params['b_r'] = jnp.zeros(hidden_size)
    if cell.decay:
        squares = jax.random.uniform(key_w, (hidden_size,), minval=0.1**2, maxval=0.999**2)
        params['nu'] = jnp.log(-0.5 * jnp.log(squares))
    return params


def dropout(key: Key, rate: float, x: jax.Array) -> jax.Array:
    """Inverted dropout (Srivastava et al. 2014): zero with probability `rate`, scale the rest."""
    keep = jax.random.bernoulli(key, 1 - rate, x.shape)
    return jnp.where(keep, x / (1 - rate), 0)


def run_layer(
    evaluate: Callable, cell: Cell, params: dict, carry: Any, x: jax.Array, lengths: Any
) -> tuple[Any, jax.Array]:
    """Run one layer's cell over a sequence, computing in x's dtype.

    Args:
      evaluate: `sequential.scan`, or a function with its signature.
      cell: the cell.
      params: its parameters, of any dtype.
      carry: the carry before the first step, of any dtype.
      x: inputs `[B, T, D]`.
      lengths: real inputs of each row, or None.

    Returns:
      (carry after the last step, y `[B, T, N]` in x's dtype). The carry keeps its own dtype, so
      that it can be carried through a scan or a file.
    """
    layer, start = jax.tree.map(lambda a: a.astype(x.dtype), (params, carry))
    end, y = evaluate(cell, layer, start, x, lengths=lengths)
    return jax.tree.map(lambda a, b: a.astype(b.dtype), end, carry), y


def make_stack(
    cell: Cell,
    *,
    num_layers: int,
    input_size: int,
    hidden_size: int,
    dropout_rate: float = 0.0,
    orthogonal: bool = True,
    forget_bias: float = 1.0,
    evaluate: Callable = sequential.scan,
    adapter_size: int = 0,
    backward: str = 'custom',
) -> SequenceModel:
    """A stack of recurrent layers; each reads the outputs of the one below.

    Its state is a tuple of the layers' carries: constant in size, however long the text.

    Args:
      cell: the cell of every layer.
      num_layers: L.
      input_size: D, of the first layer; the others read N.
      hidden_size: N.
      dropout_rate: dropped from what one layer hands to the next (Zaremba et al. 2014), never
        from what is handed on in time.
      orthogonal: see `init_cell`.
      forget_bias: see `init_cell`.
      evaluate: runs the cell over a sequence: `sequential.scan`, or a function with its signature
        (`evaluation.make_evaluation`).
      adapter_size: units of an adapter behind each layer (`attention.bottleneck`), which its
        output passes and its carry does not; 0 for none.
      backward: of the adapters, 'custom' or 'autodiff'.

    Returns:
      A `SequenceModel` from x `[B, T, D]` to y `[B, T, N]`, in x's dtype.
    """

    def init(key: Key) -> Params:
        sizes = [input_size] + [hidden_size] * (num_layers - 1)
        params: dict[str, dict[str, Any]] = {
            f'layer_{i}': init_cell(
                cell, k, size, hidden_size, orthogonal=orthogonal, forget_bias=forget_bias
            )
            for i, (k, size) in enumerate(
                zip(jax.random.split(key, num_layers), sizes, strict=True)
            )
        }
        for i, layer in enumerate(params.values()):
            if adapter_size:
                made = bottleneck.init(jax.random.fold_in(key, i), hidden_size, adapter_size)
                layer[bottleneck.NAME] = made
        return params

    def start(params: Params, batch_size: int, max_length: int = 0) -> Any:
        del params, max_length  # the state has the same size for every text
        return (sequential.start(cell, batch_size, hidden_size),) * num_layers

    def apply(params: Params, state: Any, x: jax.Array, *, lengths=None, key=None):
        new_state = []
        for i, carry in enumerate(state):
            if i > 0 and dropout_rate > 0 and key is not None:
                x = dropout(jax.random.fold_in(key, i), dropout_rate, x)
            layer = dict(params[f'layer_{i}'])
            adapter = layer.pop(bottleneck.NAME, None)
            carry, x = run_layer(evaluate, cell, layer, carry, x, lengths)
            if adapter is not None:
                x = bottleneck.apply(adapter, x, backward=backward)
            new_state.append(carry)
        return tuple(new_state), x

    return SequenceModel(init, start, apply)
