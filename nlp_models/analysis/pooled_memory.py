"""An encoder-decoder whose decoder sees its source as one vector: what cross-attention adds."""

from typing import Any

import jax.numpy as jnp

from nlp_models.attention.blocks import Memory
from nlp_models.types import Params, Seq2Seq


def pool(model: Seq2Seq) -> Seq2Seq:
    """The same model, its encoder's output y replaced by its mean over the real tokens of a row.

        memory = (Σ_s y_s) / S

    Every layer of the decoder still has its cross-attention and all of its parameters, but there
    is one place to look at, so there is nothing to choose: the fixed vector of Sutskever et al.
    2014 and Cho et al. 2014, for a transformer. Keys and values are affine in y, so their means are
    those of the mean.

    Args:
      model: a transformer of the architecture 'encoder_decoder'.

    Returns:
      The model, with the same parameters.
    """

    def start(params: Params, batch_size: int, max_length: int = 0, **options: Any) -> Any:
        state = model.start(params, batch_size, max_length, **options)
        return state._replace(memories=tuple(_mean(memory) for memory in state.memories))

    return model._replace(start=start)


def _mean(memory: Memory) -> Memory:
    real = jnp.arange(memory.k.shape[1]) < memory.lengths[:, None]
    share = (real / memory.lengths[:, None]).astype(memory.k.dtype)
    k, v = (jnp.einsum('BSHK,BS->BHK', a, share)[:, None] for a in (memory.k, memory.v))
    return Memory(k, v, jnp.ones_like(memory.lengths))
