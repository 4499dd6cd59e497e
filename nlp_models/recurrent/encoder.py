"""A recurrent encoder: layers of a cell that read each row both ways, behind `types.Encoder`."""

from collections.abc import Callable

import jax

from nlp_models.recurrent import sequential
from nlp_models.recurrent.cells import Cell
from nlp_models.recurrent.stack import dropout, init_cell
from nlp_models.types import Encoder, Key, Params


def make_encoder(
    cell: Cell,
    *,
    num_layers: int,
    input_size: int,
    hidden_size: int,
    dropout_rate: float = 0.0,
    orthogonal: bool = True,
    forget_bias: float = 1.0,
    evaluate: Callable = sequential.scan,
) -> Encoder:
    """Layers that each read the outputs of the one below in both directions.

    y_t = [→h_t ; ←h_t] (Schuster & Paliwal 1997), as in Bahdanau et al. 2015, section 3.2.

    Args:
      cell: the cell of every layer and direction.
      num_layers: L.
      input_size: D, of the first layer; the others read 2N.
      hidden_size: N, of each direction.
      dropout_rate: dropped from what one layer hands to the next.
      orthogonal: see `stack.init_cell`.
      forget_bias: see `stack.init_cell`.
      evaluate: see `stack.make_stack`.

    Returns:
      An `Encoder` from x `[B, S, D]` to y `[B, S, 2N]`.
    """

    def init(key: Key) -> Params:
        sizes = [input_size] + [2 * hidden_size] * (num_layers - 1)
        params = {}
        for i, (k, size) in enumerate(zip(jax.random.split(key, num_layers), sizes, strict=True)):
            ways = zip(('forward', 'backward'), jax.random.split(k), strict=True)
            params[f'layer_{i}'] = {
                way: init_cell(
                    cell,
                    key_way,
                    size,
                    hidden_size,
                    orthogonal=orthogonal,
                    forget_bias=forget_bias,
                )
                for way, key_way in ways
            }
        return params

    def encode(params: Params, x: jax.Array, *, lengths=None, key=None) -> jax.Array:
        for i in range(num_layers):
            if i > 0 and dropout_rate > 0 and key is not None:
                x = dropout(jax.random.fold_in(key, i), dropout_rate, x)
            layer = jax.tree.map(lambda a: a.astype(x.dtype), params[f'layer_{i}'])  # noqa: B023
            x = sequential.bidirectional(cell, layer, x, lengths=lengths, evaluate=evaluate)
        return x

    return Encoder(init, encode, 2 * hidden_size)
