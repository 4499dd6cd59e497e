"""Bottleneck adapters: small feed-forward networks that are put into a model already trained."""

from typing import Any

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from nlp_models import operations

PLACEMENTS = ('houlsby', 'pfeiffer')
NAME = 'adapter'  # what the last part of their names in the tree of parameters ends with


class Bottleneck(nn.Module):
    """x ← x + σ(x W_down + b_down) W_up + b_up, with few units between (Houlsby et al. 2019, 2.1).

    W_up and b_up start at zero, so that the model it is put into computes what it did; the paper
    starts them near zero. σ is GELU.

    Attributes:
      size: units between.
      backward: how it is differentiated, 'custom' or 'autodiff', see `attention.config`.
      dtype: compute dtype.
    """

    size: int
    backward: str = 'custom'
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, '*rows D']) -> Float[Array, '*rows D']:
        """Apply to each vector by itself."""
        product = operations.dense if self.backward == 'custom' else None
        common: Any = dict(dtype=self.dtype or x.dtype, dot_general=product)
        down = nn.Dense(
            self.size,
            name='down',
            kernel_init=nn.initializers.variance_scaling(1.0, 'fan_in', 'normal'),
            **common,
        )
        zeros = nn.initializers.zeros
        up = nn.Dense(x.shape[-1], name='up', kernel_init=zeros, bias_init=zeros, **common)
        hidden = operations.gelu(down(x), backward=self.backward)
        return x + up(hidden)


def has(placement: str, part: str) -> bool:
    """Whether a part of a layer has one behind it.

    Args:
      placement: 'houlsby', one behind each of a layer's two parts, before its result is added to
        the residual (figure 2); 'pfeiffer', one behind the feed-forward part alone (Pfeiffer et al.
        2021, section 2.2, who found that as good at half the parameters; theirs reads the result
        after its norm).
      part: 'attention' (or a cell in its place) or 'feed_forward'.
    """
    return part == 'feed_forward' or (placement == 'houlsby' and part == 'attention')


def init(key: jax.Array, width: int, size: int) -> dict[str, Any]:
    """Parameters of one for vectors of a width: `down` and `up`, each `kernel` and `bias`."""
    params: Any = Bottleneck(size).init(key, jax.numpy.zeros((1, width)))['params']
    return params


def apply(
    params: Any, x: Float[Array, '*rows D'], *, backward: str = 'custom'
) -> Float[Array, '*rows D']:
    """`Bottleneck` as a pure function of its parameters; the size is theirs."""
    size = params['down']['kernel'].shape[-1]
    result: Any = Bottleneck(size, backward, x.dtype).apply({'params': params}, x)
    return result
