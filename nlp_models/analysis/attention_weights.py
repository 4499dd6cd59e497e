"""What each head of a trained decoder looks at, and how different the heads of a layer are."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from nlp_models.attention.blocks import Block
from nlp_models.attention.config import BlockConfig
from nlp_models.attention.fields import block_config
from nlp_models.attention.masks import Mask
from nlp_models.attention.positions import rotary, rotary_frequencies
from nlp_models.errors import require
from nlp_models.types import Params


def weights(model: Any, params: Params, tokens: Int[Array, 'B T']) -> Float[Array, 'L B H T T']:
    """softmax(Q Kᵀ / √d_k) of every layer of a decoder-only transformer.

    Vaswani et al. 2017, equation 1. Implementations of attention hand on only the product of these
    with the values, so queries and keys are caught behind the layer's `qkv` and the rest is done
    here, in float32.

    Args:
      model: the config's `model` group; positions 'rotary' or 'none', layers not scanned.
      params: of the language model, with `embed` and `body`.
      tokens: `[B, T]`.

    Returns:
      `[L, B, H, T, T]`: how much each query (fourth axis) takes from each key (last axis). Rows
      sum to 1; what the mask hides has exactly 0.

    Raises:
      InputError: for other positions, or layers that are scanned.
    """
    plain = model.positions in ('rotary', 'none')
    require(plain, 'model.positions', model.positions, 'must be rotary or none')
    require(not model.scan_layers, 'model.scan_layers', model.scan_layers, 'must be False')
    config = block_config(model)
    block = Block(config)
    where = jnp.arange(tokens.shape[1])[None]
    x = params['embed']['embedding'][tokens].astype(config.dtype)
    found = []
    for i in range(config.num_layers):
        (x, _), caught = block.apply(
            {'params': params['body'][f'layer_{i}']},
            x,
            None,
            where,
            None,
            None,
            None,
            capture_intermediates=lambda module, name: module.name == 'qkv',
            mutable=['intermediates'],
        )
        qkv: Any = caught['intermediates']['attention']['qkv']['__call__'][0]
        found.append(of_products(config, qkv))
    return jnp.stack(found)


def of_products(config: BlockConfig, qkv: Float[Array, 'B T C']) -> Float[Array, 'B H T T']:
    """The weights that follow from a layer's queries, keys and values, side by side in `qkv`."""
    heads = config.num_heads + 2 * config.kv_heads
    q, k, _ = jnp.split(
        qkv.reshape(*qkv.shape[:2], heads, config.head),
        (config.num_heads, config.num_heads + config.kv_heads),
        axis=2,
    )
    if config.rotary is not None:
        where, frequencies = (
            jnp.arange(qkv.shape[1])[None],
            rotary_frequencies(config.head, config.rotary),
        )
        q, k = rotary(q, where, frequencies), rotary(k, where, frequencies)
    k = jnp.repeat(k, config.num_heads // config.kv_heads, axis=2)
    scores = jnp.einsum('BTHK,BSHK->BHTS', q, k, preferred_element_type=jnp.float32)
    scores = scores / math.sqrt(config.head)
    mask = Mask(causal=config.causal, window=config.window)
    allowed = mask.dense(qkv.shape[1], qkv.shape[1])
    if allowed is not None:
        scores = jnp.where(allowed, scores, -jnp.inf)
    return jax.nn.softmax(scores, axis=-1)


def diversity(weights: Float[Array, '*batch H T S']) -> Float[Array, '']:
    """How different the heads of a layer are in what they look at, from 0 to 1.

    The Jensen–Shannon divergence of the heads' distributions p_h over the keys (Lin 1991,
    equation 5.1), divided by its maximum:

        (entropy(mean_h p_h) − mean_h entropy(p_h)) / ln H

    averaged over the queries that see at least H keys. It is 0 where all heads look at the same
    keys with the same weights, whatever these are, and 1 where no two heads share a key: the share
    of what a key tells about which head has looked at it.

    Args:
      weights: `[…, H, T, S]`, distributions over the last axis; 0 where a key is hidden. A causal
        mask is taken for granted: query t sees at most t + 1 keys.

    Returns:
      float32.

    Raises:
      InputError: for one head, or where no query sees as many keys as there are heads.
    """
    heads, queries = weights.shape[-3:-1]
    require(heads > 1, 'heads', heads, 'must be at least 2 to differ')
    require(queries >= heads, 'queries', queries, f'must be at least the number of heads, {heads}')
    whole = _entropy(weights.mean(axis=-3))
    each = _entropy(weights).mean(axis=-2)
    return jnp.mean((whole - each)[..., heads - 1 :]) / np.float32(math.log(heads))


def _entropy(p: jax.Array) -> jax.Array:
    """−Σ p ln p, in nats, with 0 ln 0 = 0."""
    return -jnp.sum(jnp.where(p > 0, p * jnp.log(jnp.where(p > 0, p, 1.0)), 0.0), axis=-1)
