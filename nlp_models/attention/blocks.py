"""One transformer layer: multi-head self-attention and a position-wise feed-forward network."""

import math
from dataclasses import dataclass
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from nlp_models import operations
from nlp_models.attention import cache as kv
from nlp_models.attention.attend import attend
from nlp_models.attention.masks import Mask
from nlp_models.attention.positions import rotary

ACTIVATIONS = {'gelu': operations.gelu, 'relu': lambda x, *, backward: nn.relu(x)}


@dataclass(frozen=True)
class BlockConfig:
    """What a transformer layer has to know.

    Attributes:
      width: D.
      num_heads: H; each is D / H wide.
      feed_forward_size: F.
      num_layers: L of the whole stack: what is added to the residual starts 1/√(2L) smaller
        (GPT-2, section 2.3).
      norm: 'pre', x + f(LN(x)); or 'post', LN(x + f(x)), as in Vaswani et al. 2017.
      activation: 'gelu' (its tanh form, as in GPT-2) or 'relu' (as in Vaswani et al. 2017).
      use_bias: whether dense layers and LayerNorms have biases.
      rotary: whether queries and keys are rotated by their positions.
      dropout_rate: of what each half adds to the residual.
      init_std: standard deviation of the initial weights; 0 for 1/√(fan in).
      attention: which implementation (`attend.IMPLEMENTATIONS`), or 'auto'.
      window: how many tokens a token sees with itself; 0 for all before it.
      backward: of dense layers, GELU and LayerNorm, 'custom' where ours is faster; 'autodiff' for
        JAX's, which forward-mode derivatives need (and 'plain' attention).
      dtype: compute dtype; parameters are float32.
    """

    width: int
    num_heads: int
    feed_forward_size: int
    num_layers: int
    norm: str = 'pre'
    activation: str = 'gelu'
    use_bias: bool = True
    rotary: bool = False
    dropout_rate: float = 0.0
    init_std: float = 0.02
    attention: str = 'auto'
    window: int = 0
    backward: str = 'custom'
    dtype: Any = jnp.float32


class LayerNorm(nn.Module):
    """`operations.layer_norm` with its γ, `scale`, and β, `bias`, where the config has biases."""

    config: BlockConfig

    @nn.compact
    def __call__(self, x: Float[Array, '*rows D']) -> Float[Array, '*rows D']:
        """Normalise each row."""
        c, width = self.config, (x.shape[-1],)
        scale = self.param('scale', nn.initializers.ones, width)
        bias = self.param('bias', nn.initializers.zeros, width) if c.use_bias else None
        return operations.layer_norm(x.astype(c.dtype), scale, bias, backward=c.backward)


def layer_norm(config: BlockConfig, name: str) -> LayerNorm:
    """A LayerNorm of a block or of the end of the stack."""
    return LayerNorm(config, name=name)


def dense(config: BlockConfig, features: int, name: str, *, residual: bool = False) -> nn.Dense:
    """X W + b; `residual` marks the layers whose result is added to the residual stream."""
    scale = 1 / math.sqrt(2 * config.num_layers) if residual else 1.0
    if config.init_std > 0:
        init = nn.initializers.normal(config.init_std * scale)
    else:
        init = nn.initializers.variance_scaling(scale**2, 'fan_in', 'normal')
    return nn.Dense(
        features,
        use_bias=config.use_bias,
        dtype=config.dtype,
        kernel_init=init,
        dot_general=operations.dense if config.backward == 'custom' else None,
        name=name,
    )


class SelfAttention(nn.Module):
    """MultiHead(X) = Concat(head_1, …, head_H) W^O, head_i = Attention(X W_i^Q, X W_i^K, X W_i^V).

    Vaswani et al. 2017, section 3.2.2. W^Q, W^K and W^V of all heads lie side by side in one
    matrix, `qkv` `[D, 3·H·K]`, in that order.
    """

    config: BlockConfig

    @nn.compact
    def __call__(
        self,
        x: Float[Array, 'B T D'],
        cache: kv.KVCache | None,
        positions: Int[Array, 'B T'] | Int[Array, '1 T'],
        lengths: Int[Array, 'B'] | None,
    ) -> tuple[Float[Array, 'B T D'], kv.KVCache | None]:
        """Attend to this call's tokens and to those in the cache, never to the future."""
        c = self.config
        qkv = dense(c, 3 * c.width, 'qkv')(x)
        q, k, v = jnp.split(qkv.reshape(*x.shape[:2], 3 * c.num_heads, -1), 3, axis=2)
        if c.rotary:
            q, k = rotary(q, positions), rotary(k, positions)
        mask = Mask(causal=True, window=c.window, start=None if cache is None else cache.length)
        if cache is not None:
            cache = kv.append(cache, k, v, lengths)
            k, v = cache.k.astype(q.dtype), cache.v.astype(q.dtype)
        y = attend(q, k, v, mask, implementation=c.attention)
        return dense(c, c.width, 'out', residual=True)(y.reshape(x.shape)), cache


class FeedForward(nn.Module):
    """FFN(x) = σ(x W_1 + b_1) W_2 + b_2 (Vaswani et al. 2017, equation 2)."""

    config: BlockConfig

    @nn.compact
    def __call__(self, x: Float[Array, 'B T D']) -> Float[Array, 'B T D']:
        """Apply to each position by itself."""
        c = self.config
        hidden = dense(c, c.feed_forward_size, 'up')(x)
        hidden = ACTIVATIONS[c.activation](hidden, backward=c.backward)
        return dense(c, c.width, 'down', residual=True)(hidden)


class Block(nn.Module):
    """One layer: attention, then feed-forward, each with a residual and a LayerNorm.

    pre:   x ← x + Attention(LN(x));  x ← x + FFN(LN(x))
    post:  x ← LN(x + Attention(x));  x ← LN(x + FFN(x))
    """

    config: BlockConfig

    @nn.compact
    def __call__(
        self,
        x: Float[Array, 'B T D'],
        cache: kv.KVCache | None,
        positions: Int[Array, 'B T'] | Int[Array, '1 T'],
        lengths: Int[Array, 'B'] | None,
        key: jax.Array | None,
    ) -> tuple[Float[Array, 'B T D'], kv.KVCache | None]:
        """Return the layer's output and its cache after this call; a key turns dropout on."""
        c = self.config

        def half(x, function, name, index):
            norm = layer_norm(c, name)
            y, aux = function(norm(x) if c.norm == 'pre' else x)
            if key is not None and c.dropout_rate > 0:
                y = nn.Dropout(c.dropout_rate, deterministic=False)(
                    y, rng=jax.random.fold_in(key, index)
                )
            return (x + y if c.norm == 'pre' else norm(x + y)), aux

        attention = SelfAttention(c, name='attention')
        feed_forward = FeedForward(c, name='feed_forward')
        x, cache = half(x, lambda x: attention(x, cache, positions, lengths), 'attention_norm', 0)
        x, _ = half(x, lambda x: (feed_forward(x), None), 'feed_forward_norm', 1)
        return x, cast('kv.KVCache | None', cache)
