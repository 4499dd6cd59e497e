"""Whether anything of the future reaches a causal model's logits: exactly, by gradients and bits.

Both instruments must say 0 of a causal model, and must not of the same model without its mask.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nlp_models import heads, models
from nlp_models.attention.attend import IMPLEMENTATIONS
from nlp_models.attention.decoder import make_decoder
from nlp_models.attention.fields import block_config, layer_options
from nlp_models.attention.masks import Mask
from nlp_models.errors import require
from nlp_models.types import LanguageModel, Params


class Leaks(NamedTuple):
    """How many ways into the past were found.

    Attributes:
      gradients: pairs (t, s > t) where the gradient of the logits at t with respect to the
        embedding at s is not zero in some component.
      bits: pairs (n, t < n) where some logit at t changes, in any bit, when all tokens from n on
        are replaced by others.
      pairs: how many pairs each instrument has looked at.
    """

    gradients: int
    bits: int
    pairs: int


def available(model: Any, length: int) -> list[str]:
    """The implementations of attention that this device has for a model, in the table's order.

    Args:
      model: a config's `model` group.
      length: tokens it is to read.

    Returns:
      Names in `attend.IMPLEMENTATIONS`.
    """
    config = block_config(model)
    shape = (1, length, config.num_heads, config.head)
    q = jax.ShapeDtypeStruct(shape, config.dtype)
    mask = Mask(causal=True, window=config.window)
    return [name for name, one in IMPLEMENTATIONS.items() if one.refusal(q, q, mask) is None]


def build(model: Any, *, vocab_size: int, max_length: int, causal: bool = True) -> LanguageModel:
    """A decoder-only transformer, or what is left of it when its mask is taken away.

    Args:
      model: a config's `model` group.
      vocab_size: V.
      max_length: T.
      causal: False for the model that the instruments must find leaking.

    Returns:
      The model.
    """
    config = replace(block_config(model), causal=causal)
    ends = models.build_ends(model, vocab_size, config.width)
    body = make_decoder(config, max_length=max_length, **layer_options(model))
    return heads.language_model(ends, body, max_length)


def count(model: LanguageModel, params: Params, length: int, seed: int) -> Leaks:
    """Look at every pair of an earlier and a later place.

    Each token of the text that is read occurs once, so the gradient with respect to a place's
    embedding is that with respect to a row of the embedding matrix. The gradient is that of the
    logits' product with a random vector: a component that is not zero stays so with probability 1.

    Args:
      model: a language model over at least `2 · length` tokens whose embedding is not tied.
      params: its parameters.
      length: T, at least 2.
      seed: of the text, what replaces it, and the random vectors.

    Returns:
      The counts.

    Raises:
      InputError: where there are too few tokens for all of them to differ.
    """
    embedding = params['embed']['embedding']
    vocab_size = len(embedding)
    enough = vocab_size >= 2 * length
    require(enough, 'vocab_size', vocab_size, f'must be at least 2 · length, {2 * length}')
    require('kernel' in params.get('head', {}), 'tie_embeddings', True, 'must be False')
    generator = np.random.default_rng(seed)
    drawn = generator.permutation(vocab_size)[: 2 * length]
    tokens, others = drawn[:length].astype(np.int32), drawn[length:].astype(np.int32)
    places = np.arange(length)

    def logits(params: Params, rows: jax.Array) -> jax.Array:
        return model.apply(params, model.start(params, len(rows)), rows)[1]

    def gradient(place: jax.Array, direction: jax.Array) -> jax.Array:
        def product(rows: jax.Array) -> jax.Array:
            mine = {**params, 'embed': {**params['embed'], 'embedding': rows}}
            return logits(mine, jnp.asarray(tokens)[None])[0, place] @ direction

        touched = jnp.any(jax.grad(product)(embedding) != 0, axis=-1)
        return touched[tokens]

    directions = generator.normal(size=(length, vocab_size)).astype(np.float32)
    found = jax.jit(lambda: jax.lax.map(lambda both: gradient(*both), (places, directions)))()
    future = places[None] > places[:, None]  # [t, s]
    # Row n has other tokens from n on. Both batches have one shape and go through one program.
    changed = np.where(places[None] >= places[:, None], others, tokens)
    run = jax.jit(logits)
    before = np.asarray(run(params, np.tile(tokens, (length, 1)))).view(np.uint32)
    after = np.asarray(run(params, changed)).view(np.uint32)
    differs = (before != after).any(axis=-1)  # [n, t]
    past = places[None] < places[:, None]
    return Leaks(
        gradients=int((np.asarray(found) & future).sum()),
        bits=int((differs & past).sum()),
        pairs=int(future.sum()),
    )
