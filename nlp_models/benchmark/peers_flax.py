"""Flax's side of the rows: `flax.linen.RNN` with its best cell."""

from typing import Any

import flax.linen as nn
import jax
from jax import lax

from nlp_models import models
from nlp_models.benchmark.peers import Peer, fastest
from nlp_models.benchmark.works import random_rows
from nlp_models.training import parallel

CELLS = {
    'lstm': (nn.OptimizedLSTMCell, nn.LSTMCell),
    'gru_reset_after': (nn.GRUCell,),
    'rnn': (nn.SimpleCell,),
}


def recurrent(
    cell: str,
    batch_size: int,
    length: int,
    width: int,
    *,
    dtype: str,
    num_devices: int,
    seed: int = 0,
) -> Peer:
    """Forward and backward pass: gradients of parameters and inputs.

    Args:
      cell: 'lstm', 'gru_reset_after' or 'rnn'.
      batch_size: B.
      length: T.
      width: D and N.
      dtype: of everything.
      num_devices: 1 for plain `jit`, as users write it, which has XLA's own threads; 0 to share the
        batch out as ours is.
      seed: of parameters, inputs and cotangent.

    Returns:
      The peer, with the fastest of Flax's cells of this kind.
    """
    devices = parallel.choose(num_devices, batch_size)
    shape = (batch_size, length, width)
    rows = devices.place_shards(random_rows(seed, models.DTYPES[dtype], shape, shape))
    ways = {}
    for kind in CELLS[cell]:
        layer = nn.RNN(kind(width, dtype=models.DTYPES[dtype]))
        params = layer.init(jax.random.key(seed), random_rows(seed, dtype, (1, 1, width))[0])

        def share(params: Any, rows: Any, layer: Any = layer) -> Any:
            x, cotangent = rows
            y, backward = jax.vjp(layer.apply, params, x)
            by_params, by_x = backward(cotangent)
            if devices.axis_name is not None:
                by_params = lax.psum(by_params, devices.axis_name)
            return y, by_params, by_x

        placed = devices.replicate(params)
        compiled, _ = devices.compile(share, placed, rows)
        ways[kind.__name__] = lambda f=compiled, p=placed: f(p, rows)
    way = fastest(ways)
    return Peer(ways[way], way)
