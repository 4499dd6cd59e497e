"""One transformer layer: attention, attention to an encoder, and a feed-forward network."""

import math
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from nlp_models import operations
from nlp_models.attention import bottleneck
from nlp_models.attention import cache as kv
from nlp_models.attention.attend import attend
from nlp_models.attention.config import ACTIVATIONS, BlockConfig
from nlp_models.attention.masks import Mask
from nlp_models.attention.positions import rotary, rotary_frequencies


class Norm(nn.Module):
    """LayerNorm with γ, `scale`, and β, `bias`, where the config has biases; or RMSNorm with γ."""

    config: BlockConfig

    @nn.compact
    def __call__(self, x: Float[Array, '*rows D']) -> Float[Array, '*rows D']:
        """Normalise each row."""
        c, width = self.config, (x.shape[-1],)
        scale = self.param('scale', nn.initializers.ones, width)
        x = x.astype(c.dtype)
        if c.norm_type == 'rms':
            return operations.rms_norm(x, scale, epsilon=c.norm_epsilon)
        bias = self.param('bias', nn.initializers.zeros, width) if c.use_bias else None
        return operations.layer_norm(x, scale, bias, epsilon=c.norm_epsilon, backward=c.backward)


def dense(
    config: BlockConfig,
    features: int,
    name: str | None,
    *,
    residual: bool = False,
    use_bias: bool | None = None,
) -> nn.Dense:
    """X W + b; `residual` marks the layers whose result is added to the residual stream."""
    added = residual and config.skip_connections
    scale = 1 / math.sqrt(2 * config.num_layers) if added else 1.0
    if config.init_std > 0:
        init = nn.initializers.normal(config.init_std * scale)
    else:
        init = nn.initializers.variance_scaling(scale**2, 'fan_in', 'normal')
    return nn.Dense(
        features,
        use_bias=config.use_bias if use_bias is None else use_bias,
        dtype=config.dtype,
        kernel_init=init,
        dot_general=operations.dense if config.backward == 'custom' else None,
        name=name,
    )


class SelfAttention(nn.Module):
    """MultiHead(X) = Concat(head_1, …, head_H) W^O, head_i = Attention(X W_i^Q, X W_i^K, X W_i^V).

    Vaswani et al. 2017, section 3.2.2. W^Q, W^K and W^V of all heads lie side by side in one
    matrix, `qkv` `[D, (H + 2 · kv_heads) · K]`, in that order.
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
        """Attend to this call's tokens and to those in the cache."""
        c = self.config
        heads = c.num_heads + 2 * c.kv_heads
        qkv = dense(c, heads * c.head, 'qkv', use_bias=c.use_bias or c.qkv_bias)(x)
        qkv = qkv.reshape(*x.shape[:2], heads, c.head)
        q, k, v = jnp.split(qkv, (c.num_heads, c.num_heads + c.kv_heads), axis=2)
        if c.rotary is not None:
            frequencies = rotary_frequencies(c.head, c.rotary)
            q, k = rotary(q, positions, frequencies), rotary(k, positions, frequencies)
        if cache is None:
            # What follows a row's end is behind every real query of a causal one.
            mask = Mask(causal=c.causal, window=c.window, lengths=None if c.causal else lengths)
            y = attend(q, k, v, mask, implementation=c.attention)
        else:
            y, cache = kv.attend_and_append(
                cache, q, k, v, lengths, window=c.window, implementation=c.attention
            )
        y = y.reshape(*x.shape[:2], c.num_heads * c.head)
        return dense(c, c.width, 'out', residual=True)(y), cache


class Memory(NamedTuple):
    """What a layer of the decoder looks up in an encoder's output: computed once for a source.

    Attributes:
      k: keys `[B, S, kv_heads, K]`.
      v: values, likewise.
      lengths: real tokens of each source `[B]` int32.
    """

    k: Float[Array, 'B S H K']
    v: Float[Array, 'B S H K']
    lengths: Int[Array, 'B']


class CrossAttention(nn.Module):
    """MultiHead attention whose keys and values are of an encoder's output.

    Vaswani et al. 2017, section 3.2.3. W^K and W^V lie side by side in `kv`.
    """

    config: BlockConfig

    def setup(self) -> None:
        """Make the three dense layers."""
        c = self.config
        self.q = dense(c, c.num_heads * c.head, None, use_bias=c.use_bias or c.qkv_bias)
        self.kv = dense(c, 2 * c.kv_heads * c.head, None, use_bias=c.use_bias or c.qkv_bias)
        self.out = dense(c, c.width, None, residual=True)

    def memory(self, y: Float[Array, 'B S D'], lengths: Int[Array, 'B']) -> Memory:
        """Keys and values of an encoder's output."""
        c = self.config
        both = self.kv(y).reshape(*y.shape[:2], 2 * c.kv_heads, c.head)
        k, v = jnp.split(both, 2, axis=2)
        return Memory(k, v, lengths)

    def __call__(self, x: Float[Array, 'B T D'], memory: Memory) -> Float[Array, 'B T D']:
        """Attend to the memory."""
        c = self.config
        q = self.q(x).reshape(*x.shape[:2], c.num_heads, c.head)
        k, v = memory.k.astype(q.dtype), memory.v.astype(q.dtype)
        y = attend(q, k, v, Mask(lengths=memory.lengths), implementation=c.attention)
        return self.out(y.reshape(*x.shape[:2], c.num_heads * c.head))


class FeedForward(nn.Module):
    """FFN(x) = σ(x W_up + b) W_down + b (Vaswani et al. 2017, equation 2), or gated.

    Gated (Shazeer 2020, equation 6): (σ(x W_gate) ⊙ x W_up) W_down.
    """

    config: BlockConfig

    @nn.compact
    def __call__(self, x: Float[Array, 'B T D']) -> Float[Array, 'B T D']:
        """Apply to each position by itself."""
        c = self.config
        hidden = dense(c, c.feed_forward_size, 'up')(x)
        gate = dense(c, c.feed_forward_size, 'gate')(x) if c.gated else hidden
        gate = ACTIVATIONS[c.activation](gate, backward=c.backward)
        return dense(c, c.width, 'down', residual=True)(gate * hidden if c.gated else gate)


class Block(nn.Module):
    """One layer: attention, cross-attention in a decoder with an encoder, then feed-forward.

    pre:   x ← x + Attention(LN(x));  x ← x + Cross(LN(x), memory);  x ← x + FFN(LN(x))
    post:  x ← LN(x + Attention(x));  x ← LN(x + Cross(x, memory));  x ← LN(x + FFN(x))
    none:  x ← x + Attention(x);  x ← x + Cross(x, memory);  x ← x + FFN(x)

    Without skip connections the `x +` is gone from each. With `adapter_size` an adapter is behind
    attention and feed-forward, or behind feed-forward alone (`bottleneck.has`).
    """

    config: BlockConfig

    @nn.compact
    def __call__(
        self,
        x: Float[Array, 'B T D'],
        cache: kv.KVCache | None,
        positions: Int[Array, 'B T'] | Int[Array, '1 T'],
        lengths: Int[Array, 'B'] | None,
        memory: Memory | None,
        key: jax.Array | None,
    ) -> tuple[Float[Array, 'B T D'], kv.KVCache | None]:
        """Return the layer's output and its cache after this call; a key turns dropout on."""
        c = self.config

        def part(x: Any, function: Any, name: str, index: int) -> tuple[Any, Any]:
            norm = None if c.norm == 'none' else Norm(c, name=name)
            y, aux = function(norm(x) if norm and c.norm == 'pre' else x)
            if key is not None and c.dropout_rate > 0:
                y = nn.Dropout(c.dropout_rate, deterministic=False)(
                    y, rng=jax.random.fold_in(key, index)
                )
            of = name.removesuffix('_norm')
            if c.adapter_size and bottleneck.has(c.adapter_placement, of):
                named: Any = dict(name=f'{of}_{bottleneck.NAME}')
                y = bottleneck.Bottleneck(c.adapter_size, c.backward, c.dtype, **named)(y)
            y = x + y if c.skip_connections else y
            return (norm(y) if norm and c.norm == 'post' else y), aux

        attention = SelfAttention(c, name='attention')
        feed_forward = FeedForward(c, name='feed_forward')
        x, cache = part(x, lambda x: attention(x, cache, positions, lengths), 'attention_norm', 0)
        if c.cross:
            cross = CrossAttention(c, name='cross_attention')
            looked_up = cast(Memory, memory)
            x, _ = part(x, lambda x: (cross(x, looked_up), None), 'cross_attention_norm', 2)
        x, _ = part(x, lambda x: (feed_forward(x), None), 'feed_forward_norm', 1)
        return x, cast('kv.KVCache | None', cache)
