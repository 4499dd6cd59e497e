"""A head of classes on a model that reads texts: encoder, transformer or recurrent network."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from nlp_models.errors import InputError, require
from nlp_models.heads import POOLINGS, pool
from nlp_models.types import Key, LanguageModel, Params, TextEncoder

NAME = 'classifier'  # the subtree of the parameters that holds the head


class Classes(NamedTuple):
    """What a head of classes has learned to tell apart, and from what kind of texts.

    Attributes:
      labels: what the classes are called, in the order of the logits.
      length: tokens that texts were cut to, special ones counted.
      lower: whether they were made lower-case first.
      pairs: whether each was a pair of texts.
    """

    labels: tuple[str, ...]
    length: int
    lower: bool = False
    pairs: bool = False


class Classifier(NamedTuple):
    """A model from texts to classes.

    Attributes:
      init: `(key) -> params`: those of the model it is on, and `classifier`.
      logits: `(params, tokens, *, lengths, segments=None, key=None) -> [B, C]` float32, with tokens
        `[B, S]` int32, `lengths` `[B]` and `segments` as in `TextEncoder`; `log_softmax` of it is
        the distribution of the class.
      context: the longest row it can read; None for no bound.
    """

    init: Callable[..., Params]
    logits: Callable[..., jax.Array]
    context: int | None


def make_classifier(model: Any, *, num_classes: int, pooling: str) -> Classifier:
    """O = pool(y) W + b, y being the vectors that the model has for the tokens.

    Args:
      model: a `TextEncoder`, or a `LanguageModel` that has vectors.
      num_classes: C.
      pooling: 'mean' of the real tokens, 'cls' for the first, 'last' for the last real one
        (`heads.pool`): a causal model has read all of the text at the last one alone.

    Returns:
      The classifier.

    Raises:
      InputError: for a model that has no vectors, a pooling there is none of, or fewer than two
        classes.
    """
    known = ', '.join(POOLINGS)
    require(pooling in POOLINGS, 'pooling', pooling, f'must be one of {known}')
    require(num_classes >= 2, 'number of classes', num_classes, 'must be at least 2')
    read = _reader(model)

    def init(key: Key) -> Params:
        params = model.init(key)
        token = jnp.zeros((1, 1), jnp.int32)
        shape = jax.eval_shape(lambda p: read(p, token, jnp.ones(1, jnp.int32), None, None), params)
        # Small, so that training starts near the uniform distribution.
        kernel = 0.02 * jax.random.normal(
            jax.random.fold_in(key, 2), (shape.shape[-1], num_classes)
        )
        return {**params, NAME: {'kernel': kernel, 'bias': jnp.zeros(num_classes)}}

    def logits(
        params: Params,
        tokens: Int[Array, 'B S'],
        *,
        lengths: Int[Array, 'B'],
        segments: Int[Array, 'B S'] | None = None,
        key: Key | None = None,
    ) -> Float[Array, 'B C']:
        vectors = pool(read(params, tokens, lengths, segments, key), lengths, pooling)
        return vectors @ params[NAME]['kernel'] + params[NAME]['bias']

    return Classifier(init, logits, model.context)


def _reader(model: Any) -> Callable[..., jax.Array]:
    """`(params, tokens, lengths, segments, key) -> vectors [B, S, D]`."""
    if isinstance(model, TextEncoder):

        def encode(params, tokens, lengths, segments, key):
            return model.encode(params, tokens, lengths=lengths, segments=segments, key=key)

        return encode
    if not isinstance(model, LanguageModel) or model.vectors is None:
        raise InputError(
            'the model has no vectors to tell classes by: task classification is for encoders, '
            'transformers and recurrent networks that read one text'
        )
    vectors = model.vectors

    def read(params, tokens, lengths, segments, key):
        del segments  # one text runs on into the other
        state = model.start(params, tokens.shape[0])
        return vectors(params, state, tokens, lengths=lengths, key=key)[1]

    return read
